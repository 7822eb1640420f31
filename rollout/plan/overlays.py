"""The overlays: what the stack files ask for, held against what is there on the disk or at a commit."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from components.names import overlay, overlays
from components.service import workload_objects
from rollout.git.repository import Repository
from rollout.plan.declaration import (
    STACK_FILES,
    DeclaredRegion,
    Tree,
    WorkingTree,
    declared,
    of_service,
    refuse_shared,
    refuse_unusable,
)
from rollout.plan.manifests import HEADER_START, file_name, overlay_files
from rollout.problem import Problem, RolloutError, refuse
from rollout.regions import select
from rules.facts.overlay import KUSTOMIZATION, cannot_be_built
from stackfile.editing import EditError, with_route_weights, with_weights
from stackfile.model import ConfigError
from stackfile.reader import read_stack_file

# What looks like a part of an overlay. Argo CD applies only what the kustomization lists, so another file here would not run,
# although whoever put it here means it to; a kustomization of another name would stop every sync, as kustomize refuses two;
# and an .argocd-source.yaml would change what is applied. The endings are those that Argo CD applies of a directory without a
# kustomization (`manifestFile` in its repo-server).
_OF_AN_OVERLAY = (".yaml", ".yml", ".json", ".jsonnet", "Kustomization")
_SHOWN = 3
_RENDERED: dict[tuple[str, str, str], Mapping[str, bytes]] = {}


@dataclass(frozen=True)
class FileChange:
    """A file that is not as it should be.

    Attributes:
        path: Its path in the project.
        before: What it says, "" if it is not there.
        after: What it should say; None if it should not be there.
    """

    path: Path
    before: str
    after: str | None

    @property
    def diff(self) -> str:
        """A unified diff."""
        before, after = self.before.splitlines(keepends=True), (self.after or "").splitlines(keepends=True)
        names = (str(self.path) if before else os.devnull, str(self.path) if after else os.devnull)
        return "".join(difflib.unified_diff(before, after, *names))


def changes(project: Path, names: Sequence[str]) -> tuple[FileChange, ...]:
    """What must be written and removed for the overlays to be what the stack files say. Changes nothing.

    Args:
        project: Directory of Pulumi.yaml.
        names: The regions to look at; none for all, and then for overlays of regions that are gone as well.

    Raises:
        RolloutError: a stack file cannot be used, two are of one region, a name is no region's, or a file in an overlay
            was not written by `rollout render`; all problems of a kind together.
    """
    tree = WorkingTree(project)
    regions = declared(tree)
    if not regions:
        raise RolloutError.of(
            f"{project} has no stack file Pulumi.<stack>.yaml",
            "the overlays are made from these, and without any of them all overlays would be removed",
            "run this in a whole checkout of the project, or write a stack file for each region",
        )
    refuse_unusable(regions)
    refuse_shared(regions, "they would be rendered into the same overlay")
    chosen = select(regions, names)
    wanted = {
        path: content
        for each in chosen
        for service in each.usable.services
        for path, content in rendered(each, service).items()
    }
    folders = [found.place for each in chosen for found in each.overlays.values()]
    # also those of services, and of regions, that are gone
    for pattern in [overlays(each.name) for each in chosen] if names else [overlays("*")]:
        found = [path.relative_to(project).as_posix() for path in sorted(project.glob(f"{pattern}/*"))]
        folders += [folder for folder in found if any(map(_is_rendered, overlay_content(tree, folder).values()))]
    present = {path: content for folder in folders for path, content in overlay_content(tree, folder).items()}
    refuse_foreign(present)
    return tuple(
        FileChange(Path(path), _text(present.get(path, b"")), None if content is None else _text(content))
        for path, content in _differing(present, wanted).items()
    )


def untracked(repository: Repository, names: Sequence[str]) -> tuple[str, ...]:
    """The stack files, and the files of their overlays, that Git does not track: what kustomization.yaml lists would not be there.

    Args:
        repository: The project's.
        names: The regions to look at; none for all.

    Raises:
        RolloutError: Git cannot be asked, or a name is no region's.
    """
    regions = select(declared(WorkingTree(repository.project)), names)
    folders = [found.place for each in regions for found in each.overlays.values()]
    stack_files = [each.stack_file for each in regions]
    return tuple(path for path in repository.untracked([*stack_files, *folders]) if path.endswith(_OF_AN_OVERLAY))


def rendered(region: DeclaredRegion, service: str) -> Mapping[str, bytes]:
    """What is in the overlay of a service, by its paths in the project. It is remembered: a promotion asks twice for each step.

    Raises:
        RolloutError: two objects would have the same file name.
    """
    config = of_service(region.usable, service)
    key = (config.model_dump_json(), service, region.stack_file)
    if key not in _RENDERED:
        files = overlay_files(workload_objects(config, config.services[service]), service, region.stack_file)
        place = overlay(config.region, config.services[service])
        _RENDERED[key] = {f"{place}/{name}": text.encode() for name, text in files.items()}
    return _RENDERED[key]


def make(project: Path, change: FileChange) -> None:
    """Writes or removes the file, whole or not at all, and directories that are left empty.

    Raises:
        RolloutError: the file system refuses.
    """
    path = project / change.path
    try:
        if change.after is None:
            path.unlink()
            for directory in (path.parent, path.parent.parent):
                if not any(directory.iterdir()):
                    directory.rmdir()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # Argo CD does not apply a file of this name, should it stay behind
        draft = path.with_name(f".{path.name}.{os.getpid()}.new")
        try:
            draft.write_bytes(change.after.encode())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise RolloutError.of(
            f"{change.path}: {error.strerror or error}",
            "the overlay is then not what the stack files say",
            "see that the directory and its files can be read and written, then render again",
        ) from error


def weighed(
    tree: Tree, region: str, service: str, weights: Mapping[str, int], *, back: bool = False
) -> Mapping[str, bytes | None]:
    """What differs when a service of a region gets these weights: digits in its stack file and in its route, nothing else.

    Args:
        tree: The project's files as they are before it.
        region: A region that has a stack file.
        service: A service that is there.
        weights: Whole percents by version, of all its versions.
        back: Whether it takes requests from a version that fails. Then an overlay that this checkout renders otherwise is left so,
            but for the weights; and one that Kustomize cannot build is rendered anew, since nothing of it would be delivered.

    Returns:
        The new content by path in the project, None for a file that goes; empty where all is so already.

    Raises:
        RolloutError: as of `edited`.
    """
    before, after, files = _edited_stack_file(tree, region, lambda text: with_weights(text, service, weights))
    folder = overlay(region, before.usable.services[service])
    present = overlay_content(tree, folder)
    if not back:
        _refuse_otherwise_rendered(before, service, present)
    route = f"{folder}/{file_name('VirtualService', service, service)}"
    try:
        routed = with_route_weights(present.get(route, b"").decode(), weights).encode()
    except ValueError:
        # no text, no YAML, or no such route
        routed = None
    if routed is None or cannot_be_built({path.rpartition("/")[2]: content for path, content in present.items()}):
        return {**files, **_differing(present, rendered(after, service))}
    return {**files, **_differing({route: present[route]}, {route: routed})}


def edited(tree: Tree, region: str, service: str, edit: Callable[[str], str]) -> Mapping[str, bytes | None]:
    """What differs when a region's stack file is edited and the overlay of a service is what the file says then.

    Args:
        tree: The project's files as they are before it.
        region: A region that has a stack file.
        service: A service that is there, before and after.
        edit: Makes the stack file's new text from the old.

    Returns:
        The new content by path in the project, None for a file that goes; empty where all is so already.

    Raises:
        RolloutError: there is no such region or two of that name, its stack file cannot be used before or after, its overlay is not
            what this checkout renders of it, or `edit` refuses.
    """
    before, after, files = _edited_stack_file(tree, region, edit)
    present = overlay_content(tree, overlay(region, before.usable.services[service]))
    _refuse_otherwise_rendered(before, service, present)
    return {**files, **_differing(present, rendered(after, service))}


def _edited_stack_file(
    tree: Tree, region: str, edit: Callable[[str], str]
) -> tuple[DeclaredRegion, DeclaredRegion, Mapping[str, bytes]]:
    """The region before and after, and the file's new content where it is another."""
    before = stack_file_of(tree, region)
    content = tree.contents("", STACK_FILES)[before.stack_file]
    try:
        after = edit(content.decode()).encode()
        config = read_stack_file(after, before.stack_file)
    except EditError as error:
        raise RolloutError.of(error.what, error.why, error.fix) from error
    except ConfigError as error:
        raise RolloutError(*map(Problem, error.problems)) from error
    return before, replace(before, config=config), {} if after == content else {before.stack_file: after}


