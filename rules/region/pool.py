"""Whether a client's proxy has connections enough: what it has no room for it answers 503 by itself, without asking any pod."""

from __future__ import annotations

from collections.abc import Iterator

from rules.facts.region import Region
from rules.facts.versions import versions
from rules.facts.workloads import ConnectionPool, DestinationRule
from rules.finding import Rule, Severity, Violation

MOST_AT_ONCE = 100
"""The most requests that the probe has under way at once: by Little's law 1,000 a second, answered in a tenth of a second."""


def _pools(region: Region) -> Iterator[tuple[DestinationRule, ConnectionPool]]:
    for rule in region.workloads.destination_rules:
        if rule.connection_pool is not None:
            yield rule, rule.connection_pool


def _refuses_the_probe(region: Region) -> Iterator[Violation]:
    for rule, pool in _pools(region):
        if pool.max_connections is None or pool.max_pending_requests is None:
            continue
        room = pool.max_connections + pool.max_pending_requests
        if room < MOST_AT_ONCE:
            yield Violation(
                f"{rule.id}: spec.trafficPolicy.connectionPool",
                f"{pool.max_connections} connections and {pool.max_pending_requests} requests that wait are room for {room} at once, "
                f"and the probe alone has up to {MOST_AT_ONCE} under way (a tenth of a second at 1,000 a second)",
            )


def _passes_pods_over(region: Region) -> Iterator[Violation]:
    for rule, pool in _pools(region):
        most = pool.max_connections
        for name, version in versions(region.workloads).items():
            of_rule = any(subset.name == name for subset in rule.subsets)
            if of_rule and version.weight > 0 and most is not None and most < version.replicas:
                yield Violation(
                    f"{rule.id}: spec.trafficPolicy.connectionPool.tcp.maxConnections",
                    f"{most} connections do not reach the {version.replicas} pods of {name} at once",
                )


POOL: tuple[Rule[Region], ...] = (
    Rule(
        id="pool-has-room",
        holds="A client's proxy has room for the requests that one client has under way.",
        reason="each request beyond that gets 503 from the client's own proxy, whatever the pods could do",
        mend="raise echo.connectionPool: requests a second × seconds that an answer takes, and some more",
        fact="https://istio.io/latest/docs/reference/config/networking/destination-rule/#ConnectionPoolSettings",
        severity=Severity.WARNING,
        check=_refuses_the_probe,
    ),
    Rule(
        id="pool-reaches-pods",
        holds="A client's proxy may have a connection to each pod of a version that gets requests.",
        reason="the pods that no connection goes to answer nothing, and the others do their work",
        mend="raise echo.connectionPool.maxConnections to the version's replicas or more",
        fact="https://istio.io/latest/docs/reference/config/networking/destination-rule/#ConnectionPoolSettings-TCPSettings",
        severity=Severity.WARNING,
        check=_passes_pods_over,
    ),
)
