"""Writes docs/pull-request-comment.md from real runs: `python -m tests.rollout.comment`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.rollout.planned import V2, Project, new_planned, plan, plan_json
from tests.rollout.stack_files import ROOT

DOCUMENT = ROOT / "docs" / "pull-request-comment.md"

_BEGIN = """\
# The comment in a pull request

`rollout plan --markdown` writes it, and `.github/workflows/pull-request.yaml` keeps one of it in each pull request: its first
line is a hidden marker by which the workflow finds the comment of an earlier run and writes it anew. The comments below are
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

_LOOSENED = """\
## A rule is loosened and used

The change allows that a weight rises by more than 50 points at once, and v2 of region-a gets 70 % where it had 10 %. The
command ends with 3: the check is red unless a ruleset makes the review of the code owners a condition.
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
            _LOOSENED,
            "---\n",
            comment_on(raise_too_far, loosened="increase-limited"),
            "\n---\n",
        ]
    )


def raise_weight(project: Project) -> None:
    project.weigh(v1=75, v2=25)


def retire(project: Project) -> None:
    project.weigh(v1=100, v2=0)
    project.replace("region-a", V2.replace("10}", "0}"), "")
    project.render()


def raise_too_far(project: Project) -> None:
    project.weigh(v1=30, v2=70)


def without_rule(document: dict[str, Any], rule: str) -> dict[str, Any]:
    """What `rollout plan --json` prints where nothing else is refused and this rule is not there."""
    return document | {
        "verdict": "safe",
        "findings": [finding for finding in document["findings"] if finding["rule"] != rule],
    }


def comment_on(change: Callable[[Project], None], loosened: str = "") -> str:
    """What is commented on a pull request with this change, with hashes that are always the same.

    Args:
        change: The change.
        loosened: A rule that the change's own rules lack; "" where it changes no rules.
    """
    with TemporaryDirectory(prefix="rollout-comment-") as directory:
        project = new_planned(Path(directory) / "project")
        base = project.commit()
        change(project)
        head = project.commit()
        between = ("--base", base, "--head", head)
        with contextlib.chdir(project.directory):
            own = Path(directory, "own.json")
            own.write_text(json.dumps(without_rule(plan_json(*between), loosened)))
            against = ("--against", str(own)) if loosened else ()
            printed = plan(*between, *against, "--markdown").stdout
    return printed.replace(base[:7], "1a2b3c4").replace(head[:7], "5d6e7f8")


if __name__ == "__main__":
    DOCUMENT.write_text(document())
