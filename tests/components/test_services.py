"""Several services in one stack: each has its own, and what they share is there once.

And a stack from before there were several: what it has is found again, whatever the types are called by now.
"""

import json
import lzma
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from stackfile.model import ConfigError
from tests.components.graph import (
    LIVING,
    ROOT,
    STACK_FILES,
    Graph,
    Node,
    World,
    attempt,
    record_stack,
    run_main,
    shipped_echo,
    stack_config,
)
from tests.stackfile.stack_values import MINIMAL, NGINX, parse

WORKLOADS = (
    ("ServiceDeployments", ""),
    ("ServiceAccount", ""),
    ("Service", ""),
    ("PodDisruptionBudget", "-v1"),
    ("PodDisruptionBudget", "-v2"),
    ("Deployment", "-v1"),
    ("Deployment", "-v2"),
    ("TrafficPolicy", ""),
    ("DestinationRule", ""),
    ("VirtualService", ""),
)


@pytest.fixture(autouse=True)
def with_a_kubeconfig(monkeypatch: pytest.MonkeyPatch, kubeconfig: Any) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))


def two(delivery: str, **changed: Any) -> Graph:
    """The shipped stack, which is up, with a second service."""
    return record_stack(
        STACK_FILES[0],
        LIVING if delivery == "handover" else None,
        delivery=delivery,
        services={"nginx": {**NGINX, **changed}},
    )


def named(graph: Graph, *kinds: str) -> list[tuple[str, str]]:
    return sorted((node.kind, node.name) for node in graph if node.kind in kinds)


# --- several


@pytest.mark.parametrize("delivery", ["direct", "handover"])
def test_each_service_has_its_own_workloads_in_its_own_namespace(delivery: str) -> None:
    graph = two(delivery)
    for name in ("echo", "nginx"):
        for kind, suffix in WORKLOADS:
            node = graph.the(kind, f"{name}{suffix}")
            assert "metadata" not in node.inputs or node.metadata["namespace"] == name


def test_services_of_namespaces_of_their_own_have_two() -> None:
    graph = two("gitops")
    assert named(graph, "ServiceNamespace") == [("ServiceNamespace", "echo"), ("ServiceNamespace", "nginx")]
    for name in ("echo", "nginx"):
        assert graph.the("Namespace", name).metadata["labels"]["istio-injection"] == "enabled"
        authentication = graph.the("PeerAuthentication", f"{name}-mutual-tls")
        assert (authentication.metadata["namespace"], authentication.metadata["name"]) == (name, "default")


def test_services_of_one_namespace_share_it() -> None:
    graph = two("direct", namespace="echo")
    assert named(graph, "ServiceNamespace") == [("ServiceNamespace", "echo")]
    assert graph.the("Deployment", "nginx-v1").metadata["namespace"] == "echo"
    assert graph.outputs["services"]["nginx"]["url"] == "http://nginx.echo.svc.cluster.local:8000/"


def test_no_service_may_be_where_the_program_has_something_else(deliveries: dict[str, list[Graph]]) -> None:
    taken = {node.metadata["name"] for node in deliveries["gitops"][0].objects if node.kind == "Namespace"} - {"echo"}
    assert len(taken) > 3
    for namespace in taken - {"istio-ingress"}:
        with pytest.raises(ConfigError, match=f"nginx would be in the namespace {namespace}, "):
            parse({**MINIMAL, "services": {"nginx": {**NGINX, "namespace": namespace}}})
    with pytest.raises(ConfigError, match="istio-ingress is the namespace of a service too"):
        parse({**MINIMAL, "gateway": {}, "services": {"nginx": {**NGINX, "namespace": "istio-ingress"}}})


@pytest.mark.parametrize(("namespace", "allowed"), [("nginx", ["echo", "nginx"]), ("echo", ["echo"])])
def test_one_project_allows_just_the_namespaces_of_the_services(namespace: str, allowed: list[str]) -> None:
    graph = two("gitops", namespace=namespace)
    (project,) = [node for node in graph if node.kind == "AppProject"]
    assert [each["namespace"] for each in project.inputs["spec"]["destinations"]] == allowed


