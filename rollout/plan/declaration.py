"""What a revision declares: each stack file, checked, and its services' overlays: where Argo CD reads them, and what is rendered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from components.names import overlay, overlays
from rollout.problem import Problem, RolloutError, refuse
from rules.change.differences import differences
from rules.facts.manifests import read
from rules.facts.overlay import objects
from rules.facts.region import Region
from rules.facts.workloads import Delivery, Workloads
from stackfile.model import ConfigError, RegionConfig
from stackfile.reader import read_stack_file, stack_of

STACK_FILES = "Pulumi.*.yaml"
"""What the names of the stack files are like."""

# Most files are the same at two revisions, and most overlays the same in a region's history: each is read once.
_REMEMBERED = 1024

_RENDERED: dict[tuple[str, str], Workloads] = {}


class Tree(Protocol):
    """The files of a project at one time."""

    def contents(self, directory: str, pattern: str = "*") -> Mapping[str, bytes]:
        """What is in the files of a directory, by name, sorted; none where there is no directory.

        Args:
            directory: Its path in the project, with `/`; "" for the project's own. Those below it do not count.
            pattern: What the names are like, with `*`.
        """

    def folders(self, directory: str) -> Sequence[str]:
        """The names of the folders in a directory, sorted; none where there is no directory."""


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

    def folders(self, directory: str) -> Sequence[str]:
        """As in `Tree`."""
        place = self.project / directory
        return sorted(path.name for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


@dataclass(frozen=True)
class Overlay:
    """Where Argo CD reads a service of a region, a folder of the project, and what is in there; None where there is nothing."""

    place: str
    workloads: Workloads | None


@dataclass(frozen=True)
class DeclaredRegion:
    """A region at a revision.

    Attributes:
        name: The region's name; where the stack file cannot be used, as far as it says.
        stack_file: The file's name.
        config: What it says; None where it cannot be used.
        problems: Why it cannot be used, a line each.
        overlays: Those of its services, by their names; where the stack file cannot be used, all that are in the usual place.
    """

    name: str
    stack_file: str
    config: RegionConfig | None
    problems: tuple[str, ...]
    overlays: Mapping[str, Overlay]

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


def overlay_at(tree: Tree, place: str) -> Workloads | None:
    """What is in the overlay in a folder; None where it has no file.

    Raises:
        RolloutError: a file cannot be read.
    """
    files = tree.contents(place)
    return _objects(tuple(files.items()), place) if files else None


def _region(tree: Tree, stack_file: str, content: bytes) -> DeclaredRegion:
    checked = _checked(stack_file, content)
    config, problems = (checked, ()) if isinstance(checked, RegionConfig) else (None, checked.problems)
    name = checked.region or stack_of(stack_file)
    if config is not None:
        places = {service: overlay(name, each) for service, each in config.services.items()}
    else:
        places = {service: f"{overlays(name)}/{service}" for service in tree.folders(overlays(name))}
    found = {service: Overlay(place, overlay_at(tree, place)) for service, place in places.items()}
    return DeclaredRegion(name, stack_file, config, problems, found)


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


def delivered(
    declared: DeclaredRegion, service: str, successor: DeclaredRegion | None, *, same_program: bool
) -> Region | None:
    """A service of a region at the base: what was applied of it; None where it was not there, or nothing tells that.

    Without an overlay Argo CD leaves alone what it applied before, or has never applied anything: the stack file is the best guess.

    Args:
        declared: The region at the base.
        service: The service's name.
        successor: The region after the change, which is asked who delivers where the base does not tell; None if it is gone.
        same_program: The base has the components that this checkout has. If not, what Pulumi applied is told by the overlay alone,
            which was rendered of the base's own.
    """
    found = declared.overlays.get(service)
    if found is None:
        return None
    if declared.config is None:
        delivery: Delivery = successor.config.delivery if successor and successor.config else "gitops"
        return Region(declared.name, service, delivery, found.workloads) if found.workloads else None
    tells = argo_cd_applies(declared) or not same_program
    return _as_region(
        declared, service, (found.workloads if tells else None) or rendered_workloads(declared.config, service)
    )


def to_deliver(declared: DeclaredRegion, service: str, *, as_rendered: bool) -> Region | None:
    """A service of a region after the change: what will be applied of it; None where it is not there.

    Args:
        declared: The region, with a stack file that can be used.
        service: The service's name.
        as_rendered: Its overlay will be rendered before; else Argo CD applies it as it is.
    """
    if service not in declared.usable.services:
        return None
    found = declared.overlays[service].workloads if argo_cd_applies(declared) and not as_rendered else None
    return _as_region(declared, service, found or rendered_workloads(declared.usable, service))


def _as_region(declared: DeclaredRegion, service: str, workloads: Workloads) -> Region:
    region = Region.of(of_service(declared.usable, service).model_dump(by_alias=True), service, workloads)
    place = declared.overlays[service].place
    return replace(region, settings={**region.settings, f"services.{service}.path": place})


def of_service(config: RegionConfig, service: str) -> RegionConfig:
    """A region's configuration without its other services: what is known of one by it does not take the time of all."""
    return config.model_copy(update={"services": {service: config.services[service]}})


def rendered_workloads(config: RegionConfig, service: str) -> Workloads:
    """What the components of this checkout make of a service of a stack file. It is remembered."""
    config = of_service(config, service)
    key = config.model_dump_json(), service
    if key not in _RENDERED:
        # imported here: the SDKs take longer than all the rest of a plan, and most plans render little or nothing
        from components.service import workload_objects  # noqa: PLC0415

        _RENDERED[key] = read(workload_objects(config, config.services[service]))
    return _RENDERED[key]


def argo_cd_applies(declared: DeclaredRegion) -> bool:
    """Whether the overlays are applied; not known, and so false, where the stack file cannot be used."""
    return declared.config is not None and declared.config.delivery != "direct"


def not_rendered(declared: DeclaredRegion, service: str) -> tuple[str, ...]:
    """What in a service's overlay is not what is rendered of its stack file, a phrase each."""
    there = declared.overlays[service].workloads
    if there is None:
        return ("it is not there",)
    found = differences(there, rendered_workloads(declared.usable, service))
    # what is wrong in an object is told by a rule
    unreadable = [f"{each.where}: {each.what}" for each in there.unreadable if each.kind is None]
    return (*unreadable, *(f"{each.of}{f': {each.where}' if each.path else ''}" for each in found))
