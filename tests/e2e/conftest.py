"""One lab for all end-to-end tests of a run: brought up once, gone at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from bench.load import Entrance
from components.names import INGRESS, gateway_address
from lab.machine import preflight
from lab.place import CHECKOUT, Lab
from tests.e2e.checkout import fresh_checkout
from tests.e2e.drills import Row
from tests.e2e.laboratory import REGIONS, Laboratory

DIRECTORY = CHECKOUT / ".lab-e2e"
_DRILLS = pytest.StashKey[list[Row]]()
_NOTES = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    problems = preflight.problems()
    # what they bring stays in the lab
    items.sort(key=lambda item: item.path == Path(__file__).parent / "test_services.py")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if problems:
                item.add_marker(pytest.mark.skip(reason="; ".join(problems)))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(_DRILLS, [])
    for line in config.stash.get(_NOTES, []):
        terminalreporter.write_line(line)
    if not rows:
        return
    table = Table("drill", "region", "requests sent", "failed", title="Under load")
    for row in rows:
        why = ", ".join(f"{count}: {what}" for what, count in row.failures.items())
        table.add_row(row.drill, row.region, f"{row.sent:,}", why or "0")
    console = Console(width=140)
    with console.capture() as captured:
        console.print(table)
    terminalreporter.write(captured.get())


@pytest.fixture(scope="session")
def drills(pytestconfig: pytest.Config) -> list[Row]:
    """What each drill cost; printed at the end of the run."""
    return pytestconfig.stash.setdefault(_DRILLS, [])


@pytest.fixture(scope="session")
def notes(pytestconfig: pytest.Config) -> list[str]:
    """What was measured besides; printed at the end of the run."""
    return pytestconfig.stash.setdefault(_NOTES, [])


@pytest.fixture
def entrance(lab: Laboratory) -> Entrance:
    """The gateway, and the first host that it has."""
    gateway = lab.get(REGIONS[0], "gateway.networking.istio.io/gateway", f"--namespace={INGRESS}")
    host = gateway["spec"]["servers"][0]["hosts"][0]
    return Entrance(gateway_address(INGRESS), host.rpartition("/")[2])


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Iterator[Laboratory]:
    """A lab in a checkout of its own, so that a test may commit and push as a person does."""
    os.environ.pop("LAB_DIR", None)
    checkout = DIRECTORY / "checkout"
    laboratory = Laboratory(Lab(checkout, checkout / ".lab", Lab.of_environment().cache))
    if checkout.exists():
        # by this checkout's own code: the other may have been cut off in its making
        command = [sys.executable, "-m", "lab", "down"]
        subprocess.run(command, cwd=CHECKOUT, env={**os.environ, "LAB_DIR": str(checkout / ".lab")}, check=True)
    fresh_checkout(CHECKOUT, checkout)
    try:
        # shown as it comes: where no tool is built yet, it takes half an hour
        with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            subprocess.run([sys.executable, "-m", "lab", "up", "--no-verify"], cwd=checkout, check=True)
        yield laboratory
    finally:
        laboratory.run("down")
