"""The pack's own callbacks on what the program registers: as it is, and with one thing wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi_policy import EnforcementLevel

from components.service import workload_objects
from policies.graph import SERVICE_NAMESPACE, Graph
from policies.pack import policies
from policies.stack import regions
from rules.facts.region import Limits
from rules.facts.workloads import Delivery
from rules.judgement import judge_region
from tests.components.graph import ROOT, STACK_FILES, World, record_stack
from tests.policies.conftest import WAYS, Deliveries
from tests.policies.resources import UNKNOWN, edited, findings, independent, refusals, resources, stack, without
from tests.stackfile.stack_values import MINIMAL, NGINX, parse

OVERLAY = Path("deploy/overlays/region-a/echo")
SUBSET_V2 = "    - name: v2\n      labels:\n        version: v2\n"
WORKLOADS = (
    ("Deployment", "echo-v1"),
    ("Deployment", "echo-v2"),
    ("PodDisruptionBudget", "echo-v1"),
    ("PodDisruptionBudget", "echo-v2"),
    ("Service", "echo"),
    ("ServiceAccount", "echo"),
    ("DestinationRule", "echo"),
    ("VirtualService", "echo"),
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project's folder with the committed overlays, and one of a second service."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    config = parse({**MINIMAL, "services": {"nginx": NGINX}})
    folder = tmp_path / OVERLAY.with_name("nginx")
    folder.mkdir()
    (folder / "kustomization.yaml").write_text("resources: [all.yaml]")
    (folder / "all.yaml").write_text(yaml.safe_dump_all(workload_objects(config, config.services["nginx"])))
    return tmp_path


def edit_overlay(project: Path, file: str, old: str, new: str) -> None:
    path = project / OVERLAY / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def forget_v2(rule: dict[str, Any]) -> None:
    """Take the subset of v2 out of a DestinationRule, as the edit of the overlay does."""
    del rule["spec"]["subsets"][1]


def test_refusals_are_mandatory_and_warnings_advisory() -> None:
    levels = {policy.name: policy.enforcement_level for policy in policies(ROOT, None)}
    assert levels.pop("registered") is EnforcementLevel.ADVISORY
    assert levels == {"refused": EnforcementLevel.MANDATORY, "warning": EnforcementLevel.ADVISORY}


def test_the_component_that_makes_a_namespace_is_the_programs(registered: Deliveries) -> None:
    assert [node.name for node in registered["direct"] if node.type == SERVICE_NAMESPACE] == ["echo"]


@pytest.mark.parametrize("delivery", WAYS)
def test_what_the_program_registers_passes(registered: Deliveries, delivery: Delivery) -> None:
    assert findings(registered[delivery], stack(delivery)) == {"refused": [], "warning": []}


@pytest.mark.parametrize("delivery", WAYS)
def test_it_passes_also_where_nobody_tells_the_stack(registered: Deliveries, delivery: Delivery) -> None:
    assert findings(registered[delivery], None) == {"refused": [], "warning": []}


@pytest.mark.parametrize("delivery", ["direct", "handover"])
def test_a_route_to_no_subset_is_refused_on_the_graph(registered: Deliveries, delivery: Delivery) -> None:
    broken = edited(registered[delivery], "DestinationRule", "echo", forget_v2)
    (message,) = refusals(broken, stack(delivery))
    assert message.startswith("region-a: VirtualService echo/echo: spec.http[0].route[1].destination.subset: v2 ")
    assert message.endswith("[routed-subset-exists]")


@pytest.mark.parametrize("delivery", ["gitops", "handover"])
def test_a_route_to_no_subset_is_refused_in_the_overlay(
    registered: Deliveries, project: Path, delivery: Delivery
) -> None:
    edit_overlay(project, "dr.yaml", SUBSET_V2, "")
    (message,) = refusals(registered[delivery], stack(delivery), project)
    assert message.startswith("region-a: VirtualService echo/echo: spec.http[0].route[1].destination.subset: v2 ")
    assert message.endswith("[routed-subset-exists]")


def test_what_else_runs_in_the_region_is_not_judged(registered: Deliveries) -> None:
    def unpin(probe: dict[str, Any]) -> None:
        probe["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.corp.local/probe:latest"

    assert refusals(edited(registered["direct"], "Deployment", "probe", unpin), stack("direct")) == []


def test_a_message_is_the_rules_own(registered: Deliveries) -> None:
    broken = edited(registered["direct"], "DestinationRule", "echo", forget_v2)
    (services,) = regions(Graph.of(resources(broken), {}), stack("direct"), ROOT)
    assert refusals(broken, stack("direct")) == [str(finding) for finding in judge_region(services)]


def test_a_fault_of_both_who_deliver_is_told_once(registered: Deliveries, project: Path) -> None:
    edit_overlay(project, "dr.yaml", SUBSET_V2, "")
    broken = edited(registered["handover"], "DestinationRule", "echo", forget_v2)
    assert len(refusals(broken, stack("handover"), project)) == 1


def test_a_waived_rule_warns_and_refuses_nothing(registered: Deliveries) -> None:
    broken = edited(registered["direct"], "DestinationRule", "echo", forget_v2)
    waiving = stack("direct", Limits(waived={"routed-subset-exists": "the subset comes from another team"}))
    told = findings(broken, waiving)
    assert told["refused"] == []
    assert len(told["warning"]) == 1


def test_a_limit_of_the_stack_file_is_heeded(registered: Deliveries) -> None:
    (message,) = refusals(registered["direct"], stack("direct", Limits(pods_for_all_traffic=4)))
    assert message.endswith("[rollback-capacity]")


def test_a_number_that_no_preview_knows_is_not_taken_for_its_default(registered: Deliveries) -> None:
    def hide(deployment: dict[str, Any]) -> None:
        deployment["spec"]["replicas"] = UNKNOWN

    (message,) = refusals(edited(registered["direct"], "Deployment", "echo-v1", hide), stack("direct"))
    assert "Deployment echo/echo-v1: spec.replicas" in message
    assert "not known in a preview" in message


def test_a_listed_file_that_is_not_there_is_refused(registered: Deliveries, project: Path) -> None:
    (project / OVERLAY / "dr.yaml").unlink()
    (message,) = refusals(registered["gitops"], stack("gitops"), project)
    assert message.startswith(f"region-a: {OVERLAY}/dr.yaml: ")


def test_an_overlay_that_was_never_rendered_is_refused(registered: Deliveries, tmp_path: Path) -> None:
    (message,) = refusals(registered["gitops"], stack("gitops"), tmp_path)
    assert message.startswith(f"region-a: {OVERLAY}/kustomization.yaml: ")


def test_the_overlay_is_the_one_that_the_application_names(registered: Deliveries, project: Path) -> None:
    (project / "elsewhere").mkdir()
    (project / "deploy").rename(project / "elsewhere" / "deploy")

    def move(application: dict[str, Any]) -> None:
        application["spec"]["source"]["path"] = f"elsewhere/{OVERLAY}"

    assert refusals(edited(registered["gitops"], "Application", "echo", move), stack("gitops"), project) == []


def test_an_overlay_without_routes_is_refused(registered: Deliveries, project: Path) -> None:
    edit_overlay(project, "kustomization.yaml", "  - vs.yaml\n", "")
    (project / OVERLAY / "vs.yaml").unlink()
    ids = [message.rpartition("[")[2] for message in refusals(registered["gitops"], stack("gitops"), project)]
    assert "workloads-delivered]" in ids


def test_workloads_that_nobody_delivers_are_refused(registered: Deliveries) -> None:
    messages = refusals(without(registered["direct"], *WORKLOADS), stack("direct"))
    assert any(message.endswith("[workloads-delivered]") for message in messages)


def test_a_missing_application_is_refused(registered: Deliveries) -> None:
    messages = refusals(without(registered["gitops"], ("Application", "echo")), stack("gitops"))
    assert any(message.endswith("[one-owner]") for message in messages)


def test_an_application_for_another_namespace_delivers_nothing_here(registered: Deliveries) -> None:
    def elsewhere(application: dict[str, Any]) -> None:
        application["spec"]["destination"]["namespace"] = "other"

    messages = refusals(edited(registered["gitops"], "Application", "echo", elsewhere), stack("gitops"))
    assert any(message.endswith("[workloads-delivered]") for message in messages)


def test_an_application_beside_pulumis_own_delivery_is_refused(registered: Deliveries) -> None:
    (message,) = refusals(registered["handover"], stack("direct"))
    assert message.endswith("[one-owner]")


def test_workloads_beside_argo_cds_own_delivery_are_refused_each(registered: Deliveries) -> None:
    messages = refusals(registered["handover"], stack("gitops"))
    assert len(messages) == len(WORKLOADS)
    assert all(message.endswith("[one-owner]") for message in messages)


def test_routes_that_do_not_wait_for_their_subsets_are_refused(registered: Deliveries) -> None:
    loose = independent(registered["direct"], "VirtualService", "echo")
    (message,) = refusals(loose, stack("direct"))
    assert message.startswith("region-a: VirtualService echo/echo: does not depend on DestinationRule echo/echo — ")
    assert message.endswith("[applied-in-order]")


def test_subsets_that_do_not_wait_for_their_pods_are_refused(registered: Deliveries) -> None:
    loose = independent(registered["direct"], "TrafficPolicy", "echo")
    assert [message.partition(" — ")[0] for message in refusals(loose, stack("direct"))] == [
        f"region-a: DestinationRule echo/echo: does not depend on Deployment echo/echo-{version}"
        for version in ("v1", "v2")
    ]


def _permissive(found: dict[str, Any]) -> None:
    found["spec"]["mtls"]["mode"] = "PERMISSIVE"


def _of_a_port(found: dict[str, Any]) -> None:
    found["spec"]["portLevelMtls"] = {"8080": {"mode": "DISABLE"}}


def _another_kind(found: dict[str, Any]) -> None:
    found["kind"] = "AuthorizationPolicy"


def _without_sidecars(found: dict[str, Any]) -> None:
    found["metadata"]["labels"]["istio-injection"] = "disabled"


@pytest.mark.parametrize("delivery", WAYS)
@pytest.mark.parametrize(
    ("kind", "name", "edit"),
    [
        ("PeerAuthentication", "echo-mutual-tls", _permissive),
        ("PeerAuthentication", "echo-mutual-tls", _of_a_port),
        ("PeerAuthentication", "echo-mutual-tls", _another_kind),
        ("Namespace", "echo", _without_sidecars),
    ],
)
def test_a_namespace_that_is_not_enforced_is_refused(
    registered: Deliveries, delivery: Delivery, kind: str, name: str, edit: Callable[[dict[str, Any]], None]
) -> None:
    messages = refusals(edited(registered[delivery], kind, name, edit), stack(delivery))
    assert messages
    assert all(message.endswith("[mesh-enforced]") for message in messages)


def test_the_roles_of_those_who_run_rollout_pass(with_a_kubeconfig: None, project: Path) -> None:
    registered = record_stack(STACK_FILES[0], World(preview=True), access={})

    assert findings(registered, stack("gitops"), project) == {"refused": [], "warning": []}


# --- several services


@pytest.mark.parametrize("delivery", WAYS)
def test_several_services_pass(several: Deliveries, project: Path, delivery: Delivery) -> None:
    told = stack(delivery, nginx="nginx")
    assert findings(several[delivery], told, project) == {"refused": [], "warning": []}


@pytest.mark.parametrize("delivery", WAYS)
def test_several_services_pass_also_where_nobody_tells_the_stack(
    several: Deliveries, project: Path, delivery: Delivery
) -> None:
    assert findings(several[delivery], None, project) == {"refused": [], "warning": []}


def test_services_of_one_namespace_pass(with_a_kubeconfig: None) -> None:
    services = {"nginx": {**NGINX, "namespace": "echo"}}
    graph = record_stack(STACK_FILES[0], World(preview=True), delivery="direct", services=services)
    for told in (stack("direct", nginx="echo"), None):
        assert findings(graph, told) == {"refused": [], "warning": []}


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("delivery", ["direct", "handover"])
def test_a_fault_of_any_service_is_refused_on_the_graph(
    several: Deliveries, project: Path, delivery: Delivery, told: bool
) -> None:
    broken = edited(several[delivery], "DestinationRule", "nginx", lambda rule: rule["spec"]["subsets"].pop(0))
    (message,) = refusals(broken, stack(delivery, nginx="nginx") if told else None, project)
    assert message.startswith("region-a: VirtualService nginx/nginx: spec.http[0].route[0].destination.subset: v1 ")


@pytest.mark.parametrize("delivery", ["gitops", "handover"])
def test_a_fault_of_any_service_is_refused_in_its_overlay(
    several: Deliveries, project: Path, delivery: Delivery
) -> None:
    (project / OVERLAY.with_name("nginx") / "all.yaml").unlink()
    (message,) = refusals(several[delivery], stack(delivery, nginx="nginx"), project)
    assert message.startswith(f"region-a: {OVERLAY.with_name('nginx')}/all.yaml: ")


def test_a_limit_of_one_service_is_no_other_services(several: Deliveries) -> None:
    broken = edited(several["direct"], "DestinationRule", "nginx", lambda rule: rule["spec"]["subsets"].pop(0))
    of_echo = Limits(waived={"routed-subset-exists": "the subset comes from another team"})
    assert len(refusals(broken, stack("direct", of_echo, nginx="nginx"))) == 1


def test_a_service_that_nobody_delivers_is_refused(several: Deliveries, project: Path) -> None:
    gone = without(several["gitops"], ("Application", "nginx"))
    assert [message.partition(" — ")[0] for message in refusals(gone, stack("gitops", nginx="nginx"), project)] == [
        "region-a: nginx, delivery: gitops: there is no VirtualService among the workloads",
        "region-a: Application nginx: Pulumi registers none although delivery is gitops, so nobody applies the overlay",
    ]


def test_a_stack_that_shows_no_service_is_refused(registered: Deliveries) -> None:
    (message,) = refusals(without(registered["direct"], *WORKLOADS), None)
    assert message.startswith("region-a: delivery: direct: there is no service — ")


def test_an_application_of_no_service_is_refused_where_it_delivers_among_services(
    several: Deliveries, project: Path
) -> None:
    (message,) = refusals(several["gitops"], stack("gitops", third="nginx"), project)[:1]
    assert message.startswith("region-a: Application nginx: delivers into nginx, and is of no service there — ")


def test_an_object_that_names_no_service_of_its_namespace_is_refused_among_several(with_a_kubeconfig: None) -> None:
    services = {"nginx": {**NGINX, "namespace": "echo"}}
    graph = record_stack(STACK_FILES[0], World(preview=True), delivery="direct", services=services)

    def rename(budget: dict[str, Any]) -> None:
        budget["metadata"]["labels"]["app.kubernetes.io/name"] = "third"

    messages = refusals(edited(graph, "PodDisruptionBudget", "nginx-v1", rename), stack("direct", nginx="echo"))
    assert any("PodDisruptionBudget echo/nginx-v1: is of echo and of nginx" in message for message in messages)


def test_an_object_of_another_namespace_is_of_no_service(several: Deliveries) -> None:
    def rename(probe: dict[str, Any]) -> None:
        probe["metadata"]["labels"]["app.kubernetes.io/name"] = "nginx"
        probe["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.corp.local/probe:latest"

    assert refusals(edited(several["direct"], "Deployment", "probe", rename), stack("direct", nginx="nginx")) == []


def test_the_order_of_every_service_is_judged_by_itself(several: Deliveries) -> None:
    loose = independent(several["direct"], "VirtualService", "nginx")
    (message,) = refusals(loose, stack("direct", nginx="nginx"))
    assert message.startswith("region-a: VirtualService nginx/nginx: does not depend on DestinationRule nginx/nginx — ")


@pytest.mark.parametrize(
    ("kind", "name", "where"),
    [
        ("PeerAuthentication", "nginx-mutual-tls", "PeerAuthentication of nginx: is not there"),
        ("Namespace", "nginx", "Namespace of nginx: is not there"),
    ],
)
def test_the_namespace_of_every_service_is_enforced(
    several: Deliveries, project: Path, kind: str, name: str, where: str
) -> None:
    (message,) = refusals(without(several["gitops"], (kind, name)), stack("gitops", nginx="nginx"), project)
    assert message.startswith(f"region-a: {where} — ")


def test_no_authentication_hides_behind_another(registered: Deliveries) -> None:
    """Of two of a kind in one namespace each is judged."""
    first = registered["gitops"].the("PeerAuthentication", "echo-mutual-tls")
    for name in ("a", "z"):
        urn = first.urn.replace(first.name, name)
        loose = replace(first, urn=urn, inputs={**first.inputs, "spec": {"mtls": {"mode": "DISABLE"}}})
        graph = replace(registered["gitops"], nodes={**registered["gitops"].nodes, loose.urn: loose})
        (message,) = refusals(graph, stack("gitops"))
        assert message.startswith(
            "region-a: PeerAuthentication in echo: spec: is {'mtls': {'mode': 'DISABLE'}}, and not "
        )
