"""What the Envoys of a region route by: each sidecar's and gateway's own routes, clusters and ejected hosts of the services.

Asked of Envoy's administration, as `istioctl proxy-config` does, by `pilot-agent request GET` in each of them. What it answers
is what has been taken, not what was sent: an Envoy that refused an update, or that never got it, shows the one before. Its worker
threads follow within milliseconds.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from components.names import ServiceAddress
from rollout.access import RegionAccess
from rollout.answers import ask_all, await_all, stop_of_this_work
from rollout.cluster.client import MOST_AT_ONCE, api_client, list_all_pods
from rollout.cluster.exec import Page, run
from rollout.cluster.pods import FEW, PROXY, container, is_ready, istio_version
from rollout.problem import first_line
from rollout.weights import ALL, routed


@dataclass(frozen=True)
class Envoy:
    """A sidecar or a gateway as it is now, and what it does with the requests to one service.

    Attributes:
        pod: `namespace/name`.
        weights: What it splits the requests by: whole percents by subset, without zeros; None where it has no route.
        subsets: The subsets of the service that it has clusters for.
        ejected: How many pods of a subset it leaves out for now because they failed; only of subsets that have such.
        testers: The versions that it sends a request to whose header names the version, whatever their weights; at a gateway only
            where another header holds a secret.
        error: Why it could not be asked, or its routes not read; "" where they could. Then it has none of the above.
        refused: Whether the API server refused to ask it, as it will the next time.
        gateway: Whether it is a gateway. That has clusters of every service, and can send to those that it has a route to.
        istio: Its version of Istio, by its image's tag, which costs no request; "" where that tells none.
        workload: What `kubectl rollout restart` takes to replace its pod, as `deployment/name`; "" where there is none.
        uid: The UID of its pod, which no other pod of the same name has.
    """

    pod: str
    weights: Mapping[str, int] | None = None
    subsets: frozenset[str] = frozenset()
    ejected: Mapping[str, int] = field(default_factory=dict)
    testers: frozenset[str] = frozenset()
    error: str = ""
    refused: bool = False
    gateway: bool = False
    istio: str = ""
    workload: str = ""
    uid: str = ""


def acknowledges(envoy: Envoy, weights: Mapping[str, int], testers: Collection[str]) -> bool:
    """Whether an Envoy routes by these weights and headers, and knows where each of the versions is.

    Args:
        envoy: The Envoy.
        weights: Whole percents by version.
        testers: The versions that a header asks for inside the mesh.
    """
    wanted, asked_for = routed(weights), by_header(envoy, testers)
    return (
        not envoy.error
        and envoy.weights == wanted
        and (envoy.gateway or envoy.testers == asked_for)
        and wanted.keys() | asked_for <= envoy.subsets
    )


def by_header(envoy: Envoy, testers: Collection[str]) -> frozenset[str]:
    """Which of the versions that a header asks for inside the mesh an Envoy must route by it: a gateway none.

    What testers may ask a gateway for comes with `pulumi up`, not with a commit.
    """
    return frozenset() if envoy.gateway else frozenset(testers)


def read_envoys(
    region: RegionAccess, services: Sequence[ServiceAddress], pods: Iterable[Mapping[str, Any]]
) -> dict[str, tuple[Envoy, ...]]:
    """Asks the sidecars and gateways of a region's cluster; half a second for seven of them, however many services.

    A pod that is not ready or is being deleted does not count, nor one that goes away meanwhile. One that does not answer
    within ten seconds is there with an `error`.

    Args:
        region: The region.
        services: The services.
        pods: The pods to ask, as they were just listed; what is none of these is passed over.

    Returns:
        By the name of each service, and by pod's name: those that can send to it, and those of which that is not known. A
        sidecar can by a route or a subset, as a Sidecar that leaves the service out has none; a gateway by a route.

    Raises:
        RolloutError: no such context, or the cluster does not answer or refuses to list its pods.
    """

    def pages(envoy: Envoy) -> list[str]:
        return [_routes_page(services, envoy.gateway), clusters_page(services)]

    read = [read_pages(envoy, services, *answers) for envoy, answers in ask_envoys(region, pods, pages)]

    def counts(envoy: Envoy) -> bool:
        return bool(envoy.error) or envoy.weights is not None or (bool(envoy.subsets) and not envoy.gateway)

    return {service.name: tuple(envoy for each in read if counts(envoy := each[service.name])) for service in services}


def sample(pods: Sequence[Mapping[str, Any]]) -> tuple[Sequence[Mapping[str, Any]], tuple[Envoy, ...]]:
    """The pods to ask, where it is enough to ask 50; and the other Envoys, as their pods tell of them.

    Chosen at random, one of each workload before a second of any: what makes the configuration of two differ, a Sidecar or an
    EnvoyFilter, is for workloads.

    Args:
        pods: As they were just listed.
    """
    ready = _ready(pods)
    random.shuffle(ready)
    seen = Counter[tuple[str, str]]()
    ranks: dict[str, int] = {}
    for envoy in ready:
        workload = envoy.pod.partition("/")[0], envoy.workload
        ranks[envoy.uid] = seen[workload]
        seen[workload] += 1
    ready.sort(key=lambda envoy: ranks[envoy.uid])
    others = ready[FEW:]
    left_out = {envoy.uid for envoy in others}
    return [pod for pod in pods if pod["metadata"]["uid"] not in left_out], tuple(others)


def ask_envoys(
    region: RegionAccess,
    pods: Iterable[Mapping[str, Any]],
    pages: Callable[[Envoy], Sequence[str]],
) -> list[tuple[Envoy, list[Page]]]:
    """Asks sidecars and gateways for pages of their administration, eight pages at a time.

    Args:
        region: The region.
        pods: The pods to ask, as they were just listed; what is none of these is passed over.
        pages: What to ask an Envoy for; nothing to leave it out.

    Returns:
        By pod's name, each that was asked and its pages: not a pod that is not ready or is being deleted, nor one that goes
        away meanwhile.

    Raises:
        RolloutError: no such context, or the cluster does not answer or refuses to list its pods.
    """
    api = api_client(region)
    wanted = [(envoy, asked) for envoy in _ready(pods) if (asked := pages(envoy))]
    # also those of one pod at once: most of the time is the start of a process there
    each_page = [(envoy, page) for envoy, asked in wanted for page in asked]
    coming = ask_all(lambda one: run(api, one[0].pod, PROXY, _asking(one[1])), each_page, most_at_once=MOST_AT_ONCE)
    await_all(coming)
    answers = iter(coming)
    found = [(envoy, [next(answers).result() for _page in asked]) for envoy, asked in wanted]
    if stop_of_this_work().is_set() or not any(page.error for _envoy, each in found for page in each):
        return found
    still_there = {envoy.uid for envoy in _ready(list_all_pods(region, api))}
    return [(envoy, each) for envoy, each in found if envoy.uid in still_there or not any(page.error for page in each)]


def read_pages(envoy: Envoy, services: Sequence[ServiceAddress], routes: Page, clusters: Page) -> dict[str, Envoy]:
    """What an Envoy does with the requests to each service, by the service's name, from what its administration answered."""
    error = routes.error or clusters.error
    try:
        dump, statuses = ({}, {}) if error else (json.loads(routes.text), json.loads(clusters.text))
    except ValueError as invalid:
        error = unreadable(invalid)

    def read(service: ServiceAddress) -> Envoy:
        if error:
            return replace(envoy, error=error, refused=routes.refused or clusters.refused)
        try:
            weights, testers = read_routes(dump, service, gateway=envoy.gateway)
            subsets, ejected = read_clusters(statuses, service)
            return replace(envoy, weights=weights, testers=testers, subsets=subsets, ejected=ejected)
        except (ValueError, KeyError, TypeError, AttributeError) as invalid:
            return replace(envoy, error=unreadable(invalid))

    return {service.name: read(service) for service in services}


