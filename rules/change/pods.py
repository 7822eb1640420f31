"""Pods that are made anew, and pods that go: those that answer requests now, and those that would after a rollback."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from rules.change.differences import Difference, differences
from rules.change.transition import Transition, between_revisions
from rules.facts.region import Change
from rules.facts.versions import by_number
from rules.facts.workloads import ALL, Version
from rules.finding import Rule, Severity, Violation
from rules.region.capacity import capacity_percent, pods_for_all_traffic, stable_version


def restarted(transition: Transition) -> Mapping[str, Sequence[Difference]]:
    """The versions that have requests and whose pods are made anew, each with what changes in their template."""
    found: dict[str, list[Difference]] = defaultdict(list)
    owners = {each.id: name for name, old in transition.old.items() if old.weight > 0 for each in old.deployments}
    for each in differences(transition.before.workloads, transition.after.workloads):
        if each.restarts and each.pods and each.of in owners:
            found[owners[each.of]].append(each)
    return found


def remade(transition: Transition) -> list[str]:
    """Those of them whose new pods nobody has seen with all requests: by more than an image that once had them."""
    images = transition.moved_images
    return [name for name, changed in restarted(transition).items() if name in images or _besides_images(changed)]


def _besides_images(changed: Sequence[Difference]) -> list[str]:
    return [each.where for each in changed if not each.where.endswith("].image")]


def _changes_pods(transition: Transition) -> Iterator[Violation]:
    for name, changed in restarted(transition).items():
        fields = _besides_images(changed)
        if fields:
            yield Violation(
                f"{changed[0].of}: {fields[0]}",
                f"{'it changes' if len(fields) == 1 else f'{len(fields)} fields change'}: all {changed[0].pods} pods of {name}, with "
                f"{transition.old[name].weight} % of the requests, are replaced one after the other",
            )


def _fewer_under_requests(transition: Transition) -> Iterator[Violation]:
    needed = pods_for_all_traffic(transition.before)
    for old, new in transition.shrunk:
        weight = max(old.weight, new.weight)
        # a version that has too few by the new numbers as well is told of by version-capacity
        told = new.weight > capacity_percent(transition.after, new.name)
        if old.weight and new.replicas and not told and ALL * new.replicas < weight * needed:
            more = weight * old.replicas / (old.weight * new.replicas)
            yield Violation(
                _place(new),
                f"{old.replicas} pods answer {old.weight} % of the requests now and {new.replicas} are left: each gets "
                f"{more:.3g} times as many",
            )


def _no_way_back(transition: Transition) -> Iterator[Violation]:
    needed = pods_for_all_traffic(transition.before)
    for old, new in transition.shrunk:
        if new.weight or new.replicas >= needed or not _is_way_back(transition, new):
            continue
        what = f"{old.replicas} → {new.replicas} pods, where it takes {needed} to answer all requests: "
        if new.replicas:
            what += f"after a rollback each would get {needed / new.replicas:.3g} times what it is counted on for"
        else:
            what += "no rollback to it is possible until a commit has brought pods"
        yield Violation(
            _place(new),
            what,
            f"keep {needed} while anybody may want to go back; afterwards remove it whole: rollout retire {new.name}",
        )


def _is_way_back(transition: Transition, version: Version) -> bool:
    """Whether a rollback goes to it: the stable version, one that had all requests, or one older than what has them now."""
    stable = stable_version(transition.before)
    proven = transition.proven.get(version.name, frozenset())
    return (
        version.name == stable
        or (bool(version.images) and {*version.images} <= proven)
        or (stable is not None and by_number(version.name) < by_number(stable))
    )


def _place(version: Version) -> str:
    return f"{version.deployments[0].id}: spec.replicas"


PODS: tuple[Rule[Change], ...] = (
    Rule(
        id="pods-changed-under-requests",
        holds="The pods of a version that has requests stay as they are.",
        reason="all of its requests move to the new pods, none of them as a canary, and no weight takes them back",
        mend="make the change in a version of its own, and move the weight there; or see that pods that are ready answer as before",
        severity=Severity.WARNING,
        check=between_revisions(_changes_pods),
    ),
    Rule(
        id="pods-kept-under-requests",
        holds="A version that gets requests keeps the pods that answer them now.",
        reason="the remaining pods get the requests of the removed pods within seconds",
        mend="take pods away in smaller steps and measure in between, or say how many can answer everything, in a commit before "
        "(podsForAllTraffic)",
        severity=Severity.WARNING,
        check=between_revisions(_fewer_under_requests),
    ),
    Rule(
        id="way-back-kept",
        holds="The version that a rollback goes to keeps the pods to answer all requests, as long as it is there.",
        reason="a rollback gives it everything within a second, long before more pods can be ready",
        mend="keep its pods, or remove the whole version",
        severity=Severity.WARNING,
        check=between_revisions(_no_way_back),
    ),
)
