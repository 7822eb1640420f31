"""A part of a cluster dies, or the command that starts it: the next `up` puts it right, and `down` leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.machine import cgroups, namespaces, processes
from lab.mark import NAME as MARK
from lab.place import Lab
from tests.e2e.drills import mostly_drills
from tests.e2e.laboratory import Laboratory

_PROCESSES = (
    "containerd",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "python",
    "sleep",
)


def _pid(lab: Laboratory, program: str, region: int = 0) -> int:
    return processes.namesakes(f"{lab.place.regions[region].cgroup}/system", (program,))[0]


def _status(lab: Laboratory) -> subprocess.CompletedProcess[str]:
    return lab.run("status", "--json", check=False)


@pytest.mark.drill
def test_up_again_starts_nothing(lab: Laboratory) -> None:
    before = {program: _pid(lab, program) for program in _PROCESSES}
    said = lab.run("up", "--no-verify").stderr
    assert "started" not in said
    assert {program: _pid(lab, program) for program in _PROCESSES} == before


@pytest.mark.parametrize("program", mostly_drills(_PROCESSES, "etcd"))
def test_a_killed_component_is_started_again(lab: Laboratory, program: str) -> None:
    os.kill(_pid(lab, program), signal.SIGKILL)
    lab.run("up", "--clusters-only")
    assert _pid(lab, program)


def test_status_names_a_killed_component_and_shows_its_log(lab: Laboratory) -> None:
    os.kill(_pid(lab, "kube-scheduler"), signal.SIGKILL)
    result = _status(lab)
    unwell = [finding for finding in json.loads(result.stdout) if not finding["well"]]
    lab.run("up", "--no-verify")
    assert result.returncode == 1
    assert [(finding["region"], finding["component"]) for finding in unwell] == [("region-a", "kube-scheduler")]
    assert unwell[0]["log"]


@pytest.mark.drill
def test_traffic_holds_after_everything_was_killed_once(lab: Laboratory) -> None:
    lab.run("up", "--no-verify")
    verified = lab.verify()
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.drill
def test_an_up_that_is_killed_is_finished_by_the_next_and_down_leaves_nothing(lab: Laboratory) -> None:
    """A lab of its own, beside the other: killed with -9 as soon as each of its marks appears."""
    place = Lab(lab.place.checkout, lab.place.checkout.parent / "second", lab.place.cache)
    second = Laboratory(place, {"LAB_DIR": str(place.directory)})
    marks = [
        place.regions[0].directory / "kubelet.json",
        place.regions[0].directory / "containerd",
        place.regions[0].directory / "imported",
    ]
    try:
        for mark in marks:
            _kill_when(second, mark)
        second.run("up", "--clusters-only")
        assert _status(second).returncode == 0
    finally:
        second.run("down")
    assert not cgroups.exists(place.cgroup)
    assert not {name for name in namespaces.names() if place.id in name}
    assert {entry.name for entry in place.directory.iterdir()} <= {MARK, "logs"}
    assert str(place.directory) not in Path("/proc/mounts").read_text()
    assert _status(lab).returncode == 0


def _kill_when(lab: Laboratory, mark: Path) -> None:
    command = [sys.executable, "-m", "lab", "up", "--clusters-only"]
    with subprocess.Popen(
        command, cwd=lab.place.checkout, env={**os.environ, **lab.environment}, stderr=subprocess.DEVNULL
    ) as up:
        while up.poll() is None and not mark.exists():
            pass
        up.kill()
