from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from components.names import ServiceAddress
from rollout.access import RegionAccess
from rollout.cluster.objects import (
    LastChange,
    Live,
    Pods,
    Route,
    WaitingPod,
    last_change,
    parse_istiod,
    parse_pods,
    parse_virtual_services,
    read_live,
    read_route,
)
from rollout.cluster.surroundings import Autoscaler, Project, Surroundings
from rollout.problem import RolloutError
from rules.facts.workloads import ObjectId
from tests.rollout.cluster.captured import document
from tests.rollout.cluster.fake_cluster import FakeCluster, serving

ECHO = ServiceAddress("echo", "echo")
# of a VirtualService that was not changed since it came
route = partial(Route, generation=1)
BY_ARGO_CD = LastChange("argocd-controller", datetime(2026, 11, 23, 11, 47, 46, tzinfo=UTC))
BY_HAND = LastChange("kubectl-patch", datetime(2026, 11, 23, 11, 47, 9, tzinfo=UTC))
SINCE = "2026-11-23T11:50:00Z"


def virtual_service(**http: Any) -> dict[str, Any]:
    """The captured one with another HTTP route."""
    found = document("virtual-service")
    found["spec"]["http"] = [http]
    return found


def to(subset: str | None, **weight: int) -> dict[str, Any]:
    return {"destination": {"host": "echo", **({"subset": subset} if subset else {})}, **weight}


def by_header(subset: str, match: dict[str, Any], to_subset: str = "") -> dict[str, Any]:
    """As it is rendered for testers, with more in its match."""
    found = {"gateways": ["mesh"], "headers": {"x-echo-version": {"exact": subset}}, **match}
    return {"name": f"tester-{subset}", "match": [found], "route": [to(to_subset or subset)]}


def parsed(*documents: dict[str, Any]) -> Route | None:
    return parse_virtual_services(documents, ECHO)


class TestRoute:
    def test_is_that_of_the_service(self) -> None:
        other = {"metadata": {"namespace": "echo", "name": "other"}, "spec": {}}
        namesake = {"metadata": {"namespace": "shop", "name": "echo"}, "spec": {}}

        assert parsed(other, namesake, document("virtual-service")) == route({"v1": 90, "v2": 10}, BY_ARGO_CD)

    def test_is_none_without_a_virtual_service(self) -> None:
        assert parsed() is None

    def test_of_one_destination_needs_no_weight(self) -> None:
        assert parsed(virtual_service(route=[to("v2")])) == route({"v2": 100}, BY_ARGO_CD)

    def test_without_subsets_is_of_all_pods(self) -> None:
        found = parsed(virtual_service(route=[to(None, weight=60), to(None, weight=40)]))

        assert found == route({"": 100}, BY_ARGO_CD)

    def test_has_the_versions_that_a_header_asks_for_beside_the_split(self) -> None:
        found = document("virtual-service")
        found["spec"]["http"][:0] = [by_header("v1", {}), by_header("v3", {"name": "v3"})]

        assert parsed(found) == route({"v1": 90, "v2": 10}, BY_ARGO_CD, testers=frozenset({"v1", "v3"}))

    @pytest.mark.parametrize(
        "http",
        [
            by_header("v2", {"uri": {"prefix": "/new"}}),
            by_header("v2", {"headers": {"x-echo-version": {"prefix": "v2"}}}),
            by_header("v2", {"headers": {"x": {"exact": "v2"}, "y": {"exact": "v2"}}}),
            by_header("v2", {"headers": {}}),
            by_header("v2", {}, to_subset="v1"),
            {
                **by_header("v2", {}),
                "match": [{"headers": {"x": {"exact": "v2"}}}, {"headers": {"y": {"exact": "v2"}}}],
            },
            {"match": [{"uri": {"prefix": "/new"}}], "route": [to("v2")]},
            {
                "match": [{"headers": {"x": {"exact": "v1"}, "y": {"exact": "v2"}}}],
                "route": [to("v1", weight=50), to("v2", weight=50)],
            },
        ],
    )
    def test_that_depends_on_more_than_a_version_in_a_header_is_no_split(self, http: dict[str, Any]) -> None:
        found = document("virtual-service")
        found["spec"]["http"].insert(0, http)

        assert parsed(found) == route(
            None, BY_ARGO_CD, "it has an HTTP route that depends on more than a header that names its version"
        )

    @pytest.mark.parametrize("number", [0, 2])
    def test_needs_one_for_the_requests_without_a_header(self, number: int) -> None:
        found = document("virtual-service")
        found["spec"]["http"] *= number

        assert parsed(found) == route(
            None, BY_ARGO_CD, f"it has {number} HTTP routes for the requests without a header, not one"
        )

    def test_without_a_destination_is_no_split(self) -> None:
        assert parsed(virtual_service(fault={})) == route(None, BY_ARGO_CD, "its route has no destination")


