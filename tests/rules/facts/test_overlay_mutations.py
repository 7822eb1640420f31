"""What a hand can do to the files that Argo CD applies is refused as it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from rules.facts.overlay import KUSTOMIZATION, objects
from rules.facts.region import Change, Region
from rules.finding import Severity
from rules.judgement import judge, judge_region

OVERLAYS = Path(__file__).parents[3] / "deploy" / "overlays"
REGIONS = ("region-a", "region-b")

Files = dict[str, str]


def committed(name: str) -> Files:
    return {path.name: path.read_text(encoding="utf-8") for path in (OVERLAYS / name / "echo").iterdir()}


def as_region(name: str, files: Mapping[str, str]) -> Region:
    return Region(name, "echo", "gitops", objects(files))


def refused_alone(name: str, files: Mapping[str, str]) -> set[str]:
    return {each.rule_id for each in judge_region([as_region(name, files)]) if each.severity is Severity.REFUSED}


def refused_on_the_way(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    found = judge([Change(as_region(name, before), as_region(name, after))])
    return {each.rule_id for each in found if each.severity is Severity.REFUSED}


def in_text(file: str, old: str, new: str) -> Callable[[Files], None]:
    """Replace text, as with sed."""

    def edit(files: Files) -> None:
        assert old in files[file], f"{file} has no {old!r}"
        files[file] = files[file].replace(old, new)

    return edit


def in_object(file: str, edit_object: Callable[[dict[str, Any]], object]) -> Callable[[Files], None]:
    """Change the object of a file, as an editor's user would."""

    def edit(files: Files) -> None:
        found = yaml.safe_load(files[file])
        edit_object(found)
        files[file] = yaml.safe_dump(found)

    return edit


def without(file: str) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        del files[file]

    return edit


def without_entry(file: str) -> Callable[[Files], None]:
    """The file stays, and nobody applies it."""
    return in_text(KUSTOMIZATION, f"  - {file}\n", "")


def both(*edits: Callable[[Files], None]) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        for each in edits:
            each(files)

    return edit


