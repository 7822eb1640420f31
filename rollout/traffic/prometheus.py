"""What clients get of a service, as a Prometheus has scraped it from their proxies: for a fleet that is too large to ask.

Asked for are the counters' samples, never `rate()` or `increase()`, whose extrapolation makes up requests. A series counts from its
last sample to its newest one; from 0 where its value fell, and where it is new to a client that was scraped before without it. Of
a client the first scrape counts nothing: what it shows may be of any time before. A look counts what was scraped by then, so the end
of the time is a scrape's, and what came later is the next look's; a scrape that failed is made up for by the next one. A series that
several jobs scrape counts once. Clients are scraped at different moments, so a look counts nothing until a usual interval between
scrapes has passed: what versions do together for a moment is then in two spans at most.

Where latency is asked for, the samples of a histogram come with the counters: its buckets as classes, from scrapes that have all of
them. All its classes count from 0 where one of them fell. A client without a histogram is told; none of its requests is taken for a
quick one.

Not seen are: what a client got after its last scrape before it ended or started again; what a client sent before its first scrape.
`istio_requests_total` counts a request when it ends, once, with the answer that the client got: a failure that a retry hid is in none of
it, and one for which there was no pod names no version. `istio_request_duration_milliseconds` has the same labels and the same requests,
from the client's first byte to the answer's last one. `envoy_cluster_upstream_rq` counts each
attempt by its subset, answered or not; what a client gave up is in none of it, nor a failure that only gRPC's status tells.
`envoy_cluster_upstream_rq_time` counts answers of pods, as `rollout.traffic.proxies` says. Proxies show either histogram up to five
seconds late.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/ and https://istio.io/latest/docs/reference/config/metrics/. The
names and labels of Envoy's counters are those of an Envoy 1.40 with Istio's bootstrap; of Istio's histogram those of
source/extensions/filters/http/istio_stats/istio_stats.cc in istio/proxy, where one call after the other records both.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple, TypeVar

import urllib3

from components.names import ServiceAddress
from rollout.access import RegionAccess
from rollout.cluster.client import REQUEST_TIMEOUT, api_client
from rollout.measurement import Answers, Coverage, Span, Tally
from rollout.problem import RolloutError, first_line
from rollout.traffic.probe import NAMESPACE
from stackfile.model import PrometheusConfig

_REACH_SECONDS = 120
"""How far back samples are looked for: twice the longest interval between scrapes that is usual."""

_GRPC_FAILURES = {"2", "4", "12", "13", "14", "15"}
"""The statuses that Envoy takes for an HTTP status of 500 or more."""

_Read = TypeVar("_Read")

_WHY = "what is not known to be well is not taken for well"


class Sample(NamedTuple):
    """A counter's value, and when it was scraped: Unix time by Prometheus' clock."""

    at_seconds: float
    value: int


class Series(NamedTuple):
    """A counter of a client, or a class of a histogram.

    Attributes:
        version: That got what is counted.
        adds: What each of its counts adds: a request, one that failed, or that one failed which another counter counts.
        client_error: Whether it was answered with a 4xx.
        labels: As JSON; those of a histogram's classes are the same.
        upper_ms: A class's upper bound.
    """

    version: str
    adds: Tally
    client_error: bool
    labels: str
    upper_ms: float | None = None

    def answers(self, value: int) -> Answers:
        """What so many requests tell of answers."""
        if self.upper_ms is not None:
            return Answers(latencies={self.upper_ms: value})
        return Answers(value if self.client_error else 0)


_Found = Mapping[str, Mapping[Series, Sequence[Sample]]]
"""Samples by client, the oldest first."""


class Prometheus:
    """A Prometheus that scrapes the clients of a region.

    Args:
        region: The region.
        service: The service.
        config: Where it is, and what it counts by.
        latency: Whether it is asked for histograms too.
        failures: The 4xx statuses that are failures.
    """

    def __init__(
        self,
        region: RegionAccess,
        service: ServiceAddress,
        config: PrometheusConfig,
        *,
        latency: bool = False,
        failures: Sequence[int] = (),
    ) -> None:
        self._region, self._service, self._config, self._latency = region, service, config, latency
        self._failures = [*map(str, failures)]
        self.untold = ""
        self._name = f"Prometheus {config.service or config.address}"
        self._began_seconds = self._newest_seconds = 0.0
        self._known: dict[str, dict[Series, Sample]] = {}
        self._there: frozenset[str] = frozenset()
        # which job of several that scrape a client is read
        self._targets: dict[str, tuple[str, ...]] = {}

    def begin(self) -> tuple[Mapping[str, Answers], Coverage]:
        """As `Source.begin`; raises what `look` does."""
        # by its own clock, which is that of its samples
        began_seconds: float = self._ask("time()", lambda scalar: float(scalar[1]))
        found = self._samples()
        self._began_seconds = self._newest_seconds = began_seconds
        self._known, self._there = {}, frozenset(found)
        before: defaultdict[str, Answers] = defaultdict(Answers)
        for series in found.values():
            for each, samples in series.items():
                before[each.version] += each.answers(samples[-1].value)
        return dict(before), Coverage(silent=self._silent())

    def look(self) -> tuple[Span | None, Coverage]:
        """As `Source.look`.

        Raises:
            RolloutError: it does not answer, or has no sample of the service that is new enough.
        """
        found = self._samples()
        there = frozenset(found)
        came_or_went = there ^ self._there
        self._there = there
        for client in self._known.keys() - there:
            del self._known[client]
        before_seconds, counted = self._newest_seconds, frozenset[str]()
        versions: Mapping[str, Tally] = {}
        answers: Mapping[str, Answers] = {}
        if _newest(found) - before_seconds >= _interval(found):
            versions, answers, counted = self._count(found)
        coverage = Coverage(counted, self._silent(), came_or_went)
        seconds = self._newest_seconds - before_seconds
        return Span(seconds, versions, answers, overlaps=True) if counted else None, coverage

    def _silent(self) -> Mapping[str, str]:
        return {} if self._known else {self._name: "it has scraped no client since the change"}

    def _untold(self, found: _Found) -> str:
        """Which clients have sent requests, and have no histogram."""
        lacking = [
            client
            for client, series in found.items()
            if all(each.upper_ms is None for each in series) and any(samples[-1].value for samples in series.values())
        ]
        if not (lacking and self._latency):
            return ""
        return f"{self._name} has no histogram of {len(lacking)} of {len(found)} clients, so not their latency ({min(lacking)})"

    @property
    def _selector(self) -> str:
        host = self._service.host
        if self._config.counters == "istio":
            names = ["istio_requests_total", *(["istio_request_duration_milliseconds_bucket"] if self._latency else [])]
            return (
                f'{{__name__=~"{"|".join(names)}",reporter="source",destination_service="{host}",'
                f'source_workload_namespace!="{NAMESPACE}"}}'
            )
        cluster = f"outbound[|]{self._service.port}[|][^|]+[|]{host.replace('.', '[.]')}"
        names = ["upstream_rq", "upstream_rq_retry", *(["upstream_rq_time_bucket"] if self._latency else [])]
        # those with a response_code count what those with its class do
        return (
            f'{{__name__=~"{"|".join(f"envoy_cluster_{name}" for name in names)}",cluster_name=~"{cluster}",'
            f'response_code=~"{"|".join(["", *self._failures])}",namespace!="{NAMESPACE}"}}'
        )

    def _count(self, found: _Found) -> tuple[Mapping[str, Tally], Mapping[str, Answers], frozenset[str]]:
        """The requests that ended since the last look and their answers, by version, and whose they are; notes what is known now."""
        versions: defaultdict[str, Tally] = defaultdict(Tally)
        answers: defaultdict[str, Answers] = defaultdict(Answers)
        counted: set[str] = set()
        # one that was missing from an answer is not counted from the beginning again
        since_seconds = self._newest_seconds
        for client, series in found.items():
            known = self._known.get(client) or _first(series, since_seconds)
            # a replica that lags behind the one that answered before has nothing new
            new = {
                each: samples[-1]
                for each, samples in series.items()
                if samples[-1].at_seconds > (known[each].at_seconds if each in known else self._began_seconds)
            }
            # of its first scrape nothing counts, nor where all its series have other labels than before
            if known.keys() & new.keys():
                counted.add(client)
                last = max(sample.at_seconds for sample in known.values())
                then = {each: known.get(each) or _at(series[each], last) for each in new}
                began_anew = {each.labels for each, sample in new.items() if sample.value < then[each].value}
                for each, sample in new.items():
                    value = sample.value - (0 if each.labels in began_anew else then[each].value)
                    versions[each.version] += Tally(value * each.adds.requests, value * each.adds.failures)
                    answers[each.version] += each.answers(value)
            if known or new:
                self._known[client] = {**known, **new}
                self._newest_seconds = max(
                    self._newest_seconds, *(each.at_seconds for each in self._known[client].values())
                )
        return dict(versions), dict(answers), frozenset(counted)

    def _samples(self) -> _Found:
        """The samples of clients that have a counter.

        Raises:
            RolloutError: there is none, and why.
        """
        if not (found := self._ask(f"{self._selector}[{_REACH_SECONDS}s]", self._read)):
            raise self._finds_nothing()
        self.untold = self._untold(found)
        return found

    def _read(self, result: Any) -> _Found:
        found: defaultdict[str, dict[Series, Sequence[Sample]]] = defaultdict(dict)
        histograms: defaultdict[tuple[str, Series], dict[float, Sequence[Sample]]] = defaultdict(dict)
        for each in result:
            labels = dict(each["metric"])
            client, target = _client(labels), (labels.get("job", ""), labels.get("instance", ""))
            upper_ms = labels.pop("le", None)
            if (series := self._series(labels)) and self._targets.setdefault(client, target) == target:
                samples = [Sample(float(at), int(float(value))) for at, value in each["values"]]
                if upper_ms is None:
                    found[client][series] = samples
                else:
                    histograms[client, series][float(upper_ms)] = samples
        for (client, series), buckets in histograms.items():
            # requests that nobody counts are not known to be well
            if client in found:
                found[client] |= {
                    series._replace(adds=Tally(), upper_ms=upper): each for upper, each in _classes(buckets).items()
                }
        return found

    def _series(self, labels: Mapping[str, str]) -> Series | None:
        """What a series counts; None where it names no version."""
        every = json.dumps(labels, sort_keys=True)
        if self._config.counters == "istio":
            version, code = labels.get("destination_version", "unknown"), labels.get("response_code", "")
            # 0 is a request that the client gave up
            failed = not 0 < int(code or 0) < 500 or code in self._failures
            failed |= labels.get("grpc_response_status") in _GRPC_FAILURES
            return Series(version, Tally(1, failed), code.startswith("4"), every) if version != "unknown" else None
        version = labels["cluster_name"].split("|")[2]
        if labels.get("response_code"):
            return Series(version, Tally(0, 1), False, every)
        # before each retry an attempt failed
        status = "5xx" if labels["__name__"].endswith("_retry") else labels.get("response_code_class", "")
        return Series(version, Tally(1, status == "5xx"), status == "4xx", every)

    def _ask(self, expression: str, read: Callable[[Any], _Read]) -> _Read:
        """What is read of a query's result, now.

        Raises:
            RolloutError: there is none, or it cannot be read.
        """
        try:
            status, body = self._answer({"query": expression})
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._failed(f"does not answer: {first_line(str(error))}") from error
        try:
            said = json.loads(body)
            if status == HTTPStatus.OK:
                return read(said["data"]["result"])
            # Prometheus' word for what is wrong, and Kubernetes'
            why = first_line(said.get("error") or said.get("message"))
        except (ValueError, LookupError, TypeError, AttributeError) as invalid:
            why = f"cannot be read ({type(invalid).__name__}): {first_line(body.decode('utf-8', 'replace'))}"
        raise self._failed(f"answers {status}: {why}")

    def _answer(self, fields: Mapping[str, str]) -> tuple[int, bytes]:
        path = "/api/v1/query"
        if self._config.address:
            with urllib3.PoolManager(timeout=urllib3.Timeout(*REQUEST_TIMEOUT), retries=False) as pool:
                got = pool.request("GET", f"{self._config.address.rstrip('/')}{path}", fields=fields)
            return got.status, got.data
        api = api_client(self._region)
        request = api.param_serialize(
            "GET", f"{self._proxy}{path}", query_params=[*fields.items()], auth_settings=["BearerToken"]
        )
        answer: Any = api.call_api(*request, _request_timeout=REQUEST_TIMEOUT)
        return answer.status, bytes(answer.read())

    @property
    def _proxy(self) -> str:
        namespace, _, name = (self._config.service or "").partition("/")
        return f"/api/v1/namespaces/{namespace}/services/{name}/proxy"

    def _failed(self, what: str) -> RolloutError:
        by_hand = f"kubectl --context {self._region.context} get --raw {self._proxy}/-/ready"
        if self._config.address:
            by_hand = f"curl {self._config.address}/-/ready"
        return RolloutError.of(
            f"{self._region.name}: {self._name} {what}",
            _WHY,
            f"see that it answers ({by_hand}), or correct metrics.prometheus in the stack file of {self._region.stack}",
        )

    def _finds_nothing(self) -> RolloutError:
        return RolloutError.of(
            f"{self._region.name}: {self._name} finds no sample of the last {_REACH_SECONDS} s: {self._selector}",
            _WHY,
            "see that a client sends requests, that it is scraped, and that its proxy counts these (docs/own-clusters.md)",
        )


def _client(labels: Mapping[str, str]) -> str:
    """A pod, however many ports of it are scraped: by its address, and its name where labels have it."""
    instance = labels.get("instance", "")
    address = instance.rpartition(":")[0] or instance
    return f"{labels['namespace']}/{labels['pod']} ({address})" if {"namespace", "pod"} <= labels.keys() else address


def _first(series: Mapping[Series, Sequence[Sample]], began_seconds: float) -> dict[Series, Sample]:
    """A client's first scrape after a time; nothing where there was none."""
    later = [
        sample.at_seconds for samples in series.values() for sample in samples if sample.at_seconds > began_seconds
    ]
    first = min(later, default=None)
    return {each: sample for each, samples in series.items() for sample in samples if sample.at_seconds == first}


