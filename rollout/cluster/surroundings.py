"""What a change of a service depends on in its cluster, besides the service's own objects: Argo CD, sidecars, others' routes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from components.names import ARGOCD_NAMESPACE, TESTERS, ServiceAddress
from rollout.cluster.pods import ISTIO_NAMESPACE, PROXY, container, is_leaving, is_ready
from rollout.cluster.sync_windows import SyncWindow, parse_windows
from rollout.problem import Problem

_NAME = "app.kubernetes.io/name"
_DELIVERING = ("argocd-application-controller", "argocd-repo-server")
_MESH = "mesh"
_ALL_HOSTS = "*"


@dataclass(frozen=True)
class Project:
    """An AppProject.

    Attributes:
        repositories: Patterns of the repositories' addresses that it lets in.
        windows: When Argo CD may sync what is of it.
    """

    repositories: tuple[str, ...]
    windows: tuple[SyncWindow, ...] = ()


@dataclass(frozen=True)
class Autoscaler:
    """A HorizontalPodAutoscaler of a Deployment of the service.

    Attributes:
        name: Its name.
        deployment: The Deployment's.
        lowest: How many pods it leaves at least.
        highest: How many it makes at most.
    """

    name: str
    deployment: str
    lowest: int
    highest: int


@dataclass(frozen=True)
class Surroundings:
    """What was found; where nothing is said, nothing is in the way.

    Attributes:
        namespace: The service's.
        argo_cd_away: The programs of Argo CD that have no ready pod.
        projects: The AppProjects, by name; None where they were not asked for, or could not be listed.
        injects: Whether this namespace has a label by which Istio puts sidecars into new pods.
        without_sidecar: The service's pods that have none, by name.
        rivals: Other objects that say how its host is routed or balanced, as `VirtualService shop/echo`.
        autoscalers: Those of its Deployments.
        unseen: What could not be listed, and why.
    """

    namespace: str = ""
    argo_cd_away: tuple[str, ...] = ()
    projects: Mapping[str, Project] | None = None
    injects: bool = True
    without_sidecar: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    autoscalers: tuple[Autoscaler, ...] = ()
    unseen: tuple[Problem, ...] = ()


def parse_projects(documents: Iterable[Mapping[str, Any]]) -> dict[str, Project]:
    """AppProjects by name, from the API server's answer."""
    return {
        each["metadata"]["name"]: Project(tuple(each["spec"].get("sourceRepos") or ()), parse_windows(each))
        for each in documents
    }


def argo_cd_away(pods: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The programs that read Git and that apply which have no ready pod in Argo CD's namespace."""
    there = {
        (pod["metadata"].get("labels") or {}).get(_NAME)
        for pod in pods
        if pod["metadata"]["namespace"] == ARGOCD_NAMESPACE and is_ready(pod)
    }
    return tuple(name for name in _DELIVERING if name not in there)


def injects(namespace: Mapping[str, Any]) -> bool:
    """Whether Istio puts sidecars into the new pods of a namespace, by its labels.

    Source: https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/#controlling-the-injection-policy
    """
    labels = namespace["metadata"].get("labels") or {}
    asked = labels.get("istio-injection")
    return asked == "enabled" or (asked is None and "istio.io/rev" in labels)


def without_sidecar(pods: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The names of those pods that have none and stay."""
    return tuple(
        sorted(pod["metadata"]["name"] for pod in pods if not is_leaving(pod) and container(pod, PROXY) is None)
    )


def parse_autoscalers(documents: Iterable[Mapping[str, Any]], deployments: Sequence[str]) -> tuple[Autoscaler, ...]:
    """The HorizontalPodAutoscalers of a namespace that are of these Deployments."""
    return tuple(
        Autoscaler(
            each["metadata"]["name"], target["name"], each["spec"].get("minReplicas", 1), each["spec"]["maxReplicas"]
        )
        for each in documents
        if (target := each["spec"]["scaleTargetRef"])["kind"] == "Deployment" and target["name"] in deployments
    )


def other_virtual_services(documents: Iterable[Mapping[str, Any]], service: ServiceAddress) -> Iterator[str]:
    """The VirtualServices that route the service's hosts too, but for its own.

    One of a wildcard gets what no exact one has, and so nothing of them (mostSpecificWildcardVsIndex in Istio's
    pilot/pkg/networking/core/route/route.go).
    """
    for each in documents:
        namespace, name = each["metadata"]["namespace"], each["metadata"]["name"]
        spec = each["spec"]
        hosts = spec.get("hosts") or ()
        in_mesh = _MESH in (spec.get("gateways") or [_MESH])
        meant = in_mesh and any(_full(host, namespace) in _names(service) for host in hosts)
        outside = {*hosts} & {*service.hosts} and {*(spec.get("gateways") or ())} - {_MESH}
        is_own = (namespace, name) == (service.namespace, service.name)
        for_testers = name == f"{service.name}-{TESTERS}" and not in_mesh and _is_for_testers(spec)
        if (meant or outside) and not is_own and not for_testers:
            yield f"VirtualService {namespace}/{name}"


def _is_for_testers(spec: Mapping[str, Any]) -> bool:
    """Whether it takes no request without two headers."""
    matches = [match for route in spec.get("http") or () for match in route.get("match") or [{}]]
    return bool(matches) and all(len(match.get("headers") or ()) > 1 for match in matches)


def with_sidecars(pods: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The namespaces that have a pod with a sidecar, or a gateway."""
    return frozenset(pod["metadata"]["namespace"] for pod in pods if container(pod, PROXY) is not None)


def other_destination_rules(
    documents: Iterable[Mapping[str, Any]], service: ServiceAddress, clients: Collection[str]
) -> Iterator[str]:
    """The DestinationRules that take the place of the service's own, or are merged with it.

    A client takes the most specific one of its own namespace first, be it of a wildcard; those of the service's namespace come
    next, and Istio's own namespace last (destinationRule in Istio's pilot/pkg/model/push_context.go).

    Args:
        documents: Those of all namespaces.
        service: The service.
        clients: The namespaces that have sidecars.
    """
    for each in documents:
        namespace, name = each["metadata"]["namespace"], each["metadata"]["name"]
        host = _full(each["spec"]["host"], namespace)
        here = namespace == service.namespace
        if not here and namespace not in clients:
            continue
        meant = host in _names(service) or (not here and fnmatchcase(service.host, host))
        if meant and namespace != ISTIO_NAMESPACE and (namespace, name) != (service.namespace, service.name):
            yield f"DestinationRule {namespace}/{name}"


def _names(service: ServiceAddress) -> tuple[str, ...]:
    short = f"{service.name}.{service.namespace}"
    return service.host, f"{short}.svc", short


def _full(host: str, namespace: str) -> str:
    """A host's name as Istio completes one without dots."""
    return host if "." in host or host.startswith(_ALL_HOSTS) else f"{host}.{namespace}.svc.cluster.local"
