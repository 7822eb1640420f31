"""Whatever changes or breaks beside the requests, none of them fails.

Each drill runs under a steady load in both regions; the table at the end of the run has every one with requests sent and failed.
"""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import Any

import pytest

from lab.machine import processes
from tests.e2e.drills import Row, none_failed, under_load
from tests.e2e.laboratory import REGIONS, Laboratory
from tests.e2e.waiting import until

_SERVICES = "echo-rollout:services"


def _processes(lab: Laboratory, region: int, program: str) -> list[int]:
    """Processes of a region by the last element of their program's path, in pods or not."""
    return processes.namesakes(lab.place.regions[region].cgroup, (program,))


def _kill(lab: Laboratory, program: str) -> None:
    """Kill a program in every region and wait until another process has taken its place."""
    killed = [set(_processes(lab, number, program)) for number in range(len(REGIONS))]
    assert all(killed)
    for pid in set().union(*killed):
        os.kill(pid, signal.SIGKILL)
    for number, before in enumerate(killed):
        until(partial(_is_replaced, lab, number, program, before), seconds=90)


def _is_replaced(lab: Laboratory, region: int, program: str, before: set[int]) -> bool:
    return bool(set(_processes(lab, region, program)) - before)


@pytest.mark.drill
def test_weights_move_by_commits(lab: Laboratory, drills: list[Row]) -> None:
    drill = "weights 90/10, 50/50, 0/100, 90/10 by commits"
    with lab.restored(), under_load(lab, drill, drills) as load:
        for weights in ({"v1": 50, "v2": 50}, {"v1": 0, "v2": 100}, {"v1": 90, "v2": 10}):
            lab.await_synced(lab.weigh(weights, *REGIONS))
            load.until_shares(weights)
    assert none_failed(drills, drill)


@pytest.mark.drill
def test_a_new_image_of_v2_is_rolled_out_by_a_commit(lab: Laboratory, drills: list[Row]) -> None:
    drill = "new image of v2 by a commit"

    def change(config: Any) -> None:
        versions = config[_SERVICES]["echo"]["versions"]
        versions["v2"]["image"] = versions["v1"]["image"]

    with lab.restored(), under_load(lab, drill, drills):
        for region in REGIONS:
            lab.edit(region, change)
        lab.render()
        lab.await_synced(lab.push("Give v2 another image"))
    assert none_failed(drills, drill)


@pytest.mark.drill
def test_a_rolling_restart(lab: Laboratory, drills: list[Row]) -> None:
    drill = "rolling restart of v1 and v2"
    with under_load(lab, drill, drills):
        for region in REGIONS:
            lab.kubectl(region, "rollout", "restart", "deployment", "--namespace=echo", "--selector=app=echo")
        for region in REGIONS:
            lab.kubectl(region, "rollout", "status", "deployment", "--namespace=echo", "--timeout=120s")
    assert none_failed(drills, drill)


@pytest.mark.drill
def test_istiod_is_restarted(lab: Laboratory, drills: list[Row]) -> None:
    drill = "istiod restarted"
    with under_load(lab, drill, drills):
        for region in REGIONS:
            lab.kubectl(region, "rollout", "restart", "deployment/istiod", "--namespace=istio-system")
        for region in REGIONS:
            lab.kubectl(region, "rollout", "status", "deployment/istiod", "--namespace=istio-system", "--timeout=120s")
    assert none_failed(drills, drill)


@pytest.mark.drill
def test_the_repo_server_is_killed_and_the_next_commit_arrives(lab: Laboratory, drills: list[Row]) -> None:
    drill = "Argo CD's repo-server killed, then a commit"
    weights = {"v1": 80, "v2": 20}
    with lab.restored(), under_load(lab, drill, drills) as load:
        _kill(lab, "argocd-repo-server")
        for region in REGIONS:
            until(partial(_answers_again, lab, region), seconds=90)
        lab.await_synced(lab.weigh(weights, *REGIONS))
        load.until_shares(weights)
    assert none_failed(drills, drill)


def _answers_again(lab: Laboratory, region: str) -> bool:
    """Whether the repo-server's container, once started again, is ready: before, Argo CD finds no commit, and looks minutes later."""
    where = ("--namespace=argocd", "--selector=app.kubernetes.io/name=argocd-repo-server")
    (pod,) = lab.get(region, "pods", *where)["items"]
    (status,) = pod["status"]["containerStatuses"]
    return bool(status["ready"] and status["restartCount"] > 0)


def test_the_controller_is_killed_in_the_middle_of_a_sync(lab: Laboratory, drills: list[Row]) -> None:
    """A change of image takes Argo CD as long as the pods take to be replaced: in the midst of it the controller dies."""
    drill = "Argo CD's controller killed in the middle of a sync"

    def change(config: Any) -> None:
        versions = config[_SERVICES]["echo"]["versions"]
        versions["v2"]["image"], versions["v2"]["weight"] = versions["v1"]["image"], 20
        versions["v1"]["weight"] = 80

    with lab.restored(), under_load(lab, drill, drills) as load:
        for region in REGIONS:
            lab.edit(region, change)
        lab.render()
        revision = lab.push("Give v2 another image and more weight")
        for region in REGIONS:
            until(partial(_is_syncing, lab, region, revision), seconds=60)
        _kill(lab, "argocd-application-controller")
        lab.await_synced(revision)
        load.until_shares({"v1": 80, "v2": 20})
    assert none_failed(drills, drill)


def _is_syncing(lab: Laboratory, region: str, revision: str) -> bool:
    operation = lab.application(region)["status"].get("operationState", {})
    of = operation.get("operation", {}).get("sync", {}).get("revision")
    return (of, operation.get("phase")) == (revision, "Running")


def _last_sign(lab: Laboratory, region: str) -> str:
    """When the kubelet last said that it lives."""
    return str(lab.get(region, f"lease/{region}", "--namespace=kube-node-lease")["spec"]["renewTime"])


def _gives_signs(lab: Laboratory, region: str, before: str) -> bool:
    return _last_sign(lab, region) > before


@pytest.mark.drill
def test_the_kubelet_is_restarted(lab: Laboratory, drills: list[Row]) -> None:
    drill = "kubelet killed and started again"
    with under_load(lab, drill, drills):
        before = {region: _last_sign(lab, region) for region in REGIONS}
        for number in range(len(REGIONS)):
            for pid in _processes(lab, number, "kubelet"):
                os.kill(pid, signal.SIGKILL)
        lab.run("up", "--clusters-only")
        for region in REGIONS:
            until(partial(_gives_signs, lab, region, before[region]), seconds=90)
    assert none_failed(drills, drill)


@pytest.mark.drill
@pytest.mark.parametrize("region", REGIONS)
def test_traffic_holds_after_the_drills(lab: Laboratory, region: str) -> None:
    verified = lab.verify("--region", region)
    assert verified.returncode == 0, verified.stdout + verified.stderr