class TestLastChange:
    def test_is_of_who_wrote_the_routes(self) -> None:
        by_hand = document("virtual-service-changed-by-hand")

        assert last_change(by_hand) == BY_HAND
        assert getattr(parsed(by_hand), "generation", None) == 2

    def test_is_not_of_who_wrote_something_else_later(self) -> None:
        found = document("virtual-service-changed-by-hand")
        found["metadata"]["managedFields"][0]["time"] = "2026-11-23T12:00:00Z"

        assert last_change(found) == BY_HAND

    def test_is_of_the_last_of_those_who_agree(self) -> None:
        found = document("virtual-service-changed-by-hand")
        entries = found["metadata"]["managedFields"]
        entries.insert(0, {**entries[1], "manager": "kubectl-edit", "time": "2026-11-23T11:40:00Z"})

        assert last_change(found) == BY_HAND

    def test_is_not_known_without_managed_fields(self) -> None:
        found = document("virtual-service")
        del found["metadata"]["managedFields"]

        assert last_change(found) is None


def deployment(version: str, replicas: int) -> dict[str, Any]:
    return {"metadata": {"name": f"echo-{version}", "labels": {"version": version}}, "spec": {"replicas": replicas}}


def pod(version: str, *, ready: bool = True, waiting: str = "", leaving: bool = False) -> dict[str, Any]:
    condition = {"type": "Ready", "status": str(ready), "reason": "ContainersNotReady", "lastTransitionTime": SINCE}
    states = [{"name": "istio-proxy", "state": {"running": {}}}]
    states += [{"name": "echo", "state": {"waiting": {"reason": waiting}}}] if waiting else []
    return {
        "metadata": {
            "name": f"echo-{version}-a",
            "labels": {"version": version},
            **({"deletionTimestamp": SINCE} if leaving else {}),
        },
        "status": {"phase": "Running", "conditions": [condition], "containerStatuses": states},
    }


class TestPods:
    def test_are_counted_by_version(self) -> None:
        found = parse_pods([deployment("v1", 2), deployment("v2", 1)], [pod("v1"), pod("v1"), pod("v2")])

        assert found == {"v1": Pods(2, 2), "v2": Pods(1, 1)}

    def test_that_wait_say_since_when_and_for_what(self) -> None:
        found = parse_pods([deployment("v1", 2)], [pod("v1"), pod("v1", ready=False, waiting="CrashLoopBackOff")])

        waiting = WaitingPod("echo-v1-a", datetime(2026, 11, 23, 11, 50, tzinfo=UTC), "CrashLoopBackOff")
        assert found == {"v1": Pods(2, 1, (waiting,))}

    def test_that_only_are_not_ready_say_so(self) -> None:
        (waiting,) = parse_pods([], [pod("v1", ready=False)])["v1"].waiting

        assert waiting.reason == "ContainersNotReady"

    def test_that_no_node_has_taken_say_their_phase(self) -> None:
        new = {"metadata": {"name": "p", "labels": {"version": "v1"}}, "status": {"phase": "Pending"}}

        assert parse_pods([], [new])["v1"].waiting == (WaitingPod("p", None, "Pending"),)

    def test_that_are_being_deleted_do_not_count(self) -> None:
        assert parse_pods([deployment("v1", 1)], [pod("v1", leaving=True)]) == {"v1": Pods(1, 0)}

    def test_of_a_version_that_has_none_are_wanted_still(self) -> None:
        assert parse_pods([deployment("v3", 3)], []) == {"v3": Pods(3, 0)}


