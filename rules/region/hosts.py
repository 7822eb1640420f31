"""Which Service a host is, and which Deployments are behind it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rules.facts.region import Region
from rules.facts.versions import selects
from rules.facts.workloads import (
    MESH,
    Deployment,
    Destination,
    HeaderRoute,
    ObjectId,
    Service,
    VirtualService,
    Workloads,
)
from rules.finding import Rule, Violation
from rules.region.reading import all_read

_DOTS_OF_FULL_NAME = 3
_DOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"


def names(host: str, service: Service) -> bool:
    """Whether this host is the Service's full name, or one of those that Istio completes to it."""
    name, namespace = re.escape(service.id.name), re.escape(service.id.namespace)
    return re.fullmatch(rf"{name}(\.{namespace}(\.svc(\.{_DOMAIN})?)?)?", host) is not None


def of_host(service: Service, deployments: Iterable[Deployment]) -> tuple[Deployment, ...]:
    """The Deployments whose pods the Service stands for: those in its namespace with its labels."""
    return tuple(
        each
        for each in deployments
        if each.id.namespace == service.id.namespace and selects(service.selector, each.labels)
    )


def service_of(host: str, workloads: Workloads) -> Service | None:
    """The Service that a host names."""
    return next((service for service in workloads.services if names(host, service)), None)


def routed(workloads: Workloads) -> Iterator[tuple[str, Destination]]:
    """Every destination of every route, with the path of its entry; those for testers last."""
    for virtual_service in workloads.virtual_services:
        for position, route in zip(virtual_service.positions, virtual_service.routes, strict=True):
            for entry, destination in enumerate(route):
                yield f"{virtual_service.id}: spec.http[{position}].route[{entry}]", destination
    for where, tester in for_testers(workloads):
        yield f"{where}.route[0]", tester.destination


def for_testers(workloads: Workloads) -> Iterator[tuple[str, HeaderRoute]]:
    """Every route for testers, with its path."""
    for virtual_service in workloads.virtual_services:
        for tester in virtual_service.testers:
            yield f"{virtual_service.id}: spec.http[{tester.position}]", tester


def _hosts(workloads: Workloads) -> Iterator[tuple[str, str]]:
    """Every host that is named, with its place."""
    for rule in workloads.destination_rules:
        yield f"{rule.id}: spec.host", rule.host
    for virtual_service in workloads.virtual_services:
        for position, host in enumerate(virtual_service.hosts):
            if service_of(host, workloads) or not _is_outside(host, virtual_service):
                yield f"{virtual_service.id}: spec.hosts[{position}]", host
    for where, destination in routed(workloads):
        yield f"{where}.destination.host", destination.host


def _is_outside(host: str, virtual_service: VirtualService) -> bool:
    """Whether it may be what clients outside the mesh ask a gateway for: a full name, beside that of the Service."""
    return "." in host and virtual_service.hosts[0] != host and any(each != MESH for each in virtual_service.gateways)


def _wrong_hosts(region: Region) -> Iterator[Violation]:
    workloads = region.workloads
    usual: dict[ObjectId, str] = {}
    for where, host in _hosts(workloads):
        service = service_of(host, workloads)
        if service is None:
            if all_read(workloads, "Service"):
                yield Violation(where, f"{host} is the name of no Service here")
        elif host.count(".") < _DOTS_OF_FULL_NAME:
            full = f"{service.id.name}.{service.id.namespace}.svc.<domain>"
            yield Violation(where, f"{host} is short for {full}")
        elif host != usual.setdefault(service.id, host):
            yield Violation(where, f"{host} is not in the domain of {usual[service.id]}")


def _apart(region: Region) -> Iterator[Violation]:
    home = next((each.id for each in region.workloads.services), None)
    for each in sorted(region.workloads.ids):
        if home is not None and each.namespace != home.namespace:
            yield Violation(f"{each}: metadata.namespace", f"{each.namespace or 'none'} is not that of {home}")


HOSTS: tuple[Rule[Region], ...] = (
    Rule(
        id="host-is-full-name",
        holds="Every host is the full name of the Service, <service>.<namespace>.svc.<domain>, and the same everywhere; those of a "
        "gateway come after it.",
        reason="Istio completes a short name by the namespace of the object that has it, and a host that is no Service's matches "
        "no request: the split then holds for nobody, or the subset is not found",
        mend="write the Service's full name",
        fact="https://istio.io/latest/docs/reference/config/networking/virtual-service/#Destination",
        check=_wrong_hosts,
    ),
    Rule(
        id="traffic-beside-service",
        holds="All objects are in the namespace of the Service.",
        reason="a proxy looks for the DestinationRule in its own namespace and in the Service's: of one elsewhere it knows no subset, and "
        "every route to it answers 503; and Argo CD may apply nothing elsewhere",
        mend="leave out what sets another namespace, and render again",
        fact="https://istio.io/latest/docs/ops/best-practices/traffic-management/#cross-namespace-configuration",
        check=_apart,
    ),
)
