"""What root writes in a person's checkout is that person's; what a running lab has in it is root's."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from lab import mark
from lab.machine import ownership


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of user 1000, in which root has written; the owners are kept in a table, so that no root is needed."""
    for name in (".venv/bin/python", ".git/objects/ab/cd", "README.md", ".lab/etcd/wal"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("/etc/passwd")
    return tmp_path


def _owned(checkout: Path, monkeypatch: pytest.MonkeyPatch, *, checkout_owner: int = 1000, caller: int = 0) -> set[str]:
    """Paths that are given away."""
    given: set[str] = set()
    real, real_stat = os.lstat, Path.stat
    monkeypatch.setattr(os, "geteuid", lambda: caller)
    monkeypatch.setattr(Path, "stat", lambda path, **_: _with_owner(real_stat(path), checkout_owner))
    monkeypatch.setattr(os, "lstat", lambda path: _with_owner(real(path), 1234 if Path(path).name == "cd" else 0))
    monkeypatch.setattr(os, "lchown", lambda path, *_: given.add(str(Path(path).relative_to(checkout))))
    ownership.give_back(checkout)
    return given


def _with_owner(status: os.stat_result, owner: int) -> os.stat_result:
    return os.stat_result((*status[:4], owner, owner, *status[6:10]))


def test_all_that_root_wrote_is_given_back(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = _owned(checkout, monkeypatch)
    assert {".venv", ".venv/bin/python", ".git/objects/ab", ".lab/etcd/wal", "link"} < given
    assert ".git/objects/ab/cd" not in given  # it is another user's


def test_the_files_of_a_lab_that_is_up_stay_roots(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark.set_up(checkout / ".lab", "12345678")
    given = _owned(checkout, monkeypatch)
    assert not [path for path in given if path.startswith(".lab")]


def test_only_root_gives_anything_back(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _owned(checkout, monkeypatch, caller=1000) == set()


def test_a_checkout_of_roots_own_is_left(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _owned(checkout, monkeypatch, checkout_owner=0) == set()


def test_the_plugins_of_who_called_sudo_are_looked_for_in_that_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "nobody")
    assert ownership.caller_home() == Path(pwd.getpwnam("nobody").pw_dir)
    monkeypatch.delenv("SUDO_USER")
    assert ownership.caller_home() == Path.home()
