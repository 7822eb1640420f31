"""Requests that a Prometheus scraped are counted once, each with its version, also where a scrape is missing or another replica answers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from components.names import ServiceAddress
from rollout.access import RegionAccess
from rollout.measurement import Answers, Coverage, Span, Tally
from rollout.problem import RolloutError
from rollout.traffic.clients import ClientsWatch
from rollout.traffic.prometheus import Prometheus
from stackfile.model import PrometheusConfig
from tests.rollout.cluster.fake_cluster import FakeCluster
from tests.rollout.traffic.fake_prometheus import FakePrometheus, T, serving
from tests.rollout.traffic.test_proxies import until

ECHO = ServiceAddress("echo", "echo")
INFINITE = float("inf")
QUICK_SECONDS = 0.01
SHOP = {"job": "pods", "instance": "10.0.0.1:15020", "namespace": "shop", "pod": "shop-1"}
CART = {"job": "pods", "instance": "10.0.0.2:15020", "namespace": "cart", "pod": "cart-1"}
# an Envoy 1.40 with the tags of Istio's bootstrap, of requests whose end is known: to v1 two 200, a 404, a 500, one that timed out, and one
# that its client gave up; to v2 a 503 after two retries, and a 200; to v3 a refused connection
ENVOYS_PAGE = """\
envoy_cluster_external_upstream_rq{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local",response_code_class="2xx"} 2
envoy_cluster_upstream_rq{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local",response_code="200"} 2
envoy_cluster_upstream_rq{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local",response_code_class="2xx"} 2
envoy_cluster_upstream_rq{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local",response_code="404"} 1
envoy_cluster_upstream_rq{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local",response_code_class="4xx"} 1
envoy_cluster_upstream_rq{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local",response_code="500"} 1
envoy_cluster_upstream_rq{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local",response_code="504"} 1
envoy_cluster_upstream_rq{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local",response_code_class="5xx"} 2
envoy_cluster_upstream_rq{cluster_name="outbound|80|v2|echo.echo.svc.cluster.local",response_code="200"} 1
envoy_cluster_upstream_rq{cluster_name="outbound|80|v2|echo.echo.svc.cluster.local",response_code_class="2xx"} 1
envoy_cluster_upstream_rq{cluster_name="outbound|80|v2|echo.echo.svc.cluster.local",response_code="503"} 1
envoy_cluster_upstream_rq{cluster_name="outbound|80|v2|echo.echo.svc.cluster.local",response_code_class="5xx"} 1
envoy_cluster_upstream_rq{cluster_name="outbound|80|v3|echo.echo.svc.cluster.local",response_code="503"} 1
envoy_cluster_upstream_rq{cluster_name="outbound|80|v3|echo.echo.svc.cluster.local",response_code_class="5xx"} 1
envoy_cluster_upstream_rq_completed{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local"} 5
envoy_cluster_upstream_rq_retry{cluster_name="outbound|80|v2|echo.echo.svc.cluster.local"} 2
envoy_cluster_upstream_rq_retry{cluster_name="outbound|80||echo.echo.svc.cluster.local"} 7
envoy_cluster_upstream_rq_retry{cluster_name="outbound|8080|v2|echo.echo.svc.cluster.local"} 7
envoy_cluster_upstream_rq_time_bucket{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local",le="0.5"} 0
envoy_cluster_upstream_rq_time_bucket{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local",le="10"} 1
envoy_cluster_upstream_rq_time_bucket{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local",le="50"} 4
envoy_cluster_upstream_rq_time_bucket{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local",le="+Inf"} 4
envoy_cluster_upstream_rq_time_bucket{cluster_name="outbound|80|v2|echo.echo.svc.cluster.local",le="0.5"} 0
envoy_cluster_upstream_rq_time_bucket{cluster_name="outbound|80|v2|echo.echo.svc.cluster.local",le="10"} 0
envoy_cluster_upstream_rq_time_bucket{cluster_name="outbound|80|v2|echo.echo.svc.cluster.local",le="50"} 0
envoy_cluster_upstream_rq_time_bucket{cluster_name="outbound|80|v2|echo.echo.svc.cluster.local",le="+Inf"} 2
envoy_cluster_upstream_rq_time_sum{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local"} 93
envoy_cluster_upstream_rq_time_count{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local"} 4
envoy_cluster_upstream_rq_total{cluster_name="outbound|80|v1|echo.echo.svc.cluster.local"} 6
"""


def requests(version: str, code: int = 200, **labels: str) -> str:
    """A series as a sidecar's page of metrics has it."""
    told = {
        "reporter": "source",
        "source_workload_namespace": "shop",
        "destination_service": "echo.echo.svc.cluster.local",
        "destination_version": version,
        "response_code": str(code),
        **labels,
    }
    labelled = ",".join(f'{name}="{value}"' for name, value in told.items())
    return f"istio_requests_total{{{labelled}}}"


def histogram(
    version: str, *counts: int, code: int = 200, bounds: Sequence[str] = ("5", "50", "+Inf")
) -> dict[str, int]:
    """A histogram as a sidecar's page of metrics has it; how many answers were in each class."""
    name = requests(version, code).replace("requests_total", "request_duration_milliseconds_bucket").removesuffix("}")
    return {f'{name},le="{bound}"}}': sum(counts[: place + 1]) for place, bound in enumerate(bounds)}


def answered(latencies: Mapping[float, int], client_errors: int = 0) -> Answers:
    """Answers by class, where those that are left out are empty."""
    return Answers(client_errors, Counter(latencies))


@pytest.fixture
def scraped() -> FakePrometheus:
    return FakePrometheus()


@pytest.fixture
def port(scraped: FakePrometheus) -> Iterator[int]:
    with serving(scraped) as served:
        yield served


@pytest.fixture
def region(port: int, tmp_path: Path) -> RegionAccess:
    """Its API server is the same server."""
    return RegionAccess("region-a", "a", "ctx", FakeCluster().kubeconfig(tmp_path / "kubeconfig", "ctx", port))


@pytest.fixture
def istio(region: RegionAccess, port: int) -> Prometheus:
    return Prometheus(region, ECHO, PrometheusConfig(address=f"http://127.0.0.1:{port}/"))


@pytest.fixture
def envoy(region: RegionAccess, port: int) -> Prometheus:
    config = PrometheusConfig(address=f"http://127.0.0.1:{port}", counters="envoy")
    return Prometheus(region, ECHO, config, latency=True)


def begin(source: Prometheus) -> tuple[Mapping[str, Answers], Coverage]:
    return source.begin()


def look(source: Prometheus) -> tuple[Span | None, Coverage]:
    return source.look()


def versions(source: Prometheus) -> Mapping[str, Tally]:
    span, _coverage = look(source)
    assert span
    return span.versions


class TestCounts:
    @pytest.fixture(autouse=True)
    def _begun(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        """One client was scraped before the change and after it."""
        for at in (0, 15):
            scraped.scrape(SHOP, at, {requests("v1"): 900, requests("v2"): 100, requests("v2", 500): 10})
            (look if at else begin)(istio)

    def test_what_came_since_then_with_its_failures(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        scraped.scrape(SHOP, 30, {requests("v1"): 990, requests("v2"): 105, requests("v2", 500): 15})

        span, coverage = look(istio)

        assert span == Span(
            15.0, {"v1": Tally(90, 0), "v2": Tally(10, 5)}, {"v1": Answers(), "v2": Answers()}, overlaps=True
        )
        assert coverage == Coverage(frozenset({"shop/shop-1 (10.0.0.1)"}))

    def test_nothing_twice(self, istio: Prometheus) -> None:
        assert look(istio) == (None, Coverage())

    def test_a_series_from_its_beginning_that_is_new_to_its_client(
        self, scraped: FakePrometheus, istio: Prometheus
    ) -> None:
        scraped.scrape(SHOP, 30, {requests("v1"): 901, requests("v2"): 100, requests("v2", 503): 7})

        assert versions(istio) == {"v1": Tally(1, 0), "v2": Tally(7, 7)}

    def test_from_the_beginning_where_a_client_started_again(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        scraped.scrape(SHOP, 30, {requests("v1"): 20, requests("v2"): 3})
        assert versions(istio) == {"v1": Tally(20, 0), "v2": Tally(3, 0)}
        scraped.scrape(SHOP, 45, {requests("v1"): 21, requests("v2"): 3, requests("v2", 500): 2})

        assert versions(istio) == {"v1": Tally(1, 0), "v2": Tally(2, 2)}

    def test_nothing_of_the_past_of_a_client(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        scraped.scrape(CART, 29, {requests("v2", 500): 5_000})
        assert look(istio) == (None, Coverage(clients_in_part=frozenset({"cart/cart-1 (10.0.0.2)"})))
        scraped.scrape(CART, 44, {requests("v2", 500): 5_001})

        assert versions(istio) == {"v2": Tally(1, 1)}

    def test_with_the_next_scrape_what_came_while_they_failed(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        scraped.now = T + 100
        assert look(istio) == (None, Coverage())
        scraped.scrape(SHOP, 105, {requests("v1"): 1_900, requests("v2"): 200, requests("v2", 500): 10})

        assert versions(istio) == {"v1": Tally(1_000, 0), "v2": Tally(100, 0)}

    def test_nothing_for_a_while_of_a_client_that_went_out_of_reach(
        self, scraped: FakePrometheus, istio: Prometheus
    ) -> None:
        scraped.scrape(CART, 200, {requests("v1"): 1})
        _, coverage = look(istio)
        assert "shop/shop-1 (10.0.0.1)" in coverage.clients_in_part
        scraped.scrape(SHOP, 215, {requests("v2", 500): 9_000})

        assert look(istio)[0] is None

    def test_nothing_of_a_replica_that_lags_behind(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        every = scraped.samples
        scraped.samples = {series: samples[:1] for series, samples in every.items()}
        assert look(istio) == (None, Coverage())
        scraped.samples = every
        scraped.scrape(SHOP, 30, {requests("v1"): 901, requests("v2"): 100, requests("v2", 500): 10})

        assert versions(istio) == {"v1": Tally(1, 0), "v2": Tally()}

    def test_from_its_older_samples_a_series_that_was_not_to_be_seen_before(
        self, scraped: FakePrometheus, istio: Prometheus
    ) -> None:
        scraped.scrape(SHOP, 15, {requests("v2", 503): 80})
        scraped.scrape(SHOP, 30, {requests("v1"): 900, requests("v2", 503): 81})

        assert versions(istio) == {"v1": Tally(), "v2": Tally(1, 1)}

    def test_nothing_of_series_that_all_have_other_labels_now(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        scraped.scrape({**SHOP, "team": "a"}, 30, {requests("v1"): 900, requests("v2", 500): 100})

        assert look(istio) == (None, Coverage())

    def test_a_pod_once_that_two_jobs_scrape(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        second = {**SHOP, "job": "envoys", "instance": "10.0.0.1:15090"}
        for at in (16, 31):
            scraped.scrape(second, at, {requests("v2", 500): 10 + at})
        scraped.scrape(SHOP, 30, {requests("v2", 500): 15})

        assert versions(istio) == {"v2": Tally(5, 5)}

    @pytest.mark.parametrize(
        ("series", "told"),
        [
            (requests("v2", 404), Tally(3, 0)),
            (requests("v2", 500), Tally(3, 3)),
            (requests("v2", 0, response_flags="DC"), Tally(3, 3)),
            (requests("v2", grpc_response_status="5"), Tally(3, 0)),
            (requests("v2", grpc_response_status="14"), Tally(3, 3)),
            (requests("unknown", 503, response_flags="UH"), None),
            (requests("v2", 500, reporter="destination"), None),
            (requests("v2", 500, source_workload_namespace="echo-probe"), None),
            (requests("v2", 500, destination_service="shop.shop.svc.cluster.local"), None),
        ],
    )
    def test_what_istio_tells_of_a_request(
        self, series: str, told: Tally | None, scraped: FakePrometheus, istio: Prometheus
    ) -> None:
        kept = {requests("v1"): 900, requests("v2", 500): 10}
        scraped.scrape(SHOP, 30, {**kept, series: kept.get(series, 0) + 3})

        assert versions(istio).get("v2", Tally()) == (told or Tally())

    def test_answers_with_4xx_apart(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        kept = {requests("v1"): 900, requests("v2", 500): 10}
        scraped.scrape(SHOP, 30, {**kept, requests("v2", 404): 3})

        span, _coverage = look(istio)

        assert span
        assert span.answers == {"v1": Answers(), "v2": Answers(3)}


def test_envoys_own_counters_are_read_by_subset(scraped: FakePrometheus, envoy: Prometheus) -> None:
    nothing = re.sub(r" \d+\n", " 0\n", ENVOYS_PAGE)
    for at, page in ((0, nothing), (15, nothing), (30, ENVOYS_PAGE)):
        scraped.scrape(SHOP, at, page)
        scraped.scrape({**CART, "namespace": "echo-probe"}, at, page)
        told, _ = look(envoy) if at else begin(envoy)

    assert isinstance(told, Span)
    assert told.versions == {"v1": Tally(5, 2), "v2": Tally(4, 3), "v3": Tally(1, 1)}
    assert told.answers == {"v1": answered({10: 1, 50: 3}, 1), "v2": answered({INFINITE: 2}), "v3": Answers()}


class TestLatency:
    @pytest.fixture
    def timed(self, region: RegionAccess, port: int) -> Prometheus:
        return Prometheus(region, ECHO, PrometheusConfig(address=f"http://127.0.0.1:{port}"), latency=True)

    @pytest.fixture(autouse=True)
    def before(self, scraped: FakePrometheus, timed: Prometheus) -> Mapping[str, Answers]:
        """How versions had answered one client, which was scraped before the change and after it."""
        page = {requests("v1"): 900, **histogram("v1", 880, 15, 5), requests("v2"): 100, **histogram("v2", 60, 40, 0)}
        scraped.scrape(SHOP, 0, page)
        before, _coverage = begin(timed)
        scraped.scrape(SHOP, 15, page)
        look(timed)
        return before

    def scrape(self, scraped: FakePrometheus, at: int, first: Mapping[str, int], second: Mapping[str, int]) -> None:
        scraped.scrape(SHOP, at, {requests("v1"): 990, requests("v2"): 110, **first, **second})

    def answers(self, timed: Prometheus) -> Mapping[str, Answers]:
        span, _coverage = look(timed)
        assert span
        assert not timed.untold
        return span.answers

    def test_is_known_from_before_the_change(self, before: Mapping[str, Answers]) -> None:
        assert before == {"v1": answered({5: 880, 50: 15, INFINITE: 5}), "v2": answered({5: 60, 50: 40})}
        # of what is above all classes nobody knows how long it took
        assert before["v1"].bounds_ms([0.5, 0.99, 0.999]) == (5, 50)

    def test_is_counted_by_class(self, scraped: FakePrometheus, timed: Prometheus) -> None:
        self.scrape(scraped, 30, histogram("v1", 960, 20, 10), histogram("v2", 61, 48, 1))

        assert self.answers(timed) == {
            "v1": answered({5: 80, 50: 5, INFINITE: 5}),
            "v2": answered({5: 1, 50: 8, INFINITE: 1}),
        }

    def test_is_counted_from_the_beginning_where_a_class_fell(self, scraped: FakePrometheus, timed: Prometheus) -> None:
        self.scrape(scraped, 30, histogram("v1", 890, 16, 0), histogram("v2", 60, 41, 0))

        assert self.answers(timed) == {"v1": answered({5: 890, 50: 16}), "v2": answered({50: 1})}

    def test_of_failures_counts_too(self, scraped: FakePrometheus, timed: Prometheus) -> None:
        slow = {requests("v2", 503): 7, **histogram("v2", 0, 0, 7, code=503)}
        self.scrape(scraped, 30, histogram("v1", 880, 15, 5), {**histogram("v2", 60, 40, 0), **slow})

        assert self.answers(timed)["v2"] == answered({INFINITE: 7})

    def test_comes_with_the_next_scrape_that_has_all_buckets(self, scraped: FakePrometheus, timed: Prometheus) -> None:
        part = dict(list(histogram("v2", 61, 48, 1).items())[:2])
        self.scrape(scraped, 30, histogram("v1", 970, 15, 5), part)
        assert self.answers(timed) == {"v1": answered({5: 90}), "v2": Answers()}
        self.scrape(scraped, 45, histogram("v1", 970, 15, 5), histogram("v2", 62, 50, 1))

        assert self.answers(timed) == {"v1": answered({}), "v2": answered({5: 2, 50: 10, INFINITE: 1})}

    def test_by_the_bounds_of_a_newer_prometheus_is_the_same(self, scraped: FakePrometheus, timed: Prometheus) -> None:
        floats = histogram("v3", 1, 2, 3, bounds=("5.0", "50.0", "+Inf"))
        self.scrape(scraped, 30, {requests("v3"): 6}, floats)

        assert self.answers(timed)["v3"] == answered({5: 1, 50: 2, INFINITE: 3})

    def test_that_is_missing_is_told_and_requests_count(self, scraped: FakePrometheus, timed: Prometheus) -> None:
        for at, requested in ((16, 10), (31, 30)):
            scraped.scrape(CART, at, {requests("v2"): requested})
            scraped.scrape({**SHOP, "instance": "10.0.0.3:15020", "pod": "sends-nothing"}, at, {requests("v2"): 0})

        span, _coverage = look(timed)

        assert span
        assert (span.versions["v2"], span.answers["v2"]) == (Tally(20), Answers())
        assert timed.untold.endswith(
            " has no histogram of 1 of 3 clients, so not their latency (cart/cart-1 (10.0.0.2))"
        )

    def test_that_is_gone_is_told(self, scraped: FakePrometheus, timed: Prometheus) -> None:
        for at in (45, 60, 75, 90, 105, 120, 135):
            self.scrape(scraped, at, {}, {})

        look(timed)

        assert timed.untold.endswith("no histogram of 1 of 1 clients, so not their latency (shop/shop-1 (10.0.0.1))")

    def test_of_requests_that_nobody_counts_is_nothing(self, scraped: FakePrometheus, timed: Prometheus) -> None:
        scraped.samples.clear()
        scraped.scrape(SHOP, 30, histogram("v2", 61, 48, 1))

        with pytest.raises(RolloutError, match="finds no sample"):
            look(timed)

    def test_is_not_asked_for_where_nobody_wants_it(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        before, _coverage = begin(istio)

        assert (before, istio.untold) == ({"v1": Answers(), "v2": Answers()}, "")


class TestInterval:
    """Clients that are scraped at different moments: what happens at one moment is in two spans at most."""

    def test_is_over_before_anything_counts(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        for at in (-30, 0):
            scraped.scrape(SHOP, at, {requests("v1"): 100 + at})
            scraped.scrape(CART, at + 10, {requests("v1"): 100 + at})
        scraped.now = T + 15
        begin(istio)
        scraped.scrape(SHOP, 30, {requests("v1"): 130})
        assert look(istio)[0] is None
        scraped.scrape(CART, 40, {requests("v1"): 130})
        # nothing counts of a client's first scrape
        assert look(istio)[0] is None
        scraped.scrape(SHOP, 60, {requests("v1"): 160})
        assert versions(istio) == {"v1": Tally(30)}
        scraped.scrape(CART, 70, {requests("v1"): 170})
        assert look(istio)[0] is None
        scraped.scrape(SHOP, 90, {requests("v1"): 165})
        scraped.scrape(CART, 100, {requests("v1"): 171})

        assert versions(istio) == {"v1": Tally(46)}

    def test_a_client_that_is_missing_from_an_answer_is_not_counted_twice(
        self, scraped: FakePrometheus, istio: Prometheus
    ) -> None:
        for at in (0, 30, 60):
            for client in (SHOP, CART):
                scraped.scrape(client, at, {requests("v1"): 100 + at})
            (look if at else begin)(istio)
        of_cart = {
            name: scraped.samples.pop(name) for name in [*scraped.samples] if CART.items() <= json.loads(name).items()
        }
        scraped.scrape(SHOP, 90, {requests("v1"): 190})
        assert versions(istio) == {"v1": Tally(30)}
        scraped.samples |= of_cart
        for at in (120, 150):
            for client in (SHOP, CART):
                scraped.scrape(client, at, {requests("v1"): 100 + at})

        assert versions(istio) == {"v1": Tally(60 + 30)}

    def test_begins_with_the_first_scrape_after_the_change(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        scraped.scrape(SHOP, 0, {requests("v1"): 100})
        begin(istio)
        for at, requested in ((15, 115), (30, 130), (45, 145)):
            scraped.scrape(SHOP, at, {requests("v1"): requested})

        assert versions(istio) == {"v1": Tally(30)}


def test_a_declared_status_is_a_failure_by_either_counter(
    scraped: FakePrometheus, region: RegionAccess, port: int
) -> None:
    address = f"http://127.0.0.1:{port}"
    istio = Prometheus(region, ECHO, PrometheusConfig(address=address), failures=(404,))
    envoy = Prometheus(region, ECHO, PrometheusConfig(address=address, counters="envoy"), failures=(404,))
    nothing = re.sub(r" \d+\n", " 0\n", ENVOYS_PAGE)
    for at, page, count in ((0, nothing, 0), (15, nothing, 0), (30, ENVOYS_PAGE, 3)):
        scraped.scrape(SHOP, at, page)
        scraped.scrape(SHOP, at, {requests("v1"): count, requests("v1", 404): count, requests("v1", 429): count})
        spans = [look(source)[0] if at else begin(source) for source in (istio, envoy)]

    assert [span.versions["v1"] for span in spans if isinstance(span, Span)] == [Tally(9, 3), Tally(5, 3)]
    assert [span.answers["v1"] for span in spans if isinstance(span, Span)] == [Answers(6), Answers(1)]


class TestNothing:
    """What is not known is told, and is never taken for no failures."""

    def test_is_known_before_the_first_scrape_after_the_change(
        self, scraped: FakePrometheus, istio: Prometheus
    ) -> None:
        scraped.scrape(SHOP, 0, {requests("v1"): 900})

        _before, coverage = begin(istio)

        assert [*coverage.silent.values()] == ["it has scraped no client since the change"]

    def test_from_before_the_change_counts(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        scraped.scrape(SHOP, 0, {requests("v2", 500): 10})
        begin(istio)
        scraped.scrape(SHOP, 15, {requests("v2", 500): 20})
        look(istio)
        scraped.now = T + 20
        begin(istio)
        scraped.scrape(SHOP, 30, {requests("v2", 500): 30})
        assert look(istio)[0] is None
        scraped.scrape(SHOP, 45, {requests("v2", 500): 31})

        assert versions(istio) == {"v2": Tally(1, 1)}

    def test_is_found(self, istio: Prometheus) -> None:
        with pytest.raises(RolloutError) as refused:
            begin(istio)

        (problem,) = refused.value.problems
        assert 'finds no sample of the last 120 s: {__name__=~"istio_requests_total",' in problem.what
        assert "that it is scraped" in problem.fix

    def test_is_found_any_more(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        scraped.scrape(SHOP, 0, {requests("v1"): 900})
        begin(istio)
        scraped.now = T + 200

        with pytest.raises(RolloutError, match="finds no sample"):
            look(istio)

    @pytest.mark.parametrize(
        ("status", "body", "told"),
        [
            (400, '{"status":"error","errorType":"bad_data","error":"parse error"}', "answers 400: parse error"),
            (503, '{"kind":"Status","message":"no endpoints available"}', "answers 503: no endpoints available"),
            (200, "<html>\nlogin", "answers 200: cannot be read (JSONDecodeError): <html>"),
            (200, '{"status":"success","data":{"resultType":"vector","result":[]}}', "answers 200: cannot be read"),
        ],
    )
    def test_is_answered(self, status: int, body: str, told: str, scraped: FakePrometheus, istio: Prometheus) -> None:
        scraped.answer = (status, body)

        with pytest.raises(RolloutError) as refused:
            begin(istio)

        (problem,) = refused.value.problems
        assert problem.what.startswith("region-a: Prometheus http://127.0.0.1:")
        assert told in problem.what
        assert "metrics.prometheus in the stack file of a" in problem.fix

    def test_answers(self, region: RegionAccess) -> None:
        with pytest.raises(RolloutError, match="does not answer"):
            begin(Prometheus(region, ECHO, PrometheusConfig(address="http://127.0.0.1:1")))


class TestService:
    @pytest.fixture
    def service(self, region: RegionAccess) -> Prometheus:
        return Prometheus(region, ECHO, PrometheusConfig(service="monitoring/prometheus:9090"))

    def test_is_asked_through_the_clusters_api(self, scraped: FakePrometheus, service: Prometheus) -> None:
        for at in (0, 15, 30):
            scraped.scrape(SHOP, at, {requests("v1"): at})
            told, _ = look(service) if at else begin(service)

        assert told == Span(15.0, {"v1": Tally(15, 0)}, {"v1": Answers()}, overlaps=True)
        assert {*scraped.paths} == {"/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query"}

    def test_tells_how_to_ask_it_by_hand(self, scraped: FakePrometheus, service: Prometheus) -> None:
        scraped.answer = (403, '{"kind":"Status","message":"services \\"prometheus\\" is forbidden"}')

        with pytest.raises(RolloutError) as refused:
            begin(service)

        (problem,) = refused.value.problems
        assert 'Prometheus monitoring/prometheus:9090 answers 403: services "prometheus" is forbidden' in problem.what
        assert "kubectl --context ctx get --raw /api/v1/namespaces/monitoring/services/" in problem.fix


def test_what_was_counted_stays_when_it_goes_away(scraped: FakePrometheus, istio: Prometheus) -> None:
    scraped.scrape(SHOP, 0, {requests("v2", 500): 10})
    with ClientsWatch(istio, QUICK_SECONDS) as watch:
        until(watch, lambda window: bool(window.coverage.silent))
        scraped.scrape(SHOP, 15, {requests("v2", 500): 25})
        until(watch, lambda window: not window.coverage.silent)
        scraped.scrape(SHOP, 30, {requests("v2", 500): 40})
        until(watch, lambda window: bool(window.spans))
        scraped.answer = (503, "{}")
        window = until(watch, lambda window: bool(window.trouble))

    assert [span.versions for span in window.spans] == [{"v2": Tally(15, 15)}]
    assert "answers 503" in window.trouble
    assert "answers 503" in window.problems[0].what
    assert window.failed > 0
