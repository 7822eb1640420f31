"""What clients get of a service, as their own Envoys count it: every sidecar and gateway of a region's cluster, with no setting.

An Envoy counts by subset and pod of the service, from 0 since it knows the pod there, and shows it on its page of clusters. What
ended between two readings of it:

- requests that were answered with a status below 500 (`rq_success`, counted when the headers of the answer come);
- failures: a status of 500 or more, a connection that was refused or broke before the headers, a request above the client's own
  limits, a timeout (`rq_error`); of gRPC the statuses that correspond to these;
- failures: requests that ended as neither, because the client gave up before the headers or cancelled a gRPC stream. At least so
  many did: those that began (`rq_total`), less those that ended otherwise and those that are under way (`rq_active`);
- failures: timeouts after the headers (`rq_timeout`), as far as there are more timeouts than all failures above.

Each attempt counts: also one that a retry hid from the client, and a mirrored request. A failed connection counts by the requests
that waited for it, so `cx_connect_fail` adds nothing. Not seen are: an answer that breaks off after its headers; a client that
gives up after the headers, or while a connection is made; a request for which the Envoy has no healthy pod or no cluster; what a
pod got since the last reading, once it is not ready and the Envoy forgets it: a pod that crashes may take its failures along, and
only its name is told. A request that a header sends to a version looks like one that the weights sent there. What the probe outside
the mesh sends is among the requests of a gateway.

Where Istio is told to keep statistics of subsets (`metrics.latency` of a stack file), an Envoy's page of these tells more, by subset
since the Envoy began: answers by status class, of which 4xx are read, and by 4xx status, of which those count as failures that a service
declares to be; and a histogram of the time from a request's end to its answer's, retries among it, in whole milliseconds. All count
what the client got, once. The histogram lags behind by five seconds at most, since Envoy merges what its threads count that often. It
is asked by the same exec: Envoy's port 15090 would want the right to `pods/proxy`, gives all of an Envoy's statistics, and no request
for it would be cheaper.

Source: Envoy's router (source/common/router/router.cc) and connection pools (source/common/conn_pool/conn_pool_base.cc). What is
said here of answers, resets, refused connections, retries, timeouts and clients that give up was tried with Envoy 1.40.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar

from components.names import ServiceAddress
from rollout.access import RegionAccess
from rollout.cluster.client import api_client, list_all_pods
from rollout.cluster.envoys import Envoy, ask_envoys, clusters_page, hosts_of, is_ejected, subset_of, unreadable
from rollout.cluster.exec import Page
from rollout.cluster.pods import PROXY
from rollout.measurement import Answers, Coverage, Host, Span, Tally
from rollout.problem import RolloutError
from rollout.traffic.probe import NAMESPACE

_Read = TypeVar("_Read")


class Counters(NamedTuple):
    """What a client's Envoy counted of a pod of the service, by Envoy's names, of which all but `rq_active` only grow; and whether it
    leaves the pod out for now."""

    rq_total: int = 0
    rq_success: int = 0
    rq_error: int = 0
    rq_timeout: int = 0
    rq_active: int = 0
    ejected: bool = False

    def since(self, before: Counters) -> Tally:
        """The requests that ended since then.

        Envoy reads the counters one after the other, and a request that ends between `rq_success` and `rq_active` seems given up:
        with 3,500 requests a second, on two cores at a load of 9, one in 1,867 readings had such a one.
        """
        began, succeeded, failed, timed_out = (now - then for now, then in zip(self[:4], before[:4], strict=True))
        # a request that began and did not end as one of the two is under way, or its client gave up
        failed += max(0, began - succeeded - failed - self.rq_active)
        return Tally(succeeded + failed, min(max(failed, timed_out), succeeded + failed))

    def began_anew(self, before: Counters) -> bool:
        """Whether they cannot have come of those: the pod, the cluster or the Envoy was replaced."""
        return any(now < then for now, then in zip(self[:4], before[:4], strict=True))


class Client(NamedTuple):
    """A pod whose Envoy can send to the service, a sidecar or a gateway."""

    pod: str
    uid: str
    gateway: bool = False


@dataclass(frozen=True)
class Reading:
    """What the Envoys showed.

    Attributes:
        at_seconds: When it began, by the monotonic clock.
        counters: By client and host; of a client that was asked in vain what it showed before, if it did.
        silent: Why a client was asked in vain, for its counters or for `answers` alone. Without counters it is not known whether it
            can send to the service.
        answers: How versions answered, by client and version, since the client's Envoy began. A client that was not asked is missing.
    """

    at_seconds: float
    counters: Mapping[Client, Mapping[Host, Counters]]
    silent: Mapping[Client, str] = field(default_factory=dict)
    answers: Mapping[Client, Mapping[str, Answers]] = field(default_factory=dict)

    def after(self, before: Reading) -> Reading:
        """With what clients that are silent now showed before: their next answer then tells of both intervals."""
        kept = {client: before.counters[client] for client in self.silent if client in before.counters}
        answers = {client: before.answers[client] for client in self.silent if client in before.answers}
        return Reading(self.at_seconds, {**kept, **self.counters}, self.silent, {**answers, **self.answers})

    @property
    def versions(self) -> Mapping[str, Answers]:
        """How each version answered all of them."""
        found: defaultdict[str, Answers] = defaultdict(Answers)
        for versions in self.answers.values():
            for version, answers in versions.items():
                found[version] += answers
        return dict(found)

    @property
    def gateways(self) -> frozenset[str]:
        """Those of the clients that are gateways."""
        return _pods([client for client in self.counters.keys() | self.silent.keys() if client.gateway])


def compare(before: Reading, now: Reading) -> tuple[Span, Coverage]:
    """What happened between two readings.

    A pod of the service counts from 0 where its client did not know it before or its counters fell. The first reading of a
    client counts nothing: what it shows may be of any time before. A pod that takes another one's address, and by the next
    reading passes all its counters, is taken for it: then too few requests are counted.
    """
    versions: defaultdict[str, Tally] = defaultdict(Tally)
    answers: defaultdict[str, Answers] = defaultdict(Answers)
    hosts_in_part: set[Host] = set()
    for client in now.answers.keys() & before.answers.keys():
        for version, counted in now.answers[client].items():
            answered = counted.since(before.answers[client].get(version, Answers()))
            answers[version] += answered
            if answered.failures:
                # its page of clusters has them among the requests
                versions[version] += Tally(0, answered.failures)
    for client in now.counters.keys() & before.counters.keys():
        known, found = before.counters[client], now.counters[client]
        gone = known.keys() - found.keys()
        for host, counters in found.items():
            then = known.get(host, Counters())
            if counters.began_anew(then):
                gone.add(host)
                then = Counters()
            versions[host.version] += counters.since(then)
        hosts_in_part |= gone
    # of a silent client it is not known now
    known_now = (hosts for client, hosts in now.counters.items() if client not in now.silent)
    ejected = Counter(host for hosts in known_now for host, counters in hosts.items() if counters.ejected)
    return Span(now.at_seconds - before.at_seconds, dict(versions), dict(answers), ejected), Coverage(
        _pods((now.counters.keys() & before.counters.keys()) - now.silent.keys()),
        _reasons(now),
        _pods(now.counters.keys() ^ before.counters.keys()),
        frozenset(hosts_in_part),
        now.gateways,
    )


def read_clients(
    region: RegionAccess,
    service: ServiceAddress,
    left_out: Collection[str],
    *,
    latency: bool = False,
    failures: Collection[int] = (),
) -> Reading:
    """Reads the counters of every client of a service; about half a second for fourteen of them.

    Args:
        region: The region.
        service: The service.
        left_out: The namespaces whose pods are not asked.
        latency: Whether they are asked for statistics of subsets too.
        failures: The 4xx statuses that are failures, as far as these statistics tell.

    Raises:
        RolloutError: no such context, or the cluster does not answer or refuses to list its pods.
    """
    at_seconds = time.monotonic()
    counters: dict[Client, Mapping[Host, Counters]] = {}
    silent: dict[Client, str] = {}
    answers: dict[Client, Mapping[str, Answers]] = {}

    def pages(envoy: Envoy) -> list[str]:
        wanted = [clusters_page([service]), *([_statistics_page(service)] if latency else [])]
        return [] if envoy.pod.partition("/")[0] in left_out else wanted

    for envoy, (page, *more) in ask_envoys(region, list_all_pods(region, api_client(region)), pages):
        client = Client(envoy.pod, envoy.uid, envoy.gateway)
        read, error = _read(page, read_counters, service)
        if error:
            silent[client] = error
        if read is None:
            continue
        counters[client] = read
        for each in more:
            answered, error = _read(each, partial(read_answers, failures=failures), service)
            if answered is None:
                silent[client] = f"only its requests are known: {error}"
            else:
                answers[client] = answered
    return Reading(at_seconds, counters, silent, answers)


def read_counters(clusters: Mapping[str, Any], service: ServiceAddress) -> dict[Host, Counters] | None:
    """What an Envoy counted of the pods of a service, by version; None where it has no cluster of a version.

    Args:
        clusters: The page `clusters?format=json`.
        service: The service.
    """
    versions = hosts_of(clusters, service)
    if not versions:
        return None
    return {
        Host(version, _address(host["address"])): _counters(host)
        for version, hosts in versions.items()
        for host in hosts
    }


def read_answers(
    statistics: Mapping[str, Any], service: ServiceAddress, failures: Collection[int] = ()
) -> dict[str, Answers]:
    """How versions of a service answered an Envoy since it began; of those of which it keeps statistics.

    Args:
        statistics: The page `stats?format=json&histogram_buckets=cumulative`.
        service: The service.
        failures: The 4xx statuses that are failures. Envoy shows a status only once it was answered.
    """
    found: defaultdict[str, Answers] = defaultdict(Answers)
    for each in statistics.get("stats") or []:
        for one in each.get("histograms", [each]):
            cluster, _, name = one["name"].removeprefix("cluster.").rpartition(".")
            # newer ones of Istio end the cluster's name by a semicolon
            version = subset_of(cluster.removesuffix(";"), service)
            if version and name == "upstream_rq_4xx":
                found[version] += Answers(int(one["value"]))
            elif version and re.fullmatch("upstream_rq_4[0-9]{2}", name):
                count = int(one["value"])
                found[version] += Answers(failures=count if int(name[-3:]) in failures else 0, by_status=count)
            elif version and name == "upstream_rq_time":
                found[version] += Answers(latencies=_classes(one["buckets"]))
    return dict(found)


class Proxies:
    """The Envoys of all clients.

    Args:
        region: The region.
        service: The service.
        left_out: The namespaces whose pods are not asked; by default the probe's, which tells of each request itself.
        latency: Whether they are asked for statistics of subsets too.
        failures: The 4xx statuses that are failures.
        bounds_ms: The latencies beyond which a request is slow, if they are declared.
    """

    def __init__(
        self,
        region: RegionAccess,
        service: ServiceAddress,
        left_out: Collection[str] = (NAMESPACE,),
        *,
        latency: bool = False,
        failures: Sequence[int] = (),
        bounds_ms: Sequence[float] = (),
    ) -> None:
        self._region, self._service, self._left_out, self._latency = region, service, left_out, latency
        self._failures, self._needs_answers = failures, bool(latency or failures or bounds_ms)
        self._last = Reading(0.0, {})
        self.untold = ""

    def begin(self) -> tuple[Mapping[str, Answers], Coverage]:
        """As `Source.begin`; raises what `look` does."""
        now = self._read(Reading(0.0, {}))
        return now.versions, Coverage(silent=_reasons(now), gateways=now.gateways)

    def look(self) -> tuple[Span | None, Coverage]:
        """As `Source.look`; about half a second for fourteen of them.

        Raises:
            RolloutError: no such context, or the cluster does not answer or refuses to list its pods; or none of them answers.
        """
        before = self._last
        return compare(before, self._read(before))

    def _read(self, before: Reading) -> Reading:
        found = read_clients(
            self._region, self._service, self._left_out, latency=self._latency, failures=self._failures
        )
        if found.silent and not found.counters:
            raise self._none_answered(found.silent)
        self._last = found.after(before)
        self.untold = self._untold(self._last) if self._needs_answers else ""
        return self._last

    def _untold(self, now: Reading) -> str:
        """Which clients' Envoys had answers of a version and keep no statistics of it, as far as they told."""

        def lacks(answers: Answers) -> bool:
            # those that began with an older metrics.latency keep 4xx by their class alone
            return not answers.latencies or (bool(self._failures and answers.client_errors) and not answers.by_status)

        lacking = {
            client
            for client, hosts in now.counters.items()
            for host, counted in hosts.items()
            if client not in now.silent
            and counted.rq_success
            and lacks(now.answers.get(client, {}).get(host.version, Answers()))
        }
        if not lacking:
            return ""
        restart = "restart the pods that began before metrics.latency or with an older one"
        why = restart if self._latency else "set metrics.latency"
        return (
            f"the proxies of {len(lacking)} of {len(now.counters)} clients do not count what metrics.latency, failureStatuses or "
            f"latencyBounds ask for: {why} ({min(lacking).pod})"
        )

    def _none_answered(self, silent: Mapping[Client, str]) -> RolloutError:
        client, why = next(iter(silent.items()))
        return RolloutError.of(
            f"{self._region.name}: none of {len(silent)} clients of {self._service.name} could be asked what it gets ({client.pod}: {why})",
            "what is not measured is not known to be well",
            "see that an exec into the proxies goes through: "
            f"kubectl --context {self._region.context} -n NAMESPACE exec POD -c {PROXY} -- pilot-agent request GET clusters",
        )


