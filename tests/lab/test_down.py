"""`down` removes what `up` made and nothing else, wherever its folder came from or went to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab import mark, up
from lab.machine import cgroups, namespaces
from lab.place import Lab
from lab.report import LabError
from lab.up import coming_up, down


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A machine without cgroups and namespaces; the names that are asked for."""
    asked: list[str] = []
    (tmp_path / "cgroup").mkdir()
    monkeypatch.setattr(cgroups, "ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(cgroups, "NOTE", tmp_path / "note")
    monkeypatch.setattr(namespaces, "_NAMESPACES", tmp_path / "netns")
    monkeypatch.setattr(namespaces, "remove", asked.append)
    monkeypatch.setattr(up, "forget_mount_point", lambda: None)
    return asked


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return _lab(tmp_path / "lab")


def _lab(directory: Path) -> Lab:
    return Lab(directory.parent / "checkout", directory, directory.parent / "cache")


def _come_up(lab: Lab) -> None:
    with coming_up(lab):
        _fill(lab.directory)


def _fill(directory: Path) -> None:
    for name in ("git", "pulumi", "region-a", "region-b", "logs"):
        (directory / name).mkdir(parents=True)
        (directory / name / "file").touch()
    (directory / "kubeconfig").touch()


def _down(lab: Lab) -> str:
    said: list[str] = []
    down(_lab(lab.directory), said.append)
    return "\n".join(said)


def _files(directory: Path) -> set[str]:
    return {str(file.relative_to(directory)) for file in directory.rglob("*") if file.is_file()}


def test_a_folder_that_no_lab_made_is_left(lab: Lab) -> None:
    _fill(lab.directory)
    before = _files(lab.directory)
    said = _down(lab)
    assert _files(lab.directory) == before
    assert "no lab has made" in said


def test_a_folder_that_is_not_there_is_not_made(lab: Lab) -> None:
    _down(lab)
    assert not lab.directory.exists()


def test_up_refuses_a_folder_that_holds_something_else(lab: Lab) -> None:
    _fill(lab.directory)
    with pytest.raises(LabError, match="LAB_DIR"):
        _come_up(lab)
    assert not mark.is_marked(lab.directory)


def test_what_up_made_is_removed_but_the_logs(lab: Lab) -> None:
    _come_up(lab)
    _down(lab)
    assert _files(lab.directory) == {mark.NAME, "logs/file"}


def test_an_up_that_was_cut_off_at_its_first_step_is_taken_down(lab: Lab) -> None:
    with coming_up(lab):
        (lab.directory / "region-a").mkdir()
    _down(lab)
    assert _files(lab.directory) == {mark.NAME}


def test_the_mark_is_there_before_anything_else(lab: Lab) -> None:
    with coming_up(lab):
        assert [file.name for file in lab.directory.iterdir()] == [mark.NAME]
        assert mark.is_up(lab.directory)


def test_up_goes_on_in_a_folder_that_was_taken_down(lab: Lab) -> None:
    _come_up(lab)
    _down(lab)
    assert mark.obstacle(lab.directory) == ""


def test_a_lab_that_was_moved_is_found_again(lab: Lab, tmp_path: Path, machine: list[str]) -> None:
    _come_up(lab)
    moved = _lab(lab.directory.rename(tmp_path / "moved"))
    _down(moved)
    assert machine == [lab.hub_namespace]
    assert _files(moved.directory) == {mark.NAME, "logs/file"}


def test_up_of_a_lab_that_was_moved_asks_for_down_first(lab: Lab, tmp_path: Path) -> None:
    _come_up(lab)
    moved = _lab(lab.directory.rename(tmp_path / "moved"))
    with pytest.raises(LabError, match=rf"it was {lab.directory}.*make down"):
        _come_up(moved)


def test_down_in_a_copy_ends_nothing_of_the_original(lab: Lab, tmp_path: Path, machine: list[str]) -> None:
    _come_up(lab)
    shutil.copytree(lab.directory, tmp_path / "copy")
    with pytest.raises(LabError, match="copy"):
        _down(_lab(tmp_path / "copy"))
    assert machine == []


def test_a_copy_of_a_lab_that_is_down_is_a_lab_of_its_own(lab: Lab, tmp_path: Path) -> None:
    _come_up(lab)
    _down(lab)
    copy = _lab(shutil.copytree(lab.directory, tmp_path / "copy"))
    with coming_up(copy):
        pass
    assert _lab(copy.directory).id != lab.id


def test_up_after_a_reboot_asks_for_down_first(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _come_up(lab)
    boot = tmp_path / "boot_id"
    boot.write_text("another\n")
    monkeypatch.setattr(mark, "_BOOT", boot)
    with pytest.raises(LabError, match=r"started anew.*make down.*make up"):
        _come_up(_lab(lab.directory))
    _down(lab)
    assert mark.obstacle(lab.directory) == ""


def test_two_commands_at_once_are_refused(lab: Lab) -> None:
    with coming_up(lab), pytest.raises(LabError, match="another `up` or `down`"):
        _down(lab)


def test_a_regions_file_of_a_persons_own_is_left(tmp_path: Path) -> None:
    lab = Lab(tmp_path, tmp_path / ".lab", tmp_path / "cache")
    _come_up(lab)
    (tmp_path / ".regions.yaml").write_text("regions: {}\n")
    down(lab, lambda _: None)
    assert (tmp_path / ".regions.yaml").exists()
