from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.names import ServiceAddress
from rollout.access import RegionAccess
from rollout.cluster.envoys import (
    Envoy,
    acknowledges,
    read_clusters,
    read_envoys,
    read_pages,
    read_routes,
    sample,
)
from rollout.cluster.exec import Page
from rollout.cluster.pods import FEW
from rollout.weights import ALL_PODS
from tests.rollout.cluster.captured import document, text
from tests.rollout.cluster.fake_cluster import STDERR, STDOUT, Exec, FakeCluster, exit_status, serving
from tests.rollout.cluster.sidecars import CLUSTERS, ROUTES, answering, answers, sidecar

ECHO = ServiceAddress("echo", "echo", hosts=("echo.example.com", "api.example.com"))
SHOP = ServiceAddress("shop", "shop", 8080, ("shop.example.com",))
SERVICES = (ECHO, SHOP)
BOTH = frozenset({"v1", "v2"})
NONE = frozenset[str]()
OF_TWO, CLUSTERS_OF_TWO = "routes-of-two-services", "clusters-of-two-services"
GATEWAY, ANY_HOST, OF_OTHERS = "routes-of-a-gateway", "routes-of-a-gateway-of-any-host", "routes-of-a-gateway-of-others"


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


class TestRoutes:
    def test_are_those_to_the_service(self) -> None:
        assert read_routes(document(ROUTES), ECHO) == ({"v1": 90, "v2": 10}, NONE)

    def test_to_a_version_of_weight_0_are_not_there(self) -> None:
        assert read_routes(document("routes-100-0"), ECHO) == ({"v1": 100}, NONE)

    def test_of_weight_0_are_not_there_even_where_envoy_has_them(self) -> None:
        dump = document(ROUTES)
        echo_routes(dump)[0]["route"]["weighted_clusters"]["clusters"][1]["weight"] = 0

        assert read_routes(dump, ECHO) == ({"v1": 90}, NONE)

    def test_of_a_single_destination_are_all(self) -> None:
        dump = document(ROUTES)
        echo_routes(dump)[0]["route"] = {"cluster": "outbound|80|v2|echo.echo.svc.cluster.local"}

        assert read_routes(dump, ECHO) == ({"v2": 100}, NONE)

    def test_of_two_destinations_with_one_subset_are_their_sum(self) -> None:
        dump = document(ROUTES)
        clusters = echo_routes(dump)[0]["route"]["weighted_clusters"]["clusters"]
        clusters[1]["name"] = clusters[0]["name"]

        assert read_routes(dump, ECHO) == ({"v1": 100}, NONE)

    def test_without_a_virtual_service_are_of_all_pods_alike(self) -> None:
        assert read_routes(document("routes-without-virtual-service"), ECHO) == ({ALL_PODS: 100}, NONE)

    def test_are_none_where_there_is_no_virtual_host(self) -> None:
        assert read_routes({}, ECHO) == (None, NONE)
        assert (
            read_routes(document(ROUTES), SHOP) == read_routes(document(ROUTES), replace(ECHO, port=81)) == (None, NONE)
        )

    def test_of_two_services_are_each_ones_own_and_by_header(self) -> None:
        dump = document(OF_TWO)

        assert read_routes(dump, ECHO) == ({"v1": 90, "v2": 10}, BOTH)
        assert read_routes(dump, SHOP) == ({"v1": 100}, NONE)

    @pytest.mark.parametrize(
        "match",
        [
            {"prefix": "/new"},
            {"path": "/", "case_sensitive": True},
            {"prefix": "/", "query_parameters": [{"name": "new", "present_match": True}]},
            {"prefix": "/", "headers": [{"name": "x", "present_match": True}]},
            {"prefix": "/", "headers": [{"name": "x", "string_match": {"prefix": "v2"}}]},
            {"prefix": "/", "headers": [{"name": "x", "string_match": {"exact": "v2", "ignore_case": True}}]},
            {"prefix": "/", "headers": [{"name": "x", "string_match": {"exact": "v2"}, "invert_match": True}]},
            {"prefix": "/", "headers": [{"name": each, "string_match": {"exact": "v2"}} for each in "xy"]},
            {"prefix": "/new", "headers": [{"name": "x", "string_match": {"exact": "v2"}}]},
            {"prefix": "/", "headers": [{"name": "x", "string_match": {"exact": "v1"}}]},
            {
                "prefix": "/",
                "headers": [{"name": "x", "string_match": {"exact": "v2"}}],
                "query_parameters": [{"name": "new", "present_match": True}],
            },
        ],
    )
    def test_that_depend_on_more_than_a_version_in_a_header_are_refused(self, match: dict[str, Any]) -> None:
        dump = document(ROUTES)
        to_v2 = {"cluster": "outbound|80|v2|echo.echo.svc.cluster.local"}
        echo_routes(dump).insert(0, {"match": match, "route": to_v2})

        with pytest.raises(ValueError, match="depends on other things than a header that names its version"):
            read_routes(dump, ECHO)

    @pytest.mark.parametrize("number", [0, 2])
    def test_without_one_for_the_requests_without_a_header_are_refused(self, number: int) -> None:
        dump = document(OF_TWO)
        routes = echo_routes(dump)
        routes[2:] = routes[2:] * number

        with pytest.raises(ValueError, match=f"has {number} routes for the requests without a header"):
            read_routes(dump, ECHO)

    @pytest.mark.parametrize(
        "cluster",
        [
            "BlackHoleCluster",
            "outbound|81|v1|echo.echo.svc.cluster.local",
            "outbound|80|v1|echo.other.svc.cluster.local",
        ],
    )
    def test_to_something_that_is_not_the_service_are_refused(self, cluster: str) -> None:
        dump = document(ROUTES)
        echo_routes(dump)[0]["route"] = {"cluster": cluster}

        with pytest.raises(ValueError, match="leads to the cluster"):
            read_routes(dump, ECHO)

    def test_that_answer_by_themselves_are_refused(self) -> None:
        dump = document(ROUTES)
        echo_routes(dump)[0] = {"match": {"prefix": "/"}, "direct_response": {"status": 503}}

        with pytest.raises(ValueError, match="leads to no cluster"):
            read_routes(dump, ECHO)


