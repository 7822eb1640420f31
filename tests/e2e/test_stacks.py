"""What a second `up`, a preview, a refresh and a destroy do on real clusters: what was asked for, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from lab.build.go import Go
from lab.build.versions import ARGOCD_MODULE, PLATFORM
from tests.e2e.drills import mostly_drills
from tests.e2e.laboratory import REGIONS, Laboratory, changes, write_settings

_SERVICES = "echo-rollout:services"


@pytest.mark.parametrize("region", mostly_drills(REGIONS, "region-a"))
def test_up_again_changes_nothing(lab: Laboratory, region: str) -> None:
    lab.pulumi("up", "--stack", region, "--yes", "--non-interactive", "--expect-no-changes")


@pytest.mark.parametrize("region", mostly_drills(REGIONS, "region-a"))
def test_refresh_finds_no_drift(lab: Laboratory, region: str) -> None:
    lab.pulumi("refresh", "--stack", region, "--yes", "--non-interactive", "--expect-no-changes")


def _patch_mutual_tls(lab: Laboratory, mode: str) -> None:
    patch = json.dumps({"spec": {"mtls": {"mode": mode}}})
    lab.kubectl(
        "region-b", "patch", "peerauthentication/default", "--namespace=echo", "--type=merge", f"--patch={patch}"
    )


def test_drift_made_by_hand_stops_the_preview_and_the_update_and_its_author_is_named(lab: Laboratory) -> None:
    _patch_mutual_tls(lab, "PERMISSIVE")
    try:
        preview = lab.pulumi("preview", "--stack", "region-b", "--non-interactive", "--refresh", check=False)
        update = lab.pulumi("up", "--stack", "region-b", "--yes", "--non-interactive", "--refresh", check=False)
    finally:
        _patch_mutual_tls(lab, "STRICT")
    for refused in (preview, update):
        said = refused.stdout + refused.stderr
        assert refused.returncode != 0, said
        assert 'conflict with "kubectl-patch"' in said, said
        assert ".spec.mtls.mode" in said, said
    lab.pulumi("up", "--stack", "region-b", "--yes", "--non-interactive", "--refresh")


def test_a_changed_weight_changes_the_output_alone(lab: Laboratory, tmp_path: Path) -> None:
    settings = lab.settings("region-a")
    versions = settings["config"][_SERVICES]["echo"]["versions"]
    versions["v1"]["weight"], versions["v2"]["weight"] = 75, 25
    file = write_settings(tmp_path / "Pulumi.region-a.yaml", settings)
    preview = lab.pulumi("preview", "--stack", "region-a", "--non-interactive", "--json", file)
    assert changes(preview.stdout) == {}
    shown = lab.pulumi("preview", "--stack", "region-a", "--non-interactive", "--diff", file).stdout
    assert "v2: 10 => 25" in " ".join(shown.replace("~", " ").split())


def _through(lab: Laboratory, directory: Path, context: str, region: str) -> str:
    """Settings of region-a whose context, of any name, leads to the cluster of a region; the flag that makes Pulumi use them."""
    kubeconfig, document = directory / "kubeconfig", yaml.safe_load(lab.place.kubeconfig.read_text())
    document["contexts"] = [{**each, "name": context} for each in document["contexts"] if each["name"] == region]
    kubeconfig.write_text(yaml.safe_dump(document))
    settings = lab.settings("region-a")
    settings["config"]["echo-rollout:cluster"] = {"context": context, "kubeconfig": str(kubeconfig)}
    return write_settings(directory / "Pulumi.region-a.yaml", settings)


def test_a_renamed_context_changes_no_object(lab: Laboratory, tmp_path: Path) -> None:
    file = _through(lab, tmp_path, "renamed", "region-a")
    preview = lab.pulumi("preview", "--stack", "region-a", "--non-interactive", "--json", file)
    assert changes(preview.stdout) == {"cluster": "update"}


def test_another_cluster_behind_the_context_is_refused_and_nothing_is_touched(lab: Laboratory, tmp_path: Path) -> None:
    file, before = _through(lab, tmp_path, "region-a", "region-b"), _generations(lab)
    for command in (
        ("preview",),
        ("up", "--yes", "--skip-preview"),
        ("destroy", "--yes", "--skip-preview", "--run-program"),
    ):
        refused = lab.pulumi(*command, "--stack", "region-a", "--non-interactive", file, check=False)
        said = refused.stdout + refused.stderr
        assert refused.returncode != 0, said
        assert "is not the cluster that this stack is on" in said, said
    assert _generations(lab) == before
    lab.pulumi("preview", "--stack", "region-a", "--non-interactive", "--expect-no-changes")


def _generations(lab: Laboratory) -> set[tuple[str, int]]:
    """Which objects there are in region-b, and how often each was changed; an Application, by Argo CD itself all the time."""
    kinds = "namespaces,deployments,statefulsets,peerauthentications,appprojects.argoproj.io"
    found = [item["metadata"] for item in lab.get("region-b", kinds, "--all-namespaces")["items"]]
    return {(each["uid"], each.get("generation", 0)) for each in found}


@pytest.mark.drill
def test_another_version_of_istio_changes_the_releases_alone(lab: Laboratory, tmp_path: Path) -> None:
    """Another value stands for another version here: the lab has the charts of one."""
    settings = lab.settings("region-a")
    settings["config"]["echo-rollout:istio"]["values"]["env"]["PILOT_ENABLE_STATUS"] = "true"
    file = write_settings(tmp_path / "Pulumi.region-a.yaml", settings)
    preview = lab.pulumi("preview", "--stack", "region-a", "--non-interactive", "--json", file)
    assert changes(preview.stdout) == {"istio-istiod": "update"}


@pytest.mark.drill
def test_the_whole_of_argo_cd_can_be_installed_in_place_of_its_core(lab: Laboratory, tmp_path: Path) -> None:
    settings = lab.settings("region-a")
    argocd = settings["config"]["echo-rollout:argocd"]
    module = Go.find(lab.place.cache, print).module_dir(PLATFORM, ARGOCD_MODULE)
    argocd |= {"manifest": str(module / "manifests" / "install.yaml"), "applicationSets": True}
    file = write_settings(tmp_path / "Pulumi.region-a.yaml", settings)
    preview = changes(lab.pulumi("preview", "--stack", "region-a", "--non-interactive", "--json", file).stdout)
    assert preview["argocd/argocd-server"] == "create"
    assert preview["applicationsets.argoproj.io"] == "create"
    assert "delete" not in preview.values()


_LASTING = ("echo", "istio-system", "istio-ingress")
"""The namespaces that outlive the Application."""
_DESTROY = ("destroy", "--stack", "region-b", "--yes", "--non-interactive")


def _pods(lab: Laboratory, *namespaces: str) -> set[str]:
    """The pods of namespaces of region-b."""
    found = [lab.get("region-b", "pods", f"--namespace={each}")["items"] for each in namespaces]
    return {item["metadata"]["uid"] for items in found for item in items}


def _namespaces(lab: Laboratory) -> set[str]:
    named = {item["metadata"]["name"] for item in lab.get("region-b", "namespaces")["items"]}
    return named - {"default", "kube-node-lease", "kube-public", "kube-system"}


@pytest.mark.drill
def test_a_service_that_outlived_its_application_is_taken_over_by_the_next_update(lab: Laboratory) -> None:
    before = _pods(lab, *_LASTING)
    lab.pulumi(*_DESTROY, "--exclude-protected")
    lab.run("up", "--region", "region-b", "--no-verify")
    verified = lab.verify("--region", "region-b")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert _pods(lab, *_LASTING) == before


@pytest.mark.drill
def test_destroy_leaves_the_service_in_its_mesh_until_somebody_says_otherwise_and_the_other_region(
    lab: Laboratory,
) -> None:
    before = _pods(lab, *_LASTING), _namespaces(lab)
    refused = lab.pulumi(*_DESTROY, check=False)
    assert refused.returncode != 0
    assert "because it is protected" in refused.stdout + refused.stderr
    assert (_pods(lab, *_LASTING), _namespaces(lab)) == before
    said = lab.pulumi(*_DESTROY, "--exclude-protected").stdout
    assert (_pods(lab, *_LASTING), _namespaces(lab)) == (before[0], {*_LASTING})
    lab.pulumi("state", "unprotect", "--all", "--stack", "region-b", "--yes")
    said += lab.pulumi(*_DESTROY).stdout
    names = [" ".join(line.split()[1:3]) for line in said.splitlines() if re.search(r" deleted\b", line)]
    application = names.index("kubernetes:argoproj.io/v1alpha1:Application echo")
    assert application < names.index("kubernetes:core/v1:Namespace argocd")
    assert application < names.index("kubernetes:helm.sh/v3:Release istio-istiod")
    assert _namespaces(lab) == set()
    kinds = lab.get("region-b", "customresourcedefinitions,clusterroles,clusterrolebindings")["items"]
    assert [item["metadata"]["name"] for item in kinds if "argo" in item["metadata"]["name"]] == []
    assert len(lab.get("region-a", "pods", "--namespace=echo", "--field-selector=status.phase=Running")["items"]) == 6
    lab.run("up", "--no-verify")
    verified = lab.verify("--region", "region-b")
    assert verified.returncode == 0, verified.stdout + verified.stderr
