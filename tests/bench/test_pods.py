"""What cgroups use is read on both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.pods import anonymous_megabytes, pod_cgroups, processor_seconds
from lab.machine import cgroups
from lab.place import Region

_POD = "lab-1/region-a/kubepods/burstable/pod12-ab"
_OTHER = "lab-1/region-a/kubepods/pod34-cd"


def written(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture(params=["version 1", "version 2"])
def pod(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A pod with a container, which has used two seconds and allocated three mebibytes."""
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    if request.param == "version 1":
        files = {
            f"cpuacct/{_POD}/cpuacct.usage": "2000000000\n",
            f"cpuacct/{_POD}/0af1/cgroup.procs": "",
            f"memory/{_POD}/memory.stat": "cache 9\nrss 1\ntotal_cache 9\ntotal_rss 3145728\n",
        }
        written(tmp_path, files | {f"{tree}/{_OTHER}/cgroup.procs": "" for tree in ("cpuacct", "memory")})
        written(tmp_path, {f"{tree}/cgroup.procs": "" for tree in ("cpuacct", "memory")})
    else:
        files = {
            f"{_POD}/cpu.stat": "nr_periods 0\nusage_usec 2000000\nuser_usec 1\n",
            f"{_POD}/0af1/cgroup.procs": "",
            f"{_POD}/memory.stat": "anon 3145728\nfile 9\n",
        }
        written(tmp_path, {"cgroup.controllers": "cpu memory", f"{_OTHER}/cgroup.procs": "", **files})
    return _POD


def test_pods_are_found_by_their_uid(pod: str) -> None:
    assert pod_cgroups(Region("region-a", 1, "1", Path())) == {"12-ab": pod, "34-cd": _OTHER}


def test_use_of_processors_is_in_seconds(pod: str) -> None:
    assert processor_seconds(pod) == 2.0


def test_memory_is_what_processes_have_allocated(pod: str) -> None:
    assert anonymous_megabytes(pod) == 3.0
