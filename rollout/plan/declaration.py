"""What a revision declares: each stack file, checked, the overlay of its region beside it, and which of the two is applied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol, TypeVar

import yaml

from components.config import PROJECT, ConfigError, RegionConfig, read_stack_file
from components.judged import as_region
from components.names import overlay
from rollout.problem import Problem, RolloutError
from rules.overlay import objects
from rules.region import Region
from rules.workloads import (
    Budget,
    Delivery,
    Deployment,
    DestinationRule,
    ObjectId,
    Service,
    VirtualService,
    Workloads,
)

# Most files are the same at two revisions, and most overlays the same in a region's history: each is read once.
_REMEMBERED = 1024

_Object = TypeVar("_Object", Deployment, Service, DestinationRule, VirtualService, Budget)


class Tree(Protocol):
    """The files of a project at one time; paths are relative to the project, with `/`."""

    def files(self, directory: str) -> Sequence[str]:
        """The names of the files in a directory, sorted, not of those below; none where there is no directory."""

    def read(self, path: str) -> bytes | None:
        """What is in a file; None where there is none."""


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
        return _stack(self.stack_file)


def refuse_unusable(regions: Iterable[DeclaredRegion]) -> None:
    """Refuses stack files that cannot be used, all problems of all of them together.

    Raises:
        RolloutError: there is one.
    """
    problems = [problem for region in regions for problem in region.problems]
    if problems:
        raise RolloutError(*map(Problem, problems))


def refuse_shared(regions: Iterable[DeclaredRegion], why: str) -> None:
    """Refuses stack files that are of the same region; `why` is why that cannot be.

    Raises:
        RolloutError: there are two; all such regions together.
    """
    files: dict[str, list[str]] = {}
    for region in regions:
        files.setdefault(region.name, []).append(region.stack_file)
    problems = [
        Problem(
            f"{' and '.join(names)} are both of the region {region}",
            why,
            "give each stack a region of its own (echo-rollout:region, or the stack's name)",
        )
        for region, names in files.items()
        if len(names) > 1
    ]
    if problems:
        raise RolloutError(*problems)


def declared(tree: Tree) -> tuple[DeclaredRegion, ...]:
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


def _region(tree: Tree, stack_file: str) -> DeclaredRegion:
    content = tree.read(stack_file) or b""
    config = _checked(stack_file, content)
    if isinstance(config, RegionConfig):
        return DeclaredRegion(config.region, stack_file, config, (), overlay_at(tree, config.region))
    region = _named(stack_file, content)
    return DeclaredRegion(region, stack_file, None, config, overlay_at(tree, region))


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


def delivered(declared: DeclaredRegion, successor: DeclaredRegion | None) -> Region | None:
    """A region at the base: what was applied of it; None where nothing tells that.

    Without an overlay Argo CD leaves alone what it applied before, or has never applied anything: the stack file is the best guess.

    Args:
        declared: The region at the base.
        successor: The region after the change, which is asked who delivers where the base does not tell; None if it is gone.
    """
    if declared.config is None:
        delivery: Delivery = successor.config.delivery if successor and successor.config else "gitops"
        return (
            _with_overlay(Region(declared.name, delivery, Workloads()), declared.overlay) if declared.overlay else None
        )
    region = _sorted(as_region(declared.config))
    return _with_overlay(region, declared.overlay) if argo_cd_applies(declared) and declared.overlay else region


def to_deliver(declared: DeclaredRegion, *, committed: bool) -> Region:
    """A region after the change: what will be applied of it.

    Args:
        declared: The region, with a stack file that can be used.
        committed: It is applied as it is; in the working tree there is still time to render.
    """
    assert declared.config is not None, "a head whose stack files cannot be used is not planned"
    region = _sorted(as_region(declared.config))
    if not argo_cd_applies(declared) or declared.overlay is None:
        return region
    return _with_overlay(region, declared.overlay) if committed or is_rendered(declared) else region


def _with_overlay(region: Region, found: Workloads) -> Region:
    return _sorted(replace(region, workloads=found))


def _sorted(region: Region) -> Region:
    """The same with its objects in one order, so that two of the same are equal wherever they were read."""
    workloads = region.workloads
    found = replace(
        workloads,
        deployments=tuple(sorted(workloads.deployments, key=_by_id)),
        services=tuple(sorted(workloads.services, key=_by_id)),
        destination_rules=tuple(sorted(workloads.destination_rules, key=_by_id)),
        virtual_services=tuple(sorted(workloads.virtual_services, key=_by_id)),
        budgets=tuple(sorted(workloads.budgets, key=_by_id)),
    )
    return replace(region, workloads=found)


def _by_id(found: _Object) -> ObjectId:
    return found.id


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
    objects: tuple[Deployment | Service | DestinationRule | VirtualService | Budget, ...] = (
        *workloads.deployments,
        *workloads.services,
        *workloads.destination_rules,
        *workloads.virtual_services,
        *workloads.budgets,
    )
    return {**dict.fromkeys(workloads.ids), **{each.id: replace(each, wave=0) for each in objects}}
