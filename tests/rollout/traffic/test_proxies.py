"""Requests of real clients are counted once, with their failures, whatever is replaced meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from components.names import ServiceAddress
from rollout.access import RegionAccess
from rollout.measurement import Answers, Coverage, Host, Span, Tally
from rollout.traffic.clients import ClientsWatch, Window
from rollout.traffic.proxies import (
    Client,
    Counters,
    Proxies,
    Reading,
    compare,
    read_answers,
    read_clients,
    read_counters,
)
from tests.rollout.cluster.captured import document
from tests.rollout.cluster.fake_cluster import STDOUT, SUCCESS, Exec, FakeCluster, exit_status, serving

ECHO = ServiceAddress("echo", "echo")
PATIENCE_SECONDS = 60.0
COUNTED = "clusters-counted"

SHOP, CART, GATEWAY = Client("shop/a", "1"), Client("cart/b", "2"), Client("istio-ingress/g", "3", gateway=True)
V1, V2 = Host("v1", "10.0.0.1:8080"), Host("v2", "10.0.0.2:8080")


def well(requests: int) -> Counters:
    return Counters(rq_total=requests, rq_success=requests)


def failed(requests: int, failures: int) -> Counters:
    return Counters(rq_total=requests, rq_success=requests - failures, rq_error=failures)


def reading(
    counters: dict[Client, dict[Host, Counters]], silent: dict[Client, str] | None = None, at: float = 0.0
) -> Reading:
    return Reading(at, counters, silent or {})


class TestCoverage:
    def test_tells_how_many_are_counted(self) -> None:
        assert str(Coverage(frozenset({"shop/a", "cart/b"}))) == "2 of 2 clients (100 %) are counted"

    def test_tells_how_many_sidecars_and_gateways_are_counted(self) -> None:
        coverage = Coverage(
            frozenset({"shop/a", "istio-ingress/g"}),
            {"istio-ingress/h": "x"},
            gateways=frozenset({"istio-ingress/g", "istio-ingress/h"}),
        )

        assert str(coverage).startswith(
            "1 of 1 sidecars (100 %) and 1 of 2 gateways (50 %) are counted; 1 could not be asked"
        )

    def test_of_nobody_is_told(self) -> None:
        assert str(Coverage()) == "0 of 0 clients are counted"

    def test_tells_what_is_missing(self) -> None:
        coverage = Coverage(
            frozenset({"shop/a", "shop/b", "cart/b"}),
            {"cart/b": "no answer"},
            frozenset({"shop/b", "shop/c"}),
            frozenset({V2}),
        )

        assert str(coverage) == (
            "3 of 4 clients (75 %) are counted; 1 could not be asked (cart/b: no answer); "
            "2 only in part, having come or gone meanwhile (shop/b); "
            "1 of the service's pods went or restarted: the last requests there are missing (v2 10.0.0.2:8080)"
        )


def test_a_window_has_the_requests_of_all_its_spans() -> None:
    spans = (Span(1.0, {"v1": Tally(9, 1), "v2": Tally(1)}), Span(1.0, {"v1": Tally(4)}))

    assert Window(spans).versions == {"v1": Tally(13, 1), "v2": Tally(1)}


class TestCounters:
    """What `since` makes of an Envoy's counters; the page that was captured is of requests whose end is known."""

    def test_of_what_a_real_envoy_counted(self) -> None:
        # v1: a 200 before; then a 404, a 500, a connection closed, one given up, a timeout, a timeout after the headers, and two
        # answers that the server or the client broke off after the headers. v2: a 503 retried twice. v3: a refused connection.
        counted = read_counters(document(COUNTED), ECHO)
        assert counted

        ended = {host.version: after.since(well(1 if host.version == "v1" else 0)) for host, after in counted.items()}

        assert ended == {"v1": Tally(8, 4), "v2": Tally(3, 3), "v3": Tally(1, 1)}

    def test_of_a_pod_that_is_left_out_say_so(self) -> None:
        page = document(COUNTED)
        for cluster in page["cluster_statuses"]:
            for host in cluster["host_statuses"]:
                host["health_status"] = {"failed_outlier_check": "|v2|" in cluster["name"]}

        counted = read_counters(page, ECHO) or {}

        assert {host.version: counters.ejected for host, counters in counted.items()} == {
            "v1": False,
            "v2": True,
            "v3": False,
        }

    def test_of_a_request_under_way_are_nothing_yet(self) -> None:
        assert Counters(rq_total=3, rq_success=1, rq_active=2).since(Counters()) == Tally(1, 0)

    def test_of_a_client_that_gave_up_are_a_failure(self) -> None:
        assert Counters(rq_total=3, rq_success=1, rq_active=1).since(Counters()) == Tally(2, 1)

    def test_of_an_answer_under_way_that_ends_are_no_failure(self) -> None:
        in_its_body = Counters(rq_total=1, rq_success=1, rq_active=1)

        assert in_its_body.since(Counters()) == Tally(1, 0)
        assert well(1).since(in_its_body) == Tally(0, 0)

    def test_of_a_timeout_among_the_errors_are_one_failure(self) -> None:
        assert Counters(rq_total=2, rq_success=1, rq_error=1, rq_timeout=1).since(Counters()) == Tally(2, 1)

    def test_of_a_timeout_after_the_headers_are_a_failure_among_the_requests(self) -> None:
        assert Counters(rq_total=2, rq_success=2, rq_timeout=1).since(Counters()) == Tally(2, 1)

    def test_of_a_timeout_whose_headers_came_before_are_no_request_again(self) -> None:
        in_its_body = Counters(rq_total=1, rq_success=1, rq_active=1)

        assert Counters(rq_total=1, rq_success=1, rq_timeout=1).since(in_its_body) == Tally(0, 0)

    def test_of_a_connection_that_failed_are_a_request(self) -> None:
        assert Counters(rq_error=1).since(Counters()) == Tally(1, 1)