def read_routes(
    config_dump: Mapping[str, Any], service: ServiceAddress, *, gateway: bool = False
) -> tuple[dict[str, int] | None, frozenset[str]]:
    """What requests to a service are routed by.

    Args:
        config_dump: The page `config_dump?resource=dynamic_route_configs`.
        service: The service.
        gateway: Whether it is a gateway's.

    Returns:
        The split: whole percents by subset, without zeros; a single destination has 100; None where there is no route. And the
        versions that a header asks for.

    Raises:
        ValueError: a route depends on more than the host and a header that names its version, at a gateway with one that holds a
            secret, or leads to something that is not the service; or the routes of two of its hosts differ.
    """
    found = [_parts(host, service, gateway) for host in _virtual_hosts(config_dump, service, gateway=gateway)]
    if not found:
        return None, frozenset()
    if any(parts != found[0] for parts in found):
        raise ValueError(f"the {len(found)} virtual hosts of {service.name} do not route alike")
    return found[0]


def hosts_of(clusters: Mapping[str, Any], service: ServiceAddress) -> dict[str, Sequence[Mapping[str, Any]]]:
    """The pods that an Envoy knows of a service, by subset; one that has a cluster and no pods is there too.

    Args:
        clusters: The page `clusters?format=json`.
        service: The service.
    """
    return {
        subset: cluster.get("host_statuses") or []
        for cluster in clusters.get("cluster_statuses") or []
        if (subset := subset_of(cluster["name"], service))
    }


