"""One lab for all end-to-end tests of a run: brought up once, gone at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lab import preflight
from lab.place import CHECKOUT, Lab
from tests.e2e.laboratory import Laboratory


@dataclass(frozen=True)
class Region:
    """A cluster to test against."""

    kubeconfig: Path
    context: str


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    problems = preflight.problems()
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if problems:
                item.add_marker(pytest.mark.skip(reason="; ".join(problems)))


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Iterator[Laboratory]:
    directory = Path(os.environ.get("LAB_DIR", CHECKOUT / ".lab-e2e"))
    environment = {"LAB_DIR": str(directory)}
    os.environ.update(environment)
    laboratory = Laboratory(Lab.of_environment(), environment)
    laboratory.run("down")
    try:
        # shown as it comes: where no tool is built yet, it takes half an hour
        with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            subprocess.run([sys.executable, "-m", "lab", "up", "--no-verify"], cwd=CHECKOUT, check=True)
        yield laboratory
    finally:
        laboratory.run("down")


@pytest.fixture(scope="session")
def region(lab: Laboratory) -> Region:
    return Region(kubeconfig=lab.place.kubeconfig, context="region-a")


@pytest.fixture(scope="session")
def pulumi_environment(lab: Laboratory) -> dict[str, str]:
    pulumi = YAML(typ="safe").load((lab.place.directory / ".regions.yaml").read_text())["pulumi"]
    return {**os.environ, **pulumi["environment"], "PATH": f"{pulumi['path']}:{os.environ['PATH']}"}