class TestPage:
    def test_counts_by_version_and_pod(self) -> None:
        assert read_counters(document(COUNTED), ECHO) == {
            Host("v1", "127.0.0.1:29911"): Counters(9, 5, 3, 2, 0),
            Host("v2", "127.0.0.1:29911"): Counters(3, 0, 3, 0, 0),
            Host("v3", "127.0.0.1:29912"): Counters(0, 0, 1, 0, 0),
        }

    def test_counts_nothing_of_all_versions_together(self) -> None:
        page = document(COUNTED)
        for cluster in page["cluster_statuses"]:
            cluster["name"] = "outbound|80||echo.echo.svc.cluster.local"

        assert read_counters(page, ECHO) is None

    def test_without_the_service_is_of_no_client(self) -> None:
        assert read_counters(document(COUNTED), ServiceAddress("shop", "shop")) is None
        assert read_counters({}, ECHO) is None

    def test_of_versions_without_pods_is_of_a_client(self) -> None:
        page = document(COUNTED)
        for cluster in page["cluster_statuses"]:
            del cluster["host_statuses"]

        assert read_counters(page, ECHO) == {}

    def test_names_pods_behind_a_tunnel_apart(self) -> None:
        page = document(COUNTED)
        (host,) = page["cluster_statuses"][0]["host_statuses"]
        tunnels = [{"envoy_internal_address": {"endpoint_id": end}} for end in ("a", "b")]
        page["cluster_statuses"] = [
            {**page["cluster_statuses"][0], "host_statuses": [{**host, "address": each} for each in tunnels]}
        ]

        assert len(read_counters(page, ECHO) or {}) == 2


STATISTICS = """{"stats": [
  {"name": "cluster.outbound|80|v2|echo.echo.svc.cluster.local;.upstream_rq_4xx", "value": 17},
  {"name": "cluster.outbound|80|v2|echo.echo.svc.cluster.local;.upstream_rq_5xx", "value": 11},
  {"name": "cluster.outbound|80|v1|echo.echo.svc.cluster.local.upstream_rq_4xx", "value": 2},
  {"name": "cluster.outbound|80||echo.echo.svc.cluster.local;.upstream_rq_4xx", "value": 99},
  {"name": "cluster.outbound|80|v1|echo.echo-test.svc.cluster.local;.upstream_rq_4xx", "value": 99},
  {"histograms": [
    {"name": "cluster.outbound|80|v1|echo.echo.svc.cluster.local;.external.upstream_rq_time", "buckets": []},
    {"name": "cluster.outbound|80|v1|echo.echo.svc.cluster.local;.upstream_rq_time", "buckets": [
      {"upper_bound": 0.5, "interval": 0, "cumulative": 1665},
      {"upper_bound": 10, "interval": 4, "cumulative": 10781},
      {"upper_bound": 3e+05, "interval": 48, "cumulative": 34959},
      {"upper_bound": 3600000, "interval": 48, "cumulative": 34959}]}]}]}"""

