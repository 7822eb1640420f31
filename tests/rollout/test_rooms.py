"""What each folder of `rollout` may import of the others; beside them, all may import the modules at the top."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.rollout.stack_files import ROOT

PACKAGE = ROOT / "rollout"
MAY_IMPORT = {
    "git": set[str](),
    "cluster": set[str](),
    "judge": set[str](),
    "plan": {"git"},
    "traffic": {"cluster"},
    "status": {"git", "cluster", "judge", "plan", "traffic"},
    "promote": {"git", "cluster", "judge", "plan", "traffic", "status"},
    "cli": {"git", "cluster", "judge", "plan", "traffic", "status", "promote"},
}
MOST_MODULES = 12


def imported(file: Path) -> set[str]:
    """The folders that a module imports from, anywhere in it."""
    found = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom) and node.module]
    names = [f"{node.module}.{alias.name}".split(".") for node in found for alias in node.names]
    return {parts[1] for parts in names if parts[0] == "rollout"} & MAY_IMPORT.keys()


def test_are_all_folders() -> None:
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == MAY_IMPORT.keys()


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_import_only_what_they_may(room: str) -> None:
    assert set().union(*map(imported, (PACKAGE / room).rglob("*.py"))) - {room} <= MAY_IMPORT[room]


@pytest.mark.parametrize("module", ["problem", "measurement", "regions", "weights"])
def test_are_not_imported_by_what_all_import(module: str) -> None:
    assert imported(PACKAGE / f"{module}.py") == set()


def test_are_small() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder.name for folder in folders if len([*folder.glob("[!_]*.py")]) > MOST_MODULES] == []


@pytest.mark.parametrize("folder", ["bench", "components", "lab", "policies", "rollout", "rules"])
def test_import_nothing_of_the_tests(folder: str) -> None:
    files = (ROOT / folder).rglob("*.py")
    assert [file for file in files if re.search(r"(?m)^\s*(from|import) tests\b", file.read_text())] == []
