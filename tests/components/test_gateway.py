"""A gateway as its chart makes it by itself loses requests: its proxy is killed five seconds after it was asked to end.

How its pods come and go, what it listens on, and that a stack without one is as it was.
"""

from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.gateway import IngressGateway, IngressGatewayArgs, gateway_values
from components.names import gateway_address, gateway_reference
from stackfile.model import GatewayConfig, IstioConfig
from tests.components.graph import STACK_FILES, Graph, record_component, record_stack
from tests.components.test_traffic import echo, versions
from tests.components.test_workloads import pod_template, selects
from tests.stackfile.stack_values import parse, the_problem, with_value

HOSTS = ("shop/shop.corp.local", "echo/echo.corp.local")


def gateway(*, hosts: tuple[str, ...] = HOSTS, istio: IstioConfig | None = None, **said: Any) -> Graph:
    args = IngressGatewayArgs(istio or IstioConfig(), GatewayConfig(**said), hosts)
    return record_component(lambda: IngressGateway("gateway", args))


def servers(graph: Graph) -> list[dict[str, Any]]:
    return list(graph.the("Gateway", "gateway").inputs["spec"]["servers"])


# --- what it listens on


def test_without_a_secret_it_listens_for_plain_http_alone() -> None:
    port = {"name": "http", "number": 80, "protocol": "HTTP"}
    assert servers(gateway()) == [{"port": port, "hosts": list(HOSTS)}]
    assert [port["port"] for port in gateway_values(GatewayConfig())["service"]["ports"]] == [15021, 80]


def test_a_secret_adds_https_and_takes_nothing_away() -> None:
    plain, encrypted = servers(gateway(tls_secret="corp-local"))
    assert plain == servers(gateway())[0]
    assert encrypted == {
        "port": {"name": "https", "number": 443, "protocol": "HTTPS"},
        "hosts": list(HOSTS),
        "tls": {"mode": "SIMPLE", "credentialName": "corp-local"},
    }
    ports = gateway_values(GatewayConfig(tls_secret="corp-local"))["service"]["ports"]
    assert [port["port"] for port in ports] == [15021, 80, 443]


def test_where_no_service_has_a_host_nothing_is_listened_for() -> None:
    assert "Gateway" not in {node.kind for node in gateway(hosts=())}


def test_a_virtual_service_finds_it_by_its_reference() -> None:
    metadata = gateway(namespace="edge").the("Gateway", "gateway").metadata
    assert gateway_reference("edge") == f"{metadata['namespace']}/{metadata['name']}" == "edge/gateway"


def test_its_listeners_are_for_its_own_pods() -> None:
    # the chart labels its pods by the release's name: app with all of it, istio without the "istio-" before it
    graph = gateway()
    release = graph.the("Release", "gateway").inputs["name"]
    labels = {"app": release, "istio": release.removeprefix("istio-")}
    assert graph.the("Gateway", "gateway").inputs["spec"]["selector"] == labels
    constraints = gateway_values(GatewayConfig())["topologySpreadConstraints"]
    assert [constraint["labelSelector"]["matchLabels"] for constraint in constraints] == [labels, labels]


def test_its_service_is_found_by_its_address() -> None:
    release = gateway(namespace="edge").the("Release", "gateway").inputs
    assert gateway_address("edge") == f"{release['name']}.{release['namespace']}.svc.cluster.local:80"


# --- testers


def with_testers(secret: str = "s" * 16) -> Graph:
    testers = {"header": "x-ask", "gatewaySecret": "testers"}
    service = echo(versions=versions(v1=100, v2=0), hosts=["echo.corp.local"], testers=testers)
    args = IngressGatewayArgs(
        IstioConfig(), GatewayConfig(namespace="edge"), ("echo/echo.corp.local",), [(service, secret)]
    )
    return record_component(lambda: IngressGateway("gateway", args, pulumi.ResourceOptions(protect=True)))


def test_testers_reach_the_version_that_they_ask_for_with_the_secret_beside_its_name() -> None:
    graph = with_testers()
    found = graph.the("VirtualService", "echo-testers")

    assert found.metadata["namespace"] == "edge"
    assert found.inputs["spec"]["gateways"] == ["edge/gateway"]
    assert found.inputs["spec"]["hosts"] == ["echo.corp.local"]
    for route, version in zip(found.inputs["spec"]["http"], ("v1", "v2"), strict=True):
        (match,) = route["match"]
        assert match["headers"] == {"x-ask": {"exact": version}, "x-ask-secret": {"exact": "s" * 16}}
        assert route["headers"] == {"request": {"remove": ["x-ask-secret"]}}
        (destination,) = route["route"]
        assert destination["destination"]["subset"] == version
        assert destination["headers"]["response"]["set"] == {"x-rollout-version": version}


def test_what_is_for_testers_goes_with_the_setting_also_where_the_gateway_is_protected() -> None:
    graph = with_testers()
    assert graph.the("Gateway", "gateway").protected
    assert not graph.the("VirtualService", "echo-testers").protected


def test_the_gateway_listens_to_the_testers_virtual_service_beside_it() -> None:
    assert servers(with_testers())[0]["hosts"] == ["echo/echo.corp.local", "./echo.corp.local"]


# --- how its pods come and go


def test_no_update_takes_a_pod_away_before_the_next_is_ready() -> None:
    rolling = gateway_values(GatewayConfig())["strategy"]["rollingUpdate"]
    assert (rolling["maxUnavailable"], rolling["maxSurge"]) == (0, "25%")