BY_STATUS = STATISTICS.replace(
    "[", '[{"name": "cluster.outbound|80|v1|echo.echo.svc.cluster.local;.upstream_rq_404", "value": 2},', 1
)


class TestStatistics:
    """The page is as an Envoy of the lab wrote it, some buckets left out."""

    def test_have_the_answers_of_each_version(self) -> None:
        assert read_answers(json.loads(STATISTICS), ECHO) == {
            "v1": Answers(2, {0.5: 1_665, 10: 9_116, 300_000: 24_178, 3_600_000: 0}),
            "v2": Answers(17),
        }

    def test_have_those_answers_as_failures_too_whose_status_was_asked_for(self) -> None:
        page = json.loads(STATISTICS.replace("upstream_rq_5xx", "upstream_rq_429"))

        assert read_answers(page, ECHO, [404, 429])["v2"] == Answers(17, failures=11, by_status=11)
        assert read_answers(page, ECHO, [404])["v2"] == Answers(17, by_status=11)

    def test_of_an_envoy_that_keeps_none_are_nothing(self) -> None:
        assert read_answers({"stats": []}, ECHO) == {}

    def test_count_from_the_first_reading_of_a_client_on(self) -> None:
        def answered(answers: dict[Client, dict[str, Answers]]) -> Reading:
            return Reading(0.0, {client: {} for client in answers}, {}, answers)

        before = answered({SHOP: {"v1": Answers(2, {1: 5, 10: 1})}, GATEWAY: {"v1": Answers(50, {1: 90})}})
        shop = {"v1": Answers(3, {1: 9, 10: 1}), "v2": Answers(0, {1: 4})}
        now = answered({SHOP: shop, CART: {"v2": Answers(99)}, GATEWAY: {"v1": Answers(60, {10: 8})}})

        span, _coverage = compare(before, now)

        # the shop's, and all of the gateway's: that began anew
        assert span.answers == {"v1": Answers(61, {1: 4, 10: 8}), "v2": Answers(0, {1: 4})}

    def test_count_a_declared_status_among_the_failures(self) -> None:
        before = Reading(0.0, {SHOP: {V2: well(10)}}, {}, {SHOP: {"v2": Answers(9, failures=4)}})
        now = Reading(1.0, {SHOP: {V2: failed(30, 1)}}, {}, {SHOP: {"v2": Answers(19, failures=9)}})

        span, _coverage = compare(before, now)

        assert span.versions == {"v2": Tally(20, 6)}
        assert span.answers == {"v2": Answers(10, failures=5)}

    def test_of_a_silent_client_come_with_its_next_answer(self) -> None:
        first = Reading(0.0, {SHOP: {}}, {}, {SHOP: {"v1": Answers(1)}})
        second = Reading(1.0, {}, {SHOP: "gave no answer"}).after(first)
        third = Reading(2.0, {SHOP: {}}, {}, {SHOP: {"v1": Answers(4)}}).after(second)

        assert compare(first, second)[0].answers == {"v1": Answers()}
        assert compare(second, third)[0].answers == {"v1": Answers(3)}


