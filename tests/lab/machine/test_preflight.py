"""A machine that cannot host the lab is told so at once, with every reason."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab.machine import preflight


def test_another_system_than_linux_is_the_only_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert [problem.partition(":")[0] for problem in preflight.problems()] == ["this is Darwin"]


def test_all_reasons_are_given_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "sysconf", lambda _: 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    monkeypatch.setenv("PATH", str(tmp_path))
    text = preflight.explain(preflight.problems())
    assert [word for word in ("not root", "GiB of memory", "GiB of disk", "no apt-get") if word not in text] == []
    assert text.endswith("Nothing was changed.")


def _told(word: str) -> list[str]:
    return [problem for problem in preflight.problems() if word in problem]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int], None]:
    """Sets how many GiB the one file system has on which all folders are."""
    for name, folder in (
        ("LAB_DIR", "lab"),
        ("XDG_CACHE_HOME", "cache"),
        ("GOMODCACHE", "mod"),
        ("GOCACHE", "objects"),
    ):
        monkeypatch.setenv(name, str(tmp_path / folder))

    def has(gib: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=gib * 2**30))

    return has


def test_needs_of_one_file_system_are_added_up(disk: Callable[[int], None]) -> None:
    disk(23)
    assert len(_told("24 are needed")) == 1
    disk(24)
    assert _told("of disk are free") == []


def test_each_folder_is_measured_where_it_will_be(
    disk: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk(0)
    measured: list[Path] = []

    def note(folder: Path) -> Path:
        measured.append(folder)
        return tmp_path

    monkeypatch.setattr("lab.machine.preflight._existing", note)
    preflight.problems()
    assert {tmp_path / name for name in ("lab", "cache/echo-lab", "mod", "objects")} <= set(measured)


def test_the_tools_are_not_counted_once_they_are_built(disk: Callable[[int], None], tmp_path: Path) -> None:
    (tmp_path / "cache/echo-lab/tools").mkdir(parents=True)
    disk(4)
    assert _told("of disk are free") == []


@pytest.mark.parametrize(
    "release", [{"PRETTY_NAME": "Fedora Linux 42", "VERSION_CODENAME": ""}, {"PRETTY_NAME": "Fedora Linux 42"}]
)
def test_a_system_that_is_not_debian_is_told_so(monkeypatch: pytest.MonkeyPatch, release: dict[str, str]) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    assert len(_told("Fedora Linux 42 has no VERSION_CODENAME")) == 1


def test_a_system_without_apt_is_told_so_though_all_programs_are_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("containerd", "runc", "buildah", "mmdebstrap"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert len(_told("no apt-config")) == 1


@pytest.fixture
def version_2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The root of cgroup version 2 as a machine has it."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids rdma misc\n")
    (tmp_path / "cgroup.procs").write_text("2\n3\n")
    monkeypatch.setattr(preflight, "_CGROUPS", tmp_path)
    return tmp_path


def test_cgroup_version_2_is_accepted(version_2: Path) -> None:
    assert _told(str(version_2)) == []


def test_a_missing_controller_is_told(version_2: Path) -> None:
    (version_2 / "cgroup.controllers").write_text("cpuset cpu io pids\n")
    assert len(_told("lacks the controllers memory")) == 1


def test_a_containers_cgroup_that_holds_processes_is_told(version_2: Path) -> None:
    (version_2 / "cgroup.type").write_text("domain\n")
    assert len(_told("--cgroupns=host")) == 1


def test_a_folder_of_somebody_else_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.setenv("LAB_DIR", str(tmp_path))
    assert len(_told("it holds what no lab has made")) == 1
