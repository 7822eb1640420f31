"""A misspelt `maxEjectionPercent` would leave a bad pod in service for ever, and a weight of "9O" would fail half way through an update.

A stack file is checked whole before anything is touched, and whoever wrote it is told everything that is wrong with it at
once: where, what, why, and what to write instead.
"""

import copy
import json
import os
from collections.abc import Mapping
from contextvars import Context
from pathlib import Path

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime.settings import Settings, configure

from stackfile.model import (
    ConfigError,
    ConnectionPoolConfig,
    OutlierDetectionConfig,
    RegionConfig,
    ServiceConfig,
    VersionConfig,
)
from stackfile.reader import load_stack_config, load_stack_file
from tests.components.graph import STACK_FILES
from tests.stackfile.stack_values import MINIMAL, parse, problems, the_problem, with_value


def read_in_stack(stack: str, config: Mapping[str, str]) -> RegionConfig:
    """Read as the running program of a stack, whose configuration the automation API has set."""

    def run() -> RegionConfig:
        configure(Settings("echo-rollout", stack))
        pulumi.runtime.set_all_config(dict(config))
        return load_stack_config()

    return Context().run(run)


def test_what_a_stack_leaves_out_is_the_lab_texts_value() -> None:
    config = parse(MINIMAL)
    assert config.services["echo"].connection_pool == ConnectionPoolConfig(
        http1_max_pending_requests=1000, max_requests_per_connection=100, max_connections=1000
    )
    assert config.services["echo"].outlier_detection == OutlierDetectionConfig(
        consecutive_5xx_errors=10, interval="5s", base_ejection_time="30s"
    )
    assert (config.mesh.mesh_id, config.mesh.trust_domain) == ("training-mesh", "corp.local")


def test_no_ejection_percent_is_made_up() -> None:
    assert parse(MINIMAL).services["echo"].max_ejection_percent is None


def test_region_is_the_stacks_name_unless_it_is_said() -> None:
    assert parse(MINIMAL).region == "region-a"
    assert parse({**MINIMAL, "region": "north"}).region == "north"


@pytest.mark.parametrize("stack_file", STACK_FILES, ids=lambda path: path.stem)
def test_a_shipped_stack_file_is_accepted(stack_file: Path) -> None:
    config = load_stack_file(stack_file)
    assert config.services["echo"].weights == {"v1": 90, "v2": 10}
    assert [version.replicas for version in config.services["echo"].versions.values()] == [3, 3]


def test_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse(MINIMAL).services["echo"].versions["v1"].weight = 50  # type: ignore[misc]


def test_a_key_without_a_value_counts_as_left_out() -> None:
    assert parse(with_value("services.echo.outlierDetection", None)) == parse(MINIMAL)
    assert parse({**MINIMAL, "istio": ""}) == parse(MINIMAL)


def test_versions_are_ordered_by_number_whatever_the_files_order() -> None:
    version = VersionConfig(image="echo:1.0.0", replicas=1, weight=0)
    versions = {"v10": version, "v2": version, "v1": version.model_copy(update={"weight": 100})}
    assert list(ServiceConfig(versions=versions).versions) == ["v1", "v2", "v10"]


# --- numbers


@pytest.mark.parametrize("value", ["90", True, 9.5, [90], {}, float("inf"), float("nan")])
def test_a_weight_that_is_no_whole_number_is_refused(value: object) -> None:
    problem = the_problem(with_value("services.echo.versions.v1.weight", value))
    assert problem.startswith("Pulumi.region-a.yaml: $.services.echo.versions.v1.weight: ")
    assert "is not a whole number in 0..100 — a weight is the percent of the requests" in problem


@pytest.mark.parametrize("value", [-1, 101, 10**400])
def test_a_weight_out_of_range_is_refused(value: int) -> None:
    assert " is not in 0..100 — a weight is " in the_problem(with_value("services.echo.versions.v2.weight", value))


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert parse(with_value("services.echo.versions.v1.weight", 90.0)) == parse(MINIMAL)


@pytest.mark.parametrize("value", [-1, 1001, True, "3", 2.5])
def test_replicas_out_of_range_are_refused(value: object) -> None:
    assert "$.services.echo.versions.v1.replicas: " in the_problem(
        with_value("services.echo.versions.v1.replicas", value)
    )


