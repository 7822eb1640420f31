"""A new region begins with the images unpacked: what is never written to is shared, what is written to is its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.build import store

LAYER = "io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs/bin/envoy"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A store with one layer, and a link in it that leads nowhere here."""
    folder = tmp_path / "store"
    for name in (LAYER, *store._DATABASES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / LAYER).with_name("sh").symlink_to("/nowhere/in/an/image")
    return folder


def test_layers_are_shared_and_databases_are_not(made: Path, tmp_path: Path) -> None:
    root = tmp_path / "containerd"
    assert store.give(made, root)
    assert (root / LAYER).samefile(made / LAYER)
    for name in store._DATABASES:
        assert (root / name).read_text() == name
        assert not (root / name).samefile(made / name)
    assert (root / LAYER).with_name("sh").is_symlink()


def test_what_a_killed_copy_left_is_no_hindrance(made: Path, tmp_path: Path) -> None:
    (tmp_path / "containerd.partial" / "half").mkdir(parents=True)
    assert store.give(made, tmp_path / "containerd")
    assert not (tmp_path / "containerd" / "half").exists()


def test_where_nothing_can_be_linked_nothing_is_left(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on another file system; then the region imports its images itself."""
    fake = tmp_path / "bin" / "cp"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nfor last; do :; done\nmkdir "$last"; exit 1\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    assert not store.give(made, tmp_path / "containerd")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "store"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a namespace")
def test_what_containerd_mounts_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab that is killed meanwhile leaves no mount below the cache, which would keep the next from removing what it left."""
    seen = tmp_path / "seen"
    fake = tmp_path / "bin" / "containerd"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\nreadlink /proc/self/ns/mnt > {seen}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(store, "_START_SECONDS", 1)
    assert store.ensure_store([], tmp_path, lambda _: None) is None
    assert seen.read_text().strip() != str(Path("/proc/self/ns/mnt").readlink())
