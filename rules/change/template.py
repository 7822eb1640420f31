"""Changes of the pods that answer: their template, so that all of a version are made anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from rules.change.differences import Difference, differences
from rules.change.transition import Transition, between_revisions
from rules.facts.region import Change
from rules.finding import Rule, Severity, Violation


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


TEMPLATE: tuple[Rule[Change], ...] = (
    Rule(
        id="pods-changed-under-requests",
        holds="The pods of a version that has requests stay as they are.",
        reason="all of its requests move to the new pods, none of them as a canary, and no weight takes them back",
        mend="make the change in a version of its own, and move the weight there; or see that pods that are ready answer as before",
        fact="docs/rules.md#pods-changed-under-requests",
        severity=Severity.WARNING,
        check=between_revisions(_changes_pods),
    ),
)
