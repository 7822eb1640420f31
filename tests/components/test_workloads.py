"""A Deployment as one finds it in tutorials loses requests at every rollout, and blocks or is lost at every drain of a node.

What a careful team asks of a workload is checked here on what the shipped stacks register.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from components.service import ServiceDeployments, ServiceDeploymentsArgs
from tests.components.graph import Graph, Node, record_component
from tests.stackfile.stack_values import MINIMAL, parse

VERSIONS = ("v1", "v2")


def pod_template(deployment: Node) -> Mapping[str, Any]:
    return dict(deployment.inputs["spec"]["template"])


def container(deployment: Node) -> Mapping[str, Any]:
    (only,) = pod_template(deployment)["spec"]["containers"]
    return dict(only)


def selects(selector: Mapping[str, str], deployment: Node) -> bool:
    labels: dict[str, str] = pod_template(deployment)["metadata"]["labels"]
    return selector.items() <= labels.items()


@pytest.fixture(params=["echo-v1", "echo-v2", "probe", "probe-outside"])
def deployment(request: pytest.FixtureRequest, graph: Graph) -> Node:
    """Every Deployment of the program."""
    return graph.the("Deployment", request.param)


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def echo(graph: Graph, version: str) -> Node:
    """The Deployment of each version of echo."""
    return graph.the("Deployment", f"echo-{version}")


# --- what belongs together


def test_a_deployment_selects_its_own_pods_and_no_others(graph: Graph, deployment: Node) -> None:
    selector = deployment.inputs["spec"]["selector"]["matchLabels"]
    deployments = [node for node in graph if node.kind == "Deployment"]
    assert [node.name for node in deployments if selects(selector, node)] == [deployment.name]


def test_the_immutable_selector_is_of_two_labels_only(echo: Node, version: str) -> None:
    assert echo.inputs["spec"]["selector"] == {"matchLabels": {"app": "echo", "version": version}}


def test_the_service_selects_the_pods_of_all_versions_and_no_others(graph: Graph) -> None:
    selector = graph.the("Service", "echo").inputs["spec"]["selector"]
    deployments = [node for node in graph if node.kind == "Deployment"]
    assert sorted(node.name for node in deployments if selects(selector, node)) == ["echo-v1", "echo-v2"]


def test_a_subset_selects_the_pods_of_its_version_and_no_others(graph: Graph) -> None:
    service = graph.the("Service", "echo").inputs["spec"]["selector"]
    deployments = [node for node in graph if node.kind == "Deployment"]
    for subset in graph.the("DestinationRule", "echo").inputs["spec"]["subsets"]:
        selected = [node.name for node in deployments if selects({**service, **subset["labels"]}, node)]
        assert selected == [f"echo-{subset['name']}"]


def test_a_disruption_budget_is_for_its_version_alone(graph: Graph, version: str) -> None:
    budget = graph.the("PodDisruptionBudget", f"echo-{version}")
    assert budget.metadata["name"] == f"echo-{version}"
    assert budget.inputs["spec"]["selector"]["matchLabels"] == {"app": "echo", "version": version}


def test_a_deployment_uses_the_service_account_of_its_namespace(graph: Graph, deployment: Node) -> None:
    name = pod_template(deployment)["spec"]["serviceAccountName"]
    accounts = {
        (node.metadata["namespace"], node.metadata["name"]) for node in graph.objects if node.kind == "ServiceAccount"
    }
    assert (deployment.metadata["namespace"], name) in accounts


def test_the_service_reaches_the_port_that_the_container_names(graph: Graph, echo: Node) -> None:
    assert graph.the("Service", "echo").inputs["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]
    assert container(echo)["ports"] == [{"name": "http", "containerPort": 8080}]


def test_the_service_has_the_port_of_the_address_that_is_measured(graph: Graph) -> None:
    (port,) = graph.the("Service", "echo").inputs["spec"]["ports"]
    assert port["port"] == (urlsplit(graph.outputs["services"]["echo"]["url"]).port or 80)


def test_the_server_listens_on_the_port_that_the_container_names(echo: Node) -> None:
    (port,) = [variable["value"] for variable in container(echo)["env"] if variable["name"] == "PORT"]
    assert int(port) == container(echo)["ports"][0]["containerPort"]


def test_namespaces_of_workloads_are_injected(graph: Graph) -> None:
    injected = {
        node.metadata["name"]
        for node in graph.objects
        if node.kind == "Namespace" and node.metadata["labels"].get("istio-injection") == "enabled"
    }
    assert injected == {node.metadata["namespace"] for node in graph if node.kind == "Deployment"}


def test_objects_carry_the_recommended_labels(graph: Graph) -> None:
    recommended = {f"app.kubernetes.io/{key}" for key in ("name", "instance", "component", "part-of", "managed-by")}
    for node in graph.objects:
        if node.metadata["name"] != "istio-system":
            assert recommended <= node.metadata["labels"].keys(), node.urn


def test_no_label_depends_on_who_applies_an_object(graph: Graph) -> None:
    labels = [node.metadata["labels"] for node in graph.objects if node.metadata["name"] != "istio-system"]
    assert {each["app.kubernetes.io/managed-by"] for each in labels} == {"echo-rollout"}


def test_istios_revision_in_metrics_is_the_subset(echo: Node, version: str) -> None:
    labels = pod_template(echo)["metadata"]["labels"]
    assert labels["version"] == labels["app.kubernetes.io/version"] == version


def test_every_version_is_what_the_stack_file_says(echo: Node, version: str) -> None:
    images = {"v1": "registry.corp.local/echo:1.0.0", "v2": "registry.corp.local/echo:2.0.0"}
    assert (container(echo)["image"], echo.inputs["spec"]["replicas"]) == (images[version], 3)


def test_an_answer_names_the_region_and_the_pods_own_version(graph: Graph, echo: Node) -> None:
    variables = {variable["name"]: variable for variable in container(echo)["env"]}
    assert variables["REGION"]["value"] == graph.outputs["region"]
    assert variables["VERSION"]["valueFrom"] == {
        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['version']"}
    }


# --- what keeps requests alive


def test_a_rollout_never_has_less_than_all_replicas(echo: Node) -> None:
    strategy = echo.inputs["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}}


def test_a_pod_has_time_to_drain_and_to_finish_what_it_has_begun(echo: Node) -> None:
    (drain,) = [int(variable["value"]) for variable in container(echo)["env"] if variable["name"] == "DRAIN_SECONDS"]
    assert drain >= 5
    assert pod_template(echo)["spec"]["terminationGracePeriodSeconds"] >= drain + 10


def test_readiness_is_asked_where_a_draining_server_says_no(echo: Node) -> None:
    assert container(echo)["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe"])
def test_life_is_asked_where_a_draining_server_says_yes(echo: Node, probe: str) -> None:
    assert container(echo)[probe]["httpGet"] == {"path": "/healthz", "port": "http"}


def test_a_drain_of_a_node_takes_one_pod_of_a_version_at_a_time_and_always_one(graph: Graph, version: str) -> None:
    spec = graph.the("PodDisruptionBudget", f"echo-{version}").inputs["spec"]
    assert spec["maxUnavailable"] == 1
    assert "minAvailable" not in spec


def test_pods_of_a_version_are_spread_where_that_can_be_done(echo: Node, version: str) -> None:
    constraints = pod_template(echo)["spec"]["topologySpreadConstraints"]
    assert {constraint["topologyKey"] for constraint in constraints} == {
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    }
    for constraint in constraints:
        assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
        assert constraint["labelSelector"]["matchLabels"] == {"app": "echo", "version": version}


def test_there_is_one_probe_at_a_time(graph: Graph) -> None:
    spec = graph.the("Deployment", "probe").inputs["spec"]
    one_at_a_time = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    assert (spec["replicas"], spec["strategy"]) == (1, one_at_a_time)


def test_the_probe_waits_until_it_is_asked_to_send(graph: Graph) -> None:
    assert container(graph.the("Deployment", "probe"))["args"] == ["idle"]


def test_the_probe_is_not_throttled_by_a_limit(graph: Graph) -> None:
    assert "cpu" not in container(graph.the("Deployment", "probe"))["resources"]["limits"]


# --- what every workload owes the cluster


def test_a_container_is_confined_as_restricted_asks(deployment: Node) -> None:
    assert container(deployment)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_no_pod_has_a_token_of_the_cluster(graph: Graph, deployment: Node) -> None:
    assert pod_template(deployment)["spec"]["automountServiceAccountToken"] is False
    accounts = [node for node in graph if node.kind == "ServiceAccount"]
    assert all(node.inputs["automountServiceAccountToken"] is False for node in accounts)


def test_requests_are_modest_and_memory_is_limited(deployment: Node) -> None:
    resources = container(deployment)["resources"]
    assert 10 <= int(resources["requests"]["cpu"].removesuffix("m")) <= 25
    assert 16 <= int(resources["requests"]["memory"].removesuffix("Mi")) <= 64
    assert "memory" in resources["limits"]


def test_images_are_pulled_only_if_they_are_not_there(deployment: Node) -> None:
    assert container(deployment)["imagePullPolicy"] == "IfNotPresent"


def test_a_rollout_that_is_stuck_is_told_within_minutes(deployment: Node) -> None:
    assert deployment.inputs["spec"]["progressDeadlineSeconds"] == 120
    assert deployment.timeouts == ("5m", "5m")


def test_old_revisions_do_not_pile_up(deployment: Node) -> None:
    assert deployment.inputs["spec"]["revisionHistoryLimit"] == 5


# --- on its own, and as a stack file wants it


def deployed(**said: object) -> Graph:
    """What runs of a service in the region north, with what a stack file says of it."""
    services = {"shop": {"versions": {"v1": one()}, **said}}
    service = parse({**MINIMAL, "services": services}).services["shop"]
    return record_component(lambda: ServiceDeployments(service.name, ServiceDeploymentsArgs("north", service)))


def one(**said: object) -> dict[str, object]:
    return {"image": "shop:1.0.0", "replicas": 1, "weight": 100, **said}


def the_container(**said: object) -> Mapping[str, Any]:
    return container(deployed(**said).the("Deployment", "shop-v1"))


def the_pod(**said: object) -> Mapping[str, Any]:
    return dict(pod_template(deployed(**said).the("Deployment", "shop-v1"))["spec"])


def environment(found: Mapping[str, Any]) -> dict[str, str]:
    assert len({each["name"] for each in found["env"]}) == len(found["env"])
    return {each["name"]: each.get("value", "") for each in found["env"]}


def test_deployments_can_be_used_on_their_own() -> None:
    graph = deployed()
    assert sorted(node.name for node in graph.objects) == ["shop", "shop", "shop-v1", "shop-v1"]
    assert {node.metadata["namespace"] for node in graph.objects} == {"shop"}
    assert [node.name for node in graph.objects if node.metadata["name"] != node.name] == []


def test_a_service_is_where_its_namespace_is() -> None:
    assert {node.metadata["namespace"] for node in deployed(namespace="market").objects} == {"market"}


def test_a_resting_version_is_deployed_with_no_pods() -> None:
    graph = deployed(versions={"v1": one(), "v2": one(replicas=0, weight=0)})
    assert graph.the("Deployment", "shop-v2").inputs["spec"]["replicas"] == 0


def test_clients_and_the_container_may_have_ports_of_their_own() -> None:
    graph = deployed(port=8000, containerPort=3000)
    assert graph.the("Service", "shop").inputs["spec"]["ports"] == [
        {"name": "http", "port": 8000, "targetPort": "http"}
    ]
    found = container(graph.the("Deployment", "shop-v1"))
    assert found["ports"] == [{"name": "http", "containerPort": 3000}]
    assert environment(found)["PORT"] == "3000"


def test_a_versions_variable_wins_over_the_services_and_the_services_over_the_programs() -> None:
    found = environment(
        the_container(
            env={"A": "service", "B": "service", "PORT": "service"},
            versions={"v1": one(env={"B": "version", "C": "version"})},
        )
    )
    assert found == {
        "REGION": "north",
        "VERSION": "",
        "PORT": "service",
        "DRAIN_SECONDS": "5",
        "A": "service",
        "B": "version",
        "C": "version",
    }


def test_a_variable_of_one_version_is_no_other_versions() -> None:
    graph = deployed(versions={"v1": one(env={"A": "1"}), "v2": one(weight=0)})
    assert "A" not in environment(container(graph.the("Deployment", "shop-v2")))


def test_what_a_version_finds_in_its_folders_is_its_own() -> None:
    graph = deployed(
        writable=["/var/cache"],
        versions={
            "v1": one(configMaps={"/etc/shop": "shop-1"}, secrets={"/etc/tls": "shop-tls-1"}),
            "v2": one(weight=0, configMaps={"/etc/shop": "shop-2"}),
        },
    )

    def folders(name: str) -> dict[str, dict[str, Any]]:
        """What is mounted where."""
        deployment = graph.the("Deployment", name)
        volumes = {each.pop("name"): each for each in map(dict, pod_template(deployment)["spec"]["volumes"])}
        mounts = container(deployment)["volumeMounts"]
        assert [*volumes] == [mount["name"] for mount in mounts]
        return {mount["mountPath"]: volumes[mount["name"]] for mount in mounts}

    assert folders("shop-v1") == {
        "/etc/shop": {"configMap": {"name": "shop-1"}},
        "/etc/tls": {"secret": {"secretName": "shop-tls-1"}},
        "/var/cache": {"emptyDir": {}},
    }
    assert folders("shop-v2") == {"/etc/shop": {"configMap": {"name": "shop-2"}}, "/var/cache": {"emptyDir": {}}}


def test_a_version_without_folders_has_no_volume() -> None:
    assert "volumes" not in the_pod()
    assert "volumeMounts" not in the_container()


def test_resources_are_the_stack_files_and_what_it_leaves_out_is_not_said() -> None:
    found = the_container(resources={"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}})["resources"]
    assert found == {"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}}


def test_probes_ask_at_the_paths_of_the_stack_file() -> None:
    found = the_container(probes={"startup": "/s", "readiness": "/r?x=1", "liveness": "/"})
    paths = [found[each]["httpGet"]["path"] for each in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert paths == ["/s", "/r?x=1", "/"]


def test_a_server_that_drains_by_itself_is_told_for_how_long() -> None:
    said = {"drain": {"by": "server", "seconds": 7, "graceSeconds": 40}}
    found = the_container(**said)
    assert environment(found)["DRAIN_SECONDS"] == "7"
    assert "lifecycle" not in found
    assert the_pod(**said)["terminationGracePeriodSeconds"] == 40


def test_for_a_server_that_stops_at_once_the_kubelet_waits_before_it_is_told() -> None:
    said = {"drain": {"by": "sleep", "seconds": 7, "graceSeconds": 40}}
    found = the_container(**said)
    assert found["lifecycle"] == {"preStop": {"sleep": {"seconds": 7}}}
    assert "DRAIN_SECONDS" not in environment(found)
    assert the_pod(**said)["terminationGracePeriodSeconds"] == 40


def test_a_container_runs_as_the_user_that_its_image_wants() -> None:
    context = the_container(runAsUser=101)["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["runAsNonRoot"]) == (101, 101, True)


def test_the_service_account_may_have_a_name_of_its_own() -> None:
    graph = deployed(serviceAccount="seller")
    assert graph.the("ServiceAccount", "shop").metadata["name"] == "seller"
    pod = pod_template(graph.the("Deployment", "shop-v1"))["spec"]
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("seller", False)
