"""What the istiods of a region say of their proxies: what each acknowledged last, and what it refused.

Asked by `/debug/syncz`, as `istioctl proxy-status` does, and `/metrics`, by one exec each into each istiod. What follows from
it is in docs/decisions/0032-what-syncz-shows.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from rollout.access import RegionAccess
from rollout.answers import ask_all, await_all
from rollout.cluster.client import MOST_AT_ONCE, api_client, list_pods
from rollout.cluster.exec import run
from rollout.cluster.pods import ISTIO_NAMESPACE, is_ready, of_app
from rollout.cluster.syncz import Counters, Proxy, parse_metrics, parse_syncz
from rollout.problem import RolloutError

_APP = "istiod"
_DISCOVERY = "discovery"
_WHY = "a proxy that is connected to no istiod, or that refuses what it is sent, takes no change"
_Said = TypeVar("_Said")


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


def _istiods(region: RegionAccess) -> Sequence[Mapping[str, Any]]:
    return list_pods(region, api_client(region), ISTIO_NAMESPACE, f"app={_APP}")


def _ask(
    region: RegionAccess, pods: Iterable[Mapping[str, Any]], path: str, parse: Callable[[str], _Said]
) -> dict[str, _Said]:
    """What each of these istiods that is ready answers."""
    api, command = api_client(region), ("pilot-discovery", "request", "GET", path)
    names = [f"{ISTIO_NAMESPACE}/{pod['metadata']['name']}" for pod in pods if is_ready(pod)]
    pages = ask_all(lambda name: run(api, name, _DISCOVERY, command), names, most_at_once=MOST_AT_ONCE)
    await_all(pages)
    found: dict[str, _Said] = {}
    for name, answer in zip(names, pages, strict=True):
        page = answer.result()
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
                f"see that the user of context {region.context} may get and create pods/exec in {ISTIO_NAMESPACE}",
            )
    return found
