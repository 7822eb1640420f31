"""What a revision declares: each stack file, checked, and beside it the overlay of its region."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from components.names import overlay
from rollout.git.revisions import Tree
from rules.facts.overlay import objects
from rules.facts.workloads import Workloads
from stackfile.model import ConfigError, RegionConfig
from stackfile.reader import read_stack_file, stack_of

# Most files are the same at two revisions, and most overlays the same in a region's history: each is read once.
_REMEMBERED = 1024


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
        return stack_of(self.stack_file)


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
    region = config.region or stack_of(stack_file)
    return Declared(region, stack_file, None, config.problems, overlay_at(tree, region))


@lru_cache(maxsize=_REMEMBERED)
def _objects(files: tuple[tuple[str, bytes], ...], folder: str) -> Workloads:
    return objects(dict(files), folder)


@lru_cache(maxsize=_REMEMBERED)
def _checked(stack_file: str, content: bytes) -> RegionConfig | ConfigError:
    """What a stack file says, or why it cannot be used."""
    try:
        return read_stack_file(content, stack_file)
    except ConfigError as error:
        return error
