"""What is left of a lab is no cgroup, in no tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import cgroups


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
