"""When a region is left as it is: the windows of its stack file's `rules.freeze`."""

from __future__ import annotations

from collections.abc import Iterator

from rules.change.differences import differences
from rules.change.transition import Transition
from rules.facts.region import Change
from rules.facts.windows import closed_from
from rules.finding import Rule, Severity, Violation


def _of_service(change: Change) -> Iterator[Violation]:
    transition = Transition.of(change)
    if change.before and (transition is None or _moves_on(transition)):
        yield from _open(change)


def _moves_on(transition: Transition) -> bool:
    """Whether it does more than give requests back to a version that had all of them or is the stable one."""
    found = differences(transition.before.workloads, transition.after.workloads)
    return bool(found) and bool(transition.rises or not all(each.where.endswith(".weight") for each in found))


def _of_platform(change: Change) -> Iterator[Violation]:
    before, after = (each.settings if each else {} for each in (change.before, change.after))
    # where they are not known on one side, they say nothing
    known = before.keys() | after.keys() if before and after else set()
    changed = [path for path in known if before.get(path) != after.get(path)]
    if not all(path.startswith(("rules.", "services.")) for path in changed):
        yield from _open(change)


def _open(change: Change) -> Iterator[Violation]:
    assert change.before is not None, "its limits hold"
    windows, now = change.before.limits.freeze, change.at
    open_now = [place for place, window in enumerate(windows) if now and window.closes(now)]
    if now and open_now:
        until = closed_from(windows, now)
        reasons = "; ".join(windows[place].reason for place in open_now)
        yield Violation(f"$.rules.freeze[{open_now[0]}]", f"frozen until {until:%Y-%m-%d %H:%M %Z}: {reasons}")


_REASON = "the people who answer for the region want nobody to change it then"
_MEND = "wait until then; what cannot wait needs a commit before it, which waives {} with the reason"

OUTSIDE_FREEZE = Rule(
    id="outside-freeze",
    holds="A service changes outside the windows of rules.freeze; a way back may come at any time.",
    reason=f"{_REASON}; rollout set, introduce, promote and retire refuse to begin",
    mend=_MEND.format("outside-freeze"),
    severity=Severity.WARNING,
    check=_of_service,
)
FREEZE: tuple[Rule[Change], ...] = (
    OUTSIDE_FREEZE,
    Rule(
        id="platform-outside-freeze",
        holds="Istio, Argo CD and whatever else is not of one service change outside the windows of rules.freeze.",
        reason=_REASON,
        mend=_MEND.format("platform-outside-freeze"),
        severity=Severity.WARNING,
        check=_of_platform,
        of_service=False,
    ),
)
