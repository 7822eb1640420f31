"""What each folder may import, and how deep and wide a package may get."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# by package: what each of its rooms may import of the others; beside these, a room may import the modules at the top
ROOMS: dict[str, dict[str, set[str]]] = {
    "rollout": {
        "git": set(),
        "cluster": set(),
        "judge": set(),
        "plan": {"git"},
        "traffic": {"cluster"},
        "status": {"git", "cluster", "judge", "plan", "traffic"},
        "promote": {"git", "cluster", "judge", "plan", "traffic", "status"},
        "cli": {"git", "cluster", "judge", "plan", "traffic", "status", "promote"},
    },
    "lab": {
        "machine": set(),
        "build": {"machine"},
        "region": {"machine", "build"},
        "delivery": {"machine", "build", "region"},
        "language_host": set(),
    },
}
# modules at the top that the rooms import, and that import no room
BASE = {
    "rollout": {"access", "answers", "problem", "measurement", "regions", "terms", "weights"},
    "lab": {"mark", "place", "report"},
}
# by package: the packages of ours that it may import
PACKAGES = {"lab": {"lab"}}
MOST_MODULES = 12
# files that import one another in a row, by package
LONGEST_CHAIN = {"lab": 8, "rollout": 8}

OURS = {"bench", "components", "lab", "policies", "rollout", "rules", "stackfile", "tests"}
EVERY_ROOM = [(package, room) for package, rooms in ROOMS.items() for room in rooms]


@cache
def imported(file: Path) -> frozenset[str]:
    """The dotted names that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def rooms_of(package: str, *files: Path) -> set[str]:
    """The rooms of a package that files import from."""
    names = {tuple(name.split(".")) for file in files for name in imported(file)}
    return {parts[1] for parts in names if parts[0] == package and len(parts) > 1} & ROOMS[package].keys()


def modules(package: str) -> dict[str, Path]:
    """A package's files by dotted name; one of a folder itself is named as the folder."""
    files = (ROOT / package).rglob("*.py")
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def longest_chain(package: str) -> list[str]:
    """The longest row of modules of which each imports the next.

    Raises:
        AssertionError: some import one another in a circle.
    """
    files = modules(package)
    known: dict[str, list[str]] = {}

    def chain(module: str, above: tuple[str, ...]) -> list[str]:
        assert module not in above, f"a circle: {' → '.join((*above, module))}"
        if module not in known:
            names = {each for name in imported(files[module]) for each in (name, name.rpartition(".")[0])}
            below = [chain(each, (*above, module)) for each in names & files.keys() - {module, package}]
            known[module] = [module, *max(below, key=len, default=[])]
        return known[module]

    return max((chain(module, ()) for module in files), key=len)


@pytest.mark.parametrize("package", ROOMS)
def test_all_folders_with_modules_are_rooms(package: str) -> None:
    assert {path.parent.name for path in (ROOT / package).glob("*/__init__.py")} == ROOMS[package].keys()


@pytest.mark.parametrize(("package", "room"), EVERY_ROOM)
def test_rooms_import_only_what_they_may(package: str, room: str) -> None:
    assert rooms_of(package, *(ROOT / package / room).rglob("*.py")) - {room} <= ROOMS[package][room]


@pytest.mark.parametrize("package", BASE)
def test_what_all_rooms_import_imports_none(package: str) -> None:
    assert rooms_of(package, *(ROOT / package / f"{module}.py" for module in BASE[package])) == set()
    files = [file for room in ROOMS[package] for file in (ROOT / package / room).rglob("*.py")]
    tops = {name.split(".")[1] for file in files for name in imported(file) if name.startswith(f"{package}.")}
    assert tops - ROOMS[package].keys() <= BASE[package]


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_may(package: str) -> None:
    names = {name.partition(".")[0] for file in modules(package).values() for name in imported(file)}
    assert names & OURS <= PACKAGES[package]


@pytest.mark.parametrize("package", LONGEST_CHAIN)
def test_imports_make_no_circle_and_no_long_row(package: str) -> None:
    found = longest_chain(package)
    assert len(found) <= LONGEST_CHAIN[package], " → ".join(found)


@pytest.mark.parametrize("package", ROOMS)
def test_folders_are_small(package: str) -> None:
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert [folder.name for folder in folders if len([*folder.glob("[!_]*.py")]) > MOST_MODULES] == []


@pytest.mark.parametrize("package", sorted(OURS - {"tests"}))
def test_only_tests_import_tests(package: str) -> None:
    names = {name.partition(".")[0] for file in modules(package).values() for name in imported(file)}
    assert "tests" not in names