class TestRoutesOfAGateway:
    def test_are_those_of_the_hosts_that_it_serves(self) -> None:
        dump = document(GATEWAY)

        assert read_routes(dump, ECHO, gateway=True) == ({"v1": 90, "v2": 10}, NONE)
        assert read_routes(dump, SHOP, gateway=True) == ({"v1": 100}, NONE)

    def test_are_found_by_a_host_that_the_virtual_host_is_not_named_after(self) -> None:
        by_second = ServiceAddress("echo", "echo", hosts=("api.example.com",))

        assert read_routes(document(GATEWAY), by_second, gateway=True)[0] == {"v1": 90, "v2": 10}

    def test_are_found_by_the_host_in_the_cluster(self) -> None:
        without_hosts = ServiceAddress("echo", "echo")

        assert read_routes(document(ANY_HOST), without_hosts, gateway=True)[0] == {"v1": 90, "v2": 10}
        assert read_routes(document(GATEWAY), without_hosts, gateway=True)[0] is None

    def test_are_found_where_a_wildcard_has_the_host(self) -> None:
        any_of_them = ServiceAddress("shop", "shop", 8080, ("*.example.com",))
        dump = document(GATEWAY)
        for config in dump["configs"]:
            hosts = config["route_config"]["virtual_hosts"]
            hosts[:] = [host for host in hosts if host["name"].startswith("shop")]

        assert read_routes(dump, any_of_them, gateway=True)[0] == {"v1": 100}

    def test_are_none_where_it_serves_others(self) -> None:
        assert read_routes(document(OF_OTHERS), ECHO, gateway=True) == (None, NONE)

    def test_are_none_where_it_only_redirects(self) -> None:
        of_host = ServiceAddress("echo", "echo", hosts=("other.example.com",))
        dump = document(OF_OTHERS)
        redirecting = dump["configs"][1]["route_config"]["virtual_hosts"][0]

        # by the Gateway, which leaves the host without a route, and by a VirtualService
        assert read_routes(dump, of_host, gateway=True) == (None, NONE)
        redirecting["routes"] = [{"match": {"prefix": "/"}, "redirect": {"https_redirect": True}}]
        assert read_routes(dump, of_host, gateway=True) == (None, NONE)

    def test_that_differ_between_its_ports_are_refused(self) -> None:
        dump = document(GATEWAY)
        (first,) = (
            host
            for host in dump["configs"][0]["route_config"]["virtual_hosts"]
            if host["name"].startswith("echo.example.com")
        )
        first["routes"][0]["route"] = {"cluster": "outbound|80|v1|echo.echo.svc.cluster.local"}

        with pytest.raises(ValueError, match="the 2 virtual hosts of echo do not route alike"):
            read_routes(dump, ECHO, gateway=True)

    def test_of_testers_name_a_version_and_hold_a_secret(self) -> None:
        dump = with_testers("x-version", "x-version-secret")

        assert read_routes(dump, ECHO, gateway=True) == ({"v1": 90, "v2": 10}, frozenset({"v2"}))

    @pytest.mark.parametrize("names", [["x-version"], ["x", "y", "z"]])
    def test_of_testers_without_a_secret_alone_are_refused(self, names: list[str]) -> None:
        with pytest.raises(ValueError, match="depends on other things than the testers' header and their secret"):
            read_routes(with_testers(*names), ECHO, gateway=True)


