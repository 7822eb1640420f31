"""The committed stack files are what is rolled out: the lab lays its settings over a copy, and never writes to them."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lab.build import sources
from lab.build.tools import PROVIDER
from lab.build.versions import argocd_version
from lab.delivery.remote import address
from lab.delivery.stacks import Stacks, merged
from lab.place import Lab
from lab.report import LabError

_RELEASE = f"resource-kubernetes-v{importlib.metadata.version('pulumi-kubernetes')}"

_COMMITTED = """\
# a comment
config:
  echo-rollout:cluster:
    context: region-a
  echo-rollout:istio:
    values: {global: {proxy: {logLevel: info}}}
  echo-rollout:services:
    echo:
      versions:
        v1: {image: registry.corp.local/echo:1.0.0, replicas: 3, weight: 90}
"""


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stacks:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "Pulumi.region-a.yaml").write_text(_COMMITTED)
    built = tmp_path / PROVIDER
    built.write_text("built")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "none"))
    monkeypatch.setattr(sources, "istio_charts", lambda _: Path("/charts"))
    monkeypatch.setattr(sources, "core_manifest", lambda _: Path("/core.yaml"))
    made = Stacks(
        Lab(checkout, tmp_path / "lab", tmp_path / "cache"),
        {"pulumi": Path(__file__), "kubectl": Path("/tools/kubectl"), PROVIDER: built},
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
        made["echo-rollout:services"]
        == _loaded(stacks.lab.checkout / "Pulumi.region-a.yaml")["config"]["echo-rollout:services"]
    )


def test_the_labs_settings_are_laid_over_key_by_key(stacks: Stacks) -> None:
    made = _loaded(stacks.config_file("region-a"))["config"]
    assert made["echo-rollout:cluster"] == {"context": "region-a", "kubeconfig": str(stacks.lab.kubeconfig)}
    assert made["echo-rollout:istio"]["charts"] == "/charts"
    assert made["echo-rollout:istio"]["values"]["global"]["proxy"] == {"logLevel": "info"}
    assert made["echo-rollout:istio"]["values"]["global"]["hub"] == "localhost"


def test_a_gateway_waits_for_no_load_balancer_which_the_lab_does_not_have(stacks: Stacks) -> None:
    said = (
        "  echo-rollout:gateway: {replicas: 3, values: {resources: {requests: {memory: 1Gi}, limits: {memory: 2Gi}}}}\n"
    )
    (stacks.lab.checkout / "Pulumi.region-a.yaml").write_text(_COMMITTED + said)
    made = _loaded(stacks.config_file("region-a"))["config"]["echo-rollout:gateway"]
    assert (made["serviceType"], made["replicas"]) == ("NodePort", 3)
    assert made["values"]["resources"] == {
        "requests": {"cpu": "100m", "memory": "64Mi"},
        "limits": {"cpu": "1", "memory": "2Gi"},
    }


def test_a_stack_without_a_gateway_gets_none_from_the_lab(stacks: Stacks) -> None:
    assert "echo-rollout:gateway" not in _loaded(stacks.config_file("region-a"))["config"]


def test_argocd_is_made_from_the_labs_own_and_reads_the_labs_git(stacks: Stacks) -> None:
    made = _loaded(stacks.config_file("region-a"))["config"]
    assert made["echo-rollout:repository"] == {"url": address(stacks.lab), "revision": "main", "secret": None}
    assert made["echo-rollout:argocd"] == {
        "manifest": "/core.yaml",
        "images": {"argocd": f"localhost/argocd:{argocd_version()}", "redis": "localhost/redis:lab"},
        "imagePullPolicy": "IfNotPresent",
        "applicationSets": False,
    }


def test_the_labs_one_branch_is_read_without_a_password_whatever_is_committed_and_the_path_is_kept(
    stacks: Stacks,
) -> None:
    repository = (
        "  echo-rollout:repository: {url: https://git.corp.local/x.git, revision: release, secret: s, path: p}\n"
    )
    (stacks.lab.checkout / "Pulumi.region-a.yaml").write_text(_COMMITTED + repository)
    made = _loaded(stacks.config_file("region-a"))["config"]
    assert made["echo-rollout:repository"] == {
        "url": address(stacks.lab),
        "revision": "main",
        "secret": None,
        "path": "p",
    }


@pytest.mark.parametrize(("delivery", "sections"), [("direct", 0), ("handover", 2), ("gitops", 2)])
def test_a_stack_that_pulumi_delivers_alone_is_told_of_no_argocd(stacks: Stacks, delivery: str, sections: int) -> None:
    (stacks.lab.checkout / "Pulumi.region-a.yaml").write_text(f"{_COMMITTED}  echo-rollout:delivery: {delivery}\n")
    made = _loaded(stacks.config_file("region-a"))["config"]
    assert len({"echo-rollout:repository", "echo-rollout:argocd"} & {*made}) == sections


def test_what_a_stack_does_not_install_gets_no_settings_of_an_installation(stacks: Stacks) -> None:
    text = _COMMITTED.replace("values: {global: {proxy: {logLevel: info}}}", "install: false")
    (stacks.lab.checkout / "Pulumi.region-a.yaml").write_text(f"{text}  echo-rollout:argocd: {{install: false}}\n")
    made = _loaded(stacks.config_file("region-a"))["config"]
    assert made["echo-rollout:argocd"] == {"install": False}
    assert made["echo-rollout:istio"].keys() == {"install", "charts", "version"}
    assert "echo-rollout:repository" in made


def test_the_salt_of_the_stack_is_carried_over(stacks: Stacks) -> None:
    (stacks.home / "project").mkdir()
    (stacks.home / "project" / "Pulumi.region-a.yaml").write_text("encryptionsalt: v1:abc\n")
    assert _loaded(stacks.config_file("region-a"))["encryptionsalt"] == "v1:abc"


def test_a_stack_without_a_file_is_refused(stacks: Stacks) -> None:
    with pytest.raises(LabError, match=r"Pulumi\.region-c\.yaml"):
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
    with pytest.raises(LabError, match="-s region-a or -s region-b"):
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
    with pytest.raises(LabError, match="committed stack file"):
        stacks.arguments_of(typed)


def test_removing_a_stack_keeps_its_committed_file(stacks: Stacks) -> None:
    assert stacks.arguments_of(["stack", "rm", "region-a"])[-1] == "--preserve-config"


def test_a_flag_before_the_verb_does_not_hide_it(stacks: Stacks) -> None:
    typed = ["--color", "never", "up", "-s", "region-a"]
    assert stacks.arguments_of(typed)[-1].startswith("--config-file=")


@pytest.mark.parametrize("content", ["config: {a: [", "- a list\n"])
def test_a_stack_file_that_is_no_mapping_is_named(stacks: Stacks, content: str) -> None:
    (stacks.lab.checkout / "Pulumi.region-a.yaml").write_text(content)
    with pytest.raises(LabError, match=r"Pulumi\.region-a\.yaml: it is no YAML mapping"):
        stacks.config_file("region-a")


def test_a_stack_file_without_settings_still_gets_the_labs(stacks: Stacks) -> None:
    (stacks.lab.checkout / "Pulumi.region-a.yaml").write_text("config:\n")
    assert _loaded(stacks.config_file("region-a"))["config"]["echo-rollout:istio"]["charts"] == "/charts"


def test_the_providers_release_goes_before_the_one_that_the_lab_builds(
    stacks: Stacks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    release = home / "plugins" / _RELEASE
    release.mkdir(parents=True)
    (release / PROVIDER).write_text("official")
    stacks.install()
    assert (stacks.programs / PROVIDER).exists()
    monkeypatch.setenv("PULUMI_HOME", str(home))
    stacks.install()
    assert (stacks.home / "home" / "plugins" / _RELEASE / PROVIDER).read_text() == "official"
    assert not (stacks.home / "home" / "plugins" / _RELEASE).is_symlink()  # the CLI does not see a linked plugin
    assert not (stacks.programs / PROVIDER).exists()  # the engine takes what is on PATH first


def test_the_provider_that_the_lab_builds_never_stands_in_the_place_of_a_release(stacks: Stacks) -> None:
    left = stacks.home / "home" / "plugins" / _RELEASE
    left.mkdir(parents=True)
    stacks.install()
    assert (stacks.programs / PROVIDER).read_text() == "built"
    assert not left.exists()


def test_the_official_language_host_is_used_where_it_is(
    stacks: Stacks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("pulumi-language-python", "pulumi-language-python-exec"):
        (programs / name).write_text("official")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    stacks.install()
    assert (stacks.programs / "pulumi-language-python-exec").read_text() == "official"


def test_the_labs_language_host_is_used_where_there_is_none(stacks: Stacks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    stacks.install()
    assert "lab.language_host" in (stacks.programs / "pulumi-language-python").read_text()


def test_merging_replaces_what_is_no_mapping() -> None:
    assert merged({"a": [1], "b": {"c": 1, "d": 2}}, {"a": [2], "b": {"c": 3}}) == {"a": [2], "b": {"c": 3, "d": 2}}


_RECORDER = """\
#!/bin/sh
echo "${{0##*/}} $*" >> '{record}'
case "$*" in
*list*) echo '{releases}' ;;
*nowhere*) echo 'error: the server doesn'"'"'t have a resource type "nowhere"' >&2; exit 1 ;;
*refused*) echo 'forbidden' >&2; exit 1 ;;
esac
"""


class _Killed:
    """Stacks after a killed update, whose tools write down what they are asked."""

    def __init__(self, stacks: Stacks, directory: Path, releases: str = "[]") -> None:
        self._record = directory / "record"
        programs = {name: directory / name for name in ("kubectl", "helm", "pulumi")}
        for program in programs.values():
            program.write_text(_RECORDER.format(record=self._record, releases=releases))
            program.chmod(0o755)
        self.stacks = replace(stacks, tools=programs)
        self.stacks.programs.mkdir(parents=True)
        (self.stacks.programs / "pulumi").symlink_to(programs["pulumi"])

    def recover(self, *pending: Mapping[str, Any], operation: str = "creating") -> list[str]:
        """Recover from an update that was killed while these were being created; all that the tools were asked."""
        state = self.stacks.home / "state" / ".pulumi" / "stacks" / "echo-rollout" / "region-a.json"
        state.parent.mkdir(parents=True)
        operations = [{"type": operation, "resource": resource} for resource in pending]
        state.write_text(json.dumps({"version": 3, "checkpoint": {"latest": {"pending_operations": operations}}}))
        self.stacks.recover("region-a")
        return self._record.read_text().splitlines()


def _object(kind: str, api: str, **metadata: str) -> dict[str, Any]:
    return {"type": f"kubernetes:{api}:{kind}", "inputs": {"kind": kind, "apiVersion": api, "metadata": metadata}}


def _deletions(asked: list[str]) -> list[str]:
    return [line.partition(" delete ")[2].partition(" --")[0] for line in asked if " delete " in line]


def test_a_stack_that_nothing_was_killed_on_is_left_alone(stacks: Stacks, tmp_path: Path) -> None:
    asked = _Killed(stacks, tmp_path).recover()
    assert [line.split()[0] for line in asked] == ["helm"]
    assert " list " in asked[0]


def test_what_was_being_created_is_made_anew_in_whatever_scope(stacks: Stacks, tmp_path: Path) -> None:
    asked = _Killed(stacks, tmp_path).recover(
        _object("CustomResourceDefinition", "apiextensions.k8s.io/v1", name="applications.argoproj.io"),
        _object("Role", "rbac.authorization.k8s.io/v1", name="controller", namespace="argocd"),
        _object("Namespace", "v1", name="argocd"),
    )
    assert _deletions(asked) == [
        "CustomResourceDefinition.apiextensions.k8s.io applications.argoproj.io",
        "Role.rbac.authorization.k8s.io controller",
        "Namespace argocd",
    ]
    assert ["--namespace=argocd" in line for line in asked if " delete " in line] == [False, True, False]
    assert "--clear-pending-creates" in asked[-1]


def test_an_update_that_was_interrupted_is_looked_for_in_the_cluster_and_nothing_is_removed(
    stacks: Stacks, tmp_path: Path
) -> None:
    probe = _object("Deployment", "apps/v1", name="probe", namespace="echo-probe")
    asked = _Killed(stacks, tmp_path).recover(probe, operation="updating")
    assert _deletions(asked) == []
    assert " refresh " in asked[-1]
    assert "--clear-pending-creates" not in asked[-1]


@pytest.mark.parametrize(
    ("verbs", "is_looked_at"),
    [
        ([("up", 1)], True),
        ([("up", 0)], False),
        ([("preview", 1)], False),
        # the second sees nothing to do, and the first may have changed the cluster
        ([("up", 1), ("up", 0)], True),
    ],
)
def test_the_cluster_is_looked_at_after_an_update_that_did_not_end_well(
    stacks: Stacks, tmp_path: Path, verbs: list[tuple[str, int]], is_looked_at: bool
) -> None:
    killed = _Killed(stacks, tmp_path)
    killed.recover()
    for verb, code in verbs:
        recorder = _RECORDER.format(record=tmp_path / "record", releases="[]")
        (tmp_path / "pulumi").write_text(f"{recorder}exit {code}\n")
        killed.stacks.run(verb, "--stack=region-a")
    (tmp_path / "pulumi").write_text(_RECORDER.format(record=tmp_path / "record", releases="[]"))
    killed.stacks.recover("region-a")
    assert (" refresh " in (tmp_path / "record").read_text()) == is_looked_at


def test_what_is_to_outlive_the_stack_is_not_removed(stacks: Stacks, tmp_path: Path) -> None:
    running = _object("Deployment", "apps/v1", name="echo-v1", namespace="echo") | {"retainOnDelete": True}
    asked = _Killed(stacks, tmp_path).recover(running)
    assert _deletions(asked) == []
    assert "--clear-pending-creates" in asked[-1]


def test_an_object_whose_kind_is_not_there_is_not_there(stacks: Stacks, tmp_path: Path) -> None:
    asked = _Killed(stacks, tmp_path).recover(_object("nowhere", "argoproj.io/v1alpha1", name="echo"))
    assert "--clear-pending-creates" in asked[-1]


def test_what_cannot_be_removed_stops_the_update(stacks: Stacks, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"region-a: .*delete Role.* failed: forbidden"):
        _Killed(stacks, tmp_path).recover(_object("Role", "v1", name="refused"))


def test_a_release_in_the_midst_of_an_upgrade_is_rolled_back(stacks: Stacks, tmp_path: Path) -> None:
    releases = [
        {"name": "istiod", "namespace": "istio-system", "status": "pending-upgrade"},
        {"name": "base", "namespace": "istio-system", "status": "pending-install"},
    ]
    asked = _Killed(stacks, tmp_path, json.dumps(releases)).recover()
    assert [line.partition(" rollback ")[2] for line in asked if " rollback " in line] == [
        "istiod --namespace=istio-system --wait"
    ]
