"""The ports that requests go through, from the route to the container."""

from __future__ import annotations

from collections.abc import Iterator

from rules.facts.region import Region
from rules.facts.workloads import Deployment, Service, ServicePort
from rules.finding import Rule, Violation
from rules.region.hosts import of_host, routed, service_of

_HTTP = ("http", "http2", "grpc", "grpc-web")
"""The protocols of a port whose requests Istio routes one by one."""
_APP_PROTOCOLS = (*_HTTP, "http_proxy", "kubernetes.io/h2c", "kubernetes.io/ws")


def _missing_ports(region: Region) -> Iterator[Violation]:
    for where, destination in routed(region.workloads):
        service = service_of(destination.host, region.workloads)
        if service is None:
            continue
        numbers = [port.number for port in service.ports]
        listed = ", ".join(map(str, numbers)) or "no port"
        if destination.port is None and len(numbers) != 1:
            yield Violation(f"{where}.destination.port", f"is missing, and {service.id} has not one port but {listed}")
        elif destination.port is not None and destination.port not in numbers:
            yield Violation(
                f"{where}.destination.port.number", f"{destination.port} is not on {service.id}, which has {listed}"
            )


def _missing_targets(region: Region) -> Iterator[Violation]:
    for service in region.workloads.services:
        for position, port in enumerate(service.ports):
            for deployment in of_host(service, region.workloads.deployments):
                if not _is_on(port, deployment):
                    yield Violation(
                        f"{service.id}: spec.ports[{position}].targetPort",
                        f"{port.target} is not on the containers of {deployment.id}, which have {_ports(deployment)}",
                    )


def _is_on(port: ServicePort, deployment: Deployment) -> bool:
    """A number need not be declared; where others are and it is not, it is taken for a mistake."""
    if isinstance(port.target, str):
        return port.target in deployment.ports
    return not deployment.ports or port.target in deployment.ports.values()


def _ports(deployment: Deployment) -> str:
    return ", ".join(f"{name} ({number})" for name, number in deployment.ports.items()) or "no named port"


def _not_http(region: Region) -> Iterator[Violation]:
    for service in _routed_services(region):
        for position, port in enumerate(service.ports):
            where = f"{service.id}: spec.ports[{position}]"
            if port.app_protocol is not None:
                if port.app_protocol.lower() not in _APP_PROTOCOLS:
                    yield Violation(f"{where}.appProtocol", f"{port.app_protocol} is no protocol of HTTP requests")
            elif port.name.lower().partition("-")[0] not in _HTTP:
                yield Violation(f"{where}.name", f'"{port.name}" does not begin with a protocol of HTTP requests')


def _routed_services(region: Region) -> list[Service]:
    hosts = {destination.host for _, destination in routed(region.workloads)}
    found = {each.id: each for host in sorted(hosts) if (each := service_of(host, region.workloads))}
    return list(found.values())


PORTS: tuple[Rule[Region], ...] = (
    Rule(
        id="routed-port-exists",
        holds="A route goes to a port that the Service has.",
        reason="Istio makes no cluster for a port that is not there, and the route answers 503",
        mend="name a port of the Service in the route",
        fact="https://istio.io/latest/docs/reference/config/networking/virtual-service/#Destination",
        check=_missing_ports,
    ),
    Rule(
        id="target-port-exists",
        holds="Every port of the Service is a port of the containers of every version.",
        reason="pods without that port are left out of the Service, or refuse the connection: their share fails with 503",
        mend="give the container a port of this name, or the Service a target that it has",
        fact="https://kubernetes.io/docs/concepts/services-networking/service/#field-spec-ports",
        check=_missing_targets,
    ),
    Rule(
        id="port-names-protocol",
        holds="The ports of a Service that is routed say that they carry HTTP: http, http2, grpc or grpc-web, then nothing or `-`.",
        reason="with mutual TLS the requests of another port may be one opaque connection to the proxy, which no route splits",
        mend="name the port http or http-<something>, or set appProtocol: http",
        fact="https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/#explicit-protocol-selection",
        check=_not_http,
    ),
)
