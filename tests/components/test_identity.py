"""A context is a name: it is given to another cluster by one edit of a kubeconfig, and the provider never notices.

So a stack remembers the UID of the namespace kube-system of the cluster that it is on.
"""

from collections.abc import Iterator
from pathlib import Path

import pulumi
import pytest

from tests.components.api_server import ApiServer, api_server
from tests.components.graph import STACK_FILES, Graph, World, attempt, record_stack, run_main, stack_config

CONTEXTS = ("region-a", "region-b", "renamed")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """A cluster to which every context leads."""
    with api_server() as served:
        monkeypatch.setenv("KUBECONFIG", str(served.kubeconfig(tmp_path / "kubeconfig", *CONTEXTS)))
        yield served


def refusal(world: World, region: int = 0) -> str:
    """The words with which the program ends before it has registered anything."""
    graph, error = attempt(run_main, stack_config(STACK_FILES[region]), ("region-a", "region-b")[region], world)
    assert isinstance(error, pulumi.RunError)
    assert sorted(node.kind for node in graph) == ["Stack"]
    return str(error)


def provider(graph: Graph) -> tuple[str, tuple[str, ...]]:
    """The identifier that the provider is given, and the inputs that stay as the state has them."""
    node = graph.the("kubernetes", "cluster")
    return node.inputs["clusterIdentifier"], node.ignored


KEPT = ("clusterIdentifier",)


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
def test_a_new_stack_is_identified_by_the_clusters_uid_and_remembers_it(server: ApiServer, preview: bool) -> None:
    graph = record_stack(STACK_FILES[0], World(preview=preview))
    assert (provider(graph), graph.outputs["cluster"]) == (("uid-a", ()), "uid-a")


def test_a_stack_that_remembers_no_cluster_keeps_its_identifier_and_remembers_the_cluster(server: ApiServer) -> None:
    graph = record_stack(STACK_FILES[0], World(outputs={"context": "region-a", "delivery": "gitops"}))
    assert (provider(graph)[1], graph.outputs["cluster"]) == (KEPT, "uid-a")


@pytest.mark.parametrize("context", ["region-a", "renamed"])
def test_the_same_cluster_keeps_its_identifier_whatever_its_context_is_called(server: ApiServer, context: str) -> None:
    world = World(outputs={"context": "region-a", "cluster": "uid-a"})
    graph = record_stack(STACK_FILES[0], world, cluster={"context": context})
    assert (provider(graph)[1], graph.outputs["cluster"]) == (KEPT, "uid-a")


def test_a_renamed_context_changes_nothing_but_the_providers_own(server: ApiServer) -> None:
    world = World(outputs={"context": "region-a", "cluster": "uid-a"})
    one, other = (record_stack(STACK_FILES[0], world, cluster={"context": each}) for each in ("region-a", "renamed"))
    changed = [node.kind for node in one if node != other.nodes[node.urn]]
    assert (changed, one.nodes.keys()) == (["kubernetes"], other.nodes.keys())


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
def test_another_cluster_behind_the_context_is_refused_before_anything_is_registered(
    server: ApiServer, preview: bool
) -> None:
    server.uid = "uid-b"
    assert refusal(World(outputs={"context": "region-a", "cluster": "uid-a"}, preview=preview)) == (
        f'cluster.context "region-a": {server.address} is not the cluster that this stack is on: the UID of its namespace '
        "kube-system is uid-b, and the stack remembers uid-a. The stack's state describes that cluster, and an update would change "
        "this one. To stay on that cluster, correct cluster.context or cluster.kubeconfig in the stack file, or the kubeconfig. To "
        "move the region here, destroy the stack there first, or begin a new stack (docs/uninstalling.md, "
        '"A region on another cluster").'
    )


def test_two_clusters_that_change_places_are_both_refused(server: ApiServer) -> None:
    for region, (here, remembered) in enumerate([("uid-b", "uid-a"), ("uid-a", "uid-b")]):
        server.uid = here
        said = refusal(World(outputs={"cluster": remembered}), region)
        assert f"kube-system is {here}, and the stack remembers {remembered}" in said


def test_what_is_wrong_with_another_cluster_is_not_told(server: ApiServer) -> None:
    server.uid, server.revisions = "uid-b", [("istiod", 1, "pending-install")]
    assert "Helm" not in refusal(World(outputs={"cluster": "uid-a"}))


@pytest.mark.parametrize("outputs", [{}, {"cluster": "uid-a"}], ids=["new", "known"])
@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
def test_a_user_who_may_not_tell_which_cluster_it_is_is_told_the_right_that_is_missing(
    server: ApiServer, preview: bool, outputs: dict[str, str]
) -> None:
    server.code = 403
    assert refusal(World(outputs, preview=preview)) == (
        f'cluster.context "region-a": {server.address} does not let the user get the namespace kube-system, whose UID tells which '
        "cluster this is. Without it the stack could change another region's cluster. Grant the user what the ClusterRole view "
        "grants: kubectl create clusterrolebinding NAME --clusterrole=view --user=USER"
    )


def test_the_cluster_is_asked_over_one_connection(server: ApiServer) -> None:
    known = World({"cluster": "uid-a", "services": {"echo": {}}})
    record_stack(STACK_FILES[0], known)
    assert (len(server.accepted), len(server.connections)) == (3, 1)
    record_stack(STACK_FILES[0])
    assert len(server.connections) == 2


# --- what outlives a stack


OUTLIVING = [
    "Gateway gateway",
    "IngressGateway gateway",
    "IstioInstall istio",
    "Namespace echo",
    "Namespace gateway",
    "Namespace istio-system",
    "PeerAuthentication echo-mutual-tls",
    "Release gateway",
    "Release istio-base",
    "Release istio-istiod",
    "ServiceNamespace echo",
]


@pytest.mark.parametrize(
    ("delivery", "cascade", "protected"),
    [
        ("gitops", False, OUTLIVING),
        ("handover", False, OUTLIVING),
        ("gitops", True, []),
        ("handover", True, []),
        ("direct", False, []),
    ],
)
def test_workloads_that_stay_without_their_application_keep_their_namespace_their_mesh_and_their_gateway(
    server: ApiServer, delivery: str, cascade: bool, protected: list[str]
) -> None:
    """Pulumi neither deletes nor replaces what is protected."""
    graph = record_stack(STACK_FILES[0], delivery=delivery, argocd={"cascade": cascade})
    assert sorted(f"{node.kind} {node.name}" for node in graph if node.protected) == protected
