"""Whether there is anything to judge: objects that cannot be read, and what they leave open."""

from __future__ import annotations

from collections.abc import Iterator

from rules.facts.region import Region
from rules.facts.workloads import Workloads
from rules.finding import Rule, Violation


def all_read(workloads: Workloads, *kinds: str) -> bool:
    """Whether every object of these kinds was read, so that what is missing is missing indeed.

    A rule says nothing of what is missing where it may be in an object that could not be read: that one is reported, and a
    finding that follows from it would hide it.
    """
    return not any(each.kind is None or each.kind in kinds for each in workloads.unreadable)


def _unreadable(region: Region) -> Iterator[Violation]:
    for each in region.workloads.unreadable:
        yield Violation(each.where, each.what)


READING: tuple[Rule[Region], ...] = (
    Rule(
        id="objects-readable",
        holds="Every object is what its kind must be, and has nothing that no rule can judge.",
        reason="what cannot be read cannot be found safe, and the API server may refuse it in the middle of a change",
        mend="change the stack file and render again, or take out what is told here",
        check=_unreadable,
        # other rules are silent about what may be in it
        waivable=False,
    ),
)
