"""What must hold of changes to several regions at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from rules.between.regions import listed
from rules.change.differences import differences
from rules.change.pods import remade
from rules.change.transition import Transition, acknowledged, delivered
from rules.facts.region import Change
from rules.finding import Rule, Severity, Violation

_STARTS = "starts-in-one-region"
_PLATFORM = ("istio.", "mesh.", "argocd.")


def _starts_together(changes: tuple[Change, ...]) -> Iterator[Violation]:
    for version, starting in _starting(_transitions(changes)).items():
        if len(starting) < 2 or all(each.before.limits.introduce_together for each in starting):
            continue
        first, *others = starting
        waiting = _first_without_waiver(others)
        names = [first.name, *(each.name for each in others if each is not waiting)]
        yield Violation(
            f"version {version} of {first.service}",
            f"starts here in the change that starts it in {listed(names)}",
            steps=_one_after_the_other(starting, f"the change of {version}", delivered(first.after)),
            region=waiting.name,
        )


def _raised_together(changes: tuple[Change, ...]) -> Iterator[Violation]:
    transitions = _transitions(changes)
    told = {version for version, starting in _starting(transitions).items() if len(starting) > 1}
    moving = [(each, moves) for each in transitions if (moves := _moves(each, told))]
    if len(moving) > 1:
        texts = [f"{each.name} ({', '.join(moves)})" for each, moves in moving]
        yield _at_once(f"versions of {moving[0][0].service}", listed(texts), [each for each, _ in moving])


def _moves(transition: Transition, told: set[str]) -> list[str]:
    """What a change does that may hurt the region's requests; without the versions of which another rule has told."""
    rises = [str(rise) for rise in transition.rises if rise.version not in told]
    fewer = [f"{old.name} {old.replicas} → {new.replicas} pods" for old, new in transition.shrunk if old.weight]
    return rises + fewer


def _remade_together(changes: tuple[Change, ...]) -> Iterator[Violation]:
    touched = [(each, names) for each in _transitions(changes) if (names := remade(each))]
    if len(touched) > 1:
        texts = [f"{each.name} ({', '.join(names)})" for each, names in touched]
        yield _at_once(
            f"pods of {touched[0][0].service}",
            f"all pods are made anew in {listed(texts)}",
            [each for each, _ in touched],
        )


def _treated_together(changes: tuple[Change, ...]) -> Iterator[Violation]:
    touched = [each for each in _transitions(changes) if _treats_otherwise(each)]
    if len(touched) > 1:
        names = listed([each.name for each in touched])
        yield _at_once(
            f"DestinationRule of {touched[0].service}", f"clients come to treat the pods otherwise in {names}", touched
        )


def _treats_otherwise(transition: Transition) -> bool:
    found = differences(transition.before.workloads, transition.after.workloads)
    return any(each.of.kind == "DestinationRule" and each.path[:2] == ("spec", "trafficPolicy") for each in found)


def _platform_together(changes: tuple[Change, ...]) -> Iterator[Violation]:
    touched = [(each, settings) for each in _transitions(changes) if (settings := _platform_changes(each))]
    if len(touched) > 1:
        settings = sorted({f"$.{setting}" for _, changed in touched for setting in changed})
        names = [each.name for each, _ in touched]
        yield _at_once(listed(settings), f"changes in {listed(names)}", [each for each, _ in touched], by_pulumi=True)


def _platform_changes(transition: Transition) -> list[str]:
    before, after = transition.before.settings, transition.after.settings
    if not before or not after:
        return []
    return [
        setting
        for setting in before.keys() | after.keys()
        if setting.startswith(_PLATFORM) and before.get(setting) != after.get(setting)
    ]


def _transitions(changes: Iterable[Change]) -> list[Transition]:
    return [transition for change in changes if (transition := Transition.of(change))]


def _starting(transitions: Iterable[Transition]) -> dict[str, list[Transition]]:
    """Where each version starts that does so anywhere."""
    starting = defaultdict(list)
    for transition in transitions:
        for version in transition.starts:
            starting[version].append(transition)
    return starting


def _first_without_waiver(transitions: Sequence[Transition]) -> Transition:
    """Whom to name for all: one waiver must not speak for the others."""
    return next((each for each in transitions if _STARTS not in each.before.limits.waived), transitions[0])


def _at_once(where: str, what: str, transitions: Sequence[Transition], *, by_pulumi: bool = False) -> Violation:
    first = transitions[0].after
    carried = f"commit, pulumi up -s {first.name}" if by_pulumi else delivered(first)
    steps = _one_after_the_other(transitions, "the change", carried)
    return Violation(where, f"{what} at once", steps=steps, region=transitions[1].name)


def _one_after_the_other(transitions: Sequence[Transition], what: str, carried: str) -> tuple[str, ...]:
    first, second = transitions[0], transitions[1]
    return (
        f"make {what} in {first.name} alone; {carried}",
        acknowledged(first.after),
        f"then make those in {second.name}" + (", then the next region's" if len(transitions) > 2 else ""),
    )


BETWEEN_CHANGES: tuple[Rule[tuple[Change, ...]], ...] = (
    Rule(
        id=_STARTS,
        holds="A version gets its first requests in one region at a time, or all of them set rules.introduceTogether.",
        reason="a fault that only real requests show would be in every region before it is seen in one",
        mend="start it in one region, measure, then in the next",
        fact="https://sre.google/workbook/canarying-releases/",
        check=_starts_together,
    ),
    Rule(
        id="raised-in-one-region",
        holds="More requests go to a canary, or to fewer pods, in one region at a time.",
        reason="no region is left as it was, to compare with and to go to",
        mend="change one region, measure, then the next",
        fact="https://sre.google/workbook/canarying-releases/",
        severity=Severity.WARNING,
        check=_raised_together,
    ),
    Rule(
        id="pods-changed-in-one-region",
        holds="The pods of versions that have requests are made anew in one region at a time.",
        reason="what is wrong with the new ones and does not show at their start is then in every region, and no canary shows it before",
        mend="render one region alone (rollout render --region), measure, then the next",
        check=_remade_together,
    ),
    Rule(
        id="treatment-in-one-region",
        holds="Connection pools and ejection change in one region at a time.",
        reason="limits that refuse requests, or eject pods that are well, would do so in every region at once",
        mend="change one region, measure, then the next; rules.mayDiffer lets them differ meanwhile",
        severity=Severity.WARNING,
        check=_treated_together,
    ),
    Rule(
        id="platform-in-one-region",
        holds="Istio, the mesh and Argo CD change in one region at a time.",
        reason="a fault of the platform takes every version of a region with it, and would take every region",
        mend="change one region, run pulumi up and rollout verify there, then the next",
        severity=Severity.WARNING,
        check=_platform_together,
        of_service=False,
    ),
)
