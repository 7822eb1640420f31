"""What is in a region's cluster, of any author: the live route and who wrote it last, the pods, and what is around them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from kubernetes import client

from components.names import ARGOCD_NAMESPACE, ServiceAddress
from rollout.access import RegionAccess
from rollout.cluster.client import MOST_AT_ONCE, REQUEST_TIMEOUT, api_client, asking
from rollout.cluster.pods import (
    ISTIO_NAMESPACE,
    container,
    is_leaving,
    is_ready,
    istio_version,
    of_app,
    ready_condition,
    waiting_reasons,
)
from rollout.cluster.surroundings import (
    Surroundings,
    argo_cd_away,
    injects,
    other_destination_rules,
    other_virtual_services,
    parse_autoscalers,
    parse_projects,
    with_sidecars,
    without_sidecar,
)
from rollout.problem import Problem, RolloutError
from rollout.weights import ALL, ALL_PODS
from rules.facts.versions import VERSION_LABEL
from rules.facts.workloads import ObjectId

_Answer = TypeVar("_Answer")

Document = Mapping[str, Any]
"""An object as the API server gives it."""

# group, version and plural
_VIRTUAL_SERVICES = ("networking.istio.io", "v1", "virtualservices")
_DESTINATION_RULES = ("networking.istio.io", "v1", "destinationrules")
_DEPLOYMENTS = ("apps", "v1", "deployments")
_AUTOSCALERS = ("autoscaling", "v2", "horizontalpodautoscalers")
_PROJECTS = ("argoproj.io", "v1alpha1", "appprojects")


@dataclass(frozen=True)
class LastChange:
    """Who last wrote the routes of a VirtualService, and when.

    Attributes:
        manager: The program, as it names itself: `argocd-controller`, `kubectl-edit`, `pulumi-kubernetes-…`. The API server
            keeps no person's name.
        at: When; to the second.
    """

    manager: str
    at: datetime


@dataclass(frozen=True)
class Route:
    """The VirtualService of a service.

    Attributes:
        weights: The split of the requests without a header, by subset, as they are there; None where there is no such split.
        changed: Its last change; None where the API server does not tell.
        problem: Why there is no such split; "" where there is.
        testers: The versions that a header asks for, whatever their weights.
        generation: Grows with each change of it; None where the API server does not tell.
    """

    weights: Mapping[str, int] | None
    changed: LastChange | None
    problem: str = ""
    testers: frozenset[str] = frozenset()
    generation: int | None = None


@dataclass(frozen=True)
class WaitingPod:
    """A pod that is not ready.

    Attributes:
        name: In the namespace of the service.
        since: When it ceased to be, or came; None where the API server does not tell yet.
        reason: What its containers wait for, such as CrashLoopBackOff.
    """

    name: str
    since: datetime | None
    reason: str


@dataclass(frozen=True)
class Pods:
    """The pods of a version.

    Attributes:
        wanted: How many its Deployments ask for.
        ready: How many are ready; those that are being deleted do not count.
        waiting: The others.
    """

    wanted: int
    ready: int
    waiting: tuple[WaitingPod, ...] = ()


@dataclass(frozen=True)
class Live:
    """What runs of a service in a region.

    Attributes:
        route: None where there is no VirtualService.
        pods: By version.
        istiod: Its versions, by its images' tags; two while it is upgraded, empty where a tag tells none or none is ready.
        around: What a change of the service depends on, besides its own objects.
        deployments: Its Deployments as they are there.
    """

    route: Route | None
    pods: Mapping[str, Pods]
    istiod: frozenset[str] = frozenset()
    around: Surroundings = field(default_factory=Surroundings)
    deployments: Mapping[ObjectId, Document] = field(default_factory=dict)


def read_live(
    region: RegionAccess, services: Sequence[ServiceAddress], pods: Callable[[], Sequence[Document]], *, argo_cd: bool
) -> dict[str, Live]:
    """Asks the region's API server for all of it at once. Takes some tens of milliseconds, and at most 20 s.

    Args:
        region: The region.
        services: The services.
        pods: Gives all pods of the cluster, as `list_all_pods` does.
        argo_cd: Whether Argo CD delivers there.

    Raises:
        RolloutError: no such context, or the cluster does not answer or refuses what tells the weights and the pods.
    """
    api = client.CustomObjectsApi(api_client(region))
    namespaces = sorted({service.namespace for service in services})
    with ThreadPoolExecutor(max_workers=MOST_AT_ONCE) as pool:
        routes = pool.submit(_listed, region, api, _VIRTUAL_SERVICES)
        rules = pool.submit(_listed, region, api, _DESTINATION_RULES)
        projects = pool.submit(_listed, region, api, _PROJECTS, ARGOCD_NAMESPACE) if argo_cd else None
        deployments = {name: pool.submit(_listed, region, api, _DEPLOYMENTS, name) for name in namespaces}
        autoscalers = {name: pool.submit(_listed, region, api, _AUTOSCALERS, name) for name in namespaces}
        labelled = {name: pool.submit(_namespace, region, api.api_client, name) for name in namespaces}
        everywhere = pods()
    unseen: list[Problem] = []
    found_projects = _or_none(projects, unseen) if projects else None
    found_rules = _or_none(rules, unseen) or []
    around = Surroundings(
        argo_cd_away=argo_cd_away(everywhere) if argo_cd else (),
        projects=None if found_projects is None else parse_projects(found_projects),
    )
    clients = with_sidecars(everywhere)
    istiod = parse_istiod(of_app(everywhere, ISTIO_NAMESPACE, "istiod"))

    def live(service: ServiceAddress) -> Live:
        namespace, missing = service.namespace, [*unseen]
        own = of_app(everywhere, namespace, service.name)
        deployed = of_app(deployments[namespace].result(), namespace, service.name)
        names = [each["metadata"]["name"] for each in deployed]
        found = _or_none(labelled[namespace], missing)
        scaled = _or_none(autoscalers[namespace], missing) or []
        return Live(
            route=parse_virtual_services(routes.result(), service),
            pods=parse_pods(deployed, own),
            istiod=istiod,
            around=replace(
                around,
                namespace=namespace,
                injects=found is None or injects(found),
                without_sidecar=without_sidecar(own),
                rivals=(
                    *other_virtual_services(routes.result(), service),
                    *other_destination_rules(found_rules, service, clients),
                ),
                autoscalers=parse_autoscalers(scaled, names),
                unseen=tuple(missing),
            ),
            deployments={
                ObjectId("Deployment", namespace, name): each for name, each in zip(names, deployed, strict=True)
            },
        )

    return {service.name: live(service) for service in services}


def read_route(region: RegionAccess, service: ServiceAddress) -> Route | None:
    """The route of a service, None where it has none; one request.

    Raises:
        RolloutError: no such context, or the cluster does not answer or refuses.
    """
    api = client.CustomObjectsApi(api_client(region))
    return parse_virtual_services(_listed(region, api, _VIRTUAL_SERVICES, service.namespace), service)


def parse_virtual_services(documents: Iterable[Document], service: ServiceAddress) -> Route | None:
    """The route of a service from VirtualServices; None where it has none of its own."""
    named = service.namespace, service.name
    found = next(
        (each for each in documents if (each["metadata"]["namespace"], each["metadata"]["name"]) == named), None
    )
    if found is None:
        return None
    changed, generation = last_change(found), found["metadata"].get("generation")
    splits: list[dict[str, int]] = []
    testers: set[str] = set()
    for route in found["spec"].get("http") or []:
        weights = _weights(route)
        match route.get("match") or []:
            case []:
                splits.append(weights)
            case [{"headers": headers, **others}] if (
                others.keys() <= {"gateways", "name"}
                and len(headers) == 1
                and list(headers.values()) == [{"exact": version} for version in weights]
            ):
                testers.update(weights)
            case _:
                why = "it has an HTTP route that depends on more than a header that names its version"
                return Route(None, changed, why, generation=generation)
    if len(splits) != 1:
        why = f"it has {len(splits)} HTTP routes for the requests without a header, not one"
        return Route(None, changed, why, generation=generation)
    if not splits[0]:
        return Route(None, changed, "its route has no destination", generation=generation)
    return Route(splits[0], changed, testers=frozenset(testers), generation=generation)


def _weights(route: Mapping[str, Any]) -> dict[str, int]:
    """The weights of an HTTP route by subset."""
    destinations = route.get("route") or []
    # where there is only one, its weight may be left out
    left_out = ALL if len(destinations) == 1 else 0
    weights: dict[str, int] = {}
    for one in destinations:
        subset = one["destination"].get("subset", ALL_PODS)
        weights[subset] = weights.get(subset, 0) + one.get("weight", left_out)
    return weights


def last_change(document: Mapping[str, Any]) -> LastChange | None:
    """Who last wrote the HTTP routes of a VirtualService, from its managed fields; None where nobody is named.

    Server-side apply keeps an entry for each writer, with the fields that it owns and the time of its last change of any of them
    (https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management).
    """
    writers = [
        LastChange(entry["manager"], datetime.fromisoformat(entry["time"]))
        for entry in document["metadata"].get("managedFields") or []
        if "f:http" in ((entry.get("fieldsV1") or {}).get("f:spec") or {}) and entry.get("time")
    ]
    return max(writers, key=lambda writer: writer.at, default=None)


def parse_pods(deployments: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]) -> dict[str, Pods]:
    """The pods by version, of versions that have a Deployment or a pod, from the answers of the API server."""
    wanted: Counter[str] = Counter()
    for deployment in deployments:
        wanted[_version(deployment)] += deployment["spec"].get("replicas", 1)
    staying = [pod for pod in pods if not is_leaving(pod)]
    ready = Counter(_version(pod) for pod in staying if is_ready(pod))
    waiting = [(_version(pod), _waiting(pod)) for pod in staying if not is_ready(pod)]
    return {
        version: Pods(wanted[version], ready[version], tuple(pod for of, pod in waiting if of == version))
        for version in sorted({*wanted, *map(_version, staying)})
    }


def parse_istiod(pods: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The versions of the istiod that is ready; empty where one of them is not known."""
    found = frozenset(istio_version(container(pod, "discovery")) for pod in pods if is_ready(pod))
    return frozenset() if "" in found else found


