"""What the Envoys of a region route by: each sidecar's own route, clusters and ejected hosts of echo.

Asked of Envoy's administration, as `istioctl proxy-config` does, by `pilot-agent request GET` in each sidecar. What it answers
is what has been taken, not what was sent: an Envoy that refused an update, or that never got it, shows the one before. Its worker
threads follow within milliseconds.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import websocket
from kubernetes import client

from components.names import ECHO_HOST, HTTP_PORT
from rollout.access import RegionAccess
from rollout.cluster.client import api_client, container_image, is_ready, istio_version, list_running_pods
from rollout.cluster.exec import STATUS, STDERR, STDOUT, ending, open_exec
from rollout.problem import first_line
from rollout.weights import ALL_PODS, routed

SIDECAR = "istio-proxy"

# A sidecar's routes of plain HTTP are named after the port, or after the host and the port.
_ROUTES = f"config_dump?resource=dynamic_route_configs&name_regex=(.*:)?{HTTP_PORT}"
# Without the routes and clusters of other hosts: a mesh has thousands. An Envoy too old to filter gives all of them.
_CLUSTERS = f"clusters?format=json&filter=.*{ECHO_HOST}.*"
_VIRTUAL_HOST = f"{ECHO_HOST}:{HTTP_PORT}"

# An exec takes 60 ms by itself; all of them are the work of one API server.
_MOST_AT_ONCE = 8
_EXEC_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Envoy:
    """A sidecar, as it is now.

    Attributes:
        pod: `namespace/name`.
        weights: What it routes requests to echo by: whole percents by subset, without zeros; None where it has no route.
        subsets: The subsets of echo that it has clusters for.
        ejected: How many pods of a subset it leaves out for now because they failed; only of subsets that have such.
        error: Why it could not be asked; "" where it could. Then it has no weights, subsets and ejected pods.
        istio: Its version of Istio, by its image's tag, which costs no request; "" where that tells none.
        workload: What `kubectl rollout restart` takes to replace its pod, as `deployment/name`; "" where there is none.
    """

    pod: str
    weights: Mapping[str, int] | None = None
    subsets: frozenset[str] = frozenset()
    ejected: Mapping[str, int] = field(default_factory=dict)
    error: str = ""
    istio: str = ""
    workload: str = ""


def acknowledges(envoy: Envoy, weights: Mapping[str, int]) -> bool:
    """Whether an Envoy routes by these weights, whole percents by version, and knows where each of them is."""
    wanted = routed(weights)
    return not envoy.error and envoy.weights == wanted and wanted.keys() <= envoy.subsets


def read_envoys(region: RegionAccess, only: Collection[str] | None = None) -> tuple[Envoy, ...]:
    """Asks every sidecar of the region's cluster, by pod's name; half a second for seven of them.

    A pod that is not ready or is being deleted does not count, nor one that goes away meanwhile. A sidecar that does not
    answer within ten seconds is there with an `error`.

    Args:
        region: The region.
        only: The pods to ask, as `namespace/name`; None for all.

    Raises:
        RolloutError: no such context, or the cluster does not answer or refuses to list its pods.
    """
    api = api_client(region)
    pods = {name: pod for name, pod in _sidecars(region, api).items() if only is None or name in only}
    with ThreadPoolExecutor(max_workers=_MOST_AT_ONCE) as pool:
        # two at once for each pod: most of the time is the start of a process there
        routes = [pool.submit(_page, api, pod, _ROUTES) for pod in pods]
        clusters = [pool.submit(_page, api, pod, _CLUSTERS) for pod in pods]
        envoys = [
            replace(
                read_pages(name, route.result(), cluster.result()),
                istio=istio_version(container_image(pod, SIDECAR) or ""),
                workload=_workload(pod),
            )
            for (name, pod), route, cluster in zip(pods.items(), routes, clusters, strict=True)
        ]
    if not any(envoy.error for envoy in envoys):
        return tuple(envoys)
    still_there = _sidecars(region, api)
    return tuple(envoy for envoy in envoys if not envoy.error or envoy.pod in still_there)


@dataclass(frozen=True)
class Page:
    """What an exec gave: a page's text, or why there is none."""

    text: str = ""
    error: str = ""


def read_pages(pod: str, routes: Page, clusters: Page) -> Envoy:
    """An Envoy from what its administration answered."""
    if error := routes.error or clusters.error:
        return Envoy(pod, error=error)
    try:
        dump, statuses = json.loads(routes.text), json.loads(clusters.text)
        return Envoy(pod, route_weights(dump), known_subsets(statuses), ejected_hosts(statuses))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Envoy(pod, error=f"its administration's answer cannot be read: {first_line(str(error))}")