def spec_of_container(found: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
    return container


ALONE = {
    "a weight is lost": (in_text("vs.yaml", "weight: 90", "weight: 89"), "weights-sum-100"),
    "a weight is text": (in_text("vs.yaml", "weight: 90", "weight: '90'"), "objects-readable"),
    "a weight is a fraction": (in_text("vs.yaml", "weight: 90", "weight: 89.5"), "objects-readable"),
    "both weights are left out": (
        both(in_text("vs.yaml", "weight: 90", ""), in_text("vs.yaml", "weight: 10", "")),
        "weights-sum-100",
    ),
    "a route is misspelt": (in_text("vs.yaml", "subset: v2", "subset: v3"), "routed-subset-exists"),
    "a route has no subset": (
        in_object("vs.yaml", lambda it: it["spec"]["http"][0]["route"][1]["destination"].pop("subset")),
        "routed-subset-exists",
    ),
    "routes are written as tcp": (
        in_object("vs.yaml", lambda it: it["spec"].update(tcp=it["spec"].pop("http"))),
        "objects-readable",
    ),
    "the host is short": (in_text("vs.yaml", "echo.echo.svc.cluster.local", "echo"), "host-is-full-name"),
    "the port is the container's": (in_text("vs.yaml", "number: 80", "number: 8080"), "routed-port-exists"),
    "a subset goes": (
        in_object("dr.yaml", lambda it: it["spec"]["subsets"].pop()),
        "routed-subset-exists",
    ),
    "a subset's labels are not those of its pods": (
        in_text("dr.yaml", "version: v2", "version: '2.0'"),
        "subset-matches-one-deployment",
    ),
    "a subset has another version's labels": (
        in_text("dr.yaml", "version: v2", "version: v1"),
        "subset-matches-one-deployment",
    ),
    "ejection has no limit": (
        in_object("dr.yaml", lambda it: it["spec"]["trafficPolicy"]["outlierDetection"].pop("maxEjectionPercent")),
        "ejection-can-fire",
    ),
    "ejection has too low a limit": (
        in_text("dr.yaml", "maxEjectionPercent: 34", "maxEjectionPercent: 33"),
        "ejection-can-fire",
    ),
    "a duration has no unit": (in_text("dr.yaml", "interval: 5s", "interval: 5"), "objects-readable"),
    "the wave of the routes is lost": (
        in_object("vs.yaml", lambda it: it["metadata"]["annotations"].pop("argocd.argoproj.io/sync-wave")),
        "waves-in-order",
    ),
    "the wave of the subsets is that of the pods": (
        in_text("dr.yaml", "sync-wave: '1'", "sync-wave: '0'"),
        "waves-in-order",
    ),
    "the canary has no pods": (
        in_text("deployment-v2.yaml", "replicas: 3", "replicas: 0"),
        "weighted-version-has-pods",
    ),
    "the stable version is too small": (
        in_text("deployment-v1.yaml", "replicas: 3", "replicas: 2"),
        "rollback-capacity",
    ),
    "the stable version's pods are left to the default": (
        in_object("deployment-v1.yaml", lambda it: it["spec"].pop("replicas")),
        "rollback-capacity",
    ),
    "an image is the latest": (
        in_text("deployment-v2.yaml", "registry.corp.local/echo:2.0.0", "registry.corp.local/echo:latest"),
        "image-pinned",
    ),
    "an image has no tag": (
        in_text("deployment-v2.yaml", "registry.corp.local/echo:2.0.0", "registry.corp.local/echo"),
        "image-pinned",
    ),
    "an image is of a branch": (
        in_text("deployment-v2.yaml", "registry.corp.local/echo:2.0.0", "registry.corp.local/echo:main"),
        "image-pinned",
    ),
    "pods have other labels than their Deployment selects": (
        in_object("deployment-v2.yaml", lambda it: it["spec"]["template"]["metadata"]["labels"].update(version="v3")),
        "deployment-selects-own-pods",
    ),
    "the container's port has another name": (
        in_object("deployment-v2.yaml", lambda it: spec_of_container(it)["ports"][0].update(name="web")),
        "target-port-exists",
    ),
    "an update may take every pod": (
        in_text("deployment-v2.yaml", "maxUnavailable: 0", "maxUnavailable: 100%"),
        "update-keeps-pods",
    ),
    "the budget lets no pod go": (
        in_text("pdb-v1.yaml", "maxUnavailable: 1", "maxUnavailable: 0"),
        "budget-allows-drain",
    ),
    "the budget lets every pod go": (
        in_text("pdb-v1.yaml", "maxUnavailable: 1", "maxUnavailable: 3"),
        "budget-protects",
    ),
    "a budget is taken out": (
        both(without_entry("pdb-v2.yaml"), without("pdb-v2.yaml")),
        "one-budget-for-pods",
    ),
    "the Service selects one version": (
        in_object("service.yaml", lambda it: it["spec"]["selector"].update(version="v1")),
        "service-selects-versions",
    ),
    "the Service selects nothing that is there": (
        in_object("service.yaml", lambda it: it["spec"]["selector"].update(app="ecko")),
        "service-selects-versions",
    ),
    "the Service's port does not say http": (
        in_text("service.yaml", "- name: http", "- name: web"),
        "port-names-protocol",
    ),
    "a file is listed and gone": (without("deployment-v2.yaml"), "objects-readable"),
    "a file is empty": (lambda files: files.update({"vs.yaml": ""}), "objects-readable"),
    "a file is no YAML": (in_text("vs.yaml", "spec:", "spec: ["), "objects-readable"),
    "a file has the marks of a merge": (in_text("vs.yaml", "spec:", "<<<<<<< HEAD\nspec:"), "objects-readable"),
    "a file is there and not listed": (without_entry("pdb-v1.yaml"), "objects-readable"),
    "an object is there twice": (
        lambda files: files.update({"pdb-v2.yaml": files["pdb-v1.yaml"]}),
        "objects-readable",
    ),
    "Kustomize is to change images": (
        in_object(
            KUSTOMIZATION, lambda it: it.update(images=[{"name": "registry.corp.local/echo", "newTag": "latest"}])
        ),
        "objects-readable",
    ),
    "the Service is moved to another namespace": (
        in_object("service.yaml", lambda it: it["metadata"].update(namespace="default")),
        "host-is-full-name",
    ),
    "the subsets are moved to another namespace": (
        in_object("dr.yaml", lambda it: it["metadata"].update(namespace="default")),
        "traffic-beside-service",
    ),
    "the routes are moved to another namespace": (
        in_object("vs.yaml", lambda it: it["metadata"].update(namespace="default")),
        "traffic-beside-service",
    ),
    "pods are moved to another namespace": (
        in_object("deployment-v2.yaml", lambda it: it["metadata"].update(namespace="default")),
        "subset-matches-one-deployment",
    ),
}

RETIRED_V2 = both(
    *(both(without_entry(file), without(file)) for file in ("deployment-v2.yaml", "pdb-v2.yaml")),
    in_object("dr.yaml", lambda it: it["spec"]["subsets"].pop()),
    in_object("vs.yaml", lambda it: it["spec"]["http"][0]["route"].pop()),
    in_text("vs.yaml", "weight: 90", "weight: 100"),
)
IDLE_V2 = both(in_text("vs.yaml", "weight: 90", "weight: 100"), in_text("vs.yaml", "weight: 10\n", "weight: 0\n"))


@pytest.mark.parametrize("name", REGIONS)
def test_what_is_committed_is_not_refused(name: str) -> None:
    assert refused_alone(name, committed(name)) == set()


@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.parametrize(("edit", "rule"), ALONE.values(), ids=ALONE.keys())
def test_a_mistake_in_the_files_is_refused(name: str, edit: Callable[[Files], None], rule: str) -> None:
    files = committed(name)

    edit(files)

    assert rule in refused_alone(name, files)


@pytest.mark.parametrize("name", REGIONS)
def test_a_version_that_goes_from_the_files_with_its_weight_is_refused(name: str) -> None:
    files = committed(name)

    RETIRED_V2(files)

    assert refused_on_the_way(name, committed(name), files) == {"removed-only-when-idle"}


@pytest.mark.parametrize("name", REGIONS)
def test_a_version_that_goes_from_the_files_in_two_commits_is_not_refused(name: str) -> None:
    idle, gone = committed(name), committed(name)

    IDLE_V2(idle)
    RETIRED_V2(gone)

    assert refused_on_the_way(name, committed(name), idle) == set()
    assert refused_on_the_way(name, idle, gone) == set()


@pytest.mark.parametrize("name", REGIONS)
def test_a_weight_that_rises_too_much_in_the_files_is_refused(name: str) -> None:
    files = committed(name)

    both(in_text("vs.yaml", "weight: 90", "weight: 30"), in_text("vs.yaml", "weight: 10", "weight: 70"))(files)

    assert refused_on_the_way(name, committed(name), files) == {"increase-limited"}


@pytest.mark.parametrize("name", REGIONS)
def test_a_selector_that_changes_in_the_files_is_refused(name: str) -> None:
    files = committed(name)

    in_object("deployment-v2.yaml", lambda it: it["spec"]["selector"]["matchLabels"].pop("app"))(files)

    assert refused_on_the_way(name, committed(name), files) == {"selector-unchanged"}
