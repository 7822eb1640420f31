"""What the istiods of a region say of their proxies: which are connected, and which refused what they were sent.

Asked by `/debug/syncz`, as `istioctl proxy-status` does, by one exec into each istiod. It does not say that a proxy has taken a
certain change (docs/decisions/0032-what-syncz-shows.md): for that, each is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rollout.access import RegionAccess
from rollout.cluster.client import MOST_AT_ONCE, api_client
from rollout.cluster.exec import Page, run
from rollout.cluster.pods import ISTIO_NAMESPACE, is_ready, of_app
from rollout.problem import RolloutError, first_line

_DISCOVERY = "discovery"
_SYNCZ = ("pilot-discovery", "request", "GET", "/debug/syncz")
_WHY = "a proxy that is connected to no istiod, or that refuses what it is sent, takes no change"


def read_connections(region: RegionAccess, pods: Sequence[Mapping[str, Any]]) -> Mapping[str, str] | None:
    """The proxies that are connected to an istiod, as `namespace/name`, each with what it last refused and why; "" for nothing.

    Args:
        region: The region.
        pods: All pods of its cluster.

    Returns:
        None where no istiod is ready in the cluster: it may be elsewhere.

    Raises:
        RolloutError: an istiod cannot be asked, or says nothing that can be read.
    """
    api = api_client(region)
    names = [
        f"{ISTIO_NAMESPACE}/{pod['metadata']['name']}"
        for pod in of_app(pods, ISTIO_NAMESPACE, "istiod")
        if is_ready(pod)
    ]
    with ThreadPoolExecutor(max_workers=MOST_AT_ONCE) as pool:
        pages = dict(zip(names, pool.map(lambda name: run(api, name, _DISCOVERY, _SYNCZ), names), strict=True))
    if not pages:
        return None
    found: dict[str, str] = {}
    for name, page in pages.items():
        found |= _parsed(region, name, page)
    return found


def parse_syncz(proxies: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The same from one istiod's answer."""
    found: dict[str, str] = {}
    for proxy in proxies:
        # a pod's name may have dots, a namespace none
        name, _, namespace = proxy["proxy"].rpartition(".")
        errors = (
            f"{kind.rpartition('.')[2]}: {first_line(said['lastError'])}"
            for kind, said in (proxy.get("resources") or {}).items()
            if said.get("lastError")
        )
        found[f"{namespace}/{name}"] = "; ".join(errors)
    return found


def _parsed(region: RegionAccess, name: str, page: Page) -> dict[str, str]:
    error = page.error
    if not error:
        try:
            return parse_syncz(json.loads(page.text))
        except (ValueError, KeyError, TypeError, AttributeError) as invalid:
            error = f"its answer cannot be read: {invalid}"
    raise RolloutError.of(
        f"{region.name}: {name} cannot be asked for its proxies: {error}",
        _WHY,
        f"see that the user of context {region.context} may get and create pods/exec in {ISTIO_NAMESPACE}",
    )
