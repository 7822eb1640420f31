"""Istio's base chart keeps its CRDs when it is uninstalled, and a release of another name may not take them over: the next install fails.

Names are fixed, the version is pinned, and what a region is called in the mesh comes from its stack file.
"""

import re
from typing import Any

import pytest

from components.istio import IstioInstall, IstioInstallArgs, istiod_values
from stackfile.model import IstioConfig, MeshConfig
from tests.components.graph import Graph, record_component

MESH = MeshConfig(network="network-n")


def install(istio: IstioConfig) -> Graph:
    return record_component(lambda: IstioInstall("istio", IstioInstallArgs("north", MESH, istio)))


def values(**given: Any) -> dict[str, Any]:
    return istiod_values(IstioInstallArgs("north", MESH, IstioConfig(values=given)))


@pytest.mark.parametrize(("name", "release"), [("istio-base", "istio-base"), ("istio-istiod", "istiod")])
def test_releases_have_fixed_names_and_a_pinned_version(graph: Graph, name: str, release: str) -> None:
    inputs = graph.the("Release", name).inputs
    assert (inputs["name"], inputs["namespace"], inputs["version"]) == (release, "istio-system", "1.31.1")


def test_charts_come_from_the_official_repository(graph: Graph) -> None:
    releases = [node.inputs for node in graph if node.kind == "Release"]
    assert sorted(release["chart"] for release in releases) == ["base", "gateway", "istiod"]
    assert {release["repositoryOpts"]["repo"] for release in releases} == {
        "https://istio-release.storage.googleapis.com/charts"
    }


@pytest.mark.parametrize("charts", ["/srv/charts", "./charts/", "oci://registry.corp.local/istio"])
def test_charts_of_a_directory_or_an_oci_registry_are_named_in_full(charts: str) -> None:
    releases = [node.inputs for node in install(IstioConfig(charts=charts)) if node.kind == "Release"]
    assert [release["chart"] for release in releases] == [f"{charts.rstrip('/')}/base", f"{charts.rstrip('/')}/istiod"]
    assert all("repositoryOpts" not in release for release in releases)


def test_istiod_is_waited_for(graph: Graph) -> None:
    inputs = graph.the("Release", "istio-istiod").inputs
    assert (inputs["skipAwait"], inputs["timeout"]) == (False, 300)


def test_istiod_knows_who_its_cluster_is_in_the_mesh() -> None:
    assert values()["meshConfig"] == {"trustDomain": "corp.local"}
    assert values()["global"] == {
        "meshID": "training-mesh",
        "network": "network-n",
        "multiCluster": {"clusterName": "north"},
    }


def test_proxies_keep_statistics_of_subsets_alone_where_latency_is_read() -> None:
    args = IstioInstallArgs("north", MESH, IstioConfig(), latency=True)
    (kept,) = istiod_values(args)["meshConfig"]["defaultConfig"]["proxyStatsMatcher"]["inclusionRegexps"]
    of_v2, of_all = (
        "cluster.outbound|80|v2|echo.echo.svc.cluster.local",
        "cluster.outbound|80||echo.echo.svc.cluster.local",
    )

    assert all(
        re.fullmatch(kept, f"{of_v2}{name}") for name in (".upstream_rq_4xx", ";.upstream_rq_429", ";.upstream_rq_time")
    )
    assert not re.fullmatch(kept, f"{of_all}.upstream_rq_time")
    assert not re.fullmatch(kept, f"{of_v2}.external.upstream_rq_time")
    assert not re.fullmatch(kept, f"{of_v2}.upstream_rq_200")


def test_the_systems_namespace_says_its_network() -> None:
    labels = install(IstioConfig()).the("Namespace", "istio-system").metadata["labels"]
    assert labels["topology.istio.io/network"] == "network-n"


def test_values_of_the_stack_file_are_merged_over_the_programs() -> None:
    given = values(resources={"requests": {"cpu": "10m"}}, telemetry={"enabled": False})
    assert given["resources"] == {"requests": {"cpu": "10m", "memory": "256Mi"}}
    assert given["telemetry"] == {"enabled": False}


def test_values_of_the_stack_file_are_istiods_alone() -> None:
    graph = install(IstioConfig(values={"telemetry": {"enabled": False}}))
    assert graph.the("Release", "istio-base").inputs["values"] == {}
