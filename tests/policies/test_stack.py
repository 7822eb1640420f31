from __future__ import annotations

import json
from typing import Any

import pytest

from policies.stack import Stack, told
from rules.facts.region import Limits, Region
from rules.facts.workloads import Workloads
from tests.components.graph import STACK_FILES, stack_config
from tests.stackfile.stack_values import MINIMAL, parse, with_value

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
    assert told(config) == Stack("region-b", "gitops", {"echo": "echo"}, {"echo": Limits()})


def test_limits_are_those_that_the_program_reads() -> None:
    values = with_value("rules", RULES)
    echo = values["services"]["echo"]
    values["services"] |= {"nginx": {**echo, "namespace": "market"}}
    echo |= {"stable": "v2", "podsForAllTraffic": 2}
    stack = told(environment(**values))
    assert stack is not None
    file = parse(values).model_dump(by_alias=True)
    assert stack.limits == {name: Region.of(file, name, Workloads()).limits for name in ("echo", "nginx")}
    assert stack.limits["echo"] != stack.limits["nginx"] != Limits()


def test_each_service_is_told_with_its_namespace() -> None:
    values = with_value("services.nginx", {**MINIMAL["services"]["echo"], "namespace": "market"})
    stack = told(environment(**values))
    assert stack is not None
    assert stack.namespaces == {name: each.namespace for name, each in parse(values).services.items()}


def test_a_service_of_a_file_from_before_there_were_several_is_told() -> None:
    values = {key: value for key, value in MINIMAL.items() if key != "services"}
    stack = told(environment(**values, echo={**MINIMAL["services"]["echo"], "podsForAllTraffic": 2}))
    assert stack == Stack("region-a", "gitops", {"echo": "echo"}, {"echo": Limits(pods_for_all_traffic=2)})


@pytest.mark.parametrize("services", ["", "5", "[1]", {"echo": 5}, {"echo": None}])
def test_what_the_program_will_refuse_keeps_no_pack_from_starting(services: object) -> None:
    """The pack starts first: the program tells what is wrong."""
    stack = told(environment(services=services))
    assert stack is not None
    assert stack.namespaces == {"echo": "echo"}


def test_a_region_may_have_another_name_than_its_stack() -> None:
    stack = told(environment(region="region-c"))
    assert stack is not None
    assert stack.region == "region-c"


@pytest.mark.parametrize("delivery", ["gitops", "handover", "direct"])
def test_the_way_of_delivery_is_told(delivery: str) -> None:
    stack = told(environment(delivery=delivery))
    assert stack is not None
    assert stack.delivery == delivery


def test_without_a_stack_nothing_is_told() -> None:
    assert told({}) is None