def read_clusters(clusters: Mapping[str, Any], service: ServiceAddress) -> tuple[frozenset[str], dict[str, int]]:
    """A service's subsets that have a cluster, ready for requests or without pods; and how many pods of a subset are ejected.

    Args:
        clusters: The page `clusters?format=json`.
        service: The service.
    """
    hosts = hosts_of(clusters, service)
    ejected = {subset: sum(map(is_ejected, found)) for subset, found in hosts.items()}
    return frozenset(hosts), {subset: number for subset, number in ejected.items() if number}


def is_ejected(host: Mapping[str, Any]) -> bool:
    """Whether an Envoy leaves out one of `hosts_of` for now because it failed."""
    return bool((host.get("health_status") or {}).get("failed_outlier_check"))


def _asking(page: str) -> Sequence[str]:
    return ("pilot-agent", "request", "GET", page)


def _routes_page(services: Sequence[ServiceAddress], gateway: bool) -> str:
    # A sidecar's routes of plain HTTP are named after the port, or after the host and the port; a gateway's after its own
    # ports: http.8080, https.443.<port's name>.<Gateway>.<namespace> (Istio, gatewayRDSRouteName in pilot/pkg/model/gateway.go).
    ports = sorted({str(service.port) for service in services})
    names = "https?[.].*" if gateway else f"(.*:)?({'|'.join(ports)})"
    return f"config_dump?resource=dynamic_route_configs&name_regex={names}"


def clusters_page(services: Sequence[ServiceAddress]) -> str:
    """The page of the services' clusters."""
    # Without the clusters of other hosts: a mesh has thousands. An Envoy too old to filter gives all of them.
    return f"clusters?format=json&filter=.*({'|'.join(service.host for service in services)}).*"


def _virtual_hosts(
    config_dump: Mapping[str, Any], service: ServiceAddress, *, gateway: bool
) -> Iterator[Mapping[str, Any]]:
    """The virtual hosts of a service that send requests on; one without routes, or with redirects alone, sends none."""
    for config in config_dump.get("configs") or []:
        for host in config["route_config"].get("virtual_hosts") or []:
            if _is_of(host, service, gateway=gateway) and any(
                "redirect" not in route for route in host.get("routes") or []
            ):
                yield host


def _is_of(host: Mapping[str, Any], service: ServiceAddress, *, gateway: bool) -> bool:
    if not gateway:
        return bool(host["name"] == f"{service.host}:{service.port}")
    # A gateway's is named after one of the hosts that a Gateway and a VirtualService have in common; the others that have the same
    # routes are only among its domains (buildGatewayHTTPRouteConfig, collapseDuplicateRoutes in Istio's
    # pilot/pkg/networking/core/gateway.go). What *.example.com and a.example.com have in common is the latter.
    return any(fnmatchcase(domain, name) for domain in host["domains"] for name in (service.host, *service.hosts))