def test_weights_that_do_not_make_100_are_refused() -> None:
    assert the_problem(with_value("services.echo.versions.v2.weight", 20)) == (
        "Pulumi.region-a.yaml: $.services.echo.versions: the weights 90 + 20 make 110, not 100 — a weight is a percent of the "
        "requests, and the measured shares are held against it; change them so that they make 100"
    )


def test_weights_that_do_not_make_100_are_told_beside_another_fault_of_a_version() -> None:
    values = with_value("services.echo.versions.v2.weight", 20)
    values["services"]["echo"]["versions"]["v1"]["image"] = "echo"
    image, split = problems(values)
    assert "$.services.echo.versions.v1.image: " in image
    assert "$.services.echo.versions: the weights 90 + 20 make 110" in split


@given(st.dictionaries(st.from_regex(r"v[0-9]{1,3}", fullmatch=True), st.integers(0, 100), min_size=1, max_size=6))
def test_only_weights_that_make_100_are_accepted(weights: dict[str, int]) -> None:
    versions = {name: {"image": "echo:1.0.0", "replicas": 1, "weight": weight} for name, weight in weights.items()}
    values = {**MINIMAL, "services": {"echo": {"versions": versions}}}
    if sum(weights.values()) == 100:
        assert parse(values).services["echo"].weights == weights
    else:
        assert "not 100" in the_problem(values)


def test_a_weight_for_a_version_without_pods_is_refused() -> None:
    problem = the_problem(with_value("services.echo.versions.v2.replicas", 0))
    assert "$.services.echo.versions.v2.weight: 10 goes to a version with 0 replicas — " in problem


def test_a_version_may_rest_without_pods_and_without_weight() -> None:
    resting = {"image": "registry.corp.local/echo:3.0.0", "replicas": 0, "weight": 0}
    assert parse(with_value("services.echo.versions.v3", resting)).services["echo"].weights == {
        "v1": 90,
        "v2": 10,
        "v3": 0,
    }


def test_no_version_at_all_is_refused() -> None:
    assert "$.services.echo.versions: names no version — " in the_problem(with_value("services.echo.versions", {}))


@pytest.mark.parametrize("value", [0, 101, True])
def test_an_ejection_percent_that_istio_would_ignore_is_refused(value: object) -> None:
    assert "$.services.echo.maxEjectionPercent: " in the_problem(with_value("services.echo.maxEjectionPercent", value))


# --- text


@pytest.mark.parametrize(
    "image",
    [
        "echo:1",
        "localhost:5000/echo:1.0.0",
        "registry.corp.local/team/echo_server:v1.2-rc.1",
        "echo@sha256:" + "0a" * 32,
        "ghcr.io/team/echo:1.0.0@sha256:" + "0a" * 32,
        "echo:latest-2",
        "echo@sha512:" + "0a" * 64,
        "[fd00::1]:5000/echo:1.0.0",
        f"{'a' * 255}:1",
    ],
)
def test_an_image_with_a_tag_or_a_digest_is_accepted(image: str) -> None:
    assert parse(with_value("probe.image", image)).probe.image == image


@pytest.mark.parametrize(
    "image",
    [
        "",
        "echo",
        "localhost:5000/echo",
        "echo:latest",
        "echo:latest@sha256:" + "0a" * 32,
        "echo:",
        "Echo:1",
        "a//echo:1",
        "echo :1",
        "echo@sha256:0a",
        "echo@sha512:" + "0a" * 32,
        "echo:1\n",
        "-registry/echo:1",
        "registry..local/echo:1",
        "registry:0/echo:1",
        "a___b:1",
        f"{'a' * 256}:1",
        f"echo:{'a' * 129}",
    ],
)
def test_an_image_that_may_change_under_its_name_is_refused(image: str) -> None:
    assert "$.probe.image: " in the_problem(with_value("probe.image", image))


@pytest.mark.parametrize("duration", ["5s", "1m30s", "500ms", "2h", "1h1m1s1ms"])
def test_a_duration_is_kept_as_it_is_written(duration: str) -> None:
    values = with_value("services.echo.outlierDetection.interval", duration)
    assert parse(values).services["echo"].outlier_detection.interval == duration


