"""An exception that leaves a Pulumi program is printed with forty lines of traceback, and the one that helps is among them.

Whatever a person got wrong in a stack file ends the program with the message alone, before anything is registered.
"""

import json
from pathlib import Path

import pulumi
import pytest

from tests.components.graph import STACK_FILES, Graph, record, record_stack, run_main

CLUSTER = {"echo-rollout:cluster": '{"context": "region-a"}'}


def test_a_stack_without_configuration_ends_with_the_message_alone() -> None:
    with pytest.raises(pulumi.RunError, match=r"^Pulumi\.region-c\.yaml: \$: there is no configuration"):
        record(run_main, {}, "region-c")


def test_every_wrong_value_is_in_the_one_message() -> None:
    with pytest.raises(pulumi.RunError) as caught:
        record(run_main, {**CLUSTER, "echo-rollout:probe": '{"image": "probe"}'}, "region-a")
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["$.mesh", "$.echo", "$.probe.image"]


def test_a_context_that_is_not_there_ends_with_the_message_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text("contexts: [{name: kind}]")
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(pulumi.RunError, match=r'^cluster\.context "region-a" is not in '):
        record_stack(STACK_FILES[0])


def run_with(stack_text: str, directory: Path, monkeypatch: pytest.MonkeyPatch, kubeconfig: Path) -> Graph:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    file = directory / "Pulumi.region-a.yaml"
    file.write_text(stack_text)
    return record_stack(file)


def wire_form(graph: Graph) -> dict[str, str]:
    return {urn: json.dumps(dict(node.inputs), sort_keys=True) for urn, node in graph.nodes.items()}


def test_a_change_of_weights_changes_the_virtual_service_and_the_output_alone(
    graphs: list[Graph], kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = STACK_FILES[0].read_text().replace("weight: 90", "weight: 75").replace("weight: 10", "weight: 25")
    after = run_with(text, tmp_path, monkeypatch, kubeconfig)
    assert after.outputs == {**graphs[0].outputs, "weights": {"v1": 75, "v2": 25}}
    changed = dict(wire_form(after).items() - wire_form(graphs[0]).items())
    assert [after.nodes[urn].kind for urn in changed] == ["VirtualService"]


def test_a_kubeconfig_of_the_stacks_own_goes_to_the_provider_and_the_outputs_as_it_is_written(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = STACK_FILES[0].read_text().replace("# kubeconfig: path ", f"kubeconfig: {kubeconfig} ")
    graph = run_with(text, tmp_path, monkeypatch, kubeconfig)
    assert graph.the("kubernetes", "cluster").inputs["kubeconfig"] == str(kubeconfig)
    assert graph.outputs["kubeconfig"] == str(kubeconfig)
