"""The overlays on the disk: what the stack files ask for, held against what is there, and the difference made good."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.config import RegionConfig
from components.names import overlay
from rollout.plan.manifests import HEADER_START, KUSTOMIZATION, overlay_files
from rollout.plan.workloads import workload_objects
from rollout.problem import Problem, RolloutError
from rollout.regions import StackFile, read_stack_files, select

# What looks like a part of an overlay. Argo CD applies only what the kustomization lists, so another file here would not run,
# although whoever put it here means it to; a kustomization of another name would stop every sync, as kustomize refuses two;
# and an .argocd-source.yaml would change what is applied. The endings are those that Argo CD applies of a directory without a
# kustomization (`manifestFile` in its repo-server).
_OF_AN_OVERLAY = (".yaml", ".yml", ".json", ".jsonnet", "Kustomization")
_RENDERED: dict[tuple[str, str], Mapping[str, str]] = {}


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
    chosen = select(_distinct_regions(project), names)
    wanted = {Path(path): text for file in chosen for path, text in rendered(file.config, file.path.name).items()}
    directories = [Path(overlay(file.name)) for file in chosen]
    if not names:
        directories += _rendered_directories(project)
    present = {path: text for directory in directories for path, text in _read(project, directory).items()}
    refuse_foreign(present)
    written = [
        FileChange(path, present.get(path, ""), text) for path, text in wanted.items() if present.get(path) != text
    ]
    removed = [FileChange(path, text, None) for path, text in present.items() if path not in wanted]
    return (*written, *removed)


def rendered(config: RegionConfig, stack_file: str) -> Mapping[str, str]:
    """What is in a region's overlay, texts by their paths in the project. It is remembered: a promotion asks twice for each step.

    Args:
        config: What the stack file says.
        stack_file: The file's name, for the headers.

    Raises:
        RolloutError: two objects would have the same file name.
    """
    key = (config.model_dump_json(), stack_file)
    if key not in _RENDERED:
        files = overlay_files(workload_objects(config), stack_file)
        _RENDERED[key] = {f"{overlay(config.region)}/{name}": text for name, text in files.items()}
    return _RENDERED[key]


def make(project: Path, change: FileChange) -> None:
    """Writes or removes the file, whole or not at all, and directories that are left empty.

    Raises:
        RolloutError: the file system refuses.
    """
    path = project / change.path
    with _told(change.path):
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


def _distinct_regions(project: Path) -> tuple[StackFile, ...]:
    files = read_stack_files(project)
    if not files:
        raise RolloutError(
            Problem(
                f"{project} has no stack file Pulumi.<stack>.yaml",
                "the overlays are made from these, and without any of them all overlays would be removed",
                "run this in a whole checkout of the project, or write a stack file for each region",
            )
        )
    by_region: dict[str, list[str]] = {}
    for file in files:
        by_region.setdefault(file.name, []).append(file.path.name)
    problems = [
        Problem(
            f"{' and '.join(names)} are both of the region {region}",
            f"they would be rendered into the same {overlay(region)}",
            "give each stack a region of its own (echo-rollout:region, or the stack's name)",
        )
        for region, names in by_region.items()
        if len(names) > 1
    ]
    if problems:
        raise RolloutError(*problems)
    return files


def _rendered_directories(project: Path) -> list[Path]:
    """The directories that hold a file of ours, also those of regions that are gone."""
    found = [path.relative_to(project) for path in sorted(project.glob(overlay("*")))]
    return [
        directory
        for directory in found
        if any(text.startswith(HEADER_START) for text in _read(project, directory).values())
    ]


def _read(project: Path, directory: Path) -> dict[Path, str]:
    """The files in a directory that look like an overlay's, and what is in them; none where there is no directory."""
    with _told(directory):
        return {
            # a file of ours is UTF-8; of another it only matters that it is another
            path.relative_to(project): path.read_bytes().decode(errors="replace")
            for path in sorted((project / directory).glob("*"))
            if is_of_an_overlay(path.name) and path.is_file()
        }


def is_of_an_overlay(name: str) -> bool:
    """Whether a file of this name, in an overlay's directory, looks like a part of it."""
    return name.endswith(_OF_AN_OVERLAY)


def refuse_foreign(files: Mapping[Path, str] | Mapping[str, str]) -> None:
    """Refuses what is among an overlay's files, texts by path, and was not rendered.

    Raises:
        RolloutError: all such files together.
    """
    paths = [path for path, text in files.items() if not text.startswith(HEADER_START)]
    if paths:
        raise RolloutError(
            *(
                Problem(
                    f"{path} does not begin with `{HEADER_START.strip()}`, so it was not rendered",
                    f"Argo CD applies what {KUSTOMIZATION} lists and syncs nothing with a second kustomization; "
                    "rendering would overwrite or remove it",
                    "move it out of this directory; what is to run belongs in components/ and the stack files",
                )
                for path in paths
            )
        )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RolloutError(
            Problem(
                f"{path}: {error.strerror or error}",
                "the overlay is then not what the stack files say",
                "see that the directory and its files can be read and written, then render again",
            )
        ) from error