@pytest.mark.parametrize("duration", ["5", "", "0s", "5 s", "-5s", "1s1m", "5sec", "0.5ms", "1d", "1.5s"])
def test_a_duration_that_istio_refuses_is_refused(duration: str) -> None:
    problem = the_problem(with_value("services.echo.outlierDetection.interval", duration))
    assert "$.services.echo.outlierDetection.interval: " in problem


@pytest.mark.parametrize("name", ["V2", "v_2", "-v2", "v2-", "v.2", "", "v" * 51])
def test_a_version_whose_name_cannot_name_an_object_is_refused(name: str) -> None:
    version = {"image": "echo:1.0.0", "replicas": 0, "weight": 0}
    values = copy.deepcopy(MINIMAL)
    values["services"]["echo"]["versions"][name] = version
    assert "is not a DNS label" in the_problem(values)


@pytest.mark.parametrize("version", ["1.31.1", "v1.31.1", "1.31.1-rc.1", "1.31.1-alpha.abc-1+build.7"])
def test_an_exact_chart_version_is_accepted(version: str) -> None:
    assert parse(with_value("istio.version", version)).istio.version == version


@pytest.mark.parametrize(
    "version", ["1.31", ">=1.31.0", "latest", "1.31.x", "01.31.1", "1.31.1-..", "1.31.1-01", "1.31.1-"]
)
def test_a_chart_version_that_is_not_exact_is_refused(version: str) -> None:
    assert "$.istio.version: " in the_problem(with_value("istio.version", version))


def test_a_chart_version_that_yaml_reads_as_a_number_needs_quotes() -> None:
    assert "$.istio.version: 1.31 is not text (a number" in the_problem(with_value("istio.version", 1.31))


@pytest.mark.parametrize("domain", ["corp.local", "a", "1.2", f"{'a' * 63}.local"])
def test_a_trust_domain_that_a_certificate_can_carry_is_accepted(domain: str) -> None:
    assert parse(with_value("mesh.trustDomain", domain)).mesh.trust_domain == domain


@pytest.mark.parametrize(
    "domain", ["", "Corp.local", "corp..local", ".local", "corp.", "-a.b", f"{'a' * 64}.local", "a." * 126 + "aa"]
)
def test_a_trust_domain_that_no_certificate_can_carry_is_refused(domain: str) -> None:
    assert " is not a DNS name — " in the_problem(with_value("mesh.trustDomain", domain))


def test_a_password_in_the_charts_address_is_refused_and_not_repeated() -> None:
    problem = the_problem(with_value("istio.charts", "https://user:s3cret@charts.corp.local"))
    assert "$.istio.charts: there is a user or a password in the address — " in problem
    assert "s3cret" not in problem


@pytest.mark.parametrize(
    "charts", ["charts", "/srv/charts", "oci://registry.corp.local/charts", "https://h:8443/charts"]
)
def test_charts_are_an_address_or_a_directory(charts: str) -> None:
    assert parse(with_value("istio.charts", charts)).istio.charts == charts


@pytest.mark.parametrize("context", ["", " a", "a ", "a\nb", "a\tb", "a\x00b"])
def test_a_context_that_nobody_can_look_up_is_refused(context: str) -> None:
    assert " is not one line of text — " in the_problem(with_value("cluster.context", context))


def test_the_contents_of_a_kubeconfig_do_not_belong_into_a_stack_file() -> None:
    assert "$.cluster.kubeconfig: " in the_problem(with_value("cluster.kubeconfig", "apiVersion: v1\nkind: Config"))


def test_a_way_of_delivery_that_is_not_known_is_refused() -> None:
    problem = the_problem(with_value("delivery", "pigeon"))
    assert '$.delivery: "pigeon" is not a value known here — ' in problem


