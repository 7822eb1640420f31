"""An exception that leaves a Pulumi program is printed with forty lines of traceback, and the one that helps is among them.

Whatever a person got wrong in a stack file ends the program with the message alone, before anything is registered.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pulumi
import pytest

from tests.components.graph import STACK_FILES, Graph, attempt, record, record_stack, run_main, stack_config

CLUSTER = {"echo-rollout:cluster": '{"context": "region-a"}'}


def test_a_stack_without_configuration_ends_with_the_message_alone() -> None:
    with pytest.raises(pulumi.RunError, match=r"^Pulumi\.region-c\.yaml: \$: there is no configuration"):
        record(run_main, {}, "region-c")


def test_every_wrong_value_is_in_the_one_message() -> None:
    with pytest.raises(pulumi.RunError) as caught:
        record(run_main, {**CLUSTER, "echo-rollout:probe": '{"image": "probe"}'}, "region-a")
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "$.mesh",
        "$.repository",
        "$.services",
        "$.probe.image",
    ]


def test_a_context_that_is_not_there_ends_with_the_message_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text("contexts: [{name: kind}]")
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(pulumi.RunError, match=r'^cluster\.context "region-a" is not in '):
        record_stack(STACK_FILES[0])


def test_a_manifest_that_is_not_there_ends_with_the_message_alone(
    monkeypatch: pytest.MonkeyPatch, kubeconfig: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    graph, error = attempt(run_main, stack_config(STACK_FILES[0], argocd={"manifest": "/nowhere/install.yaml"}))
    assert isinstance(error, pulumi.RunError)
    assert str(error).startswith('argocd.manifest "/nowhere/install.yaml" cannot be read (')
    assert sorted(node.kind for node in graph) == ["Stack"]


def test_pulumi_itself_delivers_without_a_manifest(monkeypatch: pytest.MonkeyPatch, kubeconfig: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    graph = record_stack(STACK_FILES[0], delivery="direct", argocd={"manifest": "/nowhere/install.yaml"})
    assert graph.outputs["delivery"] == "direct"


@pytest.fixture
def run_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kubeconfig: Path) -> Callable[[str, str], Graph]:
    """Run the program on the stack file of region-a with another text and another way of delivery."""

    def run(text: str, delivery: str) -> Graph:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        file = tmp_path / "Pulumi.region-a.yaml"
        file.write_text(text)
        return record_stack(file, delivery=delivery)

    return run


def wire_form(graph: Graph) -> dict[str, str]:
    return {urn: json.dumps(dict(node.inputs), sort_keys=True) for urn, node in graph.nodes.items()}


@pytest.mark.parametrize(("delivery", "kinds"), [("gitops", []), ("direct", ["VirtualService"])])
def test_a_change_of_weights_changes_the_output_and_what_pulumi_itself_applies(
    deliveries: dict[str, list[Graph]], run_with: Callable[[str, str], Graph], delivery: str, kinds: list[str]
) -> None:
    before = deliveries[delivery][0]
    text = STACK_FILES[0].read_text().replace("weight: 90", "weight: 75").replace("weight: 10", "weight: 25")
    after = run_with(text, delivery)
    echo = {**before.outputs["services"]["echo"], "weights": {"v1": 75, "v2": 25}}
    assert after.outputs == {**before.outputs, "services": {"echo": echo}}
    changed = dict(wire_form(after).items() - wire_form(before).items())
    assert [after.nodes[urn].kind for urn in changed] == kinds


def test_a_kubeconfig_of_the_stacks_own_goes_to_the_provider_and_the_outputs_as_it_is_written(
    kubeconfig: Path, run_with: Callable[[str, str], Graph]
) -> None:
    text = STACK_FILES[0].read_text().replace("# kubeconfig: path ", f"kubeconfig: {kubeconfig} ")
    graph = run_with(text, "gitops")
    assert graph.the("kubernetes", "cluster").inputs["kubeconfig"] == str(kubeconfig)
    assert graph.outputs["kubeconfig"] == str(kubeconfig)
