"""What clients get of a service, as a Prometheus has scraped it from their proxies: for a fleet that is too large to ask.

Asked for are the counters' samples, never `rate()` or `increase()`, whose extrapolation makes up requests. A series counts from its
last sample to its newest one; from 0 where its value fell, and where it is new to a client that was scraped before without it. Of
a client the first scrape counts nothing: what it shows may be of any time before. A look counts what was scraped by then, so the end
of the time is a scrape's, and what came later is the next look's; a scrape that failed is made up for by the next one. A series that
several jobs scrape counts once.

Not seen are: what a client got after its last scrape before it ended or started again; what a client sent before its first scrape.
`istio_requests_total` counts a request when it ends, once, with the answer that the client got: a failure that a retry hid is in none of
it, and one for which there was no pod names no version. `envoy_cluster_upstream_rq` counts each
attempt by its subset, answered or not; what a client gave up is in none of it, nor a failure that only gRPC's status tells.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/ and https://istio.io/latest/docs/reference/config/metrics/. The
names and labels of Envoy's counters are those of an Envoy 1.40 with Istio's bootstrap.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
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
    """A counter of a client.

    Attributes:
        version: That got what is counted.
        adds: What each of its counts adds: a request, one that failed, or that one failed which another counter counts.
        client_error: Whether it was answered with a 4xx.
        labels: As JSON.
    """

    version: str
    adds: Tally
    client_error: bool
    labels: str


class Prometheus:
    """A Prometheus that scrapes the clients of a region.

    Args:
        region: The region.
        service: The service.
        config: Where it is, and what it counts by.
        failures: The 4xx statuses that are failures.
        bounds_ms: The latencies beyond which a request is slow, if they are declared.
    """

    def __init__(
        self,
        region: RegionAccess,
        service: ServiceAddress,
        config: PrometheusConfig,
        failures: Sequence[int] = (),
        bounds_ms: Sequence[float] = (),
    ) -> None:
        self._region, self._service, self._config = region, service, config
        self._failures = [*map(str, failures)]
        self.untold = "Prometheus is not asked for the latency that latencyBounds declare" if bounds_ms else ""
        # nobody asks it for a histogram
        self.before: Mapping[str, Answers] = {}
        self._name = f"Prometheus {config.service or config.address}"
        self._began_seconds = self._newest_seconds = 0.0
        self._known: dict[str, dict[Series, Sample]] = {}
        self._there: frozenset[str] = frozenset()
        # which job of several that scrape a client is read
        self._targets: dict[str, tuple[str, ...]] = {}

    def look(self, _stop: threading.Event, *, anew: bool) -> tuple[Span | None, Coverage]:
        """As `Source.look`.

        Raises:
            RolloutError: it does not answer, or has no sample of the service that is new enough.
        """
        if anew:
            # by its own clock, which is that of its samples
            self._began_seconds = self._newest_seconds = self._ask("time()", lambda scalar: float(scalar[1]))
            self._known, self._there = {}, frozenset()
        found = self._ask(f"{self._selector}[{_REACH_SECONDS}s]", self._read)
        if not found:
            raise self._finds_nothing()
        there = frozenset(found)
        came_or_went = there ^ (self._there or there)
        self._there = there
        for client in self._known.keys() - there:
            del self._known[client]
        before_seconds = self._newest_seconds
        versions, answers, counted = self._count(found)
        if not counted:
            silent = {} if self._known else {self._name: "it has scraped no client since the change"}
            return None, Coverage(silent=silent, clients_in_part=came_or_went)
        return Span(self._newest_seconds - before_seconds, versions, answers), Coverage(
            frozenset(counted), clients_in_part=came_or_went
        )

    @property
    def _selector(self) -> str:
        host = self._service.host
        if self._config.counters == "istio":
            return (
                f'istio_requests_total{{reporter="source",destination_service="{host}",'
                f'source_workload_namespace!="{NAMESPACE}"}}'
            )
        cluster = f"outbound[|]{self._service.port}[|][^|]+[|]{host.replace('.', '[.]')}"
        names = "envoy_cluster_upstream_rq|envoy_cluster_upstream_rq_retry"
        # those with a response_code count what those with its class do
        codes = "|".join(["", *self._failures])
        return f'{{__name__=~"{names}",cluster_name=~"{cluster}",response_code=~"{codes}",namespace!="{NAMESPACE}"}}'

    def _count(
        self, found: Mapping[str, Mapping[Series, Sequence[Sample]]]
    ) -> tuple[dict[str, Tally], dict[str, Answers], set[str]]:
        """The requests that ended since the last look and their answers, by version, and whose they are; notes what is known now."""
        versions: defaultdict[str, Tally] = defaultdict(Tally)
        answers: defaultdict[str, Answers] = defaultdict(Answers)
        counted: set[str] = set()
        for client, series in found.items():
            known = self._known.get(client, {})
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
                for each, sample in new.items():
                    value = _since(known.get(each) or _at(series[each], last), sample)
                    versions[each.version] += Tally(value * each.adds.requests, value * each.adds.failures)
                    answers[each.version] += Answers(value if each.client_error else 0)
            if new:
                self._known[client] = {**known, **new}
                self._newest_seconds = max(self._newest_seconds, *(sample.at_seconds for sample in new.values()))
        return dict(versions), dict(answers), counted

    def _read(self, result: Any) -> dict[str, dict[Series, list[Sample]]]:
        """The samples by client, the oldest first."""
        found: defaultdict[str, dict[Series, list[Sample]]] = defaultdict(dict)
        for each in result:
            labels: Mapping[str, str] = each["metric"]
            client, target = _client(labels), (labels.get("job", ""), labels.get("instance", ""))
            if (series := self._series(labels)) and self._targets.setdefault(client, target) == target:
                found[client][series] = [Sample(float(at), int(float(value))) for at, value in each["values"]]
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
        status = "5xx" if labels["__name__"].endswith("_retry") else labels["response_code_class"]
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


def _at(samples: Sequence[Sample], seconds: float) -> Sample:
    """The last one until a time; 0 where the series began later."""
    until = [sample for sample in samples if sample.at_seconds <= seconds]
    return until[-1] if until else Sample(seconds, 0)


def _since(before: Sample, now: Sample) -> int:
    return now.value - before.value if now.value >= before.value else now.value
