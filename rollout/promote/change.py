"""A change of regions, committed and judged by the rules; pushed nowhere yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rollout.git.commits import Writer
from rollout.git.revisions import repository_of
from rollout.plan.comparison import Plan
from rollout.plan.edits import edited
from rollout.plan.plan import make_plan
from rules.finding import Severity


@dataclass(frozen=True)
class JudgedCommit:
    """A commit that no branch has yet.

    Attributes:
        commit: Its full hash.
        files: What it changes, by paths in the project; None for a file that goes.
        plan: What it does to the requests; None where it edits no region.
    """

    commit: str
    files: Mapping[str, bytes | None]
    plan: Plan | None

    @property
    def is_refused(self) -> bool:
        """Whether the rules refuse it."""
        return self.plan is not None and self.plan.severity is Severity.REFUSED


def commit_edits(
    project: Path, writer: Writer, parent: str, edits: Mapping[str, Callable[[str], str]], message: str
) -> JudgedCommit:
    """Commits edited stack files, with their overlays rendered anew.

    Args:
        project: Directory of Pulumi.yaml.
        writer: Its clone.
        parent: The commit that it is on top of, by its full hash.
        edits: Makes the stack file's new text from the old, by region. Where nothing changes, the commit is an empty one.
        message: The commit's.

    Raises:
        RolloutError: a stack file cannot be used or an edit refuses.
    """
    files: dict[str, bytes | None] = {}
    with repository_of(project) as repository:
        for region, edit in edits.items():
            files |= edited(repository.at(parent), region, edit)
    commit = writer.commit(parent, files, message)
    return JudgedCommit(commit, files, make_plan(project, parent, commit, list(edits)) if edits else None)