def istiod(image: str, *, ready: bool = True) -> dict[str, Any]:
    return {**pod("", ready=ready), "spec": {"containers": [{"name": "discovery", "image": image}]}}


class TestIstiod:
    @pytest.mark.parametrize(
        ("image", "version"),
        [
            ("docker.io/istio/pilot:1.31.1", "1.31.1"),
            ("host:5000/pilot:v1.31.1-distroless", "1.31.1"),
            ("pilot:1.31.1-fips-debug@sha256:0a1b", "1.31.1"),
            ("pilot:1.31.0-rc.0", "1.31.0-rc.0"),
            ("localhost/pilot:1.31.0-lab.eed52ebb66ad", "1.31.0-lab.eed52ebb66ad"),
            ("pilot:1.31-alpha.eed52e-distroless", "1.31-alpha.eed52e"),
        ],
    )
    def test_is_of_the_version_that_its_tag_tells_without_the_variant(self, image: str, version: str) -> None:
        assert parse_istiod([istiod(image)]) == {version}

    @pytest.mark.parametrize("image", ["host:5000/pilot", "pilot:latest", "pilot@sha256:0a1b", "pilot:1_31", ""])
    def test_is_of_no_known_version_otherwise(self, image: str) -> None:
        assert parse_istiod([istiod("pilot:1.31.1"), istiod(image)]) == frozenset()

    def test_is_of_two_versions_while_it_is_upgraded(self) -> None:
        assert parse_istiod([istiod("pilot:1.31.1"), istiod("pilot:1.30.2")]) == {"1.30.2", "1.31.1"}

    def test_that_is_not_ready_injects_nothing(self) -> None:
        assert parse_istiod([istiod("pilot:1.30.2"), istiod("pilot:1.31.1", ready=False)]) == {"1.30.2"}


NETWORKING = "/apis/networking.istio.io/v1"
NAMESPACED = "namespaces/echo"
AUTOSCALERS = f"/apis/autoscaling/v2/{NAMESPACED}/horizontalpodautoscalers"
PROJECTS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects"


def of(namespace: str, found: dict[str, Any], **labels: str) -> dict[str, Any]:
    metadata = found["metadata"]
    labelled = {**metadata.get("labels", {}), **labels}
    return {
        "spec": {"containers": []},
        **found,
        "metadata": {"name": "x", **metadata, "namespace": namespace, "labels": labelled},
    }


@pytest.fixture
def cluster() -> FakeCluster:
    rival = {"metadata": {"namespace": "echo", "name": "second"}, "spec": {"host": "echo"}}
    target = {"scaleTargetRef": {"kind": "Deployment", "name": "echo-v1"}, "maxReplicas": 5}
    return FakeCluster(
        lists={
            f"{NETWORKING}/virtualservices": [document("virtual-service")],
            f"{NETWORKING}/destinationrules": [rival],
            f"/apis/apps/v1/{NAMESPACED}/deployments": [of("echo", deployment("v1", 1), app="echo")],
            AUTOSCALERS: [{"metadata": {"name": "hpa"}, "spec": target}],
            PROJECTS: [{"metadata": {"name": "echo"}, "spec": {"sourceRepos": ["*"]}}],
        },
        objects={f"/api/v1/{NAMESPACED}": {"metadata": {"name": "echo"}}},
    )