class TestCompare:
    def test_counts_what_came_since_then_by_version(self) -> None:
        before = reading({SHOP: {V1: well(10), V2: failed(10, 5)}, CART: {V1: well(7)}}, at=3.0)
        now = reading({SHOP: {V1: well(20), V2: failed(14, 6)}, CART: {V1: failed(10, 1)}}, at=8.0)

        span, coverage = compare(before, now)

        assert span == Span(5.0, {"v1": Tally(13, 1), "v2": Tally(4, 1)})
        assert coverage == Coverage(counted=frozenset({"shop/a", "cart/b"}))
        assert span.tally({"v1", "v2"}) == Tally(17, 2)
        assert span.tally({"v2"}) == Tally(4, 1)

    def test_tells_how_many_clients_leave_a_pod_out_now(self) -> None:
        out = well(1)._replace(ejected=True)
        before = reading({SHOP: {V1: out}, GATEWAY: {V2: out}})
        # the gateway shows what it did before
        now = reading({SHOP: {V1: well(1), V2: out}, CART: {V2: out}, GATEWAY: {V2: out}}, {GATEWAY: "gave no answer"})

        assert compare(before, now)[0].ejected == {V2: 2}

    def test_counts_a_new_pod_of_the_service_from_its_beginning(self) -> None:
        span, coverage = compare(reading({SHOP: {V1: well(10)}}), reading({SHOP: {V1: well(10), V2: failed(4, 1)}}))

        assert span.versions == {"v1": Tally(), "v2": Tally(4, 1)}
        assert not coverage.hosts_in_part

    def test_counts_nothing_of_the_past_of_a_client(self) -> None:
        before, now = reading({SHOP: {V1: well(10)}}), reading({SHOP: {V1: well(10)}, CART: {V1: failed(900, 9)}})

        span, coverage = compare(before, now)

        assert span.versions == {"v1": Tally()}
        assert coverage == Coverage(counted=frozenset({"shop/a"}), clients_in_part=frozenset({"cart/b"}))

    def test_takes_a_pod_of_the_same_name_for_another_client(self) -> None:
        span, coverage = compare(
            reading({SHOP: {V1: well(10)}}), reading({Client(SHOP.pod, "another"): {V1: well(900)}})
        )

        assert (span.versions, coverage.counted) == ({}, frozenset())
        assert coverage.clients_in_part == {"shop/a"}

    def test_counts_from_the_beginning_where_a_counter_fell(self) -> None:
        span, coverage = compare(reading({SHOP: {V1: failed(10, 5)}}), reading({SHOP: {V1: failed(20, 1)}}))

        assert span.versions == {"v1": Tally(20, 1)}
        assert coverage.hosts_in_part == {V1}

    def test_tells_of_pods_and_clients_that_went(self) -> None:
        before = reading({SHOP: {V1: well(10), V2: well(10)}, CART: {V1: well(5)}, GATEWAY: {V1: well(1)}})
        now = reading({SHOP: {V1: well(15)}, GATEWAY: {V1: well(2)}})

        span, coverage = compare(before, now)

        assert span.versions == {"v1": Tally(6, 0)}
        assert coverage == Coverage(
            counted=frozenset({"shop/a", "istio-ingress/g"}),
            clients_in_part=frozenset({"cart/b"}),
            hosts_in_part=frozenset({V2}),
            gateways=frozenset({"istio-ingress/g"}),
        )

    def test_counts_of_a_silent_client_both_intervals_with_its_next_answer(self) -> None:
        first = reading({SHOP: {V1: well(10)}, CART: {V1: well(5)}})
        second = reading({SHOP: {V1: well(12)}}, {CART: "gave no answer"}).after(first)
        third = reading({SHOP: {V1: well(12)}, CART: {V1: failed(9, 1)}}).after(second)

        in_vain, covered = compare(first, second)
        again, covered_then = compare(second, third)

        assert (in_vain.versions, again.versions) == ({"v1": Tally(2, 0)}, {"v1": Tally(4, 1)})
        assert covered == Coverage(frozenset({"shop/a"}), {"cart/b": "gave no answer"})
        assert covered_then == Coverage(frozenset({"shop/a", "cart/b"}))

    def test_over_two_spans_is_that_of_both(self) -> None:
        first = Coverage(
            frozenset({"a/a"}),
            {"b/b": "x"},
            frozenset({"c/c"}),
            frozenset({V1}),
            frozenset({"a/a"}),
        )
        second = Coverage(
            frozenset({"b/b"}),
            {"d/d": "y"},
            frozenset({"e/e"}),
            frozenset({V2}),
            frozenset({"d/d"}),
        )

        assert first.then(second) == Coverage(
            frozenset({"a/a", "b/b"}),
            {"d/d": "y"},
            frozenset({"c/c", "e/e"}),
            frozenset({V1, V2}),
            frozenset({"a/a", "d/d"}),
        )


