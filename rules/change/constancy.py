"""What a change leaves as it is: the selectors, the tool that delivers, and the region itself."""

from __future__ import annotations

from collections.abc import Iterator

from rules.change.transition import Transition, between_revisions
from rules.facts.region import Change
from rules.finding import Rule, Severity, Violation


def _changes_selector(transition: Transition) -> Iterator[Violation]:
    before = {each.id: each.selector for each in transition.before.workloads.deployments}
    for each in transition.after.workloads.deployments:
        if each.id in before and before[each.id] != each.selector:
            yield Violation(f"{each.id}: spec.selector", f"{dict(before[each.id])} → {dict(each.selector)}")


def _switches_plainly(transition: Transition) -> Iterator[Violation]:
    before, after = transition.before.delivery, transition.after.delivery
    if {before, after} == {"direct", "gitops"}:
        up = f"commit, pulumi up -s {transition.name}"
        yield Violation(
            "$.delivery",
            f"{before} → {after} at once",
            steps=(f"set delivery: handover; {up}", f"then set delivery: {after}; {up}"),
        )


def _changes_hands_and_workloads(transition: Transition) -> Iterator[Violation]:
    before, after = transition.before, transition.after
    if before.delivery != after.delivery and before.workloads != after.workloads:
        yield Violation("$.delivery", f"{before.delivery} → {after.delivery} in a change of the workloads")


def _removes_service(change: Change) -> Iterator[Violation]:
    if change.after is None and not change.region_goes:
        yield Violation(
            f"$.services.{change.service}",
            "is no longer there",
            steps=(
                "send the service's clients elsewhere, and see that it gets no requests",
                "waive service-removed in the stack file (rules.waived), with the reason; commit",
                f"then remove it and its overlay; commit, pulumi up -s {change.name} (docs/operating.md#remove-a-service)",
            ),
        )


def _removes_region(change: Change) -> Iterator[Violation]:
    if change.after is None and change.region_goes:
        yield Violation(
            "stack file",
            "is no longer there",
            steps=(
                "send the region's clients elsewhere, and see that it gets no requests",
                "waive region-removed in its stack file (rules.waived), with the reason; commit",
                f"pulumi destroy -s {change.name}, after what docs/uninstalling.md says of protected objects",
                "then remove its stack file and its overlay; commit",
            ),
        )


CONSTANCY: tuple[Rule[Change], ...] = (
    Rule(
        id="selector-unchanged",
        holds="The selector of a Deployment stays as it is.",
        reason="it is immutable: Argo CD cannot sync, and Pulumi would delete the pods and make them anew",
        mend="leave it, or make a Deployment of another name: a version of its own",
        fact="https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#label-selector-updates",
        check=between_revisions(_changes_selector),
    ),
    Rule(
        id="delivery-changed-by-handover",
        holds="Delivery goes from gitops to direct and back only by way of handover.",
        reason="who delivers now would delete the workloads, or who is to deliver stop at finding them there",
        mend="follow docs/handover.md",
        fact="docs/handover.md",
        check=between_revisions(_switches_plainly),
        of_service=False,
    ),
    Rule(
        id="handed-over-unchanged",
        holds="A change of delivery changes no workload.",
        reason="for a while both deliver, and whoever has the older values undoes the other's",
        mend="change the workloads in a commit before or after",
        fact="docs/handover.md",
        severity=Severity.WARNING,
        check=between_revisions(_changes_hands_and_workloads),
    ),
    Rule(
        id="service-removed",
        holds="A service goes from a stack file only after its removal was announced in it.",
        reason="what runs of it stays, and from then on nobody delivers it, measures it or can roll it back",
        mend="announce it first",
        check=_removes_service,
    ),
    Rule(
        id="region-removed",
        holds="A region's stack file goes only after its removal was announced in it.",
        reason="its cluster goes on answering, and from then on nobody can roll it back",
        mend="announce it and destroy the stack first",
        check=_removes_region,
        of_service=False,
    ),
)
