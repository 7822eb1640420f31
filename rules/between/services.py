"""What must hold between the services of one region."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations, product

from rules.facts.region import Region
from rules.facts.versions import selects
from rules.finding import Rule, Violation


def _share_an_object(services: tuple[Region, ...]) -> Iterator[Violation]:
    for one, other in combinations(services, 2):
        for each in sorted(one.workloads.ids & other.workloads.ids):
            yield Violation(str(each), f"is of {one.service} and of {other.service}", service=other.service)


def _share_a_host(services: tuple[Region, ...]) -> Iterator[Violation]:
    for one, other in combinations(services, 2):
        ours = {host for each in one.workloads.virtual_services for host in each.hosts}
        for each in other.workloads.virtual_services:
            for host in each.hosts:
                if host in ours:
                    yield Violation(
                        f"{each.id}: spec.hosts", f"{host} is a host of {one.service} too", service=other.service
                    )


def _share_pods(services: tuple[Region, ...]) -> Iterator[Violation]:
    for one, other in permutations(services, 2):
        for service, each in product(one.workloads.services, other.workloads.deployments):
            if each.id.namespace == service.id.namespace and selects(service.selector, each.labels):
                yield Violation(
                    f"{service.id}: spec.selector",
                    f"selects the pods of {each.id}, of {other.service}",
                    service=one.service,
                )


BETWEEN_SERVICES: tuple[Rule[tuple[Region, ...]], ...] = (
    Rule(
        id="own-objects",
        holds="No object is of two services.",
        reason="two Applications of Argo CD undo each other's values without end",
        mend="give one of the services, or its version, another name, or a namespace of its own",
        fact="https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/#fail-the-sync-if-a-shared-resource-is-found",
        check=_share_an_object,
        of_service=False,
    ),
    Rule(
        id="own-hosts",
        holds="No host is of two services.",
        reason="Istio takes the routes of one of them, and nobody says of which",
        mend="give each its own host",
        fact="https://istio.io/latest/docs/ops/best-practices/traffic-management/#split-virtual-services",
        check=_share_a_host,
        of_service=False,
    ),
    Rule(
        id="own-pods",
        holds="A Service selects no pod of another service.",
        reason="requests for the one are answered by the other",
        mend="give one of them another name, or a namespace of its own",
        fact="https://kubernetes.io/docs/concepts/services-networking/service/#defining-a-service",
        check=_share_pods,
        of_service=False,
    ),
)