def with_testers(*names: str) -> dict[str, Any]:
    """A gateway's routes in which requests with these headers, of which the first names it, go to v2."""
    dump = document(GATEWAY)
    values = ["v2", "s3cret", "more"]
    headers = [{"name": name, "string_match": {"exact": value}} for name, value in zip(names, values, strict=False)]
    route = {
        "match": {"prefix": "/", "headers": headers},
        "route": {"cluster": "outbound|80|v2|echo.echo.svc.cluster.local"},
    }
    for config in dump["configs"]:
        for host in config["route_config"]["virtual_hosts"]:
            if "echo.example.com" in str(host["domains"]):
                host["routes"].insert(0, route)
    return dump


class TestSubsets:
    def test_are_those_of_the_service_by_name(self) -> None:
        assert read_clusters(document(CLUSTERS), ECHO)[0] == BOTH
        assert read_clusters(document(CLUSTERS), SHOP)[0] == NONE

    def test_are_known_also_without_pods(self) -> None:
        page = document(CLUSTERS)
        for cluster in page["cluster_statuses"]:
            cluster.pop("host_statuses", None)

        assert read_clusters(page, ECHO)[0] == BOTH

    def test_are_none_where_there_is_no_cluster(self) -> None:
        assert read_clusters({}, ECHO)[0] == frozenset()


class TestEjected:
    def test_are_counted_by_subset(self) -> None:
        assert read_clusters(document(CLUSTERS), ECHO)[1] == {"v1": 1}

    def test_of_all_pods_alike_are_those_of_no_version(self) -> None:
        page = document(CLUSTERS)
        for cluster in page["cluster_statuses"]:
            for host in cluster.get("host_statuses", ()):
                host["health_status"] = {"failed_outlier_check": True}

        assert read_clusters(page, ECHO)[1] == {"v1": 3, "v2": 3}

    def test_are_not_those_that_fail_in_another_way(self) -> None:
        page = document(CLUSTERS)
        for cluster in page["cluster_statuses"]:
            for host in cluster.get("host_statuses", ()):
                host["health_status"] = {"eds_health_status": "UNHEALTHY"}

        assert read_clusters(page, ECHO)[1] == {}


class TestAcknowledges:
    SPLIT = Envoy("a/b", {"v1": 90, "v2": 10}, BOTH)

    def test_the_weights_that_it_routes_by(self) -> None:
        assert acknowledges(self.SPLIT, {"v1": 90, "v2": 10}, ())

    def test_a_weight_of_0_by_having_no_route(self) -> None:
        assert acknowledges(Envoy("a/b", {"v1": 100}, BOTH), {"v1": 100, "v2": 0}, ())

    @pytest.mark.parametrize("weights", [{"v1": 75, "v2": 25}, {"v1": 100}, {"v1": 90, "v2": 10, "v3": 1}])
    def test_no_others(self, weights: dict[str, int]) -> None:
        assert not acknowledges(self.SPLIT, weights, ())

    def test_the_versions_that_it_routes_by_a_header(self) -> None:
        asked_for = replace(self.SPLIT, testers=BOTH)

        assert acknowledges(asked_for, {"v1": 90, "v2": 10}, ["v2", "v1"])
        assert not acknowledges(self.SPLIT, {"v1": 90, "v2": 10}, ["v2", "v1"])
        assert not acknowledges(asked_for, {"v1": 90, "v2": 10}, ["v2"])

    def test_of_a_gateway_no_version_by_a_header(self) -> None:
        gateway = replace(self.SPLIT, gateway=True)

        assert acknowledges(gateway, {"v1": 90, "v2": 10}, ["v2"])
        # what testers may ask it for is no commit's
        assert acknowledges(replace(gateway, testers=frozenset({"v1"})), {"v1": 90, "v2": 10}, ["v2"])

    @pytest.mark.parametrize("testers", [[], ["v2"]])
    def test_nothing_that_it_has_no_cluster_for(self, testers: list[str]) -> None:
        weights = {"v1": 100} if testers else {"v1": 90, "v2": 10}

        assert not acknowledges(Envoy("a/b", weights, frozenset({"v1"}), testers=frozenset(testers)), weights, testers)

    def test_nothing_without_a_route(self) -> None:
        assert not acknowledges(Envoy("a/b", None, BOTH), {"v1": 100}, ())

    def test_nothing_when_it_could_not_be_asked(self) -> None:
        assert not acknowledges(Envoy("a/b", {"v1": 100}, BOTH, error="gone"), {"v1": 100}, ())


