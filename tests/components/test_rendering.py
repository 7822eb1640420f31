from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from components.service import workload_objects
from rules.facts.shapes import SYNC_OPTIONS
from rules.facts.workloads import SYNC_WAVE
from stackfile.reader import load_stack_file
from tests.rollout.stack_files import ROOT

CONFIG = load_stack_file(ROOT / "Pulumi.region-a.yaml")
ECHO = CONFIG.services["echo"]


def numbers_in(value: Any) -> Iterator[int | float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from numbers_in(inner)
    elif isinstance(value, int | float):
        yield value


def test_every_object_says_its_namespace() -> None:
    assert {found["metadata"]["namespace"] for found in workload_objects(CONFIG, ECHO)} == {"echo"}


def test_every_object_says_what_it_is() -> None:
    assert sorted((found["apiVersion"], found["kind"]) for found in workload_objects(CONFIG, ECHO)) == [
        ("apps/v1", "Deployment"),
        ("apps/v1", "Deployment"),
        ("networking.istio.io/v1", "DestinationRule"),
        ("networking.istio.io/v1", "VirtualService"),
        ("policy/v1", "PodDisruptionBudget"),
        ("policy/v1", "PodDisruptionBudget"),
        ("v1", "Service"),
        ("v1", "ServiceAccount"),
    ]


def test_whole_numbers_are_integers() -> None:
    numbers = list(numbers_in(workload_objects(CONFIG, ECHO)))

    assert 90 in numbers
    assert [number for number in numbers if isinstance(number, float)] == []


def test_routes_come_after_subsets_and_subsets_after_pods() -> None:
    waves = {each["kind"]: int(annotated(each).get(SYNC_WAVE, "0")) for each in workload_objects(CONFIG, ECHO)}

    assert waves["Deployment"] == waves["Service"] < waves["DestinationRule"] < waves["VirtualService"]


def test_what_is_there_as_long_as_the_service_is_never_pruned() -> None:
    spared = {
        each["kind"] for each in workload_objects(CONFIG, ECHO) if annotated(each).get(SYNC_OPTIONS) == "Prune=false"
    }

    assert spared == {"Service", "ServiceAccount", "DestinationRule", "VirtualService"}


def annotated(found: dict[str, Any]) -> dict[str, str]:
    return dict(found["metadata"].get("annotations", {}))


def test_two_regions_do_not_mix() -> None:
    def named_regions(region: str) -> set[str]:
        deployments = [
            found
            for found in workload_objects(CONFIG.model_copy(update={"region": region}), ECHO)
            if found["kind"] == "Deployment"
        ]
        return {found["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] for found in deployments}

    assert (named_regions("north"), named_regions("south")) == ({"north"}, {"south"})
