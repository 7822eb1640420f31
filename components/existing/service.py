"""A service that runs already, made by hand or by other tools: whether a hand-over takes it over without losing a request."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.existing.look import Look, is_ours
from components.names import address, selector
from stackfile.model import RegionConfig, ServiceConfig

_STEPS = "docs/handover.md, A service that runs already"
_ISTIO = "networking.istio.io/v1"


def new_services(previous: Mapping[str, Any], config: RegionConfig) -> Sequence[ServiceConfig]:
    """The services that the stack did not have when it last came up; a stack from before had one, and did not name it."""
    known = previous.get("services", config.services if previous else {})
    return [service for name, service in config.services.items() if name not in known]


def look_at_service(look: Look, config: RegionConfig, service: ServiceConfig) -> None:
    """Note what speaks against taking over the objects that have the names of a service's.

    Raises:
        ClusterError: If the cluster cannot be asked.
    """
    name, namespace = service.name, service.namespace
    where = f"Service {namespace}/{name}"
    live = look.named(f"/api/v1/namespaces/{namespace}/services", name, where) or {}
    if live and not is_ours(live):
        if config.delivery != "handover":
            look.wrong(
                where,
                "is there, and not of this program",
                f"delivery: {config.delivery} would fail half-way where an object is there already",
                f"set delivery: handover ({_STEPS})",
            )
        _require_same(look, service, where, live["spec"])
    deployments = look.listed(f"/apis/apps/v1/namespaces/{namespace}/deployments", f"Deployments of {namespace}") or ()
    for version in service.versions:
        for each in deployments:
            found = (each["spec"].get("selector") or {}).get("matchLabels")
            if each["metadata"]["name"] == f"{name}-{version}" and found != selector(name, version):
                look.wrong(
                    f"Deployment {namespace}/{name}-{version}",
                    f"selects its pods by {_labels(found)}, not by {_labels(selector(name, version))}",
                    "a selector cannot be changed: the Deployment would be deleted and made anew",
                    f"give the version another name, so that it comes beside this one ({_STEPS})",
                )
    if look.serves(_ISTIO):
        _require_own_routes(look, service)


def _require_same(look: Look, service: ServiceConfig, where: str, spec: Mapping[str, Any]) -> None:
    """Note where the Service would lose the pods that answer, once it is as the stack file has it."""
    if (found := spec.get("selector")) != {"app": service.name}:
        look.wrong(
            where,
            f"selects its pods by {_labels(found)}, not by app={service.name}",
            "the pods that answer now would leave it before new ones are ready: every request fails",
            f"label those pods so, and change its selector ({_STEPS})",
        )
    ports = [each for each in spec.get("ports") or () if each["port"] == service.port]
    if [(each.get("name"), each.get("targetPort")) for each in ports] != [("http", "http")]:
        look.wrong(
            where,
            f"has no port {service.port} that is called http and leads to the containers' port http",
            "the pods that answer now would leave it, or get no requests that can be split: every request fails",
            f"give the containers' port that name, and change the Service ({_STEPS})",
        )


def _require_own_routes(look: Look, service: ServiceConfig) -> None:
    """Note other routes to the service, and routes into subsets that would go."""
    name, namespace = service.name, service.namespace
    hosts = {name, f"{name}.{namespace}", f"{name}.{namespace}.svc", address(service).host}
    for resource, kind in (("virtualservices", "VirtualService"), ("destinationrules", "DestinationRule")):
        found = look.listed(f"/apis/{_ISTIO}/namespaces/{namespace}/{resource}", f"{kind}s of {namespace}") or ()
        for each in found:
            where, spec = f"{kind} {namespace}/{each['metadata']['name']}", each["spec"]
            if is_ours(each) or not hosts & {spec.get("host"), *(spec.get("hosts") or ())}:
                continue
            if each["metadata"]["name"] != name:
                look.wrong(
                    where,
                    f"is of {name} too",
                    "of two for one host Istio takes either, and the split does not hold",
                    f"remove it in the hand-over's first step ({_STEPS})",
                )
            gone = {subset["name"] for subset in spec.get("subsets") or ()} - {*service.versions}
            if gone and each["metadata"]["name"] == name:
                look.wrong(
                    where,
                    f"has the subsets {', '.join(sorted(gone))}, and the stack file has no such versions",
                    "what is routed there now would be answered with 503",
                    f"route to subsets of the versions' names first ({_STEPS})",
                )


def _labels(found: Mapping[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((found or {}).items())) or "nothing"
