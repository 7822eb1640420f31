"""An account that may more than its verbs need is a way in; one that may less stops a verb half-way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from components.access import PROMOTER, READER
from components.probe import NAMESPACE
from tests.components.graph import STACK_FILES, Graph, record_stack
from tests.components.rights import accounts, rights

EXEC = {("get", "", "pods/exec"), ("create", "", "pods/exec")}
SERVICE = {
    ("get", "", "namespaces"),
    ("list", "apps", "deployments"),
    ("list", "autoscaling", "horizontalpodautoscalers"),
}
EVERYWHERE = {
    ("list", "", "pods"),
    ("list", "networking.istio.io", "virtualservices"),
    ("list", "networking.istio.io", "destinationrules"),
}
ARGO_CD = {("get", "argoproj.io", "applications"), ("list", "argoproj.io", "appprojects")}
"""By verb, API group and resource."""


def of(graph: Graph, account: str) -> Mapping[str, set[tuple[str, str, str]]]:
    """What an account may, by namespace; "" for all of them."""
    found: dict[str, set[tuple[str, str, str]]] = {}
    for right in rights(graph, account):
        found.setdefault(right.namespace, set()).add((right.verb, right.group, right.resource))
    return found


@pytest.fixture
def program(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """All that a region with accounts registers."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    return record_stack(STACK_FILES[0], access={})


def test_a_region_that_does_not_ask_for_it_gives_nobody_a_right(graphs: list[Graph]) -> None:
    for graph in graphs:
        assert not {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"} & {node.kind for node in graph}


def test_the_reader_looks_and_runs_commands_in_the_pods_that_it_asks() -> None:
    assert of(accounts(), READER) == {
        "": EVERYWHERE,
        "echo": EXEC | SERVICE,
        NAMESPACE: EXEC,
        "istio-system": EXEC,
        "istio-ingress": EXEC,
        "argocd": ARGO_CD,
    }


def test_the_promoter_may_ask_argo_cd_to_look_as_well() -> None:
    graph = accounts()
    more = {("patch", "argoproj.io", "applications")}

    assert of(graph, PROMOTER) == {**of(graph, READER), "argocd": ARGO_CD | more}


def test_the_applications_are_those_of_the_services_alone() -> None:
    named = {right.names for right in rights(accounts(), PROMOTER) if right.resource == "applications"}

    assert named == {("echo",)}


def test_clients_in_other_namespaces_are_asked_where_they_are_named() -> None:
    assert of(accounts("shop"), READER)["shop"] == EXEC


def test_without_argo_cd_there_is_nothing_to_read_there() -> None:
    graph = accounts(delivery="direct")

    assert of(graph, READER) == of(graph, PROMOTER)
    assert "argocd" not in of(graph, READER)


def test_the_accounts_are_in_the_probes_namespace_and_no_pod_gets_their_tokens() -> None:
    graph = accounts()

    for account in (READER, PROMOTER):
        node = graph.the("ServiceAccount", account)
        assert (node.metadata["namespace"], node.inputs["automountServiceAccountToken"]) == (NAMESPACE, False)


@pytest.mark.parametrize("namespace", ["echo", NAMESPACE, "istio-system", "istio-ingress", "argocd"])
def test_a_role_comes_after_its_namespace(program: Graph, namespace: str) -> None:
    role = program.the("Role", f"{READER}-{namespace}")
    (made,) = [
        node for node in program if (node.kind, node.inputs.get("metadata", {}).get("name")) == ("Namespace", namespace)
    ]

    assert program.waits_for(role, made)
