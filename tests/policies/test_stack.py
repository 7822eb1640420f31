from __future__ import annotations

import json
from typing import Any

import pytest

from policies.stack import told
from rules.facts.region import Limits, Region
from rules.facts.workloads import Workloads
from tests.components.graph import STACK_FILES, stack_config
from tests.stackfile.stack_values import parse, with_value

RULES: dict[str, Any] = {
    "largestIncrease": 20,
    "introduceTogether": True,
    "immutableTags": ["release-.*"],
    "mayDiffer": ["region"],
    "waived": {"rollback-capacity": "a drill"},
}


def environment(**config: object) -> dict[str, str]:
    """What a language host sets: everything is text, objects are JSON."""
    texts = {
        f"echo-rollout:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in config.items()
    }
    return {"PULUMI_STACK": "region-a", "PULUMI_CONFIG": json.dumps(texts)}


def test_the_committed_stack_files_are_told_as_they_are() -> None:
    config = {"PULUMI_STACK": "region-b", "PULUMI_CONFIG": json.dumps(stack_config(STACK_FILES[1]))}
    assert told(config) == Region("region-b", "gitops", Workloads())


def test_limits_are_those_that_the_program_reads() -> None:
    values = with_value("rules", RULES)
    values["echo"] |= {"stable": "v2", "podsForAllTraffic": 2}
    stack = told(environment(**values))
    assert stack is not None
    assert stack.limits == Region.of(parse(values).model_dump(by_alias=True), Workloads()).limits
    assert stack.limits != Limits()


def test_a_region_may_have_another_name_than_its_stack() -> None:
    stack = told(environment(region="region-c"))
    assert stack is not None
    assert stack.name == "region-c"


@pytest.mark.parametrize("delivery", ["gitops", "handover", "direct"])
def test_the_way_of_delivery_is_told(delivery: str) -> None:
    stack = told(environment(delivery=delivery))
    assert stack is not None
    assert stack.delivery == delivery


def test_without_a_stack_nothing_is_told() -> None:
    assert told({}) is None