def pod(namespace: str, name: str, *, gateway: bool = False) -> dict[str, Any]:
    proxy = {"name": "istio-proxy", "args": ["proxy", "router" if gateway else "sidecar"]}
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": f"uid-of-{name}"},
        "spec": {"containers": [proxy]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def page(counters: dict[Host, Counters]) -> str:
    """A page of clusters as Envoy writes it."""
    statuses = [
        {
            "name": f"outbound|80|{host.version}|echo.echo.svc.cluster.local",
            "host_statuses": [
                {
                    "address": {
                        "socket_address": {
                            "address": host.address.partition(":")[0],
                            "port_value": int(host.address.partition(":")[2]),
                        }
                    },
                    "stats": [
                        {"name": name, **({"value": str(value)} if value else {})}
                        for name, value in counted._asdict().items()
                    ],
                }
            ],
        }
        for host, counted in counters.items()
    ]
    return json.dumps({"cluster_statuses": statuses})


@dataclass
class Mesh:
    """The Envoys of a region: what each one's page is, or how it answers otherwise, by pod's name."""

    answers: dict[str, str | Callable[[Exec], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster = FakeCluster(pods=[], script=self._answer)

    def set(self, name: str, counters: dict[Host, Counters]) -> None:
        self.answers[name] = page(counters)

    def _answer(self, opened: Exec) -> None:
        name = opened.path.split("/")[-2]
        self.asked.append(f"{name} {' '.join(opened.command)}")
        answer = self.answers[name]
        if callable(answer):
            answer(opened)
        else:
            opened.send(STDOUT, answer.encode())
            opened.end(SUCCESS)

    @contextmanager
    def region(self, tmp_path: Path) -> Iterator[RegionAccess]:
        with serving(self.cluster) as port:
            kubeconfig = self.cluster.kubeconfig(tmp_path / "kubeconfig", "ctx", port)
            yield RegionAccess("region-a", "a", "ctx", kubeconfig)


@pytest.fixture
def mesh() -> Mesh:
    """A client, a gateway, a sidecar that knows nothing of the service, and the probe."""
    found = Mesh()
    found.cluster.pods = [
        pod("shop", "a"),
        pod("istio-ingress", "g", gateway=True),
        pod("other", "o"),
        pod("echo-probe", "probe"),
    ]
    for name, requests in (("a", 100), ("g", 10), ("probe", 1_000)):
        found.set(name, {V1: well(requests), V2: failed(requests, 1)})
    found.answers["o"] = "{}"
    return found


@pytest.fixture
def region(mesh: Mesh, tmp_path: Path) -> Iterator[RegionAccess]:
    with mesh.region(tmp_path) as served:
        yield served


def failing(opened: Exec) -> None:
    opened.end(exit_status(255))


def answering_with(statistics: str) -> Callable[[Exec], None]:
    def answer(opened: Exec) -> None:
        is_statistics = opened.command[-1].startswith("stats?")
        opened.send(STDOUT, (statistics if is_statistics else page({V1: well(7)})).encode())
        opened.end(SUCCESS)

    return answer


class TestRead:
    def test_asks_sidecars_and_gateways_once_each(self, mesh: Mesh, region: RegionAccess) -> None:
        read = read_clients(region, ECHO, ["echo-probe"])

        assert read.counters == {
            Client("shop/a", "uid-of-a"): {V1: well(100), V2: failed(100, 1)},
            Client("istio-ingress/g", "uid-of-g", gateway=True): {V1: well(10), V2: failed(10, 1)},
        }
        assert not read.silent
        get = "pilot-agent request GET clusters?format=json&filter=.*(echo.echo.svc.cluster.local).*"
        assert sorted(mesh.asked) == [f"a {get}", f"g {get}", f"o {get}"]

    def test_asks_for_statistics_where_latency_is_read(self, mesh: Mesh, region: RegionAccess) -> None:
        mesh.answers["a"] = answering_with(STATISTICS)
        mesh.answers["g"] = failing
        proxies = Proxies(region, ECHO, latency=True)

        before, coverage = proxies.begin()
        assert before["v2"] == Answers(17)
        assert before["v1"].bounds_ms([0.03, 0.5, 0.99]) == (0.5, 300_000)
        assert {*coverage.silent} == coverage.gateways == {"istio-ingress/g"}
        asked = "stats?format=json&histogram_buckets=cumulative&filter=outbound.*echo.echo.svc.cluster.local.*upstream_rq_(4..|time)"
        assert f"a pilot-agent request GET {asked}" in mesh.asked

    @pytest.mark.parametrize("failures", [(429, 404), ()])
    def test_tells_whose_envoys_do_not_count_what_is_asked_for(
        self, failures: Sequence[int], mesh: Mesh, region: RegionAccess
    ) -> None:
        mesh.answers |= {"a": answering_with(BY_STATUS), "g": answering_with('{"stats": []}')}
        proxies = Proxies(region, ECHO, latency=True, failures=failures)

        proxies.begin()

        assert proxies.untold == (
            "the proxies of 1 of 2 clients do not count what metrics.latency, failureStatuses or latencyBounds ask for: "
            "restart the pods that began before metrics.latency or with an older one (istio-ingress/g)"
        )

    def test_tells_whose_envoys_count_4xx_by_their_class_alone(self, mesh: Mesh, region: RegionAccess) -> None:
        mesh.answers |= {"a": answering_with(STATISTICS), "g": answering_with(BY_STATUS)}
        statuses, bounds = (
            Proxies(region, ECHO, latency=True, failures=(429,)),
            Proxies(region, ECHO, latency=True, bounds_ms=(250,)),
        )
        for proxies in (statuses, bounds):
            proxies.begin()

        assert statuses.untold.startswith("the proxies of 1 of 2 clients do not count what ")
        assert statuses.untold.endswith("(shop/a)")
        assert bounds.untold == ""

    def test_tells_that_none_counts_what_is_declared_without_statistics(self, region: RegionAccess) -> None:
        silent, declared = Proxies(region, ECHO), Proxies(region, ECHO, bounds_ms=(250,))
        for proxies in (silent, declared):
            proxies.begin()

        assert silent.untold == ""
        assert declared.untold.startswith("the proxies of 2 of 2 clients do not count what ")
        assert declared.untold.endswith(": set metrics.latency (istio-ingress/g)")

    @pytest.mark.parametrize("statistics", [failing, "invalid", '{"stats": [{}]}'])
    def test_counts_requests_also_where_statistics_cannot_be_read(
        self, statistics: str | Callable[[Exec], None], mesh: Mesh, region: RegionAccess
    ) -> None:
        second: list[str | Callable[[Exec], None]] = [STATISTICS]
        nothing = Answers(latencies=dict.fromkeys((0.5, 10, 300_000, 3_600_000), 0))

        def answering(opened: Exec) -> None:
            answer = second[-1] if opened.command[-1].startswith("stats?") else page({V1: failed(7 * len(second), 1)})
            if callable(answer):
                answer(opened)
            else:
                opened.send(STDOUT, answer.encode())
                opened.end(SUCCESS)

        mesh.answers = dict.fromkeys(mesh.answers, answering)
        proxies = Proxies(region, ECHO, latency=True)
        proxies.begin()
        second.append(statistics)

        span, coverage = proxies.look()

        assert span
        assert span.versions == {"v1": Tally(21, 0)}
        assert span.answers == {"v1": nothing, "v2": Answers()}
        assert coverage.silent.keys() == {"shop/a", "istio-ingress/g", "other/o"}
        assert all(why.startswith("only its requests are known: ") for why in coverage.silent.values())
        second.append(STATISTICS.replace("17}", "20}"))
        again, coverage = proxies.look()
        assert again
        assert again.answers == {"v1": nothing, "v2": Answers(9)}
        assert not coverage.silent

    def test_asks_the_probe_where_nothing_is_left_out(self, region: RegionAccess) -> None:
        assert Client("echo-probe/probe", "uid-of-probe") in read_clients(region, ECHO, ()).counters

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (failing, "pilot-agent failed"),
            (lambda opened: opened.send(STDOUT, b"{"), "lost its connection"),
            ("invalid", "cannot be read"),
            ("[]", "cannot be read"),
            (
                '{"cluster_statuses": [{"name": "outbound|80|v1|echo.echo.svc.cluster.local", "host_statuses": [{}]}]}',
                "cannot be read",
            ),
        ],
    )
    def test_tells_of_one_that_does_not_answer(
        self, answer: str | Callable[[Exec], None], why: str, mesh: Mesh, region: RegionAccess
    ) -> None:
        mesh.answers["a"] = answer

        read = read_clients(region, ECHO, ["echo-probe"])

        assert [client.pod for client in read.counters] == ["istio-ingress/g"]
        assert [(client.pod, why in told) for client, told in read.silent.items()] == [("shop/a", True)]

    def test_tells_of_all_where_exec_is_refused(self, mesh: Mesh, region: RegionAccess) -> None:
        mesh.cluster.refuse_exec = 403

        read = read_clients(region, ECHO, ["echo-probe"])

        assert not read.counters
        assert {client.pod for client in read.silent} == {"shop/a", "istio-ingress/g", "other/o"}


QUICK_SECONDS = 0.01


_Seen = TypeVar("_Seen")


def awaited(look: Callable[[], _Seen], holds: Callable[[_Seen], bool]) -> _Seen:
    """What is seen, once it is as it should be."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not holds(seen := look()):
        assert time.monotonic() < ends, seen
        time.sleep(QUICK_SECONDS)
    return seen


def until(watch: ClientsWatch, holds: Callable[[Window], bool]) -> Window:
    """The window, once it is as it should be."""
    return awaited(watch.seen, holds)


def total(window: Window, version: str) -> Tally:
    return sum((span.tally({version}) for span in window.spans), Tally())


class TestWatch:
    def test_counts_each_request_in_one_span(self, mesh: Mesh, region: RegionAccess) -> None:
        with ClientsWatch(Proxies(region, ECHO), QUICK_SECONDS) as watch:
            until(watch, lambda window: len(window.spans) > 0)
            mesh.set("a", {V1: well(130), V2: failed(120, 3)})
            window = until(watch, lambda window: total(window, "v1") == Tally(30, 0))
            mesh.set("g", {V1: well(10), V2: failed(15, 2)})
            window = until(watch, lambda window: total(window, "v2") == Tally(25, 3))

        assert total(window, "v1") == Tally(30, 0)
        assert window.coverage == Coverage(
            counted=frozenset({"shop/a", "istio-ingress/g"}), gateways=frozenset({"istio-ingress/g"})
        )
        assert all(span.seconds > 0 for span in window.spans)

    def test_turns_to_a_window_without_what_came_before(self, mesh: Mesh, region: RegionAccess) -> None:
        with ClientsWatch(Proxies(region, ECHO), QUICK_SECONDS) as watch:
            until(watch, lambda window: len(window.spans) > 0)
            mesh.set("a", {V1: well(130), V2: failed(100, 1)})
            watch.turn()
            assert watch.seen() == Window()
            until(watch, lambda window: len(window.spans) > 0)
            mesh.set("a", {V1: well(132), V2: failed(100, 1)})
            window = until(watch, lambda window: total(window, "v1") != Tally())

        assert total(window, "v1") == Tally(2, 0)

    def test_turns_at_once(self, mesh: Mesh, region: RegionAccess) -> None:
        with ClientsWatch(Proxies(region, ECHO), every_seconds=3600) as watch:
            for turns in range(1, 3):
                awaited(lambda: len(mesh.asked), (3 * turns).__le__)
                watch.turn()

    def test_does_not_begin_a_window_with_a_reading_that_began_before_the_turn(
        self, mesh: Mesh, region: RegionAccess
    ) -> None:
        reached, go_on = threading.Event(), threading.Event()

        def slow(opened: Exec) -> None:
            reached.set()
            assert go_on.wait(PATIENCE_SECONDS)
            opened.send(STDOUT, page({V1: well(100)}).encode())
            opened.end(SUCCESS)

        mesh.answers["a"] = slow
        with ClientsWatch(Proxies(region, ECHO), QUICK_SECONDS) as watch:
            assert reached.wait(PATIENCE_SECONDS)
            watch.turn()
            # what the first reading saw of it is from before the turn, and so is what came until the second one
            mesh.set("a", {V1: well(150)})
            go_on.set()
            until(watch, lambda window: len(window.spans) > 0)
            mesh.set("a", {V1: well(151)})
            window = until(watch, lambda window: total(window, "v1") != Tally())

        assert total(window, "v1") == Tally(1, 0)

    def test_does_not_count_of_a_silent_client_what_may_be_from_before_the_turn(
        self, mesh: Mesh, region: RegionAccess
    ) -> None:
        with ClientsWatch(Proxies(region, ECHO), QUICK_SECONDS) as watch:
            until(watch, lambda window: len(window.spans) > 0)
            mesh.answers["a"] = failing
            until(watch, lambda window: "shop/a" in window.coverage.silent)
            watch.turn()
            until(watch, lambda window: "shop/a" in window.coverage.silent)
            mesh.set("a", {V1: failed(500, 50), V2: failed(500, 50)})
            window = until(watch, lambda window: not window.coverage.silent)
            assert "shop/a" in window.coverage.clients_in_part
            mesh.set("a", {V1: failed(502, 51), V2: failed(500, 50)})
            window = until(watch, lambda window: total(window, "v1") != Tally())

        assert (total(window, "v1"), total(window, "v2")) == (Tally(2, 1), Tally())

    def test_counts_what_a_client_got_while_it_was_silent(self, mesh: Mesh, region: RegionAccess) -> None:
        with ClientsWatch(Proxies(region, ECHO), QUICK_SECONDS) as watch:
            until(watch, lambda window: len(window.spans) > 0)
            mesh.answers["a"] = failing
            until(watch, lambda window: "shop/a" in window.coverage.silent)
            mesh.set("a", {V1: failed(105, 2), V2: failed(100, 1)})
            window = until(watch, lambda window: not window.coverage.silent)

        assert (total(window, "v1"), total(window, "v2")) == (Tally(5, 2), Tally())
        assert not window.coverage.clients_in_part

    def test_goes_on_where_the_pods_cannot_be_listed_for_a_while(self, mesh: Mesh, region: RegionAccess) -> None:
        with ClientsWatch(Proxies(region, ECHO), QUICK_SECONDS) as watch:
            until(watch, lambda window: len(window.spans) > 0)
            mesh.cluster.refuse_list = 500
            asked = len(mesh.cluster.paths)
            until(watch, lambda _window: len(mesh.cluster.paths) > asked + 2)
            mesh.set("a", {V1: well(101), V2: failed(100, 1)})
            mesh.cluster.refuse_list = 0
            until(watch, lambda window: total(window, "v1") == Tally(1, 0))

    def test_keeps_what_it_counted_and_is_told_when_nobody_answers_any_more(
        self, mesh: Mesh, region: RegionAccess
    ) -> None:
        with ClientsWatch(Proxies(region, ECHO), QUICK_SECONDS) as watch:
            until(watch, lambda window: len(window.spans) > 0)
            mesh.set("a", {V1: well(101), V2: failed(100, 1)})
            until(watch, lambda window: total(window, "v1") == Tally(1, 0))
            mesh.cluster.refuse_exec = 403
            window = until(watch, lambda window: bool(window.trouble))

        assert (
            "none of 3 clients of echo could be asked what it gets (istio-ingress/g: exec was refused" in window.trouble
        )
        assert "pilot-agent request GET clusters" in window.trouble
        assert total(window, "v1") == Tally(1, 0)

    def test_is_told_why_the_pods_cannot_be_listed(self, mesh: Mesh, region: RegionAccess) -> None:
        mesh.cluster.refuse_list = 403

        with ClientsWatch(Proxies(region, ECHO), QUICK_SECONDS) as watch:
            until(watch, lambda window: "refused to list the pods of all namespaces" in window.trouble)

    def test_without_clients_sees_no_requests(self, mesh: Mesh, region: RegionAccess) -> None:
        mesh.cluster.pods = [pod("echo-probe", "probe")]

        with ClientsWatch(Proxies(region, ECHO), QUICK_SECONDS) as watch:
            window = until(watch, lambda window: len(window.spans) > 1)

        assert [span.versions for span in window.spans[:2]] == [{}, {}]
        assert window.coverage == Coverage()

    def test_ends_with_the_block_also_while_an_envoy_hangs(self, mesh: Mesh, region: RegionAccess) -> None:
        reached, went = threading.Event(), threading.Event()

        def hanging(opened: Exec) -> None:
            reached.set()
            if opened.wait_until_client_goes():
                went.set()

        mesh.answers["a"] = hanging
        with ClientsWatch(Proxies(region, ECHO)) as watch:
            assert reached.wait(PATIENCE_SECONDS)
            began = time.monotonic()

        assert time.monotonic() - began < 3
        assert went.wait(PATIENCE_SECONDS)
        watch._thread.join(PATIENCE_SECONDS)
        assert watch.seen() == Window()