def _refuse_otherwise_rendered(region: DeclaredRegion, service: str, present: Mapping[str, bytes]) -> None:
    """Refuses an overlay of which a commit would change more than is meant to be changed."""
    refuse_foreign(present)
    if others := sorted(_differing(present, rendered(region, service))):
        shown = ", ".join(others[:_SHOWN]) + (f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else "")
        raise RolloutError.of(
            f"{region.name}: this checkout renders {region.stack_file} otherwise than it is committed: {shown}",
            "the commit would change that too, and undo what another version of the program, or somebody's hand, wrote there",
            "bring this checkout up to date (git pull) and run this again; where it is, commit what `rollout render --region "
            f"{region.name}` writes first",
        )


def stack_file_of(tree: Tree, region: str) -> DeclaredRegion:
    """The region's stack file, which can be used.

    Raises:
        RolloutError: there is none, there are two, or it cannot be used.
    """
    found = select(declared(tree), [region])
    refuse_shared(found, "what one of them says would be taken for the other's")
    refuse_unusable(found)
    return found[0]


def overlay_content(tree: Tree, folder: str) -> dict[str, bytes]:
    """The files in a folder that look like an overlay's, by their paths in the project; none where there is no folder.

    Raises:
        RolloutError: one cannot be read.
    """
    return {
        f"{folder}/{name}": content for name, content in tree.contents(folder).items() if name.endswith(_OF_AN_OVERLAY)
    }


def refuse_foreign(files: Mapping[str, bytes]) -> None:
    """Refuses what is among an overlay's files and was not rendered.

    Raises:
        RolloutError: all such files together.
    """
    refuse(
        Problem(
            f"{path} does not begin with `{HEADER_START.strip()}`, so it was not rendered",
            f"Argo CD applies what {KUSTOMIZATION} lists and syncs nothing with a second kustomization; "
            "rendering would overwrite or remove it",
            "move it out of this directory; what is to run belongs in components/ and the stack files",
        )
        for path, content in files.items()
        if not _is_rendered(content)
    )


def _differing(present: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> dict[str, bytes | None]:
    """What is to be written, by its path, and what is to go: None."""
    written = {path: content for path, content in wanted.items() if present.get(path) != content}
    return {**written, **dict.fromkeys(path for path in present if path not in wanted)}


def _is_rendered(content: bytes) -> bool:
    return content.startswith(HEADER_START.encode())


def _text(content: bytes) -> str:
    # a file of ours is UTF-8; of another it only matters that it is another
    return content.decode(errors="replace")
