"""An update that fails, is interrupted or is killed tells the truth about what it left, and the next one puts it right."""

from __future__ import annotations

import base64
import lzma
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.build import tools, versions
from tests.e2e.laboratory import Laboratory, changes, write_settings
from tests.e2e.waiting import until

REGION = "region-b"
_STATE = Path(__file__).parent / "states" / "region-a.json.xz"
_PENDING = "--selector=owner=helm,status=pending-upgrade"
_NOWHERE = "registry.corp.local/probe:9.9.9"


@pytest.fixture(scope="module")
def settings(lab: Laboratory) -> dict[str, Any]:
    return lab.settings(REGION)


@pytest.fixture
def repaired(lab: Laboratory) -> Iterator[None]:
    """Bring the region back to what is committed, as a person does, and see that nothing is left to do."""
    yield
    lab.run("up", "--region", REGION, "--no-verify")
    lab.pulumi("up", "--stack", REGION, "--yes", "--non-interactive", "--expect-no-changes")


def changed(settings: Mapping[str, Any], section: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with a mapping laid over one section, key by key."""

    def over(under: Any, above: Any) -> Any:
        if not isinstance(under, Mapping) or not isinstance(above, Mapping):
            return above
        return {**under, **{key: over(under.get(key), each) for key, each in above.items()}}

    key = f"echo-rollout:{section}"
    return {**settings, "config": {**settings["config"], key: over(settings["config"][key], value)}}


def istiod(settings: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    return changed(settings, "istio", {"values": values})


@contextmanager
def updating(lab: Laboratory, file: str) -> Iterator[subprocess.Popen[str]]:
    """Run `pulumi up` beside the block; it is killed at the block's end if it still runs."""
    command = lab.command("pulumi", "up", "--stack", REGION, "--yes", "--skip-preview", "--non-interactive", file)
    with subprocess.Popen(
        command,
        cwd=lab.place.checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def test_the_provider_is_named_truthfully(lab: Laboratory) -> None:
    """Where the SDK's own release is installed, that one is used, and there is nothing to warn of."""
    said = lab.pulumi("preview", "--stack", REGION, "--non-interactive")
    warned = re.search(r"expected to have version >=(\S+), but has (\S+)", said.stdout + said.stderr)
    if (lab.place.directory / "pulumi" / "bin" / tools.PROVIDER).exists():
        assert warned, said.stdout + said.stderr
        assert warned[2].startswith(versions.provider_version())
    else:
        assert not warned


@pytest.mark.drill
@pytest.mark.usefixtures("repaired")
def test_an_update_that_is_interrupted_while_pods_do_not_come_up_is_undone_by_the_next(
    lab: Laboratory, settings: dict[str, Any], tmp_path: Path
) -> None:
    file = write_settings(tmp_path / f"Pulumi.{REGION}.yaml", changed(settings, "probe", {"image": _NOWHERE}))
    with updating(lab, file) as process:
        until(lambda: _NOWHERE in lab.kubectl(REGION, "get", "pods", "--namespace=echo-probe", "-o", "yaml"), 90)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in said
    lab.run("up", "--region", REGION, "--no-verify")
    assert _NOWHERE not in lab.kubectl(REGION, "get", "deployments", "--namespace=echo-probe", "-o", "yaml")


@pytest.mark.drill
def test_a_change_that_kubernetes_refuses_on_living_objects_replaces_those_objects_alone(lab: Laboratory) -> None:
    probe = lab.place.checkout / "components" / "probe.py"
    text, uid = probe.read_text(), _uid(lab)
    selector = 'match_labels={"app": labels["app"]}'
    assert selector in text
    try:
        longer = 'match_labels={"app": labels["app"], "app.kubernetes.io/component": "client"}'
        probe.write_text(text.replace(selector, longer))
        preview = lab.pulumi("preview", "--stack", REGION, "--non-interactive", "--json")
        lab.pulumi("up", "--stack", REGION, "--yes", "--non-interactive")
        replaced = _uid(lab)
    finally:
        probe.write_text(text)
        lab.pulumi("up", "--stack", REGION, "--yes", "--non-interactive")
    assert {name for name, step in changes(preview.stdout).items() if "replace" in step} == {"probe", "probe-outside"}
    assert replaced != uid


def _uid(lab: Laboratory) -> str:
    return str(lab.get(REGION, "deployment/probe", "--namespace=echo-probe")["metadata"]["uid"])


@pytest.mark.usefixtures("repaired")
def test_an_update_that_was_killed_inside_helm_is_named_with_the_command_that_frees_it(
    lab: Laboratory, settings: dict[str, Any], tmp_path: Path
) -> None:
    file = write_settings(tmp_path / f"Pulumi.{REGION}.yaml", _killed_in_helm(lab, settings, tmp_path))
    preview = lab.pulumi("preview", "--stack", REGION, "--non-interactive", file)
    lab.pulumi("cancel", "--stack", REGION, "--yes")
    update = ("up", "--stack", REGION, "--yes", "--non-interactive", "--skip-preview", file)
    refused = lab.pulumi(*update, check=False)
    freeing = set(re.findall(r"helm rollback istiod .*--wait", refused.stdout))
    assert freeing == set(re.findall(r"helm rollback istiod .*--wait", preview.stdout))
    assert refused.returncode != 0
    assert "pending-upgrade" in refused.stdout
    (command,) = freeing
    _helm(lab, *shlex.split(command)[1:])
    lab.pulumi(*update)
    assert _pending(lab) == ""


def _helm(lab: Laboratory, *arguments: str) -> None:
    """Run the Helm that the lab builds."""
    programs = tools.ensure(tools.platform_tools(), lab.place.cache, print)
    subprocess.run([programs["helm"], *arguments], check=True, capture_output=True, text=True)


@pytest.mark.drill
@pytest.mark.usefixtures("repaired")
def test_the_labs_own_up_frees_what_was_killed_inside_helm(
    lab: Laboratory, settings: dict[str, Any], tmp_path: Path
) -> None:
    _killed_in_helm(lab, settings, tmp_path)
    said = lab.run("up", "--region", REGION, "--no-verify").stderr
    assert "rolled back Helm's release istiod" in said
    assert _pending(lab) == ""


def _pending(lab: Laboratory) -> str:
    return lab.kubectl(REGION, "get", "secrets", "--namespace=istio-system", _PENDING, "--output=name")


def _killed_in_helm(lab: Laboratory, settings: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Kill an update while Helm upgrades istiod, to pods that cannot be scheduled; the settings of that update."""
    unschedulable = istiod(settings, nodeSelector={"nowhere": "true"})
    with updating(lab, write_settings(directory / f"Pulumi.{REGION}.yaml", unschedulable)):
        until(lambda: _pending(lab) != "", 90)
    return istiod(settings, podAnnotations={"again": "true"})


@pytest.mark.drill
def test_a_release_that_failed_is_tried_again_even_after_a_refresh(
    lab: Laboratory, settings: dict[str, Any], tmp_path: Path, repaired: None
) -> None:
    bad = istiod(settings, resources={"requests": {"cpu": "no quantity"}})
    file = write_settings(tmp_path / f"Pulumi.{REGION}.yaml", bad)
    failed = lab.pulumi("up", "--stack", REGION, "--yes", "--non-interactive", "--skip-preview", file, check=False)
    lab.pulumi("refresh", "--stack", REGION, "--yes", "--non-interactive", file)
    preview = lab.pulumi("preview", "--stack", REGION, "--non-interactive", "--json", file)
    assert failed.returncode != 0
    assert changes(preview.stdout) == {"istio-istiod": "update"}


@pytest.mark.drill
def test_a_state_that_the_first_release_left_is_brought_up_without_a_deletion(lab: Laboratory, tmp_path: Path) -> None:
    """Its provider was another one: what that wrote must not be taken for something that has to go. It had no gateway."""
    settings = lab.settings("region-a")
    config = settings["config"]
    # nobody outside asks for a service that has no hosts
    services = {
        "echo": {key: value for key, value in config["echo-rollout:services"]["echo"].items() if key != "hosts"}
    }
    without = {**settings, "config": {**config, "echo-rollout:services": services}}
    del without["config"]["echo-rollout:gateway"]
    lab.pulumi("state", "unprotect", "--all", "--stack", "region-a", "--yes")
    ungated = write_settings(tmp_path / "Pulumi.region-a.yaml", without)
    lab.pulumi("up", "--stack", "region-a", "--yes", "--non-interactive", "--skip-preview", ungated)
    paths = {"@kubeconfig@": str(lab.place.kubeconfig), "@charts@": config["echo-rollout:istio"]["charts"]}
    text = lzma.decompress(_STATE.read_bytes()).decode()
    for placeholder, path in paths.items():
        assert placeholder in text
        text = text.replace(placeholder, path)
    file = tmp_path / "state.json"
    file.write_text(text)
    before = _uids(lab)
    lab.pulumi("stack", "import", "--stack", "region-a", f"--file={file}")
    preview = lab.pulumi("preview", "--stack", "region-a", "--non-interactive", "--json")
    lab.pulumi("up", "--stack", "region-a", "--yes", "--non-interactive", "--skip-preview")
    steps = changes(preview.stdout)
    assert set(steps.values()) == {"update", "create"}
    assert {name for name, step in steps.items() if step == "create"} == {"gateway", "probe-outside"}
    assert before <= _uids(lab)
    lab.pulumi("up", "--stack", "region-a", "--yes", "--non-interactive", "--expect-no-changes")


def _uids(lab: Laboratory) -> set[str]:
    kinds = "namespaces,customresourcedefinitions,deployments,statefulsets,services,applications.argoproj.io"
    return {item["metadata"]["uid"] for item in lab.get("region-a", kinds, "--all-namespaces")["items"]}


@pytest.mark.drill
def test_a_relative_kubeconfig_with_relative_certificates_is_found(
    lab: Laboratory, settings: dict[str, Any], tmp_path: Path
) -> None:
    folder = lab.place.checkout / "clusters"
    relative = f"{folder.name}/kubeconfig"
    file = write_settings(tmp_path / f"Pulumi.{REGION}.yaml", changed(settings, "cluster", {"kubeconfig": relative}))
    try:
        _split_kubeconfig(lab.place.kubeconfig, folder)
        preview = lab.pulumi("preview", "--stack", REGION, "--non-interactive", "--json", file)
    finally:
        for each in folder.iterdir():
            each.unlink()
        folder.rmdir()
    assert changes(preview.stdout) == {"cluster": "update"}


def _split_kubeconfig(source: Path, folder: Path) -> None:
    """Copy a kubeconfig into a folder, its certificates in files that it names by relative paths."""
    folder.mkdir()
    document = yaml.safe_load(source.read_text())
    entries = [*document["clusters"], *document["users"]]
    for number, part in enumerate(entry.get("cluster") or entry["user"] for entry in entries):
        for key in [each for each in part if each.endswith("-data")]:
            name = key.removesuffix("-data")
            (folder / f"{number}-{name}").write_bytes(base64.b64decode(part.pop(key)))
            part[name] = f"{number}-{name}"
    (folder / "kubeconfig").write_text(yaml.safe_dump(document))
