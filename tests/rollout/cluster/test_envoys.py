from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rollout.access import RegionAccess
from rollout.cluster.envoys import (
    Envoy,
    Page,
    acknowledges,
    ejected_hosts,
    known_subsets,
    read_envoys,
    read_pages,
    route_weights,
)
from rollout.problem import RolloutError
from rollout.weights import ALL_PODS
from tests.rollout.cluster.captured import document, text
from tests.rollout.cluster.fake_cluster import STDERR, STDOUT, SUCCESS, Exec, FakeCluster, exit_status, serving

BOTH = frozenset({"v1", "v2"})
ROUTES, CLUSTERS = "routes-90-10", "clusters-one-ejected"


def echo_routes(dump: dict[str, Any]) -> list[dict[str, Any]]:
    """The routes of echo in a captured page, to be changed."""
    found = (
        host["routes"]
        for config in dump["configs"]
        for host in config["route_config"]["virtual_hosts"]
        if host["name"] == "echo.echo.svc.cluster.local:80"
    )
    routes: list[dict[str, Any]] = next(found)
    return routes


class TestRouteWeights:
    def test_are_those_of_the_route_to_echo(self) -> None:
        assert route_weights(document(ROUTES)) == {"v1": 90, "v2": 10}

    def test_of_a_version_of_weight_0_are_not_there(self) -> None:
        assert route_weights(document("routes-100-0")) == {"v1": 100}

    def test_of_weight_0_are_not_there_even_where_envoy_has_them(self) -> None:
        dump = document(ROUTES)
        echo_routes(dump)[0]["route"]["weighted_clusters"]["clusters"][1]["weight"] = 0

        assert route_weights(dump) == {"v1": 90}

    def test_of_a_single_destination_are_all(self) -> None:
        dump = document(ROUTES)
        echo_routes(dump)[0]["route"] = {"cluster": "outbound|80|v2|echo.echo.svc.cluster.local"}

        assert route_weights(dump) == {"v2": 100}

    def test_without_a_virtual_service_are_of_all_pods_alike(self) -> None:
        assert route_weights(document("routes-without-virtual-service")) == {ALL_PODS: 100}

    def test_are_none_without_a_route(self) -> None:
        assert route_weights({}) is None

    def test_that_depend_on_the_request_are_refused(self) -> None:
        dump = document(ROUTES)
        echo_routes(dump).append({"match": {"prefix": "/new"}, "route": {"cluster": "BlackHoleCluster"}})

        with pytest.raises(ValueError, match="has 2 routes"):
            route_weights(dump)

    @pytest.mark.parametrize("cluster", ["BlackHoleCluster", "outbound|81|v1|echo.echo.svc.cluster.local"])
    def test_to_something_that_is_not_echo_are_refused(self, cluster: str) -> None:
        dump = document(ROUTES)
        echo_routes(dump)[0]["route"] = {"cluster": cluster}

        with pytest.raises(ValueError, match="leads to the cluster"):
            route_weights(dump)

    def test_of_a_route_that_answers_by_itself_are_refused(self) -> None:
        dump = document(ROUTES)
        echo_routes(dump)[0] = {"match": {"prefix": "/"}, "direct_response": {"status": 503}}

        with pytest.raises(ValueError, match="leads to no cluster"):
            route_weights(dump)


class TestSubsets:
    def test_are_those_of_echo_by_name(self) -> None:
        assert known_subsets(document(CLUSTERS)) == BOTH

    def test_are_known_also_without_pods(self) -> None:
        page = document(CLUSTERS)
        for cluster in page["cluster_statuses"]:
            cluster.pop("host_statuses", None)

        assert known_subsets(page) == BOTH

    def test_are_none_where_there_is_no_cluster(self) -> None:
        assert known_subsets({}) == frozenset()


