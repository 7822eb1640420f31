"""Help and refusals of `python -m lab` need no environment, and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import arguments
from lab.place import CHECKOUT, Lab
from lab.up import coming_up


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with a space in its path, in which nothing was ever run."""
    copy = tmp_path / "a clone"
    keep = shutil.ignore_patterns("__pycache__", "toolchain", "plugins")
    shutil.copytree(CHECKOUT / "lab", copy / "lab", ignore=keep)
    shutil.copy(CHECKOUT / "Makefile", copy)
    return copy


@pytest.fixture
def run(clone: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in the clone, with a Python that has the standard library alone."""

    def call(*command: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(clone.parent)}
        words = [_PYTHON if word == "python" else word for word in command]
        return subprocess.run(
            words, cwd=clone, env=environment, capture_output=True, text=True, check=False, timeout=30
        )

    return call


_PYTHON = str(Path(sys.base_prefix) / "bin" / "python3")


def _content(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("python", "-m", "lab", "--help"), "Exit codes"),
        (("python", "-m", "lab", "up", "--help"), "--clusters-only"),
        (("python", "-m", "lab", "kubectl", "--help"), "region-b get pods"),
        (("python", "-m", "lab"), "commands"),
        (("make",), "Bring up both regions"),
        (("make", "help"), "Bring up both regions"),
    ],
)
def test_help_is_printed_and_nothing_is_written(
    run: Callable[..., subprocess.CompletedProcess[str]], clone: Path, command: tuple[str, ...], told: str
) -> None:
    before = _content(clone)
    said = run(*command)
    assert told in said.stdout, said.stderr
    assert _content(clone) == before


@pytest.mark.parametrize(
    "command", [("nonsense",), ("up", "--region", "region-c"), ("kubectl", "get", "pods"), ("status",)]
)
def test_what_cannot_be_done_is_refused_before_anything_is_installed(
    run: Callable[..., subprocess.CompletedProcess[str]], clone: Path, command: tuple[str, ...]
) -> None:
    before = _content(clone)
    said = run("python", "-m", "lab", *command)
    assert (said.returncode != 0, "error: " in said.stderr) == (True, True)
    assert _content(clone) == before


def test_words_of_another_program_are_passed_on_as_they_are(tmp_path: Path) -> None:
    lab = Lab(tmp_path, tmp_path / ".lab", tmp_path)
    words = ["get", "--", "--region", "-h"]
    assert arguments.parse(["kubectl", *words], lab).words == words


def test_the_other_programs_own_help_is_asked_for_once_the_lab_is_up(tmp_path: Path) -> None:
    lab = Lab(tmp_path, tmp_path / ".lab", tmp_path)
    with coming_up(lab):
        assert arguments.parse(["pulumi", "--help"], lab).words == ["--help"]


def test_no_target_of_make_breaks_a_path_with_a_space(
    run: Callable[..., subprocess.CompletedProcess[str]], clone: Path
) -> None:
    """Each word of a recipe that holds the path must be quoted."""
    recipe = run("make", "--dry-run", "up", "lint", "test", "e2e", "crds", "bench").stdout
    assert [line for line in recipe.splitlines() if f" {clone}" in line and f'"{clone}' not in line] == []
