"""What is on a cluster already is used, and taken over under load: Istio and Argo CD, and a service that was made by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from ruamel.yaml import YAML

from bench.load import Load
from tests.e2e.drills import RATE, Row, none_failed, under_load
from tests.e2e.laboratory import Laboratory
from tests.e2e.waiting import until

_REGION = "region-b"
_UP = ("up", "--stack", _REGION, "--yes", "--skip-preview", "--non-interactive")
_PREVIEW = ("preview", "--stack", _REGION, "--non-interactive")
_NAMESPACES = ("istio-system", "argocd")
_SHOP = """\
hosts: [shop.corp.local]
maxEjectionPercent: 50
versions:
  v1: {image: registry.corp.local/echo:1.0.0, replicas: 2, weight: 100}
"""
_URL = "http://shop.shop.svc.cluster.local/"
_SENT = 600
"""Requests before and after what is done, beside those of the time that it takes."""


def _set(lab: Laboratory, part: str, **settings: object) -> None:
    """Change what the stack file says of Istio or of Argo CD, and nothing else of it."""
    lab.edit(_REGION, lambda config: config.__setitem__(f"echo-rollout:{part}", settings))


def _uids(lab: Laboratory) -> set[str]:
    """Who the parts of Istio and of Argo CD are: one that was deleted and made again is another."""
    return {
        each["metadata"]["uid"]
        for namespace in _NAMESPACES
        for each in lab.get(_REGION, "deployments,statefulsets,configmaps", f"--namespace={namespace}")["items"]
    }


def _resources(lab: Laboratory) -> list[dict[str, Any]]:
    state = json.loads(lab.pulumi("stack", "export", "--stack", _REGION).stdout)
    return list(state["deployment"]["resources"])


def _of_installation(resource: Mapping[str, Any]) -> bool:
    return "IstioInstall" in resource["urn"] or "ArgoCdInstall" in resource["urn"]


@contextmanager
def _state_kept(lab: Laboratory, file: Path) -> Iterator[None]:
    """Give the stack its settings and its state back after a block: what it let go of it cannot make anew."""
    lab.pulumi("stack", "export", "--stack", _REGION, f"--file={file}")
    try:
        yield
    finally:
        for part in ("istio", "argocd"):
            _set(lab, part)
        lab.pulumi("stack", "import", "--stack", _REGION, f"--file={file}")
        lab.pulumi(*_UP)


@pytest.mark.drill
def test_a_stack_lets_go_of_istio_and_argo_cd_and_goes_on_with_them(
    lab: Laboratory, drills: list[Row], tmp_path: Path
) -> None:
    drill = "Istio and Argo CD are let go of and used, region-b"
    before = _uids(lab)
    with lab.restored(), _state_kept(lab, tmp_path / "state.json"):
        for part in ("istio", "argocd"):
            _set(lab, part, install=False)
        refused = lab.pulumi(*_PREVIEW, check=False)
        assert refused.returncode != 0
        assert "istio.retain: true" in refused.stdout + refused.stderr
        with under_load(lab, drill, drills):
            for settings in ({"retain": True}, {"install": False}):
                for part in ("istio", "argocd"):
                    _set(lab, part, **settings)
                lab.pulumi(*_UP)
            assert [each["urn"] for each in _resources(lab) if _of_installation(each)] == []
            assert _uids(lab) >= before
            lab.pulumi(*_PREVIEW, "--expect-no-changes")
            lab.await_synced(lab.weigh({"v1": 80, "v2": 20}, _REGION), _REGION)
        verified = lab.verify("--region", _REGION)
        assert verified.returncode == 0, verified.stdout + verified.stderr
    assert none_failed(drills, drill)


@pytest.mark.drill
def test_an_istio_that_is_set_otherwise_is_refused_before_anything_is_changed(lab: Laboratory, tmp_path: Path) -> None:
    with lab.restored(), _state_kept(lab, tmp_path / "state.json"):
        for settings in ({"retain": True}, {"install": False}):
            _set(lab, "istio", **settings)
            lab.pulumi(*_UP)
        mesh = lab.get(_REGION, "configmap/istio", "--namespace=istio-system")["data"]["mesh"]
        try:
            # which is refused because a namespace is named, and hides nothing from anybody here
            _patch_mesh(lab, {**yaml.safe_load(mesh), "defaultVirtualServiceExportTo": ["*", "echo"]})
            refused = lab.pulumi(*_PREVIEW, check=False)
        finally:
            _patch_mesh(lab, yaml.safe_load(mesh))
        assert refused.returncode != 0
        told = refused.stdout + refused.stderr
        assert "ConfigMap istio-system/istio: mesh.defaultVirtualServiceExportTo: with ['*', 'echo']" in told


def _patch_mesh(lab: Laboratory, mesh: Mapping[str, Any]) -> None:
    patch = json.dumps({"data": {"mesh": yaml.safe_dump(dict(mesh))}})
    lab.kubectl(_REGION, "patch", "configmap/istio", "--namespace=istio-system", "--type=merge", f"--patch={patch}")


# --- a service that was made by hand


def _by_hand(selector: Mapping[str, str], target: object) -> list[dict[str, Any]]:
    """A service as somebody wrote it who knew nothing of this program: no sidecars, no version, one Deployment."""
    labels = {"app": "shop"}
    environment = [{"name": "VERSION", "value": "old"}, {"name": "REGION", "value": _REGION}]
    container = {
        "name": "main",
        "image": "registry.corp.local/echo:1.0.0",
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [*environment, {"name": "PORT", "value": "8080"}, {"name": "DRAIN_SECONDS", "value": "5"}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 2},
    }
    pod = {"metadata": {"labels": {**labels, "tier": "web"}}, "spec": {"containers": [container]}}
    deployment = {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod}
    service = {"selector": dict(selector), "ports": [{"name": "http", "port": 80, "targetPort": target}]}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
        _object("apps/v1", "Deployment", deployment),
        _object("v1", "Service", service),
    ]


def _object(version: str, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "shop", "namespace": "shop"}, "spec": spec}


def _apply(lab: Laboratory, objects: list[dict[str, Any]]) -> None:
    file = lab.place.directory / "shop.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    lab.kubectl(_REGION, "apply", f"--filename={file}")


def _uid(lab: Laboratory, kind: str) -> str:
    return str(lab.get(_REGION, f"{kind}/shop", "--namespace=shop")["metadata"]["uid"])


def _remove(lab: Laboratory, before: str) -> None:
    """Bring the region back to what it was without the service."""
    lab.git("reset", "--quiet", "--hard")
    lab.back_to(before)
    lab.push("Go back")
    for resource in _resources(lab):
        if "::shop" in resource["urn"] and resource.get("protect"):
            lab.pulumi("state", "unprotect", resource["urn"], "--yes", "--stack", _REGION)
    lab.pulumi(*_UP)
    lab.kubectl(_REGION, "delete", "namespace/shop", "--ignore-not-found")


@pytest.mark.drill
def test_a_service_that_was_made_by_hand_is_taken_over_and_no_request_fails(lab: Laboratory, drills: list[Row]) -> None:
    """As docs/handover.md says; the steps before the stack file are done but for one of them at first."""
    before = lab.git("rev-parse", "HEAD").strip()
    region = next(each for each in lab.place.regions if each.name == _REGION)
    _apply(lab, _by_hand({"tier": "web"}, 8080))
    lab.kubectl(_REGION, "rollout", "status", "deployment/shop", "--namespace=shop", "--timeout=120s")
    service = _uid(lab, "service")
    try:
        lab.edit(_REGION, lambda config: config["echo-rollout:services"].update(shop=YAML().load(_SHOP)))
        lab.edit(_REGION, lambda config: config.update({"echo-rollout:delivery": "handover"}))
        lab.render()
        lab.push("Take shop over")
        refused = lab.pulumi(*_PREVIEW, check=False)
        told = refused.stdout + refused.stderr
        assert refused.returncode != 0
        assert "Service shop/shop: selects its pods by tier=web, not by app=shop" in told
        assert "Service shop/shop: has no port 80 that is called http and leads to" in told
        with Load(region, RATE, url=_URL) as load:
            until(lambda: load.sent >= _SENT, seconds=60)
            _apply(lab, _by_hand({"app": "shop"}, "http"))
            lab.pulumi(*_UP)
            until(lambda: load.share("v1", RATE) == 1, seconds=60)
            lab.kubectl(_REGION, "delete", "deployment/shop", "--namespace=shop", "--wait")
            lab.edit(_REGION, lambda config: config.update({"echo-rollout:delivery": "gitops"}))
            lab.push("Deliver shop by Git")
            lab.pulumi(*_UP)
            sent = load.sent
            until(lambda: load.sent >= sent + _SENT, seconds=60)
        drills.append(
            Row("a service made by hand is taken over, region-b", _REGION, load.sent, load.failures(in_full=True))
        )
        assert load.failures() == {}
        assert {each.version for each in load.answers} == {"old", "v1"}
        assert _uid(lab, "service") == service
    finally:
        _remove(lab, before)