class TestEjected:
    def test_are_counted_by_subset(self) -> None:
        assert ejected_hosts(document(CLUSTERS)) == {"v1": 1}

    def test_of_all_pods_alike_are_those_of_no_version(self) -> None:
        page = document(CLUSTERS)
        for cluster in page["cluster_statuses"]:
            for host in cluster.get("host_statuses", ()):
                host["health_status"] = {"failed_outlier_check": True}

        assert ejected_hosts(page) == {"v1": 3, "v2": 3}

    def test_are_not_those_that_fail_in_another_way(self) -> None:
        page = document(CLUSTERS)
        for cluster in page["cluster_statuses"]:
            for host in cluster.get("host_statuses", ()):
                host["health_status"] = {"eds_health_status": "UNHEALTHY"}

        assert ejected_hosts(page) == {}


class TestAcknowledges:
    def test_the_weights_that_it_routes_by(self) -> None:
        assert acknowledges(Envoy("a/b", {"v1": 90, "v2": 10}, BOTH), {"v1": 90, "v2": 10})

    def test_a_weight_of_0_by_having_no_route(self) -> None:
        assert acknowledges(Envoy("a/b", {"v1": 100}, BOTH), {"v1": 100, "v2": 0})

    @pytest.mark.parametrize("weights", [{"v1": 75, "v2": 25}, {"v1": 100}, {"v1": 90, "v2": 10, "v3": 1}])
    def test_no_others(self, weights: dict[str, int]) -> None:
        assert not acknowledges(Envoy("a/b", {"v1": 90, "v2": 10}, BOTH), weights)

    def test_nothing_that_it_has_no_cluster_for(self) -> None:
        assert not acknowledges(Envoy("a/b", {"v1": 90, "v2": 10}, frozenset({"v1"})), {"v1": 90, "v2": 10})

    def test_nothing_without_a_route(self) -> None:
        assert not acknowledges(Envoy("a/b", None, BOTH), {"v1": 100})

    def test_nothing_when_it_could_not_be_asked(self) -> None:
        assert not acknowledges(Envoy("a/b", {"v1": 100}, BOTH, error="gone"), {"v1": 100})


class TestPages:
    def test_make_an_envoy(self) -> None:
        assert read_pages("echo/v1-a", Page(text(ROUTES)), Page(text(CLUSTERS))) == Envoy(
            "echo/v1-a", {"v1": 90, "v2": 10}, BOTH, {"v1": 1}
        )

    def test_that_are_not_there_are_its_error(self) -> None:
        assert read_pages("a/b", Page(text(ROUTES)), Page(error="refused")) == Envoy("a/b", error="refused")

    @pytest.mark.parametrize("page", ["invalid path", "[]", '{"configs": [{}]}'])
    def test_that_cannot_be_read_are_its_error(self, page: str) -> None:
        assert "cannot be read" in read_pages("a/b", Page(page), Page(text(CLUSTERS))).error


def sidecar(
    name: str, *, native: bool = True, ready: bool = True, leaving: bool = False, image: str = "hub/proxyv2:1.31.1"
) -> dict[str, Any]:
    containers = [{"name": "echo"}]
    proxy = [{"name": "istio-proxy", "image": image}]
    return {
        "metadata": {
            "namespace": "echo",
            "name": name,
            **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if leaving else {}),
        },
        "spec": {"initContainers": proxy, "containers": containers} if native else {"containers": containers + proxy},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def answering(opened: Exec) -> None:
    """As a sidecar of version 1 answers; a page comes in two parts."""
    page = text(ROUTES if "config_dump" in opened.command[-1] else CLUSTERS).encode()
    opened.send(STDOUT, page[:1000])
    opened.send(STDOUT, page[1000:])
    opened.end(SUCCESS)


def _failing(opened: Exec) -> None:
    opened.end(exit_status(255))


def read(tmp_path: Path, cluster: FakeCluster, only: set[str] | None = None) -> tuple[Envoy, ...]:
    with serving(cluster) as port:
        region = RegionAccess("region-a", "a", "ctx", cluster.kubeconfig(tmp_path / "kubeconfig", "ctx", port))
        return read_envoys(region, only)


def of(*pods: dict[str, Any], script: Callable[[Exec], None] = answering) -> FakeCluster:
    return FakeCluster(pods=list(pods), script=script)