def test_each_service_has_an_application_of_its_overlay() -> None:
    graph = two("gitops", namespace="market")
    found = {node.name: node.inputs for node in graph if node.kind == "Application"}
    assert {name: each["metadata"]["name"] for name, each in found.items()} == {"echo": "echo", "nginx": "nginx"}
    places = [(each["spec"]["source"]["path"], each["spec"]["destination"]["namespace"]) for each in found.values()]
    # resources are registered in no fixed order
    assert sorted(places) == [
        ("deploy/overlays/region-a/echo", "echo"),
        ("deploy/overlays/region-a/nginx", "market"),
    ]
    assert {each["spec"]["project"] for each in found.values()} == {"echo"}


def test_an_application_waits_for_every_namespace_that_its_project_allows() -> None:
    graph = two("gitops")
    assert graph.waits_for(graph.the("Application", "nginx"), graph.the("Namespace", "nginx"))


def test_no_service_waits_for_another() -> None:
    graph = two("direct")
    for one, other in (("echo", "nginx"), ("nginx", "echo")):
        assert not graph.waits_for(graph.the("VirtualService", one), graph.the("Deployment", f"{other}-v1"))


def test_the_outputs_are_of_each_service() -> None:
    assert two("gitops").outputs["services"]["nginx"] == {
        "url": "http://nginx.nginx.svc.cluster.local:8000/",
        "namespace": "nginx",
        "port": 8000,
        "hosts": [],
        "versionHeader": "x-rollout-version",
        "requests": [{"method": "GET", "path": "/", "headers": {}, "body": "", "weight": 1, "expectedStatus": [200]}],
        "weights": {"v1": 100, "v2": 0},
        "images": {"v1": "registry.corp.local/nginx:1.26.0", "v2": "registry.corp.local/nginx:1.27.0"},
        "application": "argocd/nginx",
    }


def test_a_second_service_changes_nothing_of_the_first_but_what_the_project_allows(
    deliveries: dict[str, list[Graph]],
) -> None:
    before, after = deliveries["handover"][0], two("handover")
    changed = [node.kind for node in before if node.inputs != after.nodes[node.urn].inputs]
    assert changed == ["AppProject"]


def test_an_object_of_two_services_is_refused() -> None:
    # both name a Deployment echo-v1-v1, in one namespace
    services = {
        **shipped_echo(versions={"v1-v1": {**NGINX["versions"]["v1"]}}),
        "echo-v1": {**NGINX, "namespace": "echo", "versions": {"v1": NGINX["versions"]["v1"]}},
    }
    _, error = attempt(run_main, stack_config(STACK_FILES[0], services=services))
    assert "Deployment echo/echo-v1-v1: is of echo and of echo-v1 — " in str(error)


# --- a stack from before


def before(component: str, *children: tuple[str, str], name: str = "echo") -> set[str]:
    """The URNs that a component and its children had while there was one service."""
    start = "urn:pulumi:region-a::echo-rollout::"
    return {f"{start}{component}::{name}"} | {
        f"{start}{component}$kubernetes:{kind}::{each}" for kind, each in children
    }


WORKLOADS_BEFORE = before(
    "echo-rollout:echo:EchoDeployments",
    ("core/v1:ServiceAccount", "echo"),
    ("core/v1:Service", "echo"),
    ("policy/v1:PodDisruptionBudget", "echo-v1"),
    ("policy/v1:PodDisruptionBudget", "echo-v2"),
    ("apps/v1:Deployment", "echo-v1"),
    ("apps/v1:Deployment", "echo-v2"),
) | before(
    "echo-rollout:traffic:TrafficPolicy",
    ("networking.istio.io/v1:DestinationRule", "echo"),
    ("networking.istio.io/v1:VirtualService", "echo"),
)
NAMESPACE_BEFORE = before(
    "echo-rollout:echo:EchoNamespace",
    ("core/v1:Namespace", "echo"),
    ("security.istio.io/v1:PeerAuthentication", "echo-mutual-tls"),
)
APPLICATION_BEFORE = before(
    "echo-rollout:argocd:EchoApplication",
    ("argoproj.io/v1alpha1:AppProject", "echo"),
    ("argoproj.io/v1alpha1:Application", "echo"),
)