def route_weights(config_dump: Mapping[str, Any]) -> dict[str, int] | None:
    """What requests to echo are routed by: whole percents by subset, without zeros; a single destination has 100.

    Args:
        config_dump: The page `config_dump?resource=dynamic_route_configs`.

    Returns:
        None where there is no route for echo.

    Raises:
        ValueError: the route depends on more than the host, or leads to something that is not echo.
    """
    routes = [route for host in _virtual_hosts(config_dump) for route in host["routes"]]
    if not routes:
        return None
    if len(routes) > 1:
        raise ValueError(f"{_VIRTUAL_HOST} has {len(routes)} routes, and which one holds depends on the request")
    action = routes[0].get("route") or {}
    if "cluster" in action:
        return {_subset_routed_to(action["cluster"]): 100}
    weighted = (action.get("weighted_clusters") or {}).get("clusters") or []
    if not weighted:
        raise ValueError(f"the route of {_VIRTUAL_HOST} leads to no cluster")
    return {_subset_routed_to(one["name"]): one["weight"] for one in weighted if one.get("weight")}


def known_subsets(clusters: Mapping[str, Any]) -> frozenset[str]:
    """The subsets of echo that have a cluster, ready for requests or without pods; from the page `clusters?format=json`."""
    return frozenset(subset for subset, _hosts in _subsets(clusters) if subset != ALL_PODS)


def ejected_hosts(clusters: Mapping[str, Any]) -> dict[str, int]:
    """How many pods of each subset are ejected, only of those that have such; from the page `clusters?format=json`."""
    return dict(
        Counter(
            subset
            for subset, hosts in _subsets(clusters)
            for host in hosts
            if subset != ALL_PODS and host["health_status"].get("failed_outlier_check")
        )
    )


def _virtual_hosts(config_dump: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for config in config_dump.get("configs") or []:
        for host in config["route_config"].get("virtual_hosts") or []:
            if host["name"] == _VIRTUAL_HOST:
                yield host


def _subsets(clusters: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    """Each of echo's subsets with its pods."""
    for cluster in clusters.get("cluster_statuses") or []:
        subset = _subset(cluster["name"])
        if subset is not None:
            yield subset, cluster.get("host_statuses") or []


def _subset_routed_to(cluster: str) -> str:
    subset = _subset(cluster)
    if subset is None:
        raise ValueError(f"the route of {_VIRTUAL_HOST} leads to the cluster {cluster}")
    return subset


def _subset(cluster: str) -> str | None:
    """The subset that a cluster's name tells, as Istio names them; None if it is not echo's."""
    match cluster.split("|"):
        case ["outbound", port, subset, host] if port == str(HTTP_PORT) and host == ECHO_HOST:
            return subset
    return None


def _page(api: client.ApiClient, pod: str, page: str) -> Page:
    # the client turns a whole ApiClient into one for an exec while it opens it, so each has its own
    core = client.CoreV1Api(client.ApiClient(api.configuration))
    try:
        opened = open_exec(
            core,
            pod,
            SIDECAR,
            ["pilot-agent", "request", "GET", page],
            stdin=False,
            timeout_seconds=_EXEC_TIMEOUT_SECONDS,
        )
        try:
            opened.run_forever(timeout=_EXEC_TIMEOUT_SECONDS)
            ended = not opened.is_open()
            text, complaint, status = (opened.read_channel(channel) for channel in (STDOUT, STDERR, STATUS))
        finally:
            opened.close(timeout=1)
    except client.ApiException as error:
        return Page(error=f"exec was refused: {first_line(error.reason)}")
    except (websocket.WebSocketException, OSError) as error:
        return Page(error=f"exec lost its connection: {first_line(str(error))}")
    if not ended:
        return Page(error=f"gave no answer within {_EXEC_TIMEOUT_SECONDS:.0f} s")
    if not status:
        return Page(error="exec lost its connection")
    if ending(status):
        return Page(error=f"pilot-agent failed: {first_line(complaint.decode('utf-8', 'replace'))}")
    return Page(text.decode("utf-8", "replace"))


def _sidecars(region: RegionAccess, api: client.ApiClient) -> dict[str, Mapping[str, Any]]:
    """The pods, by `namespace/name`, that have a sidecar and are ready."""
    found = {
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": pod
        for pod in list_running_pods(region, api)
        if container_image(pod, SIDECAR) is not None and is_ready(pod)
    }
    return dict(sorted(found.items()))


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