class TestPages:
    UNASKED = Envoy("a/b", istio="1.31.1")

    def test_make_an_envoy(self) -> None:
        assert read_pages(self.UNASKED, [ECHO], Page(text(ROUTES)), Page(text(CLUSTERS))) == {
            "echo": Envoy("a/b", {"v1": 90, "v2": 10}, BOTH, {"v1": 1}, istio="1.31.1")
        }

    def test_make_one_for_each_service(self) -> None:
        assert read_pages(self.UNASKED, SERVICES, Page(text(OF_TWO)), Page(text(CLUSTERS_OF_TWO))) == {
            "echo": replace(self.UNASKED, weights={"v1": 90, "v2": 10}, subsets=BOTH, testers=BOTH),
            "shop": replace(self.UNASKED, weights={"v1": 100}, subsets=BOTH),
        }

    def test_that_are_not_there_are_its_error(self) -> None:
        found = read_pages(self.UNASKED, SERVICES, Page(text(ROUTES)), Page(error="refused"))

        assert found == dict.fromkeys(("echo", "shop"), replace(self.UNASKED, error="refused"))

    @pytest.mark.parametrize("page", ["invalid path", "[]", '{"configs": [{}]}'])
    def test_that_cannot_be_read_are_its_error(self, page: str) -> None:
        assert "cannot be read" in read_pages(self.UNASKED, [ECHO], Page(page), Page(text(CLUSTERS)))["echo"].error

    def test_that_one_service_is_unreadable_in_tell_of_the_other(self) -> None:
        dump = document(OF_TWO)
        echo_routes(dump)[0]["match"] = {"prefix": "/new"}
        found = read_pages(self.UNASKED, SERVICES, Page(json.dumps(dump)), Page(text(CLUSTERS_OF_TWO)))

        assert "cannot be read" in found["echo"].error
        assert (found["shop"].error, found["shop"].weights) == ("", {"v1": 100})


def gateway(name: str) -> dict[str, Any]:
    """As the webhook makes it of the official chart."""
    found = sidecar(name, native=False)
    found["metadata"]["namespace"] = "istio-ingress"
    found["spec"]["containers"] = found["spec"]["containers"][1:]
    found["spec"]["containers"][0]["args"][1] = "router"
    return found


def _failing(opened: Exec) -> None:
    opened.end(exit_status(255))


def read(tmp_path: Path, cluster: FakeCluster) -> tuple[Envoy, ...]:
    with serving(cluster) as port:
        region = RegionAccess("region-a", "a", "ctx", cluster.kubeconfig(tmp_path / "kubeconfig", "ctx", port))
        return read_envoys(region, [ECHO], cluster.pods)["echo"]


def of(*pods: dict[str, Any], script: Callable[[Exec], None] = answering) -> FakeCluster:
    return FakeCluster(pods=list(pods), script=script)


class TestRead:
    def test_asks_every_sidecar(self, tmp_path: Path) -> None:
        asked = read(tmp_path, of(sidecar("b"), sidecar("a", native=False)))

        assert [(envoy.pod, envoy.weights, envoy.ejected) for envoy in asked] == [
            ("echo/a", {"v1": 90, "v2": 10}, {"v1": 1}),
            ("echo/b", {"v1": 90, "v2": 10}, {"v1": 1}),
        ]

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
        forbidden = FakeCluster(pods=[sidecar("a")], refuse_exec=422, refusal="policy no-exec: not here")
        (envoy,) = read(tmp_path, forbidden)

        assert (envoy.error, envoy.refused) == ("exec was refused: 422 policy no-exec: not here", True)

    @pytest.mark.parametrize("code", [404, 429, 500])
    def test_tells_apart_what_may_pass(self, code: int, tmp_path: Path) -> None:
        (envoy,) = read(tmp_path, FakeCluster(pods=[sidecar("a")], refuse_exec=code))

        assert (envoy.error, envoy.refused) == (f"exec failed: {code} not allowed", False)

    def test_leaves_out_one_that_goes_while_it_is_asked(self, tmp_path: Path) -> None:
        leaving = sidecar("a")

        def going(opened: Exec) -> None:
            if "/a/exec" in opened.path:
                leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                opened.end(exit_status(137))
            else:
                answering(opened)

        assert [envoy.pod for envoy in read(tmp_path, of(leaving, sidecar("b"), script=going))] == ["echo/b"]


