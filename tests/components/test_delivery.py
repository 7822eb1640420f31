"""Set plainly from one way of delivery to the other, a live stack would delete the workloads while requests run through them.

So a stack remembers how it delivered, and lets the two change places only when both have held the workloads.
"""

from typing import Any

import pulumi
import pytest
from pulumi.output import Unknown

from tests.components.graph import STACK_FILES, Graph, World, attempt, record_stack, run_main, stack_config

WORKLOADS = ("ServiceAccount", "Service", "PodDisruptionBudget", "Deployment", "DestinationRule", "VirtualService")


@pytest.fixture(autouse=True)
def with_a_kubeconfig(monkeypatch: pytest.MonkeyPatch, kubeconfig: Any) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))


def workloads(graph: Graph) -> list[str]:
    """The URNs of what the workloads are made of."""
    parents = {node.urn for node in graph if node.kind in ("ServiceDeployments", "TrafficPolicy")}
    return [node.urn for node in graph if node.parent in parents]


# --- the plain switch


@pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
@pytest.mark.parametrize(
    ("previous", "delivery", "harm"),
    [
        (
            "direct",
            "gitops",
            "Pulumi would delete the workloads, and every request fail until Argo CD had made them anew",
        ),
        (
            "gitops",
            "direct",
            "Pulumi would find the workloads there and make none of them, and where argocd.cascade is set every request would "
            "fail until they were made anew",
        ),
    ],
)
def test_a_plain_switch_is_refused_before_anything_is_registered(
    previous: str, delivery: str, harm: str, preview: bool
) -> None:
    world = World(outputs={"delivery": previous}, preview=preview)
    graph, error = attempt(run_main, stack_config(STACK_FILES[0], delivery=delivery), world=world)
    assert isinstance(error, pulumi.RunError)
    assert str(error) == (
        f"delivery: {delivery} cannot follow delivery: {previous} at once — {harm}; set delivery: handover, run pulumi up, and "
        f"only then set delivery: {delivery} (docs/handover.md)"
    )
    assert sorted(node.kind for node in graph) == ["Stack"]


def test_a_switch_that_is_refused_does_not_change_what_the_stack_remembers() -> None:
    world = World(outputs={"delivery": "direct"})
    graph, _ = attempt(run_main, stack_config(STACK_FILES[0]), world=world)
    assert graph.outputs == {}


@pytest.mark.parametrize(
    ("previous", "delivery"),
    [
        (None, "gitops"),
        (None, "direct"),
        (None, "handover"),
        ("gitops", "gitops"),
        ("gitops", "handover"),
        ("handover", "gitops"),
        ("handover", "handover"),
        ("handover", "direct"),
        ("direct", "handover"),
        ("direct", "direct"),
    ],
)
def test_every_other_step_is_allowed(previous: str | None, delivery: str) -> None:
    world = World(outputs={"delivery": previous} if previous else {})
    assert record_stack(STACK_FILES[0], world, delivery=delivery).outputs["delivery"] == delivery


# --- the handover


def test_both_hold_the_workloads_during_a_handover(deliveries: dict[str, list[Graph]]) -> None:
    graph = deliveries["handover"][0]
    assert {graph.nodes[urn].kind for urn in workloads(graph)} == set(WORKLOADS)
    assert graph.the("Application", "echo").inputs == deliveries["gitops"][0].the("Application", "echo").inputs


FORCED = "pulumi.com/patchForce"


def inputs(graph: Graph, *, without: str = "") -> dict[str, Any]:
    """What the workloads are made of, but for one annotation."""
    found = {}
    for urn in workloads(graph):
        metadata = {**graph.nodes[urn].metadata}
        annotations = {key: value for key, value in metadata.pop("annotations", {}).items() if key != without}
        found[urn] = {**graph.nodes[urn].inputs, "metadata": {**metadata, "annotations": annotations}}
    return found


def test_the_workloads_are_the_same_during_a_handover(deliveries: dict[str, list[Graph]]) -> None:
    direct, handover = deliveries["direct"][0], deliveries["handover"][0]
    assert inputs(direct, without=FORCED) == inputs(handover)


def test_what_is_handed_over_stays_when_pulumi_lets_go_of_it(deliveries: dict[str, list[Graph]]) -> None:
    graph = deliveries["handover"][0]
    assert len(workloads(graph)) == 8
    assert [urn for urn in workloads(graph) if not graph.nodes[urn].retained] == []


def test_nothing_but_the_workloads_is_left_behind(deliveries: dict[str, list[Graph]]) -> None:
    graph = deliveries["handover"][0]
    retained = {node.urn for node in graph if node.retained and node.custom}
    assert retained == set(workloads(graph))


@pytest.mark.parametrize("delivery", ["gitops", "direct"])
def test_nothing_is_left_behind_outside_of_a_handover(deliveries: dict[str, list[Graph]], delivery: str) -> None:
    assert [node.urn for node in deliveries[delivery][0] if node.retained] == []


def test_a_handover_takes_over_what_is_there_already(deliveries: dict[str, list[Graph]]) -> None:
    assert deliveries["handover"][0].the("kubernetes", "cluster").inputs["upsertExistingObjects"] == "true"


@pytest.mark.parametrize("delivery", ["gitops", "direct"])
def test_what_is_there_already_is_an_error_outside_of_a_handover(
    deliveries: dict[str, list[Graph]], delivery: str
) -> None:
    assert "upsertExistingObjects" not in deliveries[delivery][0].the("kubernetes", "cluster").inputs


@pytest.mark.parametrize(("delivery", "forced"), [("gitops", 0), ("handover", 0), ("direct", 8)])
def test_who_delivers_alone_has_the_last_word_on_fields_that_another_holds(
    deliveries: dict[str, list[Graph]], delivery: str, forced: int
) -> None:
    annotations = [node.metadata.get("annotations", {}) for node in deliveries[delivery][0].objects]
    assert sum(each.get(FORCED) == "true" for each in annotations) == forced


# --- what the stack remembers


@pytest.mark.parametrize(
    ("delivery", "refused"),
    [
        ("direct", "Service"),
        ("direct", "VirtualService"),
        ("gitops", "Application"),
        ("handover", "Deployment"),
        ("handover", "VirtualService"),
        ("handover", "Application"),
    ],
)
def test_a_delivery_that_failed_half_way_is_not_remembered(delivery: str, refused: str) -> None:
    world = World(refused=refused)
    graph, error = attempt(run_main, stack_config(STACK_FILES[0], delivery=delivery), world=world)
    assert error is not None
    remembered = [outputs for urn, outputs in graph.finished.items() if "::pulumi:pulumi:Stack::" in urn]
    assert all("delivery" not in outputs for outputs in remembered)


@pytest.mark.parametrize("delivery", ["gitops", "handover", "direct"])
def test_a_first_preview_does_not_promise_a_delivery(delivery: str) -> None:
    graph = record_stack(STACK_FILES[0], World(preview=True), delivery=delivery)
    assert isinstance(graph.outputs["delivery"], Unknown)
