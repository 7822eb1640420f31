"""The committed stack files are what is rolled out: the lab lays its settings over a copy, and never writes to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lab.place import Lab
from lab.stacks import Mesh, StackError, Stacks, merged

_COMMITTED = """\
# a comment
config:
  echo-rollout:cluster:
    context: region-a
  echo-rollout:istio:
    values: {global: {proxy: {logLevel: info}}}
  echo-rollout:echo:
    versions:
      v1: {image: registry.corp.local/echo:1.0.0, replicas: 3, weight: 90}
"""


@pytest.fixture
def stacks(tmp_path: Path) -> Stacks:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "Pulumi.region-a.yaml").write_text(_COMMITTED)
    made = Stacks(
        Lab(checkout, tmp_path / "lab", tmp_path / "cache"),
        {"helm": Path("/tools/helm"), "pulumi": Path(__file__), "kubectl": Path("/tools/kubectl")},
        Mesh(charts=Path("/charts"), version="1.2.3", hub="localhost", tag="1.2.3"),
    )
    (made.home / "stacks").mkdir(parents=True)
    return made


def _loaded(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(file.read_text())
    return loaded


def test_the_committed_file_stays_as_it_is(stacks: Stacks) -> None:
    stacks.config_file("region-a")
    assert (stacks.lab.checkout / "Pulumi.region-a.yaml").read_text() == _COMMITTED


def test_what_is_rolled_out_is_what_is_committed(stacks: Stacks) -> None:
    made = _loaded(stacks.config_file("region-a"))["config"]
    assert (
        made["echo-rollout:echo"]
        == _loaded(stacks.lab.checkout / "Pulumi.region-a.yaml")["config"]["echo-rollout:echo"]
    )


def test_the_labs_settings_are_laid_over_key_by_key(stacks: Stacks) -> None:
    made = _loaded(stacks.config_file("region-a"))["config"]
    assert made["echo-rollout:cluster"] == {"context": "region-a", "kubeconfig": str(stacks.lab.kubeconfig)}
    assert made["echo-rollout:istio"]["charts"] == "/charts"
    assert made["echo-rollout:istio"]["values"]["global"]["proxy"] == {"logLevel": "info"}
    assert made["echo-rollout:istio"]["values"]["global"]["hub"] == "localhost"


def test_the_salt_of_the_stack_is_carried_over(stacks: Stacks) -> None:
    (stacks.home / "project").mkdir()
    (stacks.home / "project" / "Pulumi.region-a.yaml").write_text("encryptionsalt: v1:abc\n")
    assert _loaded(stacks.config_file("region-a"))["encryptionsalt"] == "v1:abc"


def test_a_stack_without_a_file_is_refused(stacks: Stacks) -> None:
    with pytest.raises(StackError, match=r"Pulumi\.region-c\.yaml"):
        stacks.config_file("region-c")


@pytest.mark.parametrize(
    "typed", [["up", "-s", "region-a"], ["preview", "--stack=region-a"], ["destroy", "--stack", "region-a"]]
)
def test_verbs_that_read_settings_get_the_file(stacks: Stacks, typed: list[str]) -> None:
    assert stacks.arguments_of(typed)[:-1] == typed
    assert stacks.arguments_of(typed)[-1].startswith("--config-file=")


@pytest.mark.parametrize("own", [["--config-file", "x"], ["--config-file=x"], ["--help"]])
def test_a_file_of_the_callers_own_is_respected(stacks: Stacks, own: list[str]) -> None:
    typed = ["up", "-s", "region-a", *own]
    assert stacks.arguments_of(typed) == typed


def test_verbs_that_read_no_settings_are_passed_on(stacks: Stacks) -> None:
    assert stacks.arguments_of(["stack", "output", "-s", "region-a"]) == ["stack", "output", "-s", "region-a"]


def test_a_verb_without_a_stack_asks_for_one(stacks: Stacks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_STACK", raising=False)
    with pytest.raises(StackError, match="-s region-a or -s region-b"):
        stacks.arguments_of(["up"])


@pytest.mark.parametrize(
    "typed",
    [
        ["config", "set", "echo", "x"],
        ["stack", "init", "c"],
        ["stack", "-s", "region-a", "change-secrets-provider", "x"],
    ],
)
def test_what_would_write_to_a_committed_file_is_refused(stacks: Stacks, typed: list[str]) -> None:
    with pytest.raises(StackError, match="committed stack file"):
        stacks.arguments_of(typed)


def test_removing_a_stack_keeps_its_committed_file(stacks: Stacks) -> None:
    assert stacks.arguments_of(["stack", "rm", "region-a"])[-1] == "--preserve-config"


def test_a_flag_before_the_verb_does_not_hide_it(stacks: Stacks) -> None:
    typed = ["--color", "never", "up", "-s", "region-a"]
    assert stacks.arguments_of(typed)[-1].startswith("--config-file=")


@pytest.mark.parametrize("content", ["config: {a: [", "- a list\n"])
def test_a_stack_file_that_is_no_mapping_is_named(stacks: Stacks, content: str) -> None:
    (stacks.lab.checkout / "Pulumi.region-a.yaml").write_text(content)
    with pytest.raises(StackError, match=r"Pulumi\.region-a\.yaml: it is no YAML mapping"):
        stacks.config_file("region-a")


def test_a_stack_file_without_settings_still_gets_the_labs(stacks: Stacks) -> None:
    (stacks.lab.checkout / "Pulumi.region-a.yaml").write_text("config:\n")
    assert _loaded(stacks.config_file("region-a"))["config"]["echo-rollout:istio"]["charts"] == "/charts"


def test_stand_ins_replace_official_plugins_that_are_there(stacks: Stacks, monkeypatch: pytest.MonkeyPatch) -> None:
    stacks.programs.mkdir(parents=True)
    (stacks.programs / "pulumi-language-python").write_bytes(b"\x7fELF\xff\xfe")
    monkeypatch.setenv("LAB_PLUGINS", "standin")
    stacks.install()
    assert "lab.plugins.language" in (stacks.programs / "pulumi-language-python").read_text()


def test_plugins_that_are_insisted_on_and_missing_are_refused(stacks: Stacks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PLUGINS", "official")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StackError, match="pulumi-language-python is not in PATH"):
        stacks.install()


def test_official_plugins_are_used_where_they_are(
    stacks: Stacks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs, home = tmp_path / "programs", tmp_path / "home"
    (home / "plugins" / "resource-kubernetes-v4.34.2").mkdir(parents=True)
    programs.mkdir()
    for name in ("pulumi-language-python", "pulumi-language-python-exec"):
        (programs / name).write_text("official")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("LAB_PLUGINS", "auto")
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("PULUMI_HOME", str(home))
    stacks.install()
    assert (stacks.programs / "pulumi-language-python-exec").read_text() == "official"
    provider = stacks.home / "home" / "plugins" / "resource-kubernetes-v4.34.2"
    assert provider.resolve() == home / "plugins" / "resource-kubernetes-v4.34.2"


def test_stand_ins_take_their_place_where_they_are_not(
    stacks: Stacks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAB_PLUGINS", "standin")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "none"))
    stacks.install()
    provider = stacks.home / "home" / "plugins" / "resource-kubernetes-v4.34.2" / "pulumi-resource-kubernetes"
    assert "lab.plugins.language" in (stacks.programs / "pulumi-language-python").read_text()
    assert "lab.plugins.kubernetes" in provider.read_text()
    assert provider.stat().st_mode & 0o111


def test_merging_replaces_what_is_no_mapping() -> None:
    assert merged({"a": [1], "b": {"c": 1, "d": 2}}, {"a": [2], "b": {"c": 3}}) == {"a": [2], "b": {"c": 3, "d": 2}}
