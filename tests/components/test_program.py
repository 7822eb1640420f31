"""A pod that starts before istiod is ready gets no sidecar, and runs for ever without: nothing fails, and nothing is split.

Order is a safety property. These tests run the whole program on the committed stack files, and look at all that it registers.
"""

from itertools import pairwise
from typing import Any

import pytest

from tests.components.graph import Graph

CHAIN = [
    ("Namespace", "istio-system"),
    ("Release", "istio-base"),
    ("Release", "istio-istiod"),
    ("Namespace", "echo"),
    ("PeerAuthentication", "echo-mutual-tls"),
    ("Deployment", "echo-v1"),
    ("DestinationRule", "echo"),
    ("VirtualService", "echo"),
]


EVERYWHERE = [
    ("pulumi:providers:kubernetes", "cluster"),
    ("echo-rollout:istio:IstioInstall", "istio"),
    ("kubernetes:core/v1:Namespace", "istio-system"),
    ("kubernetes:helm.sh/v3:Release", "istio-base"),
    ("kubernetes:helm.sh/v3:Release", "istio-istiod"),
    ("echo-rollout:service:ServiceNamespace", "echo"),
    ("kubernetes:core/v1:Namespace", "echo"),
    ("kubernetes:security.istio.io/v1:PeerAuthentication", "echo-mutual-tls"),
    ("echo-rollout:probe:EchoProbe", "probe"),
    ("kubernetes:core/v1:Namespace", "probe"),
    ("kubernetes:core/v1:ServiceAccount", "probe"),
    ("kubernetes:apps/v1:Deployment", "probe"),
    ("kubernetes:apps/v1:Deployment", "probe-outside"),
    ("echo-rollout:gateway:IngressGateway", "gateway"),
    ("kubernetes:core/v1:Namespace", "gateway"),
    ("kubernetes:networking.istio.io/v1:Gateway", "gateway"),
    ("kubernetes:helm.sh/v3:Release", "gateway"),
]
WORKLOADS = [
    ("echo-rollout:service:ServiceDeployments", "echo"),
    ("kubernetes:core/v1:ServiceAccount", "echo"),
    ("kubernetes:core/v1:Service", "echo"),
    ("kubernetes:policy/v1:PodDisruptionBudget", "echo-v1"),
    ("kubernetes:policy/v1:PodDisruptionBudget", "echo-v2"),
    ("kubernetes:apps/v1:Deployment", "echo-v1"),
    ("kubernetes:apps/v1:Deployment", "echo-v2"),
    ("echo-rollout:traffic:TrafficPolicy", "echo"),
    ("kubernetes:networking.istio.io/v1:DestinationRule", "echo"),
    ("kubernetes:networking.istio.io/v1:VirtualService", "echo"),
]
ARGO_CD = [
    ("echo-rollout:argocd:ArgoCdInstall", "argocd"),
    ("kubernetes:core/v1:Namespace", "argocd"),
    ("kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition", "applications.argoproj.io"),
    ("kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition", "appprojects.argoproj.io"),
    ("kubernetes:yaml:ConfigFile", "argocd"),
    ("echo-rollout:argocd:Applications", "services"),
    ("kubernetes:argoproj.io/v1alpha1:AppProject", "echo"),
    ("kubernetes:argoproj.io/v1alpha1:Application", "echo"),
]


@pytest.fixture(params=["gitops", "handover", "direct"])
def delivered(request: pytest.FixtureRequest, deliveries: dict[str, list[Graph]]) -> Graph:
    """What the program registers by each way of delivery."""
    return deliveries[request.param][0]


@pytest.mark.parametrize(
    ("delivery", "parts"),
    [("direct", WORKLOADS), ("gitops", ARGO_CD), ("handover", [*WORKLOADS, *ARGO_CD])],
    ids=["direct", "gitops", "handover"],
)
def test_nothing_is_missing_and_nothing_is_there_besides(
    deliveries: dict[str, list[Graph]], delivery: str, parts: list[tuple[str, str]]
) -> None:
    for graph in deliveries[delivery]:
        found = [
            (node.type, node.name)
            for node in graph
            if node.kind != "Stack" and not (node.parent and graph.nodes[node.parent].kind == "ConfigFile")
        ]
        assert sorted(found) == sorted([*EVERYWHERE, *parts])


@pytest.mark.parametrize(("earlier", "later"), list(pairwise(CHAIN)), ids="-".join)
def test_each_link_of_the_chain_waits_for_the_one_before(
    graph: Graph, earlier: tuple[str, str], later: tuple[str, str]
) -> None:
    assert graph.waits_for(graph.the(*later), graph.the(*earlier))


def test_no_request_is_routed_before_every_version_is_ready(graph: Graph) -> None:
    rule = graph.the("DestinationRule", "echo")
    assert all(graph.waits_for(rule, node) for node in graph if node.kind == "Deployment" and "probe" not in node.name)


def test_every_pod_waits_for_istiod_which_gives_it_its_sidecar(graph: Graph) -> None:
    istiod = graph.the("Release", "istio-istiod")
    pods = [node for node in graph if node.kind == "Deployment"]
    assert len(pods) == 4
    assert all(graph.waits_for(node, istiod) for node in pods)


