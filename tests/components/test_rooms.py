"""Which folder may import which: a cycle, or a component that reads a cluster's YAML by itself, would begin here."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.components.graph import ROOT

ROOMS = {
    "rules/facts": set[str](),
    "rules/model": {"rules/facts"},
    "rules/region": {"rules", "rules/facts"},
    "rules/change": {"rules", "rules/facts", "rules/model", "rules/region"},
    "rules/between": {"rules", "rules/facts", "rules/change"},
    "rules": {"rules/facts", "rules/region", "rules/change", "rules/between"},
    "stackfile": {"rules", "rules/facts"},
    "components": {"stackfile", "rules", "rules/facts"},
    "components/existing": {"components", "stackfile", "rules", "rules/facts"},
    "policies": {"rules", "rules/facts"},
}
"""What each folder's modules may import of this repository; `rules` is `finding`, `catalogue` and `judgement`."""
MOST_MODULES = 12


def imported(room: str) -> Iterator[str]:
    """The dotted names that a folder's modules import, anywhere in them."""
    for file in (ROOT / room).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            if isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(name: str) -> str | None:
    """The folder of this repository that a dotted name is in."""
    top, _, below = name.replace(".", "/").partition("/")
    if not (ROOT / top / "__init__.py").is_file():
        return None
    inner = f"{top}/{below.partition('/')[0]}"
    return inner if (ROOT / inner / "__init__.py").is_file() else top


@pytest.mark.parametrize("room", ROOMS)
def test_a_folder_imports_only_what_it_may(room: str) -> None:
    assert {each for each in map(room_of, imported(room)) if each} - {room} <= ROOMS[room]


@pytest.mark.parametrize("room", ["rules/region", "rules/change", "rules/between"])
def test_a_rule_knows_no_other_rule_but_what_finds_them(room: str) -> None:
    assert {name.rpartition(".")[0] for name in imported(room)} & {"rules.catalogue", "rules.judgement"} == set()


@pytest.mark.parametrize("room", ROOMS)
def test_a_folder_is_small(room: str) -> None:
    assert len([*(ROOT / room).glob("[!_]*.py")]) <= MOST_MODULES


def test_every_folder_of_code_has_its_line_here() -> None:
    tops = ("components", "policies", "rules", "stackfile")
    folders = {str(each.parent.relative_to(ROOT)) for top in tops for each in (ROOT / top).rglob("__init__.py")}
    assert folders == ROOMS.keys()
