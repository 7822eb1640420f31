"""What the istiods of a region say of their proxies: what each acknowledged last, and what it refused.

Asked by `/debug/syncz`, as `istioctl proxy-status` does, and `/metrics`, by one exec each into each istiod. What follows from
it is in docs/decisions/0032-what-syncz-shows.md.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from rollout.access import RegionAccess
from rollout.cluster.client import MOST_AT_ONCE, api_client, list_pods
from rollout.cluster.exec import run
from rollout.cluster.pods import ISTIO_NAMESPACE, is_ready, of_app
from rollout.problem import RolloutError, first_line

_APP = "istiod"
_DISCOVERY = "discovery"
_WHY = "a proxy that is connected to no istiod, or that refuses what it is sent, takes no change"
_UUID_LENGTH = 36
# `name{labels} value`; where a proxy is named, it is by `node`
_SAMPLE = re.compile(r'(\w+)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})? (\S+)')
_NODE = re.compile(r'\bnode="([^"]*)"')
_STARTED = "process_start_time_seconds"
_REFUSED = ("pilot_xds_rds_reject", "pilot_xds_cds_reject")
_ALL_REFUSED = "pilot_total_xds_rejects"
_ALL_REFUSED_TYPES = ('type="rds"', 'type="cds"')
_Said = TypeVar("_Said")


@dataclass(frozen=True)
class Proxy:
    """A proxy as one istiod knows it.

    Attributes:
        routes: The nonce of the routes that it acknowledged; "" where it has not yet acknowledged the last that it was sent, or
            where this istiod has two connections of it.
        clusters: The same for its clusters.
        refused: What it refused last of each type, and why; "" for nothing.
    """

    routes: str = ""
    clusters: str = ""
    refused: str = ""


@dataclass(frozen=True)
class Counters:
    """What an istiod process has counted.

    Attributes:
        started: When the process did; the same for the same process alone.
        refused: How many answers with routes or clusters each proxy has refused; of those that have.
        all_refused: The same for all proxies, counted apart.
    """

    started: str
    refused: Mapping[str, float] = field(default_factory=dict)
    all_refused: float = 0


def push_number(nonce: str) -> int:
    """The number of the push context that an answer was made from: within one istiod process, a later one has a higher one.

    Args:
        nonce: As istiod makes it: `<time>/<number>`, and then a UUID; "" has number 0.
    """
    return int(nonce[:-_UUID_LENGTH].rpartition("/")[2]) if nonce else 0


def read_proxies(region: RegionAccess) -> dict[str, dict[str, Proxy]]:
    """The proxies of each istiod of a region that is ready, by both's names, as `namespace/name`.

    Raises:
        RolloutError: an istiod cannot be asked, or says nothing that can be read.
    """
    return _ask(region, _istiods(region), "/debug/syncz", parse_syncz)


def read_counters(region: RegionAccess) -> dict[str, Counters]:
    """What each istiod of a region that is ready has counted.

    Raises:
        RolloutError: as `read_proxies`.
    """
    return _ask(region, _istiods(region), "/metrics", parse_metrics)


def read_connections(region: RegionAccess, pods: Sequence[Mapping[str, Any]]) -> Mapping[str, str] | None:
    """The proxies that are connected to an istiod, as `namespace/name`, each with what it last refused and why; "" for nothing.

    Args:
        region: The region.
        pods: All pods of its cluster.

    Returns:
        None where no istiod is ready in the cluster: it may be elsewhere.

    Raises:
        RolloutError: as `read_proxies`.
    """
    found = _ask(region, of_app(pods, ISTIO_NAMESPACE, _APP), "/debug/syncz", parse_syncz)
    if not found:
        return None
    return {name: proxy.refused for proxies in found.values() for name, proxy in proxies.items()}


def parse_syncz(text: str) -> dict[str, Proxy]:
    """The proxies from one istiod's answer."""
    found: dict[str, Proxy] = {}
    for proxy in json.loads(text):
        # a pod's name may have dots, a namespace none
        name, _, namespace = proxy["proxy"].rpartition(".")
        errors = (
            f"{kind.rpartition('.')[2]}: {first_line(said['lastError'])}"
            for kind, said in (proxy.get("resources") or {}).items()
            if said.get("lastError")
        )
        one = Proxy(_acknowledged(proxy, "route"), _acknowledged(proxy, "cluster"), "; ".join(errors))
        known = f"{namespace}/{name}" in found
        found[f"{namespace}/{name}"] = replace(one, routes="", clusters="") if known else one
    return found


def parse_metrics(text: str) -> Counters:
    """The counters from one istiod's answer, in Prometheus' text format."""
    started, refused, all_refused = "", defaultdict[str, float](float), 0.0
    for line in text.splitlines():
        if not line.startswith((_STARTED, _ALL_REFUSED, *_REFUSED)) or not (sample := _SAMPLE.match(line)):
            continue
        name, value = sample[1], sample[2]
        if name == _STARTED:
            started = value
        elif name == _ALL_REFUSED and any(one in line for one in _ALL_REFUSED_TYPES):
            all_refused += float(value)
        elif name in _REFUSED and (node := _NODE.search(line)):
            pod, _, namespace = node[1].rpartition(".")
            refused[f"{namespace}/{pod}"] += float(value)
    if not started:
        raise ValueError(f"it has no {_STARTED}")
    return Counters(started, refused, all_refused)


def _acknowledged(proxy: Mapping[str, Any], kind: str) -> str:
    sent, acknowledged = proxy.get(f"{kind}_sent", ""), proxy.get(f"{kind}_acked", "")
    return str(acknowledged) if sent == acknowledged else ""


def _istiods(region: RegionAccess) -> Sequence[Mapping[str, Any]]:
    return list_pods(region, api_client(region), ISTIO_NAMESPACE, f"app={_APP}")


def _ask(
    region: RegionAccess, pods: Iterable[Mapping[str, Any]], path: str, parse: Callable[[str], _Said]
) -> dict[str, _Said]:
    """What each of these istiods that is ready answers."""
    api, command = api_client(region), ("pilot-discovery", "request", "GET", path)
    names = [f"{ISTIO_NAMESPACE}/{pod['metadata']['name']}" for pod in pods if is_ready(pod)]
    with ThreadPoolExecutor(max_workers=MOST_AT_ONCE) as pool:
        pages = dict(zip(names, pool.map(lambda name: run(api, name, _DISCOVERY, command), names), strict=True))
    found: dict[str, _Said] = {}
    for name, page in pages.items():
        error = page.error
        if not error:
            try:
                found[name] = parse(page.text)
            except (ValueError, KeyError, TypeError, AttributeError) as invalid:
                error = f"its answer cannot be read: {invalid}"
        if error:
            raise RolloutError.of(
                f"{region.name}: {name} cannot be asked for its proxies: {error}",
                _WHY,
                f"see that the user of context {region.context} may create pods/exec in {ISTIO_NAMESPACE}",
            )
    return found