def _parts(host: Mapping[str, Any], service: ServiceAddress, gateway: bool) -> tuple[dict[str, int], frozenset[str]]:
    """The split of a virtual host, and the versions that a header asks for."""
    splits: list[dict[str, int]] = []
    testers: set[str] = set()
    for route in host["routes"]:
        weights = _destinations(host["name"], route, service)
        match {key: value for key, value in route["match"].items() if key != "case_sensitive"}:
            case {"prefix": "/", **others} if not others:
                splits.append(weights)
            case {
                "prefix": "/",
                "headers": [*headers],
                **others,
            } if not others and len(headers) == 1 + gateway and (version := _asked_for(headers, weights)):
                testers.add(version)
            case _:
                more = "the testers' header and their secret" if gateway else "a header that names its version"
                raise ValueError(f"{host['name']} has a route that depends on other things than {more}")
    if len(splits) != 1:
        raise ValueError(f"{host['name']} has {len(splits)} routes for the requests without a header")
    return splits[0], frozenset(testers)


def _asked_for(headers: Sequence[Mapping[str, Any]], weights: Mapping[str, int]) -> str | None:
    """The version that headers ask for, if one of them names it and it gets all their requests."""
    for header in headers:
        match header:
            case {"name": _, "string_match": {"exact": version, **how}, **more} if not (how or more):
                if weights == {version: ALL}:
                    return str(version)
    return None


def _destinations(host: str, route: Mapping[str, Any], service: ServiceAddress) -> dict[str, int]:
    action = route.get("route") or {}
    clusters = (action.get("weighted_clusters") or {}).get("clusters") or []
    if "cluster" in action:
        clusters = [{"name": action["cluster"], "weight": ALL}]
    if not clusters:
        raise ValueError(f"a route of {host} leads to no cluster")
    weights: dict[str, int] = {}
    for one in clusters:
        subset = subset_of(one["name"], service)
        if subset is None:
            raise ValueError(f"a route of {host} leads to the cluster {one['name']}")
        weights[subset] = weights.get(subset, 0) + one.get("weight", 0)
    return routed(weights)


def subset_of(cluster: str, service: ServiceAddress) -> str | None:
    """The subset that a cluster's name tells, as Istio names them; None if it is not the service's."""
    match cluster.split("|"):
        case ["outbound", port, subset, host] if port == str(service.port) and host == service.host:
            return subset
    return None


def unreadable(error: Exception) -> str:
    """What is told of an Envoy whose page is not what was asked for."""
    return f"its administration's answer cannot be read: {first_line(str(error))}"


def _ready(pods: Iterable[Mapping[str, Any]]) -> list[Envoy]:
    """The Envoys of the pods that are ready, by pod's name, not asked yet."""
    found: list[Envoy] = []
    for pod in pods:
        proxy = container(pod, PROXY)
        if proxy is not None and is_ready(pod):
            found.append(
                Envoy(
                    f"{pod['metadata']['namespace']}/{pod['metadata']['name']}",
                    gateway=is_gateway(pod),
                    istio=istio_version(proxy),
                    workload=_workload(pod),
                    uid=pod["metadata"]["uid"],
                )
            )
    return sorted(found, key=lambda envoy: envoy.pod)


def is_gateway(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is a gateway's."""
    # so in Istio's charts, the template that it injects, and what it makes of the Gateway API
    return ((container(pod, PROXY) or {}).get("args") or [])[:2] == ["proxy", "router"]


def _workload(pod: Mapping[str, Any]) -> str:
    metadata = pod["metadata"]
    owner = next((each for each in metadata.get("ownerReferences") or () if each.get("controller")), None)
    match owner:
        case {"kind": "ReplicaSet", "name": name}:
            # of a Deployment: it names its ReplicaSets after itself and this label
            suffix = f"-{(metadata.get('labels') or {}).get('pod-template-hash')}"
            return f"deployment/{name.removesuffix(suffix)}" if name.endswith(suffix) else ""
        case {"kind": "StatefulSet" | "DaemonSet" as kind, "name": name}:
            return f"{kind.lower()}/{name}"
    return ""