def everywhere() -> list[dict[str, Any]]:
    return [
        of("echo", pod("v1"), app="echo"),
        of("echo", pod("v9"), app="other"),
        of("shop", pod("v9"), app="echo"),
        of("istio-system", istiod("pilot:1.31.1"), app="istiod"),
    ]


class TestRead:
    def read(self, cluster: FakeCluster, tmp_path: Path, *, argo_cd: bool = True) -> Live:
        with serving(cluster) as port:
            region = RegionAccess("region-a", "a", "ctx", cluster.kubeconfig(tmp_path / "k", "ctx", port))
            return read_live(region, [ECHO], everywhere, argo_cd=argo_cd)["echo"]

    def test_tells_of_the_route_the_pods_and_all_around_them(self, cluster: FakeCluster, tmp_path: Path) -> None:
        assert self.read(cluster, tmp_path) == Live(
            route({"v1": 90, "v2": 10}, BY_ARGO_CD),
            {"v1": Pods(1, 1)},
            frozenset({"1.31.1"}),
            Surroundings(
                namespace="echo",
                argo_cd_away=("argocd-application-controller", "argocd-repo-server"),
                projects={"echo": Project(("*",))},
                injects=False,
                without_sidecar=("echo-v1-a",),
                rivals=("DestinationRule echo/second",),
                autoscalers=(Autoscaler("hpa", "echo-v1", 1, 5),),
            ),
            {ObjectId("Deployment", "echo", "echo-v1"): of("echo", deployment("v1", 1), app="echo")},
        )

    def test_does_not_ask_for_argo_cd_where_pulumi_delivers(self, cluster: FakeCluster, tmp_path: Path) -> None:
        found = self.read(cluster, tmp_path, argo_cd=False).around

        assert (found.argo_cd_away, found.projects) == ((), None)
        assert PROJECTS not in cluster.paths

    def test_of_two_services_of_a_namespace_lists_each_kind_once(self, cluster: FakeCluster, tmp_path: Path) -> None:
        with serving(cluster) as port:
            region = RegionAccess("region-a", "a", "ctx", cluster.kubeconfig(tmp_path / "k", "ctx", port))
            found = read_live(region, [ECHO, ServiceAddress("other", "echo")], everywhere, argo_cd=True)

        assert [each.pods for each in found.values()] == [{"v1": Pods(1, 1)}, {"v9": Pods(0, 1)}]
        assert len(cluster.paths) == len({*cluster.paths}) == 6

    @pytest.mark.parametrize("path", [f"{NETWORKING}/destinationrules", AUTOSCALERS, PROJECTS, f"/api/v1/{NAMESPACED}"])
    def test_tells_what_is_around_as_far_as_it_may(self, path: str, cluster: FakeCluster, tmp_path: Path) -> None:
        cluster.refused = {path}
        found = self.read(cluster, tmp_path)

        assert found.pods == {"v1": Pods(1, 1)}
        assert [": 403 Forbidden" in problem.what for problem in found.around.unseen] == [True]

    def test_of_the_route_alone_is_one_request(self, cluster: FakeCluster, tmp_path: Path) -> None:
        path = f"{NETWORKING}/{NAMESPACED}/virtualservices"
        cluster.lists[path] = [document("virtual-service")]
        with serving(cluster) as port:
            region = RegionAccess("region-a", "a", "ctx", cluster.kubeconfig(tmp_path / "k", "ctx", port))
            assert read_route(region, ECHO) == route({"v1": 90, "v2": 10}, BY_ARGO_CD)

        assert cluster.paths == [path]

    def test_tells_what_was_refused(self, cluster: FakeCluster, tmp_path: Path) -> None:
        cluster.refuse_list = 403

        with pytest.raises(RolloutError, match="refused to list deployments in echo: 403"):
            self.read(cluster, tmp_path)
