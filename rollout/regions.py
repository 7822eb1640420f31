"""Which regions a project has, found in its files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rollout.access import PulumiAccess, RegionAccess
from rollout.problem import Problem, RolloutError, refuse
from stackfile.messages import nearest_of
from stackfile.model import ConfigError, RegionConfig
from stackfile.reader import load_stack_file, read_stack_file, stack_of

REGIONS_FILE = ".regions.yaml"


@dataclass(frozen=True)
class Discovery:
    """The regions of a project, in the order of their stacks' names.

    Attributes:
        regions: The regions.
        pulumi: How to ask for their stacks' outputs.
        source: Where they were found.
        remote: The Git remote, by name or address, whose commits are delivered to them; None where Git's own settings say it.
    """

    regions: tuple[RegionAccess, ...]
    pulumi: PulumiAccess
    source: str
    remote: str | None = None


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Region = TypeVar("_Region", bound=_Named)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _RegionEntry(_Part):
    context: Annotated[str, Field(min_length=1)]
    kubeconfig: Path | None = None


class _PulumiEntry(_Part):
    path: Path | None = None
    environment: dict[str, str] = Field(default_factory=dict)


class _RegionsFile(_Part):
    regions: Annotated[dict[str, _RegionEntry], Field(min_length=1)]
    pulumi: _PulumiEntry = _PulumiEntry()
    remote: Annotated[str, Field(min_length=1)] | None = None


def find_project(start: Path) -> Path:
    """The directory with Pulumi.yaml: `start` or the nearest one above it.

    Raises:
        RolloutError: there is none.
    """
    for directory in (start, *start.parents):
        if (directory / "Pulumi.yaml").is_file():
            return directory
    raise RolloutError.of(
        f"no Pulumi.yaml in {start} or above it",
        "the regions are the stacks of a project, and their weights are that project's outputs",
        "run this in the project's directory",
    )


def discover(
    project: Path, regions_file: Path | None = None, committed: Mapping[str, bytes] | None = None
) -> Discovery:
    """The project's regions: from `.regions.yaml` where it is, else from the stack files `Pulumi.<stack>.yaml`.

    Args:
        project: Directory of Pulumi.yaml.
        regions_file: Another file of the form of `.regions.yaml`; it must be there.
        committed: The stack files of a commit, by name; None for those on the disk. Of several, one that cannot be used is passed over.

    Raises:
        RolloutError: there are none, or a file that names them is wrong; all problems of all files together.
    """
    if regions_file is not None:
        return _from_regions_file(regions_file, project)
    usual = project / REGIONS_FILE
    return _from_regions_file(usual, project) if usual.exists() else _from_stack_files(project, committed)


def select(regions: Sequence[_Region], names: Sequence[str]) -> tuple[_Region, ...]:
    """The regions of these names; all of them when there are no names.

    Raises:
        RolloutError: a name is not a region's; all such names together.
    """
    refuse_unknown([region.name for region in regions], names)
    return tuple(region for region in regions if not names or region.name in names)


def refuse_unknown(known: Sequence[str], names: Iterable[str]) -> None:
    """Refuses names that are no region's.

    Raises:
        RolloutError: there is one; all such names together.
    """
    _refuse_others(known, names, "region", "only a region with a stack has a cluster, weights and an overlay")


def the_service(known: Iterable[str], wish: str | None) -> str:
    """The service that is meant: the one that is named, or the only one.

    Raises:
        RolloutError: there is none of that name; or several, and none is named.
    """
    names = sorted(set(known))
    refuse_unknown_services(names, [wish] if wish else [])
    if wish is None and len(names) != 1:
        raise RolloutError.of(
            f"there are the services {', '.join(names)}, and none is named" if names else "there is no service here",
            "a change is of one service",
            f"name it: --service {names[0]}" if names else "write one into the stack files (docs/services.md)",
        )
    return wish or names[0]


def refuse_unknown_services(known: Sequence[str], names: Iterable[str]) -> None:
    """Refuses names that are no service's.

    Raises:
        RolloutError: there is one; all such names together.
    """
    _refuse_others(known, names, "service", "only what a stack file declares is delivered and measured")


def _refuse_others(known: Sequence[str], names: Iterable[str], what: str, why: str) -> None:
    fix = "write it into the stack files (docs/services.md)"
    refuse(
        Problem(f"--{what} {name}: there is no such {what}", why, nearest_of(name, known, f"{what}s") if known else fix)
        for name in dict.fromkeys(names)
        if name not in known
    )


def _from_regions_file(path: Path, project: Path) -> Discovery:
    try:
        parsed = _RegionsFile.model_validate(YAML(typ="safe").load(path))
    except (OSError, YAMLError, UnicodeDecodeError) as error:
        raise RolloutError(_bad_regions_file(f"{path}: {' '.join(str(error).split())}")) from error
    except ValidationError as error:
        raise RolloutError(
            *(
                _bad_regions_file(f"{path}: {'.'.join(['$', *map(str, part['loc'])])}: {part['msg']}")
                for part in error.errors()
            )
        ) from error
    return Discovery(
        regions=tuple(
            RegionAccess(name=name, stack=name, context=entry.context, kubeconfig=entry.kubeconfig)
            for name, entry in sorted(parsed.regions.items())
        ),
        pulumi=PulumiAccess(project, parsed.pulumi.path, parsed.pulumi.environment),
        source=path.name,
        remote=parsed.remote,
    )


def _bad_regions_file(what: str) -> Problem:
    return Problem(
        what,
        "this file says where the regions are, and it goes before the stack files",
        "write it anew with `python -m lab up`, or remove it to use the contexts of the stack files",
    )


def _from_stack_files(project: Path, committed: Mapping[str, bytes] | None) -> Discovery:
    regions: list[RegionAccess] = []
    problems: list[Problem] = []
    for path in sorted(project.glob("Pulumi.*.yaml") if committed is None else map(project.joinpath, committed)):
        try:
            config = load_stack_file(path) if committed is None else read_stack_file(committed[path.name], path.name)
            regions.append(_region_of(path, config))
        except ConfigError as error:
            problems += map(Problem, error.problems)
    if committed is None or not regions:
        refuse(problems)
    if not regions:
        raise RolloutError.of(
            f"no region: {project} has neither {REGIONS_FILE} nor a stack file Pulumi.<stack>.yaml",
            "a stack file names the cluster that acts as its region",
            "bring the lab up (`make up`), or write a stack file for each of your clusters",
        )
    return Discovery(tuple(regions), PulumiAccess(project), "the stack files")


def _region_of(path: Path, config: RegionConfig) -> RegionAccess:
    return RegionAccess(
        name=config.region,
        stack=stack_of(path.name),
        context=config.cluster.context,
        # as Pulumi sees it: relative to the project
        kubeconfig=path.parent / Path(config.cluster.kubeconfig).expanduser() if config.cluster.kubeconfig else None,
    )
