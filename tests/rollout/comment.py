"""Writes docs/pull-request-comment.md from real runs: `python -m tests.rollout.comment`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.rollout.planned import V2, Project, new_planned, plan
from tests.rollout.stack_files import ROOT

DOCUMENT = ROOT / "docs" / "pull-request-comment.md"

_BEGIN = """\
# The comment in a pull request

`rollout plan --markdown` writes it, and `.github/workflows/pull-request.yaml` keeps one of it in each pull request: its first
line is a hidden marker by which the workflow finds the comment of an earlier run and writes it anew. Both comments below are
what the command printed for the change above them, but for the hashes of the commits. `python -m tests.rollout.comment` writes
this page anew.
"""
_WEIGHT = """\
## A weight changes

v2 of region-a gets 25 % where it had 10 %, and `make render` ran. The command ends with 0.
"""
_RETIREMENT = """\
## A version is retired in one step

v2 leaves the stack file of region-a while it still has 10 %, and `make render` ran. The command ends with 2, and the check of
the pull request is red.
"""


def document() -> str:
    """The whole page."""
    return "\n".join(
        [
            _BEGIN,
            _WEIGHT,
            "---\n",
            comment_on(raise_weight),
            "\n---\n",
            _RETIREMENT,
            "---\n",
            comment_on(retire),
            "\n---\n",
        ]
    )


def raise_weight(project: Project) -> None:
    project.weigh(v1=75, v2=25)


def retire(project: Project) -> None:
    project.weigh(v1=100, v2=0)
    project.replace("region-a", V2.replace("10}", "0}"), "")
    project.render()


def comment_on(change: Callable[[Project], None]) -> str:
    """What is commented on a pull request with this change, with hashes that are always the same."""
    with TemporaryDirectory(prefix="rollout-comment-") as directory:
        project = new_planned(Path(directory) / "project")
        base = project.commit()
        change(project)
        head = project.commit()
        with contextlib.chdir(project.directory):
            printed = plan("--base", base, "--head", head, "--markdown").stdout
    return printed.replace(base[:7], "1a2b3c4").replace(head[:7], "5d6e7f8")


if __name__ == "__main__":
    DOCUMENT.write_text(document())
