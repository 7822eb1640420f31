"""Whoever edits a stack file at night should not need three tries, nor a guess why a key has no effect.

Pulumi passes over keys that it does not know at the top of a file, and hands a program the keys of a misspelt namespace as
somebody else's: both are told here, together with whatever is wrong with the values.
"""

import json
from collections.abc import Mapping
from contextvars import Context
from pathlib import Path

import pulumi
import pytest
from pulumi.runtime.settings import Settings, configure
from ruamel.yaml import YAML

from stackfile.model import ConfigError, RegionConfig
from stackfile.reader import load_stack_config, load_stack_file, read_stack_file
from tests.components.graph import STACK_FILES
from tests.stackfile.stack_values import MINIMAL, parse, with_value

SOURCE = "Pulumi.region-a.yaml"
TEN_MISTAKES = """\
confg:
  echo-rollout:region: region-a
config:
  echo-rolout:probe:
    image: registry.corp.local/probe:1.0.0
  echo-rollout:delivery: pigeon
  echo-rollout:cluster:
    context: region-a
    context: region-b
  echo-rollout:mesh:
    network: Network_A
    meshID: training-mesh
  echo-rollout:repository: https://git.corp.local/platform/echo-rollout.git
  echo-rollout:istio:
    version: ">=1.31"
  echo-rollout:services:
    echo:
      stable: v3
      versions:
        v1: {image: registry.corp.local/echo:latest, replicas: 3, weight: 90}
        v2: {image: registry.corp.local/echo:2.0.0, replicas: 0, weight: 20}
        V4: {image: registry.corp.local/echo:4.0.0, replicas: "3", weight: 0}
      outlierDetection:
        interval: 5 s
        maxEjectionPercent: 34
  echo-rollout:rules:
    largestIncrease: 0
    mayDiffer: [services.*.version.*]
    immutableTags: [build-(]
    waived: {weights-sum: because}
"""


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read_stack_file(text.encode(), SOURCE)
    return caught.value.problems


def the_problem(text: str) -> str:
    (problem,) = problems(text)
    return problem


def file_with(top: str = "", config: Mapping[str, object] = MINIMAL) -> str:
    return f"{top}\nconfig: {json.dumps(config)}\n"


def test_ten_and_more_different_mistakes_are_told_in_one_run_each_with_its_path_and_mend() -> None:
    found = dict(line.removeprefix(f"{SOURCE}: ").split(": ", 1) for line in problems(TEN_MISTAKES))
    mends = {
        "$.confg": "did you mean config?",
        '$["echo-rolout:probe"]': "did you mean echo-rollout:probe?",
        "$.delivery": 'give "gitops" or leave it out',
        "$.cluster.context": "keep one of them",
        "$.mesh.network": "use lower-case letters, digits and '-'",
        "$.mesh.meshID": "did you mean meshId?",
        "$.repository": "give the Git repository that Argo CD reads, with its url",
        "$.istio.version": "write for instance 1.31.1",
        "$.services.echo.stable": "the known versions are V4, v1, v2",
        "$.services.echo.versions": "change them so that they make 100",
        "$.services.echo.versions.v1.image": "and not the tag latest",
        "$.services.echo.versions.v2.weight": "give it replicas, or weight 0",
        "$.services.echo.versions.V4": "use lower-case letters, digits and '-'",
        "$.services.echo.versions.V4.replicas": "write a whole number in this range",
        "$.services.echo.outlierDetection.interval": "such as 5s, 1m30s or 500ms",
        "$.services.echo.outlierDetection.maxEjectionPercent": "did you mean $.services.*.maxEjectionPercent?",
        "$.rules.largestIncrease": "write a whole number in this range",
        "$.rules.mayDiffer[0]": "did you mean versions?",
        "$.rules.immutableTags[0]": "mend it",
        "$.rules.waived.weights-sum": "did you mean weights-sum-100?",
    }
    assert len(problems(TEN_MISTAKES)) == len(mends)
    assert {path: mend for path, mend in mends.items() if mend not in found.get(path, "")} == {}
    assert [path for path, text in found.items() if " — " not in text] == []