def _at(samples: Sequence[Sample], seconds: float) -> Sample:
    """The last one until a time; 0 where the series began later."""
    until = [sample for sample in samples if sample.at_seconds <= seconds]
    return until[-1] if until else Sample(seconds, 0)


def _newest(found: _Found) -> float:
    return max(samples[-1].at_seconds for series in found.values() for samples in series.values())


def _interval(found: _Found) -> float:
    """The usual time in seconds between two scrapes of the client that is scraped most seldom; 0 where none was scraped twice."""
    longest = (max(series.values(), key=len) for series in found.values())
    times = [[now.at_seconds - then.at_seconds for then, now in pairwise(samples)] for samples in longest]
    return max((median(each) for each in times if each), default=0.0)


def _classes(buckets: Mapping[float, Sequence[Sample]]) -> Mapping[float, Sequence[Sample]]:
    """A histogram's classes by their upper bounds, where each bucket counts those below as well; of scrapes that have all of them."""
    counts = {upper_ms: dict(samples) for upper_ms, samples in buckets.items()}
    times = sorted(set.intersection(*(set(each) for each in counts.values())))
    below = dict.fromkeys(times, 0)
    found: dict[float, Sequence[Sample]] = {}
    for upper_ms in sorted(buckets):
        if times:
            found[upper_ms] = [Sample(at, counts[upper_ms][at] - below[at]) for at in times]
        below = counts[upper_ms]
    return found
