"""What the rules are told of a region must be what the components make of it: else they would judge another one."""

import pytest

from components.facts import as_region
from rollout.plan.manifests import overlay_files
from rollout.plan.workloads import workload_objects
from rules import catalogue
from rules.facts.overlay import objects
from rules.facts.region import Limits
from stackfile.model import RegionConfig
from stackfile.reader import load_stack_file
from tests.components.graph import STACK_FILES
from tests.stackfile.stack_values import MINIMAL, parse, with_value

RESTING = {"image": "registry.corp.local/echo@sha256:" + "0a" * 32, "replicas": 0, "weight": 0}
ONE = {"v1": {"image": "registry.corp.local/echo:1.0.0", "replicas": 1, "weight": 100}}
CONFIGS = {
    "shipped": load_stack_file(STACK_FILES[0]),
    "least": parse(MINIMAL),
    "one version": parse(with_value("echo.versions", ONE)),
    "a resting version": parse(with_value("echo.versions.v10", RESTING)),
    "an ejection percent": parse(with_value("echo.maxEjectionPercent", 50)),
    "durations": parse(
        with_value(
            "echo.outlierDetection", {"interval": "1m1s500ms", "baseEjectionTime": "2h", "consecutive5xxErrors": 0}
        )
    ),
    "handover": parse({**MINIMAL, "delivery": "handover", "region": "north"}),
    "direct": parse({**MINIMAL, "delivery": "direct"}),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_the_rules_see_what_is_rendered_of_what_the_components_make(config: RegionConfig) -> None:
    files = overlay_files(workload_objects(config), "Pulumi.region-a.yaml")
    made = objects({name: text.encode() for name, text in files.items()})
    assert made.deployments
    assert not made.unreadable
    assert as_region(config).workloads == made


def test_a_region_is_named_and_delivered_as_its_file_says() -> None:
    region = as_region(parse({**MINIMAL, "delivery": "direct", "region": "north"}))
    assert (region.name, region.delivery) == ("north", "direct")


def test_what_pulumi_registers_is_not_known_from_the_configuration() -> None:
    assert as_region(parse(MINIMAL)).pulumi is None


def test_settings_are_known_by_the_files_own_paths() -> None:
    settings = as_region(parse(with_value("istio.values.pilot.env.X", "1"))).settings
    assert settings["echo.versions.v2.weight"] == 10
    assert settings["mesh.network"] == "network-a"
    assert settings["istio.values.pilot.env.X"] == "1"


def test_settings_that_the_file_leaves_out_have_their_defaults() -> None:
    settings = as_region(parse(MINIMAL)).settings
    assert settings["echo.outlierDetection.consecutive5xxErrors"] == 10
    assert settings["echo.connectionPool.http1MaxPendingRequests"] == 1000
    assert settings["rules.largestIncrease"] == 50
    assert settings["cluster.kubeconfig"] is None


def test_limits_are_the_rules_own_unless_the_file_says_otherwise() -> None:
    assert as_region(parse(MINIMAL)).limits == Limits()


def test_limits_are_what_the_file_says() -> None:
    rule = min(catalogue.waivable_ids())
    values = with_value("echo.stable", "v2")
    values["echo"]["podsForAllTraffic"] = 4
    values["rules"] = {
        "largestIncrease": 25,
        "introduceTogether": True,
        "immutableTags": ["build-[0-9]+"],
        "mayDiffer": ["cluster.**"],
        "waived": {rule: "a test region"},
    }
    assert as_region(parse(values)).limits == Limits(
        largest_increase=25,
        introduce_together=True,
        immutable_tags=("build-[0-9]+",),
        may_differ=("cluster.**",),
        waived={rule: "a test region"},
        pods_for_all_traffic=4,
        stable="v2",
    )