# --- the top of the file


@pytest.mark.parametrize(
    ("top", "hint"),
    [
        ("confg: {}", "did you mean config?"),
        ("encryptionSalt: v1:x", "did you mean encryptionsalt?"),
        (
            "zzz: 1",
            "the known keys there are config, secretsprovider, encryptedkey, encryptionsalt, environment",
        ),
        ("mesh: {network: a}", "write it below config:, further to the right"),
        ("echo-rollout:mesh: {network: a}", "write it below config:, further to the right"),
    ],
)
def test_a_key_that_pulumi_would_pass_over_is_refused(top: str, hint: str) -> None:
    problem = the_problem(file_with(top))
    assert "is no key of a stack file's top — Pulumi would pass over it and what is below; " in problem
    assert problem.endswith(hint)


def test_pulumis_own_keys_are_accepted() -> None:
    top = "secretsprovider: passphrase\nencryptedkey: x\nencryptionsalt: v1:x\nenvironment: [lab]"
    assert read_stack_file(file_with(top).encode(), SOURCE) == parse(MINIMAL)


@pytest.mark.parametrize("text", ["- a", "a", "3", "true"])
def test_a_file_that_is_no_object_is_refused(text: str) -> None:
    assert the_problem(text).startswith(f"{SOURCE}: $: the file is ")


@pytest.mark.parametrize("text", ["config: [a]", "config: a", "config: 3"])
def test_a_configuration_that_is_no_object_is_refused(text: str) -> None:
    assert the_problem(text).startswith(f"{SOURCE}: $: config is ")


@pytest.mark.parametrize(
    "text", ["", "config:", "config: {}", "encryptionsalt: v1:x", "config: {kubernetes:context: x}"]
)
def test_a_file_without_our_keys_has_no_configuration(text: str) -> None:
    assert the_problem(text).startswith(f"{SOURCE}: $: there is no configuration — ")


# --- the project's keys


@pytest.mark.parametrize("namespace", ["echo-rolout", "echo_rollout", "Echo-Rollout", "echorollout"])
def test_a_misspelt_namespace_is_refused_with_the_projects(namespace: str) -> None:
    config = {f"{namespace if key == 'probe' else 'echo-rollout'}:{key}": value for key, value in MINIMAL.items()}
    problem = the_problem(file_with(config=config))
    assert problem.startswith(f'{SOURCE}: $["{namespace}:probe"]: is not a key of echo-rollout — ')
    assert problem.endswith("did you mean echo-rollout:probe?")


def test_what_is_below_a_misspelt_namespace_is_checked_with_the_rest() -> None:
    config = {**MINIMAL, "echo-rolout:rules": {"largestIncrease": 0}}
    assert [line.split(": ")[1] for line in problems(file_with(config=config))] == [
        '$["echo-rolout:rules"]',
        "$.rules.largestIncrease",
    ]


@pytest.mark.parametrize("key", ["kubernetes:context", "echo-rollout-lab:probe", "rollout:probe", "echo:probe"])
def test_keys_of_another_namespace_are_none_of_ours(key: str) -> None:
    assert read_stack_file(file_with(config={**MINIMAL, key: 1}).encode(), SOURCE) == parse(MINIMAL)


def test_a_key_in_two_spellings_is_refused() -> None:
    problem = the_problem(file_with(config={**MINIMAL, "echo-rollout:probe": MINIMAL["probe"]}))
    assert "$.probe: is there as echo-rollout:probe and as probe — only one of them would count; keep one" in problem


def test_the_long_form_of_a_key_is_ours_as_it_is_to_pulumi() -> None:
    config = {f"echo-rollout:config:{key}": value for key, value in MINIMAL.items()}
    assert read_stack_file(file_with(config=config).encode(), SOURCE) == parse(MINIMAL)