def test_every_deployment_waits_for_its_service_account(graph: Graph) -> None:
    for node in graph:
        if node.kind == "Deployment":
            account = graph.the("ServiceAccount", node.name.partition("-")[0])
            assert graph.waits_for(node, account)


def test_the_probe_does_not_wait_for_echo(delivered: Graph) -> None:
    assert not delivered.waits_for(delivered.the("Deployment", "probe"), delivered.the("Namespace", "echo"))


def test_every_component_is_finished(delivered: Graph) -> None:
    components = {node.urn for node in delivered if not node.custom}
    assert components <= set(delivered.finished)


def test_every_object_goes_to_the_stacks_own_cluster(delivered: Graph) -> None:
    provider = delivered.the("kubernetes", "cluster")
    objects = [node for node in delivered if node.type.startswith("kubernetes:") and node.custom]
    assert {node.provider.rpartition("::")[0] for node in objects} == {provider.urn}


def test_every_object_belongs_to_a_component(delivered: Graph) -> None:
    parents = {delivered.nodes[node.parent].type for node in delivered if node.type.startswith("kubernetes:")}
    parents -= {"kubernetes:yaml:ConfigFile"}
    assert all(parent.startswith("echo-rollout:") for parent in parents)


def test_every_object_says_its_namespace(delivered: Graph) -> None:
    spaces = {node.metadata["name"] for node in delivered.objects if node.kind == "Namespace"}
    for node in delivered.objects:
        if node.kind not in ("Namespace", "CustomResourceDefinition", "ClusterRoleBinding"):
            assert node.metadata["namespace"] in spaces, node.urn
    assert {node.inputs["namespace"] for node in delivered if node.kind == "Release"} <= spaces


def test_an_object_of_a_namespace_waits_for_it(delivered: Graph) -> None:
    spaces = {node.metadata["name"]: node for node in delivered.objects if node.kind == "Namespace"}
    for node in delivered.objects:
        if "namespace" in node.metadata:
            assert delivered.waits_for(node, spaces[node.metadata["namespace"]]), node.urn


def test_the_cluster_is_the_stacks_context(graph: Graph) -> None:
    assert graph.the("kubernetes", "cluster").inputs["context"] == graph.outputs["context"]


def test_the_machines_kubeconfig_variable_does_not_get_into_the_state(graph: Graph) -> None:
    assert graph.the("kubernetes", "cluster").inputs["kubeconfig"] == ""


def test_outputs_are_what_a_person_wants_next(deliveries: dict[str, list[Graph]]) -> None:
    assert deliveries["gitops"][1].outputs == {
        "region": "region-b",
        "cluster": "uid-a",
        "context": "region-b",
        "istio": "1.31.1",
        "delivery": "gitops",
        "installs": {"istio": True, "argocd": True},
        "gateway": "istio-ingress.istio-ingress.svc.cluster.local:80",
        "services": {
            "echo": {
                "url": "http://echo.echo.svc.cluster.local/",
                "namespace": "echo",
                "port": 80,
                "hosts": ["echo.corp.local"],
                "versionHeader": "x-rollout-version",
                "requests": [
                    {"method": "GET", "path": "/", "headers": {}, "body": "", "weight": 1, "expectedStatus": [200]}
                ],
                "weights": {"v1": 90, "v2": 10},
                "images": {"v1": "registry.corp.local/echo:1.0.0", "v2": "registry.corp.local/echo:2.0.0"},
                "application": "argocd/echo",
            }
        },
    }


def test_no_application_is_named_where_there_is_none(deliveries: dict[str, list[Graph]]) -> None:
    assert deliveries["direct"][0].outputs["services"]["echo"].get("application") is None


def leaves(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in leaves(item, f"{path}.{key}").items()}
    if isinstance(value, list):
        return {k: v for i, item in enumerate(value) for k, v in leaves(item, f"{path}[{i}]").items()}
    return {path: value}


def test_the_regions_differ_in_their_names_and_nowhere_else(deliveries: dict[str, list[Graph]]) -> None:
    one, other = (
        {k: v for node in graph for k, v in leaves(dict(node.inputs), f"{node.kind} {node.name}").items()}
        for graph in deliveries["handover"]
    )
    assert one.keys() == other.keys()
    assert {path: (value, other[path]) for path, value in one.items() if value != other[path]} == {
        "kubernetes cluster.context": ("region-a", "region-b"),
        "Namespace istio-system.metadata.labels.topology.istio.io/network": ("network-a", "network-b"),
        "Release istio-istiod.values.global.network": ("network-a", "network-b"),
        "Release istio-istiod.values.global.multiCluster.clusterName": ("region-a", "region-b"),
        "Application echo.spec.source.path": ("deploy/overlays/region-a/echo", "deploy/overlays/region-b/echo"),
        "Deployment echo-v1.spec.template.spec.containers[0].env[0].value": ("region-a", "region-b"),
        "Deployment echo-v2.spec.template.spec.containers[0].env[0].value": ("region-a", "region-b"),
    }
