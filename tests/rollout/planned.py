"""The project's own stack files and overlays in a Git repository of their own, and `rollout plan` run there."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from typer.testing import CliRunner
from typer.testing import Result as Ran

from rollout.__main__ import app
from rollout.plan.overlays import changes, make
from stackfile.editing import without_version
from tests.rollout.repository import Repository, new_repository, pack
from tests.rollout.stack_files import ROOT, edit, lasting_directory, stack_file

REGIONS = ("region-a", "region-b")
V1 = "        v1: {image: registry.corp.local/echo:1.0.0, replicas: 3, weight: 90}\n"
V2 = "        v2: {image: registry.corp.local/echo:2.0.0, replicas: 3, weight: 10}\n"
WEB = """\
    web:
      versions:
        v1: {image: registry.corp.local/web:1.0.0, replicas: 3, weight: 100}
        v2: {image: registry.corp.local/web:2.0.0, replicas: 3, weight: 0}
      maxEjectionPercent: 34
      namespace: shop
      port: 8080
      testers: {header: x-web-version}
"""
"""A second service, in the form of a stack file."""


@dataclass(frozen=True)
class Project:
    """A project on a branch `main`; what is done to it is seen in the working tree until it is committed."""

    directory: Path
    repository: Repository

    def overlay(self, region: str, name: str = "", service: str = "echo") -> Path:
        return self.directory / "deploy" / "overlays" / region / service / name

    def stack_file(self, region: str) -> Path:
        return stack_file(self.directory, region)

    def weigh(self, region: str = "region-a", service: str = "echo", **weights: int) -> None:
        """Gives versions these weights in the stack file and, where there is one, in the overlay, as rendering would."""
        of_service = rf"(?m)^(    {service}:\n(?:      .*\n)*?        {{}}: .*weight: )[0-9]+"
        self._weigh(self.stack_file(region), of_service, weights)
        if (routes := self.overlay(region, "vs.yaml", service)).exists():
            # the routes of testers, which have no weights, come first
            self._weigh(routes, r"(?s)(.*subset: {}\n(?: +\S[^\n]*\n)*? +weight: )[0-9]+", weights)

    def add_service(self, text: str = WEB, *regions: str) -> None:
        """Adds a service to regions, all if none is named, and renders it."""
        for region in regions or REGIONS:
            self.replace(region, "  echo-rollout:probe:\n", f"{text}  echo-rollout:probe:\n")
        self.render()

    def remove_service(self, *regions: str) -> None:
        """Removes the service web from regions, from all if none is named."""
        for region in regions or REGIONS:
            text, found = re.subn(r"(?m)^    web:\n(?:      .*\n)+", "", self.stack_file(region).read_text())
            assert found == 1, f"web is not in {region}"
            self.stack_file(region).write_text(text)
        self.render()

    def remove_version(self, region: str, version: str) -> None:
        """Removes a version of echo that has no requests from a region, and renders it."""
        text = self.stack_file(region).read_text()
        self.stack_file(region).write_text(without_version(text, "echo", version))
        self.render()

    def add_region(self, name: str) -> None:
        """Adds a region that is like region-b, and renders it."""
        text = self.stack_file("region-b").read_text()
        self.stack_file(name).write_text(text.replace("region-b", name).replace("network-b", f"network-{name}"))
        self.render()

    def freeze(self, region: str, cron: str = "0 0 * * *", length: str = "24h") -> None:
        """Adds a window in which nobody changes a region, which is always open if no other is named."""
        window = f"{{cron: {cron}, length: {length}, reason: end of the year}}"
        text = self.stack_file(region).read_text()
        self.stack_file(region).write_text(f"{text}  echo-rollout:rules: {{freeze: [{window}]}}\n")

    def _weigh(self, file: Path, pattern: str, weights: dict[str, int]) -> None:
        text = file.read_text()
        for version, weight in weights.items():
            text, found = re.subn(pattern.format(version), rf"\g<1>{weight}", text)
            assert found == 1, f"{version} is not in {file}"
        file.write_text(text)

    def replace(self, region: str, old: str, new: str) -> None:
        edit(self.stack_file(region), old, new)

    def render(self) -> None:
        for change in changes(self.directory, []):
            make(self.directory, change)

    def commit(self) -> str:
        self.repository.git("add", "--all", ".")
        self.repository.git("commit", "--quiet", "--allow-empty", "--message", "Change")
        return self.repository.git("rev-parse", "HEAD")


def new_planned(directory: Path) -> Project:
    """A repository in this directory, with the project committed in it."""
    shutil.copytree(_template().directory, directory)
    return Project(directory, Repository(directory))


def new_planned_below(repository: Repository, below: str) -> Project:
    """The project in a directory of a repository, committed."""
    place = repository.directory / below
    shutil.copytree(_template().directory, place, ignore=shutil.ignore_patterns(".git"))
    project = Project(place, repository)
    project.commit()
    return project


@cache
def _template() -> Project:
    """The project with its own stack files, but for its versions: those change from day to day."""
    directory = lasting_directory()
    project = Project(directory, new_repository(directory))
    shutil.copy(ROOT / "Pulumi.yaml", project.directory)
    for region in REGIONS:
        text = (ROOT / f"Pulumi.{region}.yaml").read_text()
        text, found = re.subn(r"(?m)^        v[0-9]+: \{.*\}\n(        v[0-9]+: \{.*\}\n)*", V1 + V2, text)
        assert found == 1, f"the versions of {region} are not where they were"
        project.stack_file(region).write_text(text)
    project.render()
    project.commit()
    pack(project.repository)
    return project


def plan(*arguments: str) -> Ran:
    return CliRunner().invoke(app, ["plan", *arguments])


def plan_json(*arguments: str) -> dict[str, Any]:
    """What a program reads of it."""
    document: dict[str, Any] = json.loads(plan("--json", *arguments).stdout)
    return document


def rules_of(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Severity, region and rule of each finding."""
    return [(each["severity"], each["region"], each["rule"]) for each in document["findings"]]
