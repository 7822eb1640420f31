"""How much of the traffic a version can take, which version takes all of it in a rollback, and what a client's proxy has room for.

What a proxy has no room for it answers 503 by itself, without asking any pod.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rules.facts.region import Region
from rules.facts.versions import versions
from rules.facts.workloads import ALL, ConnectionPool, DestinationRule
from rules.finding import Rule, Severity, Violation
from rules.region.reading import all_read

MOST_AT_ONCE = 100
"""The most requests that the probe has under way at once: by Little's law 1,000 a second, answered in a tenth of a second."""


def stable_version(region: Region) -> str | None:
    """The version that takes everything back: the one that the stack file names, else the oldest one that has requests.

    Returns:
        None where no version has requests.
    """
    return stable_of({name: each.weight for name, each in versions(region.workloads).items()}, region.limits.stable)


def stable_of(weights: Mapping[str, int], named: str | None) -> str | None:
    """The version that takes everything back, of these with their weights, the oldest first, and of what a stack file names."""
    return named or next((name for name, weight in weights.items() if weight > 0), None)


def pods_for_all_traffic(region: Region) -> int:
    """The pods that it takes to answer all requests: what the stack file says, else the replicas of the largest version."""
    if region.limits.pods_for_all_traffic is not None:
        return region.limits.pods_for_all_traffic
    return max((version.replicas for version in versions(region.workloads).values()), default=0)


def capacity_percent(region: Region, version: str) -> int:
    """The percent of all requests that a version has pods for, rounded down, 0..100; 0 for a version that is not there."""
    known = versions(region.workloads).get(version)
    needed = pods_for_all_traffic(region)
    if known is None or needed == 0:
        return 0
    return min(ALL, ALL * known.replicas // needed)


def _cannot_take_all_back(region: Region) -> Iterator[Violation]:
    stable = stable_version(region)
    if stable is None or not all_read(region.workloads, "Deployment", "DestinationRule"):
        return
    known = versions(region.workloads)
    others = [f"{name} has {each.weight} %" for name, each in known.items() if name != stable and each.weight > 0]
    if others and capacity_percent(region, stable) < ALL:
        where, lack = _lack(region, stable)
        yield Violation(
            where,
            f"{lack} while {' and '.join(others)} of the requests",
            mend=f"give {stable} {pods_for_all_traffic(region)} replicas first, or say who is stable "
            f"(services.{region.service}.stable) and how many pods it takes (podsForAllTraffic there)",
        )


def _gets_more_than_it_can_take(region: Region) -> Iterator[Violation]:
    for name, version in versions(region.workloads).items():
        if version.replicas > 0 and version.weight > capacity_percent(region, name):
            where, lack = _lack(region, name)
            yield Violation(where, f"{lack} and gets {version.weight} % of the requests")


def _lack(region: Region, name: str) -> tuple[str, str]:
    """Where more pods of a version would be set, and for how much it has some."""
    version = versions(region.workloads).get(name)
    where = (
        f"{version.deployments[0].id}: spec.replicas"
        if version and version.deployments
        else f"$.services.{region.service}.stable"
    )
    pods = f"{version.replicas if version else 0} of {pods_for_all_traffic(region)} pods"
    return where, f"{name} has capacity for {capacity_percent(region, name)} % ({pods})"


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


CAPACITY: tuple[Rule[Region], ...] = (
    Rule(
        id="rollback-capacity",
        holds="As long as another version gets requests, the stable version has the pods to answer all of them.",
        reason="a rollback gives it everything within a second, long before more pods can be ready",
        mend="give the stable version replicas first",
        check=_cannot_take_all_back,
    ),
    Rule(
        id="version-capacity",
        holds="A version has pods for the requests that it gets.",
        reason="its pods are given more than what they are counted on for, and the measured share may hold while answers slow down",
        mend="give it replicas, or less weight",
        fact="docs/rules.md#rollback-capacity",
        severity=Severity.WARNING,
        check=_gets_more_than_it_can_take,
    ),
    Rule(
        id="pool-has-room",
        holds="A client's proxy has room for the requests that one client has under way.",
        reason="each request beyond that gets 503 from the client's own proxy, whatever the pods could do",
        mend="raise connectionPool: requests a second × seconds that an answer takes, and some more",
        fact="https://istio.io/latest/docs/reference/config/networking/destination-rule/#ConnectionPoolSettings",
        severity=Severity.WARNING,
        check=_refuses_the_probe,
    ),
    Rule(
        id="pool-reaches-pods",
        holds="A client's proxy may have a connection to each pod of a version that gets requests.",
        reason="the pods that no connection goes to answer nothing, and the others do their work",
        mend="raise connectionPool.maxConnections to the version's replicas or more",
        fact="https://istio.io/latest/docs/reference/config/networking/destination-rule/#ConnectionPoolSettings-TCPSettings",
        severity=Severity.WARNING,
        check=_passes_pods_over,
    ),
)
