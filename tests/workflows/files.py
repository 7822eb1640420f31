"""The committed workflows and actions, read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").iterdir())
ACTIONS = sorted((GITHUB / "actions").glob("*/action.yaml"))
REGION_ACTION = GITHUB / "actions" / "region"


def read(file: Path) -> dict[str, Any]:
    # YAML 1.2, in which `on` is a string, as it is to GitHub
    document: dict[str, Any] = YAML(typ="safe").load(file)
    return document


def workflow(name: str) -> dict[str, Any]:
    return read(GITHUB / "workflows" / f"{name}.yaml")


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every job of every workflow, with its name as `file.job`."""
    for file in WORKFLOWS:
        for name, job in read(file)["jobs"].items():
            yield f"{file.stem}.{name}", job


def steps() -> Iterator[dict[str, Any]]:
    """Every step of every workflow and action."""
    for _, job in jobs():
        yield from job.get("steps", ())
    for action in ACTIONS:
        yield from read(action)["runs"]["steps"]


def run_of(job: str, step: str, file: str = "pull-request") -> str:
    """What a step of a workflow gives to the shell."""
    found = [one for one in workflow(file)["jobs"][job]["steps"] if one.get("name") == step]
    assert len(found) == 1
    return str(found[0]["run"])