class TestReadOfTwoServices:
    def read(self, tmp_path: Path, cluster: FakeCluster) -> dict[str, tuple[Envoy, ...]]:
        with serving(cluster) as port:
            region = RegionAccess("region-a", "a", "ctx", cluster.kubeconfig(tmp_path / "kubeconfig", "ctx", port))
            return read_envoys(region, SERVICES, cluster.pods)

    def test_asks_a_sidecar_for_two_pages_of_both(self, tmp_path: Path) -> None:
        asked: list[str] = []

        def answer(opened: Exec) -> None:
            asked.append(opened.command[-1])
            answers(OF_TWO, CLUSTERS_OF_TWO)(opened)

        found = self.read(tmp_path, of(sidecar("a"), script=answer))

        assert {name: [envoy.weights for envoy in envoys] for name, envoys in found.items()} == {
            "echo": [{"v1": 90, "v2": 10}],
            "shop": [{"v1": 100}],
        }
        assert sorted(asked) == [
            "clusters?format=json&filter=.*(echo.echo.svc.cluster.local|shop.shop.svc.cluster.local).*",
            "config_dump?resource=dynamic_route_configs&name_regex=(.*:)?(80|8080)",
        ]

    def test_asks_a_gateway_for_the_routes_of_its_own_ports(self, tmp_path: Path) -> None:
        asked: list[str] = []

        def answer(opened: Exec) -> None:
            asked.append(opened.command[-1])
            answers(GATEWAY, CLUSTERS_OF_TWO)(opened)

        found = self.read(tmp_path, of(gateway("g"), script=answer))

        assert [(envoy.pod, envoy.gateway, envoy.weights) for envoys in found.values() for envoy in envoys] == [
            ("istio-ingress/g", True, {"v1": 90, "v2": 10}),
            ("istio-ingress/g", True, {"v1": 100}),
        ]
        assert "config_dump?resource=dynamic_route_configs&name_regex=https?[.].*" in asked

    def test_leaves_out_a_gateway_without_a_route_to_the_service(self, tmp_path: Path) -> None:
        assert self.read(tmp_path, of(gateway("g"), script=answers(OF_OTHERS, CLUSTERS_OF_TWO))) == {
            "echo": (),
            "shop": (),
        }

    def test_keeps_a_gateway_that_cannot_be_asked(self, tmp_path: Path) -> None:
        found = self.read(tmp_path, of(gateway("g"), script=_failing))

        assert [envoy.pod for envoys in found.values() for envoy in envoys] == ["istio-ingress/g"] * 2

    def test_keeps_a_sidecar_with_subsets_alone(self, tmp_path: Path) -> None:
        found = self.read(tmp_path, of(sidecar("a"), script=answers(OF_OTHERS, CLUSTERS_OF_TWO)))

        assert [(envoy.weights, envoy.subsets) for envoys in found.values() for envoy in envoys] == [(None, BOTH)] * 2

    def test_leaves_out_a_sidecar_that_knows_nothing_of_the_service(self, tmp_path: Path) -> None:
        found = self.read(tmp_path, of(sidecar("a"), script=answers(ROUTES, CLUSTERS)))

        assert [len(envoys) for envoys in found.values()] == [1, 0]


class TestSample:
    def of(self, workload: str, number: int) -> list[dict[str, Any]]:
        pods = [sidecar(f"{workload}-7d-{index}") for index in range(number)]
        for pod in pods:
            pod["metadata"]["labels"] = {"pod-template-hash": "7d"}
            pod["metadata"]["ownerReferences"] = [{"controller": True, "kind": "ReplicaSet", "name": f"{workload}-7d"}]
        return pods

    def test_is_all_of_few(self) -> None:
        pods = self.of("echo", FEW)

        assert sample(pods) == (pods, ())

    def test_has_one_of_each_workload_first(self) -> None:
        rare = [pod for index in range(FEW - 1) for pod in self.of(f"rare-{index}", 1)]

        asked, others = sample([*self.of("echo", 500), *rare])

        assert [pod["metadata"]["name"] for pod in asked[1:]] == [pod["metadata"]["name"] for pod in rare]
        assert len(asked) == FEW
        assert {(envoy.workload, envoy.weights) for envoy in others} == {("deployment/echo", None)}
        assert len(others) == 499

    def test_is_another_one_each_time(self) -> None:
        pods = self.of("echo", 500)

        assert sample(pods)[0] != sample(pods)[0]