def known_as(graph: Graph) -> Mapping[str, list[str]]:
    """The resources that Pulumi takes for the one that a state has under a URN."""
    found: dict[str, list[str]] = {}
    for node in graph:
        for urn in looked_for(graph, node):
            found.setdefault(urn, []).append(node.urn)
    return found


def looked_for(graph: Graph, node: Node) -> Iterator[str]:
    """The URNs by which the engine looks for a resource: its own, its aliases', or what its parent's make of it.

    Those that the SDK itself gives an object, of other versions of its API, are left out.
    Source: generateAliases in https://github.com/pulumi/pulumi/blob/v3.246.0/pkg/resource/deploy/step_generator.go
    """
    parent = graph.nodes.get(node.parent)
    if parent is None or parent.kind == "Stack":
        for kind, name in [(node.type, node.name), *node.aliases]:
            yield f"urn:pulumi:region-a::echo-rollout::{kind}::{name or node.name}"
        return
    for urn in looked_for(graph, parent):
        start, _, parents_name = urn.rpartition("::")
        below = node.name.startswith(parent.name)
        yield f"{start}${node.type}::{parents_name + node.name.removeprefix(parent.name) if below else node.name}"


@pytest.mark.parametrize(
    ("delivery", "urns"),
    [
        ("direct", NAMESPACE_BEFORE | WORKLOADS_BEFORE),
        ("handover", NAMESPACE_BEFORE | WORKLOADS_BEFORE | APPLICATION_BEFORE),
        ("gitops", NAMESPACE_BEFORE | APPLICATION_BEFORE),
    ],
)
@pytest.mark.parametrize("services", [{}, {"nginx": NGINX}], ids=["echo", "echo and nginx"])
def test_all_that_a_stack_had_while_there_was_one_service_is_found_again_once(
    delivery: str, urns: set[str], services: dict[str, Any]
) -> None:
    known = known_as(record_stack(STACK_FILES[0], delivery=delivery, services=services))
    assert {urn: len(known.get(urn, [])) for urn in urns} == dict.fromkeys(urns, 1)


def test_a_found_resource_has_the_kind_and_the_name_that_it_had(deliveries: dict[str, list[Graph]]) -> None:
    """Under another name in the cluster it would be replaced."""
    graph = deliveries["handover"][0]
    known = known_as(graph)
    for urn in NAMESPACE_BEFORE | WORKLOADS_BEFORE | APPLICATION_BEFORE:
        kind, name = urn.rpartition("::")[0].rpartition(":")[2], urn.rpartition("::")[2]
        node = graph.nodes[known[urn][0]]
        if node.custom:
            assert (node.kind, node.name) == (kind, name)
            assert node.metadata["name"] == ("default" if kind == "PeerAuthentication" else name)


def test_everything_of_a_state_that_an_older_program_wrote_is_found_again(deliveries: dict[str, list[Graph]]) -> None:
    state = json.loads(lzma.decompress((ROOT / "tests/e2e/states/region-a.json.xz").read_bytes()))
    urns = [each["urn"] for each in state["deployment"]["resources"]]
    # the manifest in that state is another one, and whatever follows from it
    ours = [urn for urn in urns if "::echo-rollout::echo-rollout:" in urn and "$kubernetes:yaml:ConfigFile$" not in urn]
    assert len(ours) > 15
    known = known_as(deliveries["gitops"][0])
    assert [urn for urn in ours if len(known.get(urn, [])) != 1] == []


def test_the_credentials_of_before_are_looked_up_by_their_name_of_before() -> None:
    world = World(secrets={"argocd/git": {"argocd.argoproj.io/secret-type": "repository"}})
    graph = record_stack(STACK_FILES[0], world, repository={"secret": "git"})
    (urn,) = known_as(graph)[
        "urn:pulumi:region-a::echo-rollout::echo-rollout:argocd:EchoApplication$kubernetes:core/v1:Secret::echo-repository"
    ]
    assert graph.nodes[urn].kind == "Secret"
