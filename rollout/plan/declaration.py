"""What a revision declares: each stack file, checked, the overlay of its region beside it, and which of the two is applied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Protocol, TypeVar

from components.facts import as_region
from components.names import overlay
from rollout.problem import Problem, RolloutError, refuse
from rules.facts.overlay import objects
from rules.facts.region import Region
from rules.facts.workloads import (
    Budget,
    Delivery,
    Deployment,
    DestinationRule,
    ObjectId,
    Service,
    VirtualService,
    Workloads,
)
from stackfile.model import ConfigError, RegionConfig
from stackfile.reader import read_stack_file, stack_of

STACK_FILES = "Pulumi.*.yaml"
"""What the names of the stack files are like."""

# Most files are the same at two revisions, and most overlays the same in a region's history: each is read once.
_REMEMBERED = 1024

_Object = TypeVar("_Object", Deployment, Service, DestinationRule, VirtualService, Budget)


class Tree(Protocol):
    """The files of a project at one time."""

    def contents(self, directory: str, pattern: str = "*") -> Mapping[str, bytes]:
        """What is in the files of a directory, by name, sorted; none where there is no directory.

        Args:
            directory: Its path in the project, with `/`; "" for the project's own. Those below it do not count.
            pattern: What the names are like, with `*`.
        """


@dataclass(frozen=True)
class WorkingTree:
    """The files on the disk, committed or not."""

    project: Path

    def contents(self, directory: str, pattern: str = "*") -> Mapping[str, bytes]:
        """As in `Tree`.

        Raises:
            RolloutError: the directory or a file cannot be read.
        """
        place = self.project / directory
        try:
            found = sorted(place.iterdir()) if place.is_dir() else []
            return {
                path.name: path.read_bytes() for path in found if fnmatchcase(path.name, pattern) and path.is_file()
            }
        except OSError as error:
            raise RolloutError.of(
                f"{error.filename or place}: {error.strerror or error}",
                "what a change does is told from the stack files and the overlays",
                "see that the directory and its files can be read",
            ) from error


@dataclass(frozen=True)
class DeclaredRegion:
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
    def usable(self) -> RegionConfig:
        """What it says; to be asked once it is known that it can be used."""
        assert self.config is not None, "it can be used"
        return self.config

    @property
    def stack(self) -> str:
        """The stack's name."""
        return stack_of(self.stack_file)


def refuse_unusable(regions: Iterable[DeclaredRegion]) -> None:
    """Refuses stack files that cannot be used, all problems of all of them together.

    Raises:
        RolloutError: there is one.
    """
    refuse(Problem(problem) for region in regions for problem in region.problems)


def refuse_shared(regions: Iterable[DeclaredRegion], why: str) -> None:
    """Refuses stack files that are of the same region; `why` is why that cannot be.

    Raises:
        RolloutError: there are two; all such regions together.
    """
    files: dict[str, list[str]] = {}
    for region in regions:
        files.setdefault(region.name, []).append(region.stack_file)
    refuse(
        Problem(
            f"{' and '.join(names)} are both of the region {region}",
            why,
            "give each stack a region of its own (echo-rollout:region, or the stack's name)",
        )
        for region, names in files.items()
        if len(names) > 1
    )


def declared(tree: Tree) -> tuple[DeclaredRegion, ...]:
    """All regions of a revision, by the names of their stack files.

    Raises:
        RolloutError: a file cannot be read.
    """
    return tuple(_region(tree, name, content) for name, content in tree.contents("", STACK_FILES).items())


def overlay_at(tree: Tree, region: str) -> Workloads | None:
    """What is in a region's overlay; None where it has no file.

    Raises:
        RolloutError: a file cannot be read.
    """
    files = tree.contents(overlay(region))
    return _objects(tuple(files.items()), overlay(region)) if files else None


def _region(tree: Tree, stack_file: str, content: bytes) -> DeclaredRegion:
    config = _checked(stack_file, content)
    if isinstance(config, RegionConfig):
        return DeclaredRegion(config.region, stack_file, config, (), overlay_at(tree, config.region))
    region = config.region or stack_of(stack_file)
    return DeclaredRegion(region, stack_file, None, config.problems, overlay_at(tree, region))


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


def delivered(declared: DeclaredRegion, successor: DeclaredRegion | None) -> Region | None:
    """A region at the base: what was applied of it; None where nothing tells that.

    Without an overlay Argo CD leaves alone what it applied before, or has never applied anything: the stack file is the best guess.

    Args:
        declared: The region at the base.
        successor: The region after the change, which is asked who delivers where the base does not tell; None if it is gone.
    """
    if declared.config is None:
        delivery: Delivery = successor.config.delivery if successor and successor.config else "gitops"
        return Region(declared.name, delivery, declared.overlay) if declared.overlay else None
    region = as_region(declared.config)
    return replace(region, workloads=declared.overlay) if argo_cd_applies(declared) and declared.overlay else region


def to_deliver(declared: DeclaredRegion, *, committed: bool) -> Region:
    """A region after the change: what will be applied of it.

    Args:
        declared: The region, with a stack file that can be used.
        committed: It is applied as it is; in the working tree there is still time to render.
    """
    assert declared.config is not None, "a head whose stack files cannot be used is not planned"
    region = as_region(declared.config)
    if not argo_cd_applies(declared) or declared.overlay is None:
        return region
    return replace(region, workloads=declared.overlay) if committed or is_rendered(declared) else region


def is_rendered(declared: DeclaredRegion) -> bool:
    """Whether an overlay is what its stack file says, as far as the rules look at it.

    Waves are the delivery's own and not the stack file's.
    """
    return declared.overlay is not None and not differences(declared)


def argo_cd_applies(declared: DeclaredRegion) -> bool:
    """Whether the overlay is applied; not known, and so false, where the stack file cannot be used."""
    return declared.config is not None and declared.config.delivery != "direct"


def differences(declared: DeclaredRegion) -> list[str]:
    """What in an overlay is not what the stack file says."""
    assert declared.config is not None, "there is something to compare with"
    found = declared.overlay or Workloads()
    wanted, present = _without_waves(as_region(declared.config).workloads), _without_waves(found)
    unreadable = [f"{each.where}: {each.what}" for each in found.unreadable]
    differing = [str(each) for each in sorted({*wanted, *present}) if wanted.get(each) != present.get(each)]
    return unreadable + differing


def _without_waves(workloads: Workloads) -> dict[ObjectId, object]:
    """Each object by its id, without its wave."""
    return {**dict.fromkeys(workloads.ids), **{each.id: each for each in workloads.without_waves().objects}}
