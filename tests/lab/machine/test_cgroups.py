"""What is left of a lab is no cgroup, in no tree, and no controller that it enabled."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from lab.machine import cgroups


@pytest.fixture
def trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Trees of version 1 with that of version 2 beside them, as many systems mount them."""
    for tree in ("cpu", "memory", "unified"):
        (tmp_path / tree).mkdir()
        (tmp_path / tree / "cgroup.procs").touch()
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    return tmp_path


def test_what_runc_made_in_the_tree_of_version_2_goes_too(trees: Path) -> None:
    cgroups.create("lab-x/region-a")
    (trees / "unified/lab-x/region-a/kubepods/pod1").mkdir(parents=True)
    cgroups.remove("lab-x")
    assert list(trees.rglob("lab-x*")) == []


def test_what_runc_made_in_the_tree_of_version_2_is_seen(trees: Path) -> None:
    (trees / "unified/lab-x").mkdir()
    assert cgroups.exists("lab-x")
    assert not cgroups.exists("lab-y")


class _Version2:
    """A tree of version 2 whose control files are kept as the kernel keeps them."""

    def __init__(self, root: Path, enabled: str) -> None:
        self.root = root
        self.add(root, "cpu cpuset hugetlb io memory misc pids", enabled)

    def add(self, cgroup: Path, available: str, enabled: str = "") -> None:
        for file, content in (("controllers", available), ("subtree_control", enabled), ("procs", "")):
            (cgroup / f"cgroup.{file}").write_text(content)

    def enabled(self, name: str = "") -> set[str]:
        return set((self.root / name / "cgroup.subtree_control").read_text().split())


@pytest.fixture
def version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Version2:
    """A root as systemd leaves it, where it hands on three controllers."""
    root = tmp_path / "cgroup"
    root.mkdir()
    tree = _Version2(root, "cpu memory pids")
    monkeypatch.setattr(cgroups, "ROOT", root)
    monkeypatch.setattr(cgroups, "NOTE", tmp_path / "note")
    make, text = Path.mkdir, Path.write_text

    def mkdir(path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        new = not path.exists()
        make(path, mode, parents, exist_ok)
        if new and path.is_relative_to(root):
            tree.add(path, " ".join(sorted(tree.enabled(str(path.parent.relative_to(root))))))

    def write(path: Path, data: str, *arguments: str) -> int:
        if path.name != "cgroup.subtree_control" or not set("+-") & set(data):
            return text(path, data, *arguments)
        before = set(path.read_text().split())
        for word in data.split():
            if word[0] == "-" and any(
                word[1:] in below.read_text().split() for below in path.parent.glob(f"*/{path.name}")
            ):
                raise OSError(errno.EBUSY, "a cgroup below has it enabled")
            if word[0] == "+" and (path.parent / "cgroup.procs").read_text() and path.parent != root:
                raise OSError(errno.EBUSY, "the cgroup has processes of its own")
            before = before | {word[1:]} if word[0] == "+" else before - {word[1:]}
        for below in path.parent.glob("*/cgroup.controllers"):
            text(below, " ".join(sorted(before)))
        return text(path, " ".join(sorted(before)))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(Path, "write_text", write)
    return tree


def _remove(tree: _Version2, name: str) -> None:
    """What `rmdir` does to a cgroup: the kernel's files in it go with it."""
    shutil.rmtree(tree.root / name)


def test_a_region_has_every_controller_that_kubelet_asks_for(version_2: _Version2) -> None:
    cgroups.create("lab-x/region-a/system")
    available = (version_2.root / "lab-x/region-a/cgroup.controllers").read_text().split()
    assert set(available) == {"cpu", "cpuset", "hugetlb", "memory", "pids"}


def test_no_cgroup_with_processes_hands_on_controllers(version_2: _Version2) -> None:
    """Version 2 allows processes in a leaf only; those of a region are in `system`, pods beside it."""
    cgroups.create("lab-x/region-a/system")
    (version_2.root / "lab-x/region-a/system/cgroup.procs").write_text("12")
    cgroups.create("lab-x/region-a/system")
    assert version_2.enabled("lab-x/region-a/system") == set()


def test_the_root_has_its_own_controllers_again_when_the_last_lab_is_gone(version_2: _Version2) -> None:
    cgroups.create("lab-x/region-a")
    cgroups.create("lab-y/region-a")
    _remove(version_2, "lab-x")
    cgroups.restore()
    assert version_2.enabled() > {"cpu", "memory", "pids"}  # the other lab needs them
    _remove(version_2, "lab-y")
    cgroups.restore()
    assert version_2.enabled() == {"cpu", "memory", "pids"}


def test_what_runc_enabled_at_the_root_is_taken_back_too(version_2: _Version2) -> None:
    cgroups.create("lab-x/region-a")
    (version_2.root / "cgroup.subtree_control").write_text("+io +misc")
    _remove(version_2, "lab-x")
    cgroups.restore()
    assert version_2.enabled() == {"cpu", "memory", "pids"}


def test_a_controller_that_somebody_else_hands_on_is_left(version_2: _Version2) -> None:
    cgroups.create("lab-x/region-a")
    (version_2.root / "system.slice").mkdir()
    (version_2.root / "system.slice/cgroup.subtree_control").write_text("+cpuset")
    _remove(version_2, "lab-x")
    cgroups.restore()
    assert version_2.enabled() == {"cpu", "cpuset", "memory", "pids"}


def test_a_root_that_no_lab_touched_is_left(version_2: _Version2) -> None:
    (version_2.root / "cgroup.subtree_control").write_text("+io")
    cgroups.restore()
    assert version_2.enabled() == {"cpu", "io", "memory", "pids"}
