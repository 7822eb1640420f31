"""Every mistake ends with one clear message, a code that is not 0, and a cluster that is as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.laboratory import Laboratory, write_settings
from tests.e2e.waiting import until


@pytest.fixture(scope="module")
def settings(lab: Laboratory) -> dict[str, Any]:
    return lab.settings("region-a")


def _refused(lab: Laboratory, settings: dict[str, Any], directory: Path, verb: str = "preview") -> str:
    file = write_settings(directory / "Pulumi.region-a.yaml", settings)
    answer = [] if verb == "preview" else ["--yes", "--skip-preview"]
    result = lab.pulumi(verb, "--stack", "region-a", "--non-interactive", file, *answer, check=False)
    assert result.returncode != 0
    assert "Traceback" not in result.stdout + result.stderr
    return result.stdout + result.stderr


def _with(settings: dict[str, Any], section: str, **values: Any) -> dict[str, Any]:
    config = settings["config"]
    key = f"echo-rollout:{section}"
    return {**settings, "config": {**config, key: {**config[key], **values}}}


def _versions(settings: dict[str, Any], **v2: Any) -> dict[str, Any]:
    echo = settings["config"]["echo-rollout:services"]["echo"]
    versions = {**echo["versions"], "v2": {**echo["versions"]["v2"], **v2}}
    return _with(settings, "services", echo={**echo, "versions": versions})


def test_a_missing_context_is_named(lab: Laboratory, settings: dict[str, Any], tmp_path: Path) -> None:
    said = _refused(lab, _with(settings, "cluster", context="region-c"), tmp_path)
    assert "region-c" in said
    assert str(lab.place.kubeconfig) in said


def test_an_unreachable_cluster_is_named(lab: Laboratory, settings: dict[str, Any], tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        '{"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "region-a", "cluster": {"server": "https://127.0.0.1:1"}}],'
        ' "users": [{"name": "u", "user": {}}], "contexts": [{"name": "region-a", "context": {"cluster": "region-a", "user": "u"}}]}'
    )
    said = _refused(lab, _with(settings, "cluster", kubeconfig=str(kubeconfig)), tmp_path)
    assert "127.0.0.1:1" in said


def test_a_stack_without_config_says_what_it_needs(lab: Laboratory, settings: dict[str, Any], tmp_path: Path) -> None:
    said = _refused(lab, {**settings, "config": {}}, tmp_path)
    assert "there is no configuration" in said
    assert "cluster, mesh," in said
    assert "services, probe" in said


def test_a_weight_that_is_no_number_is_named_with_its_path(
    lab: Laboratory, settings: dict[str, Any], tmp_path: Path
) -> None:
    assert "$.services.echo.versions.v2.weight" in _refused(lab, _versions(settings, weight="ten"), tmp_path)


def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    lab: Laboratory, settings: dict[str, Any], tmp_path: Path
) -> None:
    said = _refused(lab, _versions(settings, replica=3), tmp_path)
    assert "$.services.echo.versions.v2.replica" in said
    assert "replicas" in said


def test_an_image_that_cannot_be_pulled_loses_no_traffic_and_is_named(lab: Laboratory) -> None:
    """The old pods stay until the new ones are ready, so the split still holds; the next good commit mends the rest."""

    def change(config: Any) -> None:
        config["echo-rollout:services"]["echo"]["versions"]["v2"]["image"] = "registry.corp.local/echo:9.9.9"

    with lab.restored():
        lab.edit("region-a", change)
        lab.render()
        lab.push("Give v2 an image that is nowhere")
        until(lambda: "registry.corp.local/echo:9.9.9" in lab.run("status", "--json", check=False).stdout, seconds=60)
        verified = lab.verify("--region", "region-a")
        assert verified.returncode == 0, verified.stdout + verified.stderr
    until(lambda: lab.run("status", check=False).returncode == 0, seconds=60)


def test_pulumi_without_a_stack_asks_for_one(lab: Laboratory) -> None:
    result = lab.pulumi("preview", check=False)
    assert result.returncode == 2
    assert "-s region-a" in result.stderr