def test_a_drain_of_nodes_takes_one_pod_at_a_time_and_waits_for_no_broken_one() -> None:
    budget = gateway_values(GatewayConfig())["podDisruptionBudget"]
    assert budget == {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}


def test_a_pod_that_ends_waits_for_its_connections_and_is_not_killed_meanwhile() -> None:
    values = gateway_values(GatewayConfig())
    assert values["env"]["EXIT_ON_ZERO_ACTIVE_CONNECTIONS"] == "true"
    accepting = int(values["env"]["MINIMUM_DRAIN_DURATION"].removesuffix("s"))
    # Envoy itself closes its listeners 45 seconds after it was asked to end
    assert 5 < accepting < 45 < values["terminationGracePeriodSeconds"]


def test_a_pod_is_soon_asked_again_whether_it_is_ready() -> None:
    values = gateway_values(GatewayConfig())
    asked = values["readinessProbe"]["httpGet"]
    assert asked == {"path": "/healthz/ready", "port": values["service"]["ports"][0]["targetPort"]}
    assert values["readinessProbe"]["periodSeconds"] == 2


def test_a_pod_that_starts_needs_no_registry_where_its_image_is_there() -> None:
    assert gateway_values(GatewayConfig())["imagePullPolicy"] == "IfNotPresent"


def test_the_number_of_pods_is_the_stack_files() -> None:
    values = gateway_values(GatewayConfig(replicas=5))
    assert (values["replicaCount"], values["autoscaling"]["enabled"]) == (5, False)


def test_values_of_the_stack_file_are_merged_over_the_programs() -> None:
    values = gateway_values(
        GatewayConfig(values={"env": {"MINIMUM_DRAIN_DURATION": "90s"}, "resources": {"limits": {"cpu": "4"}}})
    )
    assert values["env"] == {"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true", "MINIMUM_DRAIN_DURATION": "90s"}
    assert values["resources"] == {"limits": {"cpu": "4"}}


# --- its release


def test_the_release_has_a_fixed_name_and_istios_version() -> None:
    inputs = gateway(istio=IstioConfig(version="1.30.0")).the("Release", "gateway").inputs
    assert (inputs["name"], inputs["namespace"], inputs["version"]) == ("istio-ingress", "istio-ingress", "1.30.0")


def test_the_chart_lies_beside_istiods() -> None:
    assert gateway().the("Release", "gateway").inputs["chart"] == "gateway"
    local = gateway(istio=IstioConfig(charts="/srv/charts/")).the("Release", "gateway").inputs
    assert local["chart"] == "/srv/charts/gateway"


def test_its_pods_are_ready_when_they_listen(graph: Graph) -> None:
    release, listeners = graph.the("Release", "gateway"), graph.the("Gateway", "gateway")
    assert graph.waits_for(release, listeners)
    assert graph.waits_for(listeners, graph.the("Namespace", "gateway"))
    assert graph.waits_for(graph.the("Namespace", "gateway"), graph.the("Release", "istio-istiod"))
    assert release.inputs["skipAwait"] is False


# --- in a stack


def test_a_gateway_is_only_added_to_what_a_stack_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kubeconfig: Path, graphs: list[Graph]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    file = tmp_path / STACK_FILES[0].name
    text = STACK_FILES[0].read_text().replace("      hosts: [echo.corp.local]", "      hosts: []")
    file.write_text(text)
    with_one = record_stack(file, delivery="direct")
    file.write_text(text.replace("  echo-rollout:gateway: ", "  other:gateway: "))
    none = record_stack(file, delivery="direct")
    assert none.nodes.keys() < with_one.nodes.keys()
    assert [urn for urn, node in none.nodes.items() if node.inputs != with_one.nodes[urn].inputs] == []
    added = {node.name for urn, node in with_one.nodes.items() if urn not in none.nodes}
    assert added == {"gateway", "probe-outside"}


def test_the_outside_client_has_no_sidecar_and_is_not_taken_for_the_one_in_the_mesh(graph: Graph) -> None:
    outside, inside = (graph.the("Deployment", name) for name in ("probe-outside", "probe"))
    assert pod_template(outside)["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    assert "sidecar.istio.io/inject" not in pod_template(inside)["metadata"]["labels"]
    assert not selects({"app": "probe"}, outside)
    assert pod_template(outside)["spec"] == pod_template(inside)["spec"]


# --- what a stack file may say of it


def test_it_is_off_by_default_and_on_in_the_shipped_stacks() -> None:
    assert parse(with_value("gateway", None)).gateway is None
    assert parse(with_value("gateway", {})).gateway == GatewayConfig(
        namespace="istio-ingress", replicas=2, tls_secret=None, service_type="LoadBalancer", values={}
    )


@pytest.mark.parametrize("namespace", ["istio-system", "argocd", "echo-probe"])
def test_a_namespace_that_would_be_deleted_with_it_is_refused(namespace: str) -> None:
    assert f'$.gateway.namespace: "{namespace}" is not the name of a namespace of the gateway\'s own — ' in the_problem(
        with_value("gateway.namespace", namespace)
    )


@pytest.mark.parametrize("key", ["replicas", "tlsSecret", "serviceType", "replica"])
def test_a_value_that_no_gateway_could_have_is_refused(key: str) -> None:
    assert f"$.gateway.{key}: " in the_problem(with_value(f"gateway.{key}", 0))