def test_a_key_that_belongs_elsewhere_is_refused_with_its_place() -> None:
    problem = the_problem(file_with(config=with_value("services.echo.weight", 10)))
    assert problem.endswith(
        "$.services.echo.weight: is not a known key — it would have no effect; did you mean $.services.*.versions.*.weight?"
    )


# --- YAML


def test_every_key_that_is_there_twice_is_told_with_its_lines() -> None:
    text = file_with() + "encryptionsalt: a\nencryptionsalt: b\nencryptionsalt: c\n"
    text = text.replace('"network": ', '"network": x,\n"network": ')
    network, top = problems(text)
    assert "$.encryptionsalt: is there 3 times, in the lines 4, 5, 6 — Pulumi refuses such a file; keep one" in top
    assert "$.mesh.network: is there 2 times, in the lines 2, 3 — " in network


def test_a_key_that_is_there_twice_hides_no_other_problem() -> None:
    text = file_with(config=with_value("probe.image", "probe")).replace('"network": ', '"network": x, "network": ')
    assert [line.split(": ")[1] for line in problems(text)] == ["$.mesh.network", "$.probe.image"]


def test_a_key_that_is_merged_and_then_set_is_there_once() -> None:
    text = file_with().replace('"v2": {', '"v2": {<<: {replicas: 5}, ')
    assert read_stack_file(text.encode(), SOURCE) == parse(MINIMAL)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [", "line 1: "),
        ("a:\n\tb: 1", "line 2: "),
        ("---\na: 1\n---\nb: 1", "another document"),
        ("a: !what 1", "!what"),
        ("a: !!int x", "x"),
        ("? [a]: 1", "unhashable"),
        ("config: &a {b: *a}", "line 1: what the alias here stands for contains itself"),
        ("config: " + 1_000 * "[", "nested too deeply"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_place(text: str, what: str) -> None:
    problem = the_problem(text)
    assert problem.startswith(f"{SOURCE}: $: the file is no YAML (")
    assert what in problem
    assert problem.endswith(" — nothing in it can be trusted; mend it there")


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigError, match=r": \$: the file is no YAML \('utf-8' codec"):
        read_stack_file(b"\xff", SOURCE)


def test_a_byte_order_mark_is_passed_over_as_pulumi_does() -> None:
    assert read_stack_file(b"\xef\xbb\xbf" + file_with().encode(), SOURCE) == parse(MINIMAL)


@pytest.mark.parametrize(("key", "name"), [("1", "1"), ("true", "true")])
def test_a_key_that_is_no_text_becomes_text_as_pulumi_makes_it(key: str, name: str) -> None:
    rest = json.dumps({key: value for key, value in MINIMAL.items() if key != "services"})[1:-1]
    text = f"config: {{services: {{echo: {{versions: {{{key}: {{image: 'echo:1', replicas: 1, weight: 100}}}}}}}}, {rest}}}"
    assert read_stack_file(text.encode(), SOURCE).services["echo"].weights == {name: 100}


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    directory = tmp_path / "Pulumi.x.yaml"
    directory.mkdir()
    with pytest.raises(ConfigError, match=r"^Pulumi\.x\.yaml: cannot be read \(Is a directory\) — .*; make it"):
        load_stack_file(directory)


# --- the program and the offline reader


def as_pulumi_passes(text: str) -> dict[str, str]:
    """What the CLI makes of a file's configuration: objects as JSON sorted by key, everything else as text."""
    config = YAML(typ="safe", pure=True).load(text)["config"]
    named = {key if ":" in key else f"echo-rollout:{key}": value for key, value in config.items()}
    return {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for key, value in sorted(named.items())
    }


def program_reads(config: Mapping[str, str], stack: str = "region-a") -> RegionConfig:
    def run() -> RegionConfig:
        configure(Settings("echo-rollout", stack))
        pulumi.runtime.set_all_config(dict(config))
        return load_stack_config()

    return Context().run(run)


def told_by_program(config: Mapping[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        program_reads(config)
    return caught.value.problems


@pytest.mark.parametrize(
    "text",
    [
        TEN_MISTAKES.removeprefix("confg:\n  echo-rollout:region: region-a\n").replace("    context: region-b\n", ""),
        file_with(config={**MINIMAL, "services": 5}),
        file_with(config={**MINIMAL, "services": {"echo": 5}}),
        file_with(config={**MINIMAL, "region": True, "delivery": 1.5, "mesh": [1], "zzz": "{x"}),
        file_with(config=with_value("services.echo.versions", {"v2": {}, "v10": {}, "v1": {}})),
        file_with(config={"probe": {"b": 1, "a": 1}}),
        file_with(config={**MINIMAL, "fff": 1, "echo-rollout:zzz": 1}),
    ],
)
def test_preview_and_the_offline_reader_say_the_same_in_the_same_order(text: str) -> None:
    assert told_by_program(as_pulumi_passes(text)) == problems(text)


def test_preview_tells_of_a_file_whose_configuration_pulumi_does_not_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = file_with().replace("config:", "confg:")
    (tmp_path / SOURCE).write_text(text)
    assert told_by_program({}) == problems(text)


# --- files from before there were several services

OLDER = {
    **{key: value for key, value in MINIMAL.items() if key != "services"},
    "echo": {**MINIMAL["services"]["echo"], "stable": "v2"},
    "repository": {**MINIMAL["repository"], "path": "deploy/a"},
    "rules": {"mayDiffer": ["region", "echo.versions.*", "repository.path", "services.*.stable"]},
}
NOW = {
    **MINIMAL,
    "services": {"echo": {**MINIMAL["services"]["echo"], "stable": "v2", "path": "deploy/a"}},
    "rules": {"mayDiffer": ["region", "services.echo.versions.*", "services.echo.path", "services.*.stable"]},
}


@pytest.mark.parametrize("namespace", ["echo-rollout:", ""])
def test_a_service_that_is_a_setting_by_itself_is_read_as_one_of_several(namespace: str) -> None:
    text = file_with(config={f"{namespace}{key}": value for key, value in OLDER.items()})
    assert read_stack_file(text.encode(), SOURCE) == parse(NOW)
    assert program_reads(as_pulumi_passes(text)) == parse(NOW)


def test_a_fault_of_an_older_file_is_told_by_its_place_now() -> None:
    problem = the_problem(file_with(config={**OLDER, "echo": {**OLDER["echo"], "maxEjectionPercents": 1}}))
    assert "$.services.echo.maxEjectionPercents: is not a known key — " in problem


def test_a_service_that_is_left_behind_as_a_setting_by_itself_is_refused() -> None:
    problem = the_problem(file_with(config={**NOW, "echo": OLDER["echo"]}))
    assert "$.echo: is not a known key — it would have no effect; " in problem


# --- the shipped files


@pytest.mark.parametrize("stack_file", STACK_FILES, ids=lambda path: path.stem)
def test_what_a_shipped_file_has_commented_out_is_the_default(stack_file: Path) -> None:
    shipped = load_stack_file(stack_file)
    section = stack_file.read_text().partition("  # echo-rollout:rules:")[2]
    lines = ["rules:", *(line.replace("  #", "", 1) for line in section.splitlines()[1:])]
    rules = YAML(typ="safe", pure=True).load("\n".join(lines))["rules"]
    assert set(rules) == {"largestIncrease", "introduceTogether", "immutableTags", "mayDiffer", "waived", "freeze"}
    assert parse({**MINIMAL, "rules": rules}).rules == shipped.rules
    assert "# stable: v1 " in stack_file.read_text()