def _waiting(pod: Mapping[str, Any]) -> WaitingPod:
    condition = ready_condition(pod)
    since = condition.get("lastTransitionTime")
    return WaitingPod(
        pod["metadata"]["name"],
        datetime.fromisoformat(since) if since else None,
        next(filter(None, waiting_reasons(pod).values()), "")
        or condition.get("reason")
        or pod.get("status", {}).get("phase")
        or "not ready",
    )


def _version(found: Mapping[str, Any]) -> str:
    return str((found["metadata"].get("labels") or {}).get(VERSION_LABEL, ALL_PODS))


def _or_none(asked: Future[_Answer], unseen: list[Problem]) -> _Answer | None:
    """An answer; None where there is none, and then the problems are added to what is not seen."""
    try:
        return asked.result()
    except RolloutError as error:
        unseen.extend(error.problems)
        return None


# As plain values: the client has no class for a VirtualService.
def _listed(
    region: RegionAccess, api: client.CustomObjectsApi, kind: tuple[str, str, str], namespace: str | None = None
) -> list[Document]:
    group, version, plural = kind
    where, by_hand = ("all namespaces", "--all-namespaces") if namespace is None else (namespace, f"-n {namespace}")
    listed: Any
    with asking(region, f"list {plural} in {where}", f"{by_hand} get {plural}.{group}"):
        if namespace is None:
            listed = api.list_cluster_custom_object(group, version, plural, _request_timeout=REQUEST_TIMEOUT)
        else:
            listed = api.list_namespaced_custom_object(
                group, version, namespace, plural, _request_timeout=REQUEST_TIMEOUT
            )
    return list(listed["items"])


def _namespace(region: RegionAccess, api: client.ApiClient, name: str) -> Document:
    answer: Any = None
    with asking(region, f"read the namespace {name}", f"get namespace {name}"):
        answer = client.CoreV1Api(api).read_namespace(name, _preload_content=False, _request_timeout=REQUEST_TIMEOUT)
    found: Document = json.loads(answer.data)
    return found
