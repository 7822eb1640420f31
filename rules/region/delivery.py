"""Who applies the objects: each has one who does, and Argo CD does in an order in which no request meets nothing."""

from __future__ import annotations

from collections.abc import Iterator

from rules.facts.region import Region
from rules.facts.shapes import SYNC_OPTIONS
from rules.facts.workloads import SYNC_WAVE, Deployment, DestinationRule, Service, ServiceAccount, VirtualService
from rules.finding import Rule, Violation

_APPLICATION = "Application"
"""The kind by which Argo CD is told what to apply."""

_Waved = Deployment | Service | DestinationRule | VirtualService


def _out_of_order(region: Region) -> Iterator[Violation]:
    if region.delivery == "direct":
        return
    workloads = region.workloads
    for rule in workloads.destination_rules:
        for deployment in workloads.deployments:
            if rule.wave <= deployment.wave:
                yield _violation(rule, "is not after", deployment)
        for service in workloads.services:
            if rule.wave < service.wave:
                yield _violation(rule, "is before", service)
    for routes in workloads.virtual_services:
        for rule in workloads.destination_rules:
            if routes.wave <= rule.wave:
                yield _violation(routes, "is not after", rule)


def _violation(late: _Waved, order: str, early: _Waved) -> Violation:
    where = f'{late.id}: metadata.annotations["{SYNC_WAVE}"]'
    return Violation(where, f"wave {late.wave} {order} wave {early.wave} of {early.id}")


def _pruned(region: Region) -> Iterator[Violation]:
    if region.delivery == "direct":
        return
    found = region.workloads
    needed: tuple[Service | ServiceAccount | DestinationRule | VirtualService, ...] = (
        *found.services,
        *found.service_accounts,
        *found.destination_rules,
        *found.virtual_services,
    )
    for each in needed:
        if not each.kept:
            where = f'{each.id}: metadata.annotations["{SYNC_OPTIONS}"]'
            yield Violation(where, "is not Prune=false")


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
    if region.service not in {each.name for each in applications}:
        yield Violation(
            f"{_APPLICATION} {region.service}",
            "Pulumi registers none although delivery is gitops, so nobody applies the overlay",
        )
    for each in sorted(region.workloads.ids & region.pulumi):
        yield Violation(str(each), "Pulumi registers it and Argo CD syncs it")


DELIVERY: tuple[Rule[Region], ...] = (
    Rule(
        id="waves-in-order",
        holds="Argo CD applies Service and Deployments, then the DestinationRule, then the VirtualService.",
        reason="a subset whose pods are not ready, or a route whose subset is not there, answers 503",
        mend="render again: `rollout render` writes the waves",
        fact="https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/",
        check=_out_of_order,
    ),
    Rule(
        id="kept-without-file",
        holds="Argo CD never deletes Service, ServiceAccount, DestinationRule and VirtualService: they say Prune=false.",
        reason="a commit that loses the file of one, or empties it, deletes what every request of the service needs",
        mend="render again: `rollout render` writes it",
        fact="https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/#no-prune-resources",
        check=_pruned,
    ),
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
