"""Whether Argo CD applies the objects in an order in which no request meets nothing."""

from __future__ import annotations

from collections.abc import Iterator

from rules.facts.region import Region
from rules.facts.workloads import SYNC_WAVE, Deployment, DestinationRule, Service, VirtualService
from rules.finding import Rule, Violation

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


WAVES: tuple[Rule[Region], ...] = (
    Rule(
        id="waves-in-order",
        holds="Argo CD applies Service and Deployments, then the DestinationRule, then the VirtualService.",
        reason="a subset whose pods are not ready, or a route whose subset is not there, answers 503",
        mend="render again: `rollout render` writes the waves",
        fact="https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/",
        check=_out_of_order,
    ),
)
