"""A commit is the only hand: it moves the traffic, what is done by hand is undone, and what is broken changes nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.drills import Row, mostly_drills, none_failed, under_load
from tests.e2e.laboratory import REGIONS, Laboratory
from tests.e2e.waiting import until

_OVERLAY = "deploy/overlays/region-a/echo"
_OBJECTS = ("--namespace=echo", "virtualservice/echo", "destinationrule/echo", "service/echo")


def _findings(lab: Laboratory, region: str = "region-a") -> dict[str, dict[str, Any]]:
    found = json.loads(lab.run("status", "--json", check=False).stdout)
    return {finding["component"]: finding for finding in found if finding["region"] == region}


def test_a_weight_changed_by_a_commit_holds_in_its_region_and_in_no_other(lab: Laboratory) -> None:
    before = _applied(lab)
    with lab.restored():
        revision = lab.weigh({"v1": 75, "v2": 25}, "region-a")
        verified = lab.verify("--region", "region-a")  # at once, as a person does: it waits for what is on its way
        assert verified.returncode == 0, verified.stdout + verified.stderr
        lab.await_synced(revision)
        after = _applied(lab)
        weights = {region: lab.get(region, "virtualservice/echo", "--namespace=echo") for region in REGIONS}
    assert {region: _weights(service) for region, service in weights.items()} == {
        "region-a": [75, 25],
        "region-b": [90, 10],
    }
    # one object, and so no wave to wait for
    assert [kind for kind, version in after.items() if version != before[kind]] == ["VirtualService"]


def _applied(lab: Laboratory) -> dict[str, str]:
    """Who was last written, among the objects that nobody but Argo CD writes."""
    items = lab.get("region-a", "services,serviceaccounts,destinationrules,virtualservices", "--namespace=echo")[
        "items"
    ]
    ours = [item for item in items if item["metadata"]["name"] == "echo"]
    return {item["kind"]: item["metadata"]["resourceVersion"] for item in ours}


def _weights(virtual_service: dict[str, Any]) -> list[int]:
    return [route["weight"] for route in virtual_service["spec"]["http"][0]["route"]]


@pytest.mark.drill
def test_a_changed_weight_renders_one_file_and_the_next_time_none(lab: Laboratory) -> None:
    def change(config: Any) -> None:
        versions = config["echo-rollout:services"]["echo"]["versions"]
        versions["v1"]["weight"], versions["v2"]["weight"] = 75, 25

    with lab.restored():
        lab.edit("region-a", change)
        lab.render()
        changed = lab.git("status", "--short", "--", "deploy").split()
        assert changed == ["M", f"{_OVERLAY}/vs.yaml"]
        before = {file: file.stat().st_mtime_ns for file in (lab.place.checkout / "deploy").rglob("*.yaml")}
        lab.render()
        assert {file: file.stat().st_mtime_ns for file in before} == before


def _patch(lab: Laboratory, kind: str, operations: list[dict[str, Any]]) -> None:
    lab.kubectl(
        "region-a", "patch", kind, "echo", "--namespace=echo", "--type=json", f"--patch={json.dumps(operations)}"
    )


_DRIFTS: dict[str, Callable[[Laboratory], object]] = {
    "a weight": lambda lab: _patch(
        lab,
        "virtualservice",
        [
            {"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 60},
            {"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 40},
        ],
    ),
    "a subset": lambda lab: _patch(
        lab, "destinationrule", [{"op": "replace", "path": "/spec/subsets/1/labels/version", "value": "v1"}]
    ),
    "a Deployment": lambda lab: lab.kubectl(
        "region-a", "delete", "deployment/echo-v2", "--namespace=echo", "--wait=false"
    ),
}


@pytest.mark.parametrize("drift", mostly_drills(_DRIFTS, "a weight"))
def test_what_is_changed_by_hand_is_undone(lab: Laboratory, notes: list[str], drift: str) -> None:
    """How long it takes is printed; a second change of the same kind waits longer, for Argo CD backs off."""
    before = _state(lab)
    _DRIFTS[drift](lab)
    began = time.monotonic()
    until(lambda: _state(lab) == before, seconds=120)
    notes.append(f"{drift} changed by hand in region-a was healed after {time.monotonic() - began:.1f} s")
    until(partial(_is_well, lab), seconds=120)


def _state(lab: Laboratory) -> Any:
    """What the overlay decides: routes, subsets, and pods that are ready."""
    service = lab.get("region-a", "virtualservice/echo", "--namespace=echo")
    rule = lab.get("region-a", "destinationrule/echo", "--namespace=echo")
    deployments = lab.get("region-a", "deployments", "--namespace=echo")["items"]
    ready = {item["metadata"]["name"]: item["status"].get("readyReplicas", 0) for item in deployments}
    return service["spec"], rule["spec"], ready


def _is_well(lab: Laboratory) -> bool:
    return bool(_findings(lab)["argocd/echo"]["well"])


def _says(lab: Laboratory, clue: str) -> bool:
    """Whether `lab status` finds Argo CD unwell and names what is."""
    finding = _findings(lab)["argocd/echo"]
    if not finding["well"] and clue in finding["detail"] + finding["log"]:
        print(finding["detail"], finding["log"], sep="\n")
        return True
    return False


def _synced(lab: Laboratory) -> tuple[str, str]:
    said = lab.application("region-a")["status"]["sync"]
    return said["status"], said["revision"]


def _bad_yaml(overlay: Path) -> str:
    (overlay / "vs.yaml").write_text("spec: [unfinished\n")
    return "vs.yaml"


def _refused_by_the_api_server(overlay: Path) -> str:
    file = overlay / "service.yaml"
    file.write_text(file.read_text().replace("port: 80\n", "port: 80000\n"))
    return "80000"


def _refused_by_istio(overlay: Path) -> str:
    file = overlay / "vs.yaml"
    file.write_text(file.read_text().replace("weight: 90", "weight: -1"))
    return "weight"


def _forbidden_kind(overlay: Path) -> str:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": []}
    (overlay / "role.yaml").write_text(json.dumps({**role, "metadata": {"name": "intruder", "namespace": "echo"}}))
    with (overlay / "kustomization.yaml").open("a") as listed:
        listed.write("  - role.yaml\n")
    return "Role"


_BREAKINGS = (_bad_yaml, _refused_by_the_api_server, _refused_by_istio, _forbidden_kind)


@pytest.mark.parametrize("breaking", mostly_drills(_BREAKINGS, _refused_by_istio))
def test_a_broken_commit_changes_nothing_and_the_next_good_one_heals(
    lab: Laboratory, drills: list[Row], breaking: Callable[[Path], str]
) -> None:
    """The broken commit moves the weights too: not even the good half of it may arrive."""
    drill = f"a broken commit:{breaking.__name__.replace('_', ' ')}"
    before = lab.kubectl("region-a", "get", *_OBJECTS, "-o", "jsonpath={.items[*].metadata.resourceVersion}")
    with lab.restored(), under_load(lab, drill, drills):
        rule = lab.place.checkout / _OVERLAY / "dr.yaml"
        rule.write_text(rule.read_text().replace("maxConnections: 1000", "maxConnections: 999"))
        clue = breaking(lab.place.checkout / _OVERLAY)
        lab.push("Break the overlay of region-a")
        until(partial(_says, lab, clue), seconds=60)
        after = lab.kubectl("region-a", "get", *_OBJECTS, "-o", "jsonpath={.items[*].metadata.resourceVersion}")
        assert after == before
    assert _is_well(lab)
    assert none_failed(drills, drill)


@pytest.mark.drill
def test_a_refused_commit_that_argocd_calls_synced_is_none_to_status(lab: Laboratory) -> None:
    """Any change of an object that it delivers makes Argo CD compare by what it remembers of the commit before."""
    with lab.restored():
        clue = _refused_by_istio(lab.place.checkout / _OVERLAY)
        revision = lab.push("Break the overlay of region-a")
        until(partial(_says, lab, clue), seconds=60)
        lab.kubectl("region-a", "annotate", "deployment/echo-v1", "--namespace=echo", "example.com/touched=yes")
        until(lambda: _synced(lab) == ("Synced", revision), seconds=30)
        until(partial(_says, lab, clue), seconds=60)
        lab.kubectl("region-a", "annotate", "deployment/echo-v1", "--namespace=echo", "example.com/touched-")


@pytest.mark.drill
def test_a_commit_that_loses_the_routes_keeps_them_and_says_so(lab: Laboratory, drills: list[Row]) -> None:
    """An empty file is none to Kustomize, and what is in no file Argo CD removes, were it not told to spare it."""
    drill = "a broken commit: an empty file"
    before = lab.get("region-a", "virtualservice/echo", "--namespace=echo")["metadata"]["uid"]
    with lab.restored(), under_load(lab, drill, drills):
        (lab.place.checkout / _OVERLAY / "vs.yaml").write_text("")
        lab.push("Empty the routes of region-a")
        until(partial(_says, lab, "VirtualService/echo is in no file of the commit"), seconds=60)
        assert lab.get("region-a", "virtualservice/echo", "--namespace=echo")["metadata"]["uid"] == before
    assert none_failed(drills, drill)


@pytest.mark.drill
def test_a_commit_that_a_person_amends_is_refused_and_loses_nothing(lab: Laboratory) -> None:
    """`lab up` pushes HEAD, and never over commits that only the lab has."""
    with lab.restored():
        lab.git("commit", "--quiet", "--allow-empty", "--message=In the lab alone")
        lab.git("push", "--quiet", "lab")
        only_there = lab.git("rev-parse", "HEAD").strip()
        lab.git("reset", "--quiet", "--hard", "HEAD~1")
        refused = lab.run("up", "--no-verify", check=False)
        lab.git("reset", "--quiet", "--hard", only_there)
    assert refused.returncode == 1
    assert only_there[:7] in refused.stderr
