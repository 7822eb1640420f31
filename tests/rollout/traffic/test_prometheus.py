"""Requests that a Prometheus scraped are counted once, each with its version, also where a scrape is missing or another replica answers."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
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
    return Prometheus(region, ECHO, PrometheusConfig(address=f"http://127.0.0.1:{port}", counters="envoy"))


def look(source: Prometheus, *, anew: bool = False) -> tuple[Span | None, Coverage]:
    return source.look(threading.Event(), anew=anew)


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
            look(istio, anew=at == 0)

    def test_what_came_since_then_with_its_failures(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        scraped.scrape(SHOP, 30, {requests("v1"): 990, requests("v2"): 105, requests("v2", 500): 15})

        span, coverage = look(istio)

        assert span == Span(15.0, {"v1": Tally(90, 0), "v2": Tally(10, 5)}, {"v1": Answers(), "v2": Answers()})
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
        span, _ = look(envoy, anew=at == 0)

    assert span
    assert span.versions == {"v1": Tally(5, 2), "v2": Tally(4, 3), "v3": Tally(1, 1)}
    assert span.answers == {"v1": Answers(1), "v2": Answers(), "v3": Answers()}


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
        spans = [look(source, anew=at == 0)[0] for source in (istio, envoy)]

    assert [span.versions["v1"] for span in spans if span] == [Tally(9, 3), Tally(5, 3)]
    assert [span.answers["v1"] for span in spans if span] == [Answers(6), Answers(1)]


def test_that_it_tells_no_latency_is_told_where_bounds_are_declared(region: RegionAccess, istio: Prometheus) -> None:
    config = PrometheusConfig(address="http://127.0.0.1:1")
    with ClientsWatch(Prometheus(region, ECHO, config, bounds_ms=(250,)), QUICK_SECONDS) as watch:
        assert watch.seen().untold == "Prometheus is not asked for the latency that latencyBounds declare"
    assert istio.untold == ""


class TestNothing:
    """What is not known is told, and is never taken for no failures."""

    def test_is_known_before_the_first_scrape_after_the_change(
        self, scraped: FakePrometheus, istio: Prometheus
    ) -> None:
        scraped.scrape(SHOP, 0, {requests("v1"): 900})

        span, coverage = look(istio, anew=True)

        assert span is None
        assert [*coverage.silent.values()] == ["it has scraped no client since the change"]

    def test_from_before_the_change_counts(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        scraped.scrape(SHOP, 0, {requests("v2", 500): 10})
        look(istio, anew=True)
        scraped.scrape(SHOP, 15, {requests("v2", 500): 20})
        look(istio)
        scraped.now = T + 20
        look(istio, anew=True)
        scraped.scrape(SHOP, 30, {requests("v2", 500): 30})
        assert look(istio)[0] is None
        scraped.scrape(SHOP, 45, {requests("v2", 500): 31})

        assert versions(istio) == {"v2": Tally(1, 1)}

    def test_is_found(self, istio: Prometheus) -> None:
        with pytest.raises(RolloutError) as refused:
            look(istio, anew=True)

        (problem,) = refused.value.problems
        assert "finds no sample of the last 120 s: istio_requests_total{" in problem.what
        assert "that it is scraped" in problem.fix

    def test_is_found_any_more(self, scraped: FakePrometheus, istio: Prometheus) -> None:
        scraped.scrape(SHOP, 0, {requests("v1"): 900})
        look(istio, anew=True)
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
            look(istio, anew=True)

        (problem,) = refused.value.problems
        assert problem.what.startswith("region-a: Prometheus http://127.0.0.1:")
        assert told in problem.what
        assert "metrics.prometheus in the stack file of a" in problem.fix

    def test_answers(self, region: RegionAccess) -> None:
        with pytest.raises(RolloutError, match="does not answer"):
            look(Prometheus(region, ECHO, PrometheusConfig(address="http://127.0.0.1:1")), anew=True)


class TestService:
    @pytest.fixture
    def service(self, region: RegionAccess) -> Prometheus:
        return Prometheus(region, ECHO, PrometheusConfig(service="monitoring/prometheus:9090"))

    def test_is_asked_through_the_clusters_api(self, scraped: FakePrometheus, service: Prometheus) -> None:
        for at in (0, 15, 30):
            scraped.scrape(SHOP, at, {requests("v1"): at})
            span, _ = look(service, anew=at == 0)

        assert span == Span(15.0, {"v1": Tally(15, 0)}, {"v1": Answers()})
        assert {*scraped.paths} == {"/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query"}

    def test_tells_how_to_ask_it_by_hand(self, scraped: FakePrometheus, service: Prometheus) -> None:
        scraped.answer = (403, '{"kind":"Status","message":"services \\"prometheus\\" is forbidden"}')

        with pytest.raises(RolloutError) as refused:
            look(service, anew=True)

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