# --- keys


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("services.echo.versions.v1.replica", "replicas"),
        ("services.echo.maxEjectionPercents", "maxEjectionPercent"),
        ("services.echo.max_ejection_percent", "maxEjectionPercent"),
        ("cluster.contxt", "context"),
        ("isto", "istio"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(path: str, nearest: str) -> None:
    problem = the_problem(with_value(path, 1))
    assert f"$.{path}: is not a known key — " in problem
    assert problem.endswith(f"did you mean {nearest}?")


def test_an_unknown_key_that_resembles_none_is_refused_with_all_known_ones() -> None:
    problem = the_problem(with_value("cluster.zzz", 1))
    assert problem.endswith("the known keys here are context, kubeconfig")


@pytest.mark.parametrize("key", ["cluster", "mesh", "services", "probe"])
def test_a_missing_part_is_refused_with_what_belongs_there(key: str) -> None:
    values = {name: value for name, value in MINIMAL.items() if name != key}
    assert f"$.{key}: is missing and has no default — give " in the_problem(values)


def test_missing_versions_are_refused_with_what_belongs_there() -> None:
    problem = the_problem({**MINIMAL, "echo": {"maxEjectionPercent": 34}})
    assert (
        "$.services.echo.versions: is missing and has no default — give the versions by name, each with image"
        in problem
    )


@pytest.mark.parametrize("value", [None, "v2", 10, []])
def test_a_version_that_is_no_object_is_refused_with_its_keys(value: object) -> None:
    problem = the_problem(with_value("services.echo.versions.v2", value))
    assert "$.services.echo.versions.v2: " in problem
    assert problem.endswith("give an object with the keys image, replicas, weight")


def test_every_problem_is_told_at_once() -> None:
    values = with_value("services.echo.versions.v1.weight", 110)
    values["services"]["echo"]["versions"]["v2"]["image"] = "echo"
    values["cluster"] = {"contxt": "region-a"}
    values["probe"] = {}
    assert [problem.split(": ")[1] for problem in problems(values)] == [
        "$.cluster.context",
        "$.cluster.contxt",
        "$.services.echo.versions.v1.weight",
        "$.services.echo.versions.v2.image",
        "$.probe.image",
    ]


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
OTHER_NAMES = [
    "istio",
    "rules",
    "waived",
    "mayDiffer",
    "stable",
    "region",
    "delivery",
    "versions",
    "v1",
    "image",
    "values",
]
names = st.sampled_from([*MINIMAL, *OTHER_NAMES, "context", "", "x y"])
trees = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4))


@given(st.dictionaries(names, trees, max_size=6))
def test_whatever_a_file_holds_it_is_accepted_or_refused_in_lines_with_a_path(values: dict[str, object]) -> None:
    lines: tuple[str, ...] = ()
    try:
        parse({**MINIMAL, **values})
    except ConfigError as error:
        lines = error.problems or ("refused without a reason",)
    assert all(line.startswith("Pulumi.region-a.yaml: $") and " — " in line for line in lines)


# --- where the values come from


@pytest.mark.parametrize("stack_file", STACK_FILES, ids=lambda path: path.stem)
def test_the_running_program_and_the_offline_reader_see_the_same(stack_file: Path) -> None:
    offline = load_stack_file(stack_file)
    wire = {
        f"echo-rollout:{key}": json.dumps(value, sort_keys=True)
        for key, value in offline.model_dump(by_alias=True, exclude_none=True).items()
        if isinstance(value, dict)
    }
    assert read_in_stack(offline.region, wire) == offline


def test_the_running_program_reads_what_the_language_host_puts_into_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire = {f"echo-rollout:{key}": json.dumps(value) for key, value in MINIMAL.items()}
    monkeypatch.setitem(os.environ, "PULUMI_CONFIG", json.dumps(wire))
    assert read_in_stack("region-a", {}) == parse(MINIMAL)


def test_a_stack_without_configuration_is_told_what_to_do() -> None:
    with pytest.raises(ConfigError) as caught:
        read_in_stack("region-c", {})
    assert str(caught.value) == (
        "Pulumi.region-c.yaml: $: there is no configuration — the program cannot know which cluster to bring up, nor what "
        "to run there; copy another stack's file to Pulumi.region-c.yaml and change it (needed: cluster, mesh, repository, echo, "
        "probe)"
    )


def test_a_key_without_a_namespace_is_ours_as_it_is_to_pulumi(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.region-a.yaml"
    file.write_text(f"config: {json.dumps({**MINIMAL, 'other:key': 1})}")
    assert load_stack_file(file) == parse(MINIMAL)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^Pulumi\.region-z\.yaml: there is no such file in /"):
        load_stack_file(tmp_path / "Pulumi.region-z.yaml")
