"""A project with stack files, for tests that render."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from rollout.plan.overlays import changes, make

ROOT = Path(__file__).parents[2]

STACK = """\
config:
  echo-rollout:delivery: direct
  echo-rollout:cluster: {context: c}
  echo-rollout:mesh: {network: n}
  echo-rollout:services:
    echo:
      versions:
        v1: {image: registry.corp.local/echo:1.0.0, replicas: 3, weight: 90}
        v2: {image: registry.corp.local/echo:2.0.0, replicas: 3, weight: 10}
      maxEjectionPercent: 34
  echo-rollout:probe: {image: registry.corp.local/probe:1.0.0}
"""

OBJECT_FILES = {
    "deployment-v1.yaml",
    "deployment-v2.yaml",
    "dr.yaml",
    "pdb-v1.yaml",
    "pdb-v2.yaml",
    "service.yaml",
    "serviceaccount.yaml",
    "vs.yaml",
}
RENDERED = OBJECT_FILES | {"kustomization.yaml"}
_LASTING: list[TemporaryDirectory[str]] = []


def new_project(directory: Path, *regions: str) -> Path:
    """Makes the directory a project with a stack for each region."""
    (directory / "Pulumi.yaml").write_text("name: echo-rollout\n")
    for region in regions:
        stack_file(directory, region).write_text(STACK)
    return directory


def new_rendered_project(directory: Path) -> Path:
    """Makes the directory a project with the stacks region-a and region-b, whose overlays are as they should be."""
    shutil.copytree(_rendered(), directory, dirs_exist_ok=True)
    return directory


def lasting_directory() -> Path:
    """A new directory, for what tests take copies of; it is removed when the interpreter ends."""
    _LASTING.append(TemporaryDirectory(prefix="rollout-test-"))
    return Path(_LASTING[-1].name)


@cache
def _rendered() -> Path:
    project = new_project(lasting_directory(), "region-a", "region-b")
    for change in changes(project, []):
        make(project, change)
    return project


def stack_file(project: Path, stack: str) -> Path:
    return project / f"Pulumi.{stack}.yaml"


def edit(path: Path, old: str, new: str) -> None:
    """Replaces a text that must be there."""
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new))


def files_below(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