def _read(
    page: Page, reader: Callable[[Any, ServiceAddress], _Read | None], service: ServiceAddress
) -> tuple[_Read | None, str]:
    """What a page tells of a service, if anything; and why it cannot be read, or ""."""
    if page.error:
        return None, page.error
    try:
        return reader(json.loads(page.text), service), ""
    except (ValueError, KeyError, TypeError, AttributeError) as invalid:
        return None, unreadable(invalid)


def _statistics_page(service: ServiceAddress) -> str:
    return f"stats?format=json&histogram_buckets=cumulative&filter=outbound.*{service.host}.*upstream_rq_(4..|time)"


def _classes(buckets: Sequence[Mapping[str, Any]]) -> dict[float, int]:
    until = [0, *(int(bucket["cumulative"]) for bucket in buckets)]
    return {
        float(bucket["upper_bound"]): now - before
        for bucket, before, now in zip(buckets, until, until[1:], strict=False)
    }


def _reasons(reading: Reading) -> dict[str, str]:
    return {client.pod: why for client, why in reading.silent.items()}


def _pods(clients: Collection[Client]) -> frozenset[str]:
    return frozenset(client.pod for client in clients)


def _address(address: Mapping[str, Any]) -> str:
    # behind a waypoint or a tunnel it is not a socket's
    socket = address.get("socket_address")
    return f"{socket['address']}:{socket['port_value']}" if socket else json.dumps(address, sort_keys=True)


def _counters(host: Mapping[str, Any]) -> Counters:
    # Envoy leaves out what is 0, and writes numbers as strings
    values = {stat["name"]: int(stat.get("value", 0)) for stat in host["stats"]}
    return Counters._make([*(values.get(name, 0) for name in Counters._fields[:-1]), is_ejected(host)])
