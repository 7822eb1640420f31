from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest

from rollout.plan import workloads
from rollout.plan.workloads import workload_objects
from stackfile.model import RegionConfig
from stackfile.reader import load_stack_file
from tests.rollout.stack_files import ROOT

CONFIG = load_stack_file(ROOT / "Pulumi.region-a.yaml")


def numbers_in(value: Any) -> Iterator[int | float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from numbers_in(inner)
    elif isinstance(value, int | float):
        yield value


def test_every_object_says_its_namespace() -> None:
    assert {found["metadata"]["namespace"] for found in workload_objects(CONFIG)} == {"echo"}


def test_every_object_says_what_it_is() -> None:
    assert sorted((found["apiVersion"], found["kind"]) for found in workload_objects(CONFIG)) == [
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
    numbers = list(numbers_in(workload_objects(CONFIG)))

    assert 90 in numbers
    assert [number for number in numbers if isinstance(number, float)] == []


def test_two_regions_do_not_mix() -> None:
    def named_regions(region: str) -> set[str]:
        deployments = [
            found
            for found in workload_objects(CONFIG.model_copy(update={"region": region}))
            if found["kind"] == "Deployment"
        ]
        return {found["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] for found in deployments}

    assert (named_regions("north"), named_regions("south")) == ({"north"}, {"south"})


def test_a_component_that_fails_is_not_rendered_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> str:
        await asyncio.sleep(0)
        raise LookupError("no such label")

    def with_a_broken_label(config: RegionConfig, opts: pulumi.ResourceOptions) -> None:
        # the tasks behind it fail with it, and are finalised during some later test: that need not be logged
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)

        class Broken(pulumi.ComponentResource):
            def __init__(self) -> None:
                super().__init__("test:test:Broken", "broken", {"label": broken()}, opts)

        Broken()

    monkeypatch.setattr(workloads, "echo_workloads", with_a_broken_label)

    with pytest.raises(LookupError, match="no such label"):
        workload_objects(CONFIG)
