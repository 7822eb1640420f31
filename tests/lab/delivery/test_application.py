"""What Argo CD says of a region is read as it is meant, and a wait for it ends: with the commit there, or with the reason why not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from lab.delivery import application
from lab.delivery.application import read
from lab.region.kubectl import Kubectl
from lab.report import LabError

_OLD, _NEW = "1" * 40, "2" * 40
_ASKED = {"argocd.argoproj.io/refresh": "normal"}
# says what the next file of looks has; the last stays
_KUBECTL = """\
#!/bin/sh
cd '{directory}' || exit 1
case "$*" in
*annotate*) echo asked >> asked ;;
*deployments*) cat deployments.json ;;
*--raw*)
  set -- looks/*
  if [ "$1" = 'looks/*' ]; then echo 'Error from server (NotFound): {missing}' >&2; exit 1; fi
  cat "$1"
  if [ $# -gt 1 ]; then rm "$1"; fi
  ;;
esac
"""


def _application(
    sync: str = "Synced",
    health: str = "Healthy",
    revision: str = _NEW,
    annotations: Any = None,
    name: str = "echo",
    **status: Any,
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"destination": {"namespace": "echo"}},
        "status": {"sync": {"status": sync, "revision": revision}, "health": {"status": health}, **status},
    }


def _operation(phase: str, message: str, *, retries: int = 0, revision: str = _NEW, **more: Any) -> dict[str, Any]:
    results = [
        {"kind": "VirtualService", "name": "echo", "status": "SyncFailed", "message": "total weight 110"},
        {"kind": "Deployment", "name": "echo-v1", "status": "Synced", "message": "configured"},
    ]
    return {
        "phase": phase,
        "message": message,
        "retryCount": retries,
        "operation": {"sync": {"revision": revision}},
        "syncResult": {"revision": revision, "resources": results},
        **more,
    }


def test_what_is_synced_and_healthy_is_well() -> None:
    assert read(_application()).well


@pytest.mark.parametrize(("sync", "health"), [("OutOfSync", "Healthy"), ("Synced", "Degraded"), ("", "")])
def test_anything_else_is_not(sync: str, health: str) -> None:
    assert not read(_application(sync, health)).well


def test_an_application_that_nobody_has_looked_at_can_be_read() -> None:
    fresh = read({"metadata": {"name": "echo"}, "spec": {"destination": {"namespace": "echo"}}})
    assert (fresh.sync, fresh.revision, fresh.well) == ("", "", False)


def test_errors_are_told_and_warnings_are_not() -> None:
    conditions = [
        {"type": "ComparisonError", "message": "bad YAML in vs.yaml"},
        {"type": "OrphanedResourceWarning", "message": "1 orphan"},
    ]
    found = read(_application(conditions=conditions))
    assert found.troubles == ("ComparisonError: bad YAML in vs.yaml",)
    assert not found.well


def test_a_failed_sync_says_which_object_and_why() -> None:
    conditions = [{"type": "SyncError", "message": "Failed last sync attempt"}]
    state = _operation("Failed", "one or more objects failed to apply")
    found = read(_application("OutOfSync", operationState=state, conditions=conditions))
    assert found.troubles == (
        "the sync failed: one or more objects failed to apply",
        "  VirtualService/echo: total weight 110",
    )
    assert found.gave_up


def test_a_sync_that_failed_once_may_still_succeed() -> None:
    state = _operation("Running", "failed. Retrying attempt #1", retries=1, finishedAt="2026-01-01T00:00:00Z")
    found = read(_application("OutOfSync", operationState=state))
    assert found.failed
    assert not found.gave_up


def test_a_sync_that_failed_five_times_does_not() -> None:
    state = _operation("Running", "failed. Retrying attempt #5", retries=5, finishedAt="2026-01-01T00:00:00Z")
    assert read(_application("OutOfSync", operationState=state)).gave_up


@pytest.mark.parametrize(("tried", "fails"), [(_NEW, True), (_OLD, False)])
def test_a_later_attempt_is_of_the_commit_that_was_newest_then(tried: str, fails: bool) -> None:
    state = _operation("Running", "failed", retries=1, revision=tried, finishedAt="2026-01-01T00:00:00Z")
    state["operation"]["sync"] = {}
    assert bool(read(_application("OutOfSync", operationState=state)).failed) == fails


def test_a_failure_of_another_commit_is_history() -> None:
    found = read(_application(operationState=_operation("Failed", "failed to apply", revision=_OLD)))
    assert found.well
    assert not found.troubles


@pytest.fixture
def looking(tmp_path: Path) -> Callable[..., Kubectl]:
    """Makes a region whose Application looks like this at each look, or whose Applications do."""

    def make(*looks: Mapping[str, Any] | list[dict[str, Any]], missing: str = "no such thing") -> Kubectl:
        (tmp_path / "looks").mkdir()
        for number, look in enumerate(looks):
            (tmp_path / "looks" / f"{number}.json").write_text(
                json.dumps({"items": look if isinstance(look, list) else [look]})
            )
        program = tmp_path / "kubectl"
        program.write_text(_KUBECTL.format(directory=tmp_path, missing=missing))
        program.chmod(0o755)
        return Kubectl(program, tmp_path / "kubeconfig", "region-a")

    return make


def test_the_wait_ends_when_the_commit_runs(looking: Callable[..., Kubectl]) -> None:
    said: list[str] = []
    running = _application("Synced", operationState=_operation("Running", "waiting for healthy state of echo-v1"))
    looks = [_application(revision=_OLD), running, _application()]
    application.await_synced(looking(*looks), _NEW, said.append)
    assert said == [
        "Argo CD has not compared 2222222 of echo yet",
        "Argo CD, echo: Synced, Healthy at 2222222; waiting for healthy state of echo-v1",
        "Argo CD, echo: Synced, Healthy at 2222222",
    ]


def test_the_wait_is_for_every_application_and_tells_of_each_when_it_changes(looking: Callable[..., Kubectl]) -> None:
    said: list[str] = []
    web = _application(revision=_OLD, name="web")
    looks = ([_application(revision=_OLD), web], [_application(), web], [_application(), _application(name="web")])
    application.await_synced(looking(*looks), _NEW, said.append)
    assert said == [
        "Argo CD has not compared 2222222 of echo yet",
        "Argo CD has not compared 2222222 of web yet",
        "Argo CD, echo: Synced, Healthy at 2222222",
        "Argo CD, web: Synced, Healthy at 2222222",
    ]


def test_argocd_is_asked_to_look(looking: Callable[..., Kubectl], tmp_path: Path) -> None:
    application.await_synced(looking(_application()), _NEW, lambda _: None)
    assert (tmp_path / "asked").read_text() == "asked\n"


def test_what_is_not_ready_is_named(looking: Callable[..., Kubectl], tmp_path: Path) -> None:
    deployments = [
        {"metadata": {"name": "echo-v1"}, "spec": {"replicas": 3}, "status": {"availableReplicas": 3}},
        {"metadata": {"name": "echo-v2"}, "spec": {"replicas": 3}, "status": {}},
    ]
    (tmp_path / "deployments.json").write_text(json.dumps({"items": deployments}))
    said: list[str] = []
    application.await_synced(looking(_application(health="Progressing"), _application()), _NEW, said.append)
    assert said[0] == "Argo CD, echo: Synced, Progressing at 2222222; Deployment/echo-v2: 0 of 3 pods"


def test_an_error_from_before_argocd_looked_is_history(looking: Callable[..., Kubectl]) -> None:
    before = _application("Unknown", annotations=_ASKED, conditions=[{"type": "ComparisonError", "message": "old"}])
    application.await_synced(looking(before, _application()), _NEW, lambda _: None)


def test_well_from_before_argocd_looked_is_history(looking: Callable[..., Kubectl], tmp_path: Path) -> None:
    (tmp_path / "deployments.json").write_text('{"items": []}')
    kubectl = looking(_application(annotations=_ASKED), _application("OutOfSync"), _application())
    application.await_synced(kubectl, _NEW, lambda _: None)
    assert len([*(tmp_path / "looks").iterdir()]) == 1


def test_an_error_that_goes_is_waited_out_with_another_look(looking: Callable[..., Kubectl], tmp_path: Path) -> None:
    starting = _application("Unknown", conditions=[{"type": "ComparisonError", "message": "connection refused"}])
    application.await_synced(looking(starting, _application()), _NEW, lambda _: None)
    assert (tmp_path / "asked").read_text() == "asked\nasked\n"


def test_an_error_that_stays_ends_the_wait_with_its_words(
    looking: Callable[..., Kubectl], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "_ERROR_SECONDS", 0.0)
    broken = _application("Unknown", revision="main", conditions=[{"type": "ComparisonError", "message": "bad YAML"}])
    with pytest.raises(LabError, match=r"region-a: Argo CD cannot bring 2222222 of echo to run(.|\n)*bad YAML"):
        application.await_synced(looking(broken), _NEW, lambda _: None)


def test_a_sync_that_is_not_tried_again_ends_the_wait(looking: Callable[..., Kubectl]) -> None:
    failed = _application("OutOfSync", operationState=_operation("Failed", "failed to apply"))
    with pytest.raises(LabError, match="VirtualService/echo: total weight 110"):
        application.await_synced(looking(failed), _NEW, lambda _: None)


def test_time_runs_out_with_what_was_waited_for(
    looking: Callable[..., Kubectl], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "_SYNC_SECONDS", 0.1)
    with pytest.raises(LabError, match="has not compared 2222222 of echo yet"):
        application.await_synced(looking(_application(revision=_OLD)), _NEW, lambda _: None)


def test_whoever_stops_the_lab_stops_the_wait(looking: Callable[..., Kubectl]) -> None:
    stopped = Event()
    stopped.set()
    with pytest.raises(InterruptedError):
        application.await_synced(looking(_application(revision=_OLD)), _NEW, lambda _: None, stopped)


def test_a_region_without_argocd_is_none_of_its(looking: Callable[..., Kubectl]) -> None:
    assert application.look(looking(missing="the server could not find the requested resource")) == []


def test_an_application_that_somebody_deleted_is_missed(looking: Callable[..., Kubectl]) -> None:
    with pytest.raises(LabError, match=r"region-a: Applications in argocd: .*no such thing"):
        application.look(looking())


def test_no_application_at_all_is_missed(looking: Callable[..., Kubectl]) -> None:
    with pytest.raises(LabError, match="Applications in argocd: there is none"):
        application.look(looking([]))


def test_a_look_is_anew_once_argocd_has_looked(looking: Callable[..., Kubectl]) -> None:
    """It called a commit Synced that was refused."""
    refused = _application("Unknown", conditions=[{"type": "ComparisonError", "message": "weight -1 < 0"}])
    kubectl = looking(_application(), _application(annotations=_ASKED), refused)
    assert [each.errors for each in application.look_anew(kubectl)] == [("ComparisonError: weight -1 < 0",)]


def test_an_argocd_that_does_not_look_is_not_waited_for_for_ever(
    looking: Callable[..., Kubectl], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "_LOOK_SECONDS", 0.1)
    assert [each.looks for each in application.look_anew(looking(_application(annotations=_ASKED)))] == [True]


def test_a_region_without_argocd_is_not_asked_to_look(looking: Callable[..., Kubectl]) -> None:
    assert application.look_anew(looking(missing="the server could not find the requested resource")) == []


def test_what_is_not_as_committed_is_named() -> None:
    resources = [
        {"kind": "Service", "name": "echo", "status": "Synced"},
        {"kind": "DestinationRule", "name": "echo", "status": "OutOfSync"},
        {"kind": "VirtualService", "name": "echo", "status": "OutOfSync", "requiresPruning": True},
    ]
    found = read(_application("OutOfSync", resources=resources))
    assert found.differing == (
        "DestinationRule/echo is not as committed",
        "VirtualService/echo is in no file of the commit",
    )
