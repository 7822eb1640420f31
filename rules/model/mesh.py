"""How one Envoy learns of what istiod knows: clusters, endpoints, routes, each push in this order, at any speed.

A request crosses one client proxy and no proxy hears of another, so a request fails for what its own proxy has seen. What proxies have
in common is that a confirmation waits for all of them; to one proxy that is a wait of any length, which it has anyway. So one proxy that
lags at will stands for any number of them.

Nor does it matter how many pushes are on their way to it. Nobody waits for the proxy before a push is answered, so a proxy that gets
an old push late passes through the states of one that gets it in time: the model's proxy takes what istiod knows when the push
is made, and may skip what it knew before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from rules.model.story import Event, Failure, Took, Warmed


@dataclass(frozen=True)
class Mesh:
    """What is taken for granted of istiod and the proxies. Neither holds in general.

    Attributes:
        hears_in_order: istiod hears of objects in the order in which they were written, though it watches each kind for itself.
        warm_before_routes: A proxy that is told of a new cluster has its endpoints before the routes of the same push. (It asks
            for them when it has the cluster, and istiod answers when it has sent the routes.)
    """

    hears_in_order: bool
    warm_before_routes: bool


ORDERLY = Mesh(hears_in_order=True, warm_before_routes=True)
AS_IT_IS = Mesh(hears_in_order=False, warm_before_routes=False)


class Known(NamedTuple):
    """What istiod knows: the versions that have ready endpoints, those that have a subset, those that get requests."""

    endpoints: frozenset[str]
    subsets: frozenset[str]
    routed: frozenset[str]


class Push(NamedTuple):
    """A push of which a proxy has the clusters, perhaps the endpoints, and not the routes."""

    routed: frozenset[str]
    endpoints_taken: bool


class Proxy(NamedTuple):
    """A client's Envoy.

    Attributes:
        clusters: The versions that have a cluster which can be used.
        warming: The versions whose cluster waits for its first endpoints.
        endpoints: The versions whose cluster has endpoints.
        routed: The versions to which it sends requests.
        push: What it is in the middle of.
    """

    clusters: frozenset[str]
    warming: frozenset[str]
    endpoints: frozenset[str]
    routed: frozenset[str]
    push: Push | None = None


def settled(known: Known) -> Proxy:
    """A proxy that has all that istiod knows."""
    return Proxy(known.subsets, frozenset(), known.endpoints & known.subsets, known.routed)


def failure(proxy: Proxy) -> Failure | None:
    """How a request fails in this proxy, if any does; Envoy takes no other cluster in the place of one that is missing."""
    for version in sorted(proxy.routed):
        if version not in proxy.clusters:
            return Failure(version, "cluster not found")
        if version not in proxy.endpoints:
            return Failure(version, "no healthy upstream")
    return None


def moves(proxy: Proxy, known: Known, mesh: Mesh) -> Iterator[tuple[Event, Proxy]]:
    """Everything that this proxy may do next."""
    for version in proxy.warming:
        yield Warmed(version), _warmed(proxy, frozenset({version}), known)
    if proxy.push is None:
        if (proxy.clusters | proxy.warming, proxy.routed) != (known.subsets, known.routed):
            yield _takes_clusters(proxy, known)
        endpoints = known.endpoints & proxy.clusters
        if endpoints != proxy.endpoints:
            # a push of endpoints alone
            yield _takes_endpoints(proxy, proxy, endpoints)
    elif not proxy.push.endpoints_taken:
        yield _takes_endpoints_of_push(proxy, proxy.push, known, mesh)
    else:
        routed = proxy.push.routed
        event = Took("routes", gained=routed - proxy.routed, lost=proxy.routed - routed)
        yield event, proxy._replace(routed=routed, push=None)


def _takes_clusters(proxy: Proxy, known: Known) -> tuple[Event, Proxy]:
    """A cluster that is no longer there goes at once; a new one can be used when it has its endpoints."""
    held = proxy.clusters | proxy.warming
    event = Took("clusters", gained=known.subsets - held, lost=held - known.subsets)
    return event, Proxy(
        proxy.clusters & known.subsets,
        known.subsets - proxy.clusters,
        proxy.endpoints & known.subsets,
        proxy.routed,
        Push(known.routed, endpoints_taken=False),
    )


def _takes_endpoints(proxy: Proxy, then: Proxy, endpoints: frozenset[str]) -> tuple[Event, Proxy]:
    event = Took("endpoints", gained=endpoints - proxy.endpoints, lost=proxy.endpoints - endpoints)
    return event, then._replace(endpoints=endpoints)


def _takes_endpoints_of_push(proxy: Proxy, push: Push, known: Known, mesh: Mesh) -> tuple[Event, Proxy]:
    """The endpoints are those of this moment, also where the clusters and the routes are older."""
    warm = _warmed(proxy, proxy.warming, known) if mesh.warm_before_routes else proxy
    taken = warm._replace(push=push._replace(endpoints_taken=True))
    return _takes_endpoints(proxy, taken, known.endpoints & warm.clusters)


def _warmed(proxy: Proxy, versions: frozenset[str], known: Known) -> Proxy:
    return proxy._replace(
        clusters=proxy.clusters | versions,
        warming=proxy.warming - versions,
        endpoints=proxy.endpoints | (known.endpoints & versions),
    )
