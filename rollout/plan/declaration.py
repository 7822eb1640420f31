"""What a revision declares: each stack file, checked, and beside it the overlay of its region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import yaml

from components.config import PROJECT, ConfigError, RegionConfig, read_stack_file
from components.names import overlay
from rules.overlay import objects
from rules.workloads import Workloads

# Most files are the same at two revisions, and most overlays the same in a region's history: each is read once.
_REMEMBERED = 1024


class Tree(Protocol):
    """The files of a project at one time; paths are relative to the project, with `/`."""

    def files(self, directory: str) -> Sequence[str]:
        """The names of the files in a directory, sorted, not of those below; none where there is no directory."""

    def read(self, path: str) -> bytes | None:
        """What is in a file; None where there is none."""


@dataclass(frozen=True)
class Declared:
    """A region at a revision.

    Attributes:
        name: The region's name; where the stack file cannot be used, as far as it says.
        stack_file: The file's name.
        config: What it says; None where it cannot be used.
        problems: Why it cannot be used, a line each.
        overlay: What is in the overlay; None where there is none.
    """

    name: str
    stack_file: str
    config: RegionConfig | None
    problems: tuple[str, ...]
    overlay: Workloads | None

    @property
    def stack(self) -> str:
        """The stack's name."""
        return _stack(self.stack_file)


def declared(tree: Tree) -> tuple[Declared, ...]:
    """All regions of a revision, by the names of their stack files.

    Raises:
        RolloutError: a file cannot be read.
    """
    names = [name for name in tree.files("") if name.startswith("Pulumi.") and name.endswith(".yaml")]
    return tuple(_region(tree, name) for name in names if name != "Pulumi.yaml")


def overlay_at(tree: Tree, region: str) -> Workloads | None:
    """What is in a region's overlay; None where it has no file.

    Raises:
        RolloutError: a file cannot be read.
    """
    folder = overlay(region)
    files = [(name, tree.read(f"{folder}/{name}") or b"") for name in tree.files(folder)]
    return _objects(tuple(files), folder) if files else None


def _region(tree: Tree, stack_file: str) -> Declared:
    content = tree.read(stack_file) or b""
    config = _checked(stack_file, content)
    if isinstance(config, RegionConfig):
        return Declared(config.region, stack_file, config, (), overlay_at(tree, config.region))
    region = _named(stack_file, content)
    return Declared(region, stack_file, None, config, overlay_at(tree, region))


@lru_cache(maxsize=_REMEMBERED)
def _objects(files: tuple[tuple[str, bytes], ...], folder: str) -> Workloads:
    return objects(dict(files), folder)


@lru_cache(maxsize=_REMEMBERED)
def _checked(stack_file: str, content: bytes) -> RegionConfig | tuple[str, ...]:
    """What a stack file says, or its problems."""
    try:
        return read_stack_file(content, stack_file)
    except ConfigError as error:
        return error.problems


def _named(stack_file: str, content: bytes) -> str:
    """The region of a stack file that cannot be used otherwise: what it says, or the stack."""
    try:
        document = yaml.load(content, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        document = None
    config = document.get("config") if isinstance(document, Mapping) else None
    said = config.get(f"{PROJECT}:region") if isinstance(config, Mapping) else None
    return said if isinstance(said, str) and said else _stack(stack_file)


def _stack(stack_file: str) -> str:
    return stack_file.removeprefix("Pulumi.").removesuffix(".yaml")