class TestRead:
    def test_asks_every_sidecar(self, tmp_path: Path) -> None:
        asked = read(tmp_path, of(sidecar("b"), sidecar("a", native=False)))

        assert [(envoy.pod, envoy.weights, envoy.ejected) for envoy in asked] == [
            ("echo/a", {"v1": 90, "v2": 10}, {"v1": 1}),
            ("echo/b", {"v1": 90, "v2": 10}, {"v1": 1}),
        ]

    def test_asks_only_those_that_are_wanted(self, tmp_path: Path) -> None:
        asked = read(tmp_path, of(sidecar("a"), sidecar("b")), {"echo/b", "echo/gone"})

        assert [envoy.pod for envoy in asked] == ["echo/b"]

    def test_tells_which_istio_each_runs_also_of_one_that_fails(self, tmp_path: Path) -> None:
        pods = [
            sidecar("a", image="hub/proxyv2:1.30.2-distroless"),
            sidecar("b", native=False),
            sidecar("c", image="latest"),
        ]

        assert [envoy.istio for envoy in read(tmp_path, of(*pods, script=_failing))] == ["1.30.2", "1.31.1", ""]

    @pytest.mark.parametrize(
        ("owner", "workload"),
        [
            ({"kind": "ReplicaSet", "name": "echo-v1-5d9c", "controller": True}, "deployment/echo-v1"),
            ({"kind": "ReplicaSet", "name": "of-nothing", "controller": True}, ""),
            ({"kind": "StatefulSet", "name": "store", "controller": True}, "statefulset/store"),
            ({"kind": "Job", "name": "once", "controller": True}, ""),
            ({"kind": "StatefulSet", "name": "store"}, ""),
        ],
    )
    def test_tells_what_a_restart_replaces_its_pod_with(
        self, owner: dict[str, Any], workload: str, tmp_path: Path
    ) -> None:
        found = sidecar("a")
        found["metadata"] |= {"labels": {"pod-template-hash": "5d9c"}, "ownerReferences": [owner]}

        assert [envoy.workload for envoy in read(tmp_path, of(found))] == [workload]

    def test_leaves_out_what_has_no_sidecar_or_is_not_ready_or_goes(self, tmp_path: Path) -> None:
        plain = sidecar("plain")
        plain["spec"] = {"containers": [{"name": "istiod"}]}

        assert not read(tmp_path, of(plain, sidecar("new", ready=False), sidecar("old", leaving=True)))

    def test_tells_of_each_that_fails(self, tmp_path: Path) -> None:
        def failing(opened: Exec) -> None:
            if "/a/exec" not in opened.path:
                answering(opened)
                return
            opened.send(STDERR, b"Error: connection refused\n")
            opened.end(exit_status(255))

        asked = read(tmp_path, of(sidecar("a"), sidecar("b"), script=failing))

        assert [envoy.error for envoy in asked] == ["pilot-agent failed: Error: connection refused", ""]

    def test_tells_of_one_whose_connection_breaks(self, tmp_path: Path) -> None:
        (envoy,) = read(tmp_path, of(sidecar("a"), script=lambda opened: opened.send(STDOUT, b"{")))

        assert "lost its connection" in envoy.error

    def test_tells_of_one_that_may_not_be_asked(self, tmp_path: Path) -> None:
        (envoy,) = read(tmp_path, FakeCluster(pods=[sidecar("a")], refuse_exec=403))

        assert "exec was refused" in envoy.error

    def test_leaves_out_one_that_goes_while_it_is_asked(self, tmp_path: Path) -> None:
        leaving = sidecar("a")

        def going(opened: Exec) -> None:
            if "/a/exec" in opened.path:
                leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                opened.end(exit_status(137))
            else:
                answering(opened)

        assert [envoy.pod for envoy in read(tmp_path, of(leaving, sidecar("b"), script=going))] == ["echo/b"]

    def test_refuses_where_the_pods_may_not_be_listed(self, tmp_path: Path) -> None:
        with pytest.raises(RolloutError, match="refused to list the pods of all namespaces: 403"):
            read(tmp_path, FakeCluster(pods=[sidecar("a")], refuse_list=403))
