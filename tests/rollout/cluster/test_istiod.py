from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rollout.access import RegionAccess
from rollout.cluster.istiod import read_connections
from rollout.cluster.syncz import Counters, Proxy, parse_metrics, parse_syncz, push_number
from rollout.problem import RolloutError
from tests.rollout.cluster.captured import syncz
from tests.rollout.cluster.fake_cluster import STDERR, STDOUT, SUCCESS, Exec, FakeCluster, exit_status, serving

ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


def istiod(name: str, *, ready: bool = True, namespace: str = "istio-system", app: str = "istiod") -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "name": name, "labels": {"app": app}},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


class TestParse:
    def parsed(self, *proxies: dict[str, Any]) -> dict[str, Proxy]:
        return parse_syncz(json.dumps(proxies))

    def test_tells_which_proxies_are_connected(self) -> None:
        assert {name: proxy.refused for name, proxy in self.parsed(*syncz()).items()} == {
            "echo/echo-v1-f9485558d-j4ws7": "",
            "istio-ingress/istio-ingress-c7ffc7688-lnhk7": "",
            "echo-probe/probe-864b55b5dc-jjtcv": "",
        }

    def test_tells_what_one_refused(self) -> None:
        (proxy, *_) = found = syncz()
        proxy["resources"][ROUTES]["lastError"] = "duplicate domain"

        assert self.parsed(*found)["echo/echo-v1-f9485558d-j4ws7"].refused == "RouteConfiguration: duplicate domain"

    def test_takes_a_pod_with_dots_in_its_name(self) -> None:
        assert [*self.parsed({"proxy": "web.1.shop"})] == ["shop/web.1"]

    def test_tells_what_one_acknowledged_last(self) -> None:
        (proxy, *_) = syncz()

        (found,) = self.parsed(proxy).values()

        assert (found.routes, found.clusters) == (proxy["route_acked"], proxy["cluster_acked"])
        assert push_number(found.routes) == push_number(found.clusters) == 70

    def test_knows_nothing_of_one_that_has_not_acknowledged_the_last(self) -> None:
        (proxy, *_) = syncz()
        proxy["route_sent"] = proxy["route_sent"].replace("/70", "/71")

        (found,) = self.parsed(proxy).values()

        assert found.routes == ""
        assert push_number(found.routes) == 0

    def test_knows_nothing_of_one_with_two_connections(self) -> None:
        (proxy, *_) = syncz()

        assert [*self.parsed(proxy, proxy).values()] == [Proxy()]


METRICS = """\
# TYPE pilot_total_xds_rejects counter
pilot_total_xds_rejects{otel_scope_name="istio",type="rds"} 3
pilot_total_xds_rejects{otel_scope_name="istio",type="cds"} 1
pilot_total_xds_rejects{otel_scope_name="istio",type="lds"} 7
pilot_xds_rds_reject{err="Internal",node="web.1.shop",otel_scope_name="istio"} 2
pilot_xds_rds_reject{err="Unknown",node="web.1.shop"} 1
pilot_xds_cds_reject{err="Internal",node="web.1.shop"} 1
pilot_xds_lds_reject{err="Internal",node="other.shop"} 7
pilot_xds_cds_rejects_of_another_name{node="other.shop"} 1
process_start_time_seconds 1.79587762e+09
process_start_time_seconds_of_another_name 1
"""


class TestParseMetrics:
    def test_tells_the_process_and_what_was_refused_of_routes_and_clusters(self) -> None:
        assert parse_metrics(METRICS) == Counters("1.79587762e+09", {"shop/web.1": 4}, 4)

    def test_what_tells_no_process_cannot_be_used(self) -> None:
        with pytest.raises(ValueError, match="it has no process_start_time_seconds"):
            parse_metrics("pilot_xds 3\n")


def read(tmp_path: Path, script: Callable[[Exec], None], *pods: dict[str, Any]) -> tuple[Any, list[str]]:
    cluster = FakeCluster(script=script)
    with serving(cluster) as port:
        region = RegionAccess("region-a", "a", "ctx", cluster.kubeconfig(tmp_path / "kubeconfig", "ctx", port))
        return read_connections(region, pods), cluster.paths


def answering(opened: Exec) -> None:
    assert [*opened.command] == ["pilot-discovery", "request", "GET", "/debug/syncz"]
    mine = [each for each in syncz() if ("-1/exec" in opened.path) == each["proxy"].endswith(".echo")]
    opened.send(STDERR, b"INFO GOMEMLIMIT is updated\n")
    opened.send(STDOUT, json.dumps(mine).encode())
    opened.end(SUCCESS)


class TestRead:
    def test_joins_what_each_istiod_that_is_ready_says(self, tmp_path: Path) -> None:
        others = (istiod("x-3", ready=False), istiod("x-4", namespace="echo"), istiod("x-5", app="echo"))
        found, paths = read(tmp_path, answering, istiod("x-1"), istiod("x-2"), *others)

        assert {*found} == {*parse_syncz(json.dumps(syncz()))}
        assert sorted(paths) == [f"/api/v1/namespaces/istio-system/pods/x-{number}/exec" for number in (1, 2)]

    def test_knows_nothing_where_there_is_no_istiod(self, tmp_path: Path) -> None:
        assert read(tmp_path, answering, istiod("x-1", ready=False)) == (None, [])

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (lambda opened: opened.end(exit_status(1)), "pilot-discovery failed"),
            (lambda opened: (opened.send(STDOUT, b"404 page not found"), opened.end(SUCCESS)), "cannot be read"),
            (lambda opened: (opened.send(STDOUT, b'{"a": 1}'), opened.end(SUCCESS)), "cannot be read"),
        ],
    )
    def test_tells_why_one_does_not_say(self, answer: Callable[[Exec], None], said: str, tmp_path: Path) -> None:
        with pytest.raises(RolloutError, match=f"istio-system/x-1 cannot be asked for its proxies: .*{said}"):
            read(tmp_path, answer, istiod("x-1"))
