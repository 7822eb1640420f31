"""Whether every object has one who applies it, and no second."""

from __future__ import annotations

from collections.abc import Iterator

from rules.facts.region import Region
from rules.finding import Rule, Violation

_APPLICATION = "Application"
"""The kind by which Argo CD is told what to apply."""


def _not_one_owner(region: Region) -> Iterator[Violation]:
    if region.pulumi is None or region.delivery == "handover":
        return
    applications = sorted(each for each in region.pulumi if each.kind == _APPLICATION)
    if region.delivery == "direct":
        for each in applications:
            yield Violation(str(each), "Pulumi registers it although delivery is direct")
        for each in sorted(region.workloads.ids - region.pulumi):
            yield Violation(str(each), "Pulumi does not register it although delivery is direct, so nobody applies it")
        return
    if not applications:
        yield Violation(
            _APPLICATION, "Pulumi registers none although delivery is gitops, so nobody applies the overlay"
        )
    for each in sorted(region.workloads.ids & region.pulumi):
        yield Violation(str(each), "Pulumi registers it and Argo CD syncs it")


OWNERSHIP: tuple[Rule[Region], ...] = (
    Rule(
        id="one-owner",
        holds="What Argo CD syncs Pulumi does not register, and the reverse.",
        reason="two who apply the same object undo each other's weights, and who lets go of it deletes it; without one nothing is "
        "applied at all",
        mend="register workloads only through components/delivery.py, and change who delivers by docs/handover.md",
        fact="docs/handover.md",
        check=_not_one_owner,
    ),
)
