"""Speed of `rollout plan` and `render` beside what a reviewer has without, and of the rules and the model alone.

Over 2 and 50 regions with one service each, and over 2 with ten.

Run `.venv/bin/python -m bench.plan`. It makes Git repositories of its own from the project's stack files, with as many regions as it
takes, renders and commits them, and changes them in the working tree. A command's time holds the start of Python; that of rules
and model holds neither that nor reading files. CPU is of both together, user and system: it says the same on a machine that does
other work besides.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab.place import CHECKOUT
from rollout.plan.comparison import Revision, changes_between
from rollout.plan.declaration import WorkingTree, declared
from rollout.plan.overlays import changes, make
from rules.judgement import judge
from stackfile.editing import with_weights, without_version

RUNS = 10
SIZES = ((2, 1), (50, 1), (2, 10))
"""Regions, and services in each."""
_VERSIONS = """\
        v1: {image: registry.corp.local/echo:1.0.0, replicas: 3, weight: 90}
        v2: {image: registry.corp.local/echo:2.0.0, replicas: 3, weight: 10}
"""
_ANOTHER = f"""\
    shop{{0}}:
      port: 8000
      hosts: [shop{{0}}.corp.local]
      maxEjectionPercent: 34
      versions:
{_VERSIONS.replace("{", "{{").replace("}", "}}")}"""
_AFTER_SERVICES = "  echo-rollout:probe:\n"
_ENVIRONMENT = {"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"}
_AUTHOR = ("-c", "user.name=bench", "-c", "user.email=bench@corp.local")


def make_project(project: Path, regions: int, services: int) -> None:
    """Make the project with this many regions and services in each, committed; regions are made from the two stack files."""
    others = "".join(_ANOTHER.format(number) for number in range(1, services))
    project.mkdir()
    shutil.copy(CHECKOUT / "Pulumi.yaml", project)
    for region in ("a", "b", *(f"{number:02}" for number in range(regions - 2))):
        text = (CHECKOUT / f"Pulumi.region-{'a' if region == 'a' else 'b'}.yaml").read_text()
        # those of the project change from day to day
        text, found = re.subn(r"(?m)(^        v[0-9]+: \{.*\}\n)+", _VERSIONS, text)
        assert found == 1, f"the versions of region-{region} are not where they were"
        text = text.replace(_AFTER_SERVICES, others + _AFTER_SERVICES)
        text = text.replace("region-b", f"region-{region}").replace("network-b", f"network-{region}")
        (project / f"Pulumi.region-{region}.yaml").write_text(text)
    edit(project, lambda text: text)
    for words in (("init", "--quiet"), ("add", "--all"), (*_AUTHOR, "commit", "--quiet", "--message=Begin")):
        subprocess.run(["git", *words], cwd=project, check=True)


def edit(project: Path, text_of: Callable[[str], str]) -> None:
    """Change the stack file of every region, and write the overlays, as `rollout render` does."""
    for path in project.glob("Pulumi.*.yaml"):
        path.write_text(text_of(path.read_text()))
    for change in changes(project, []):
        make(project, change)


def weighed(text: str) -> str:
    """A stack file in which the canary is raised."""
    return with_weights(text, "echo", {"v1": 75, "v2": 25})


def retired(text: str) -> str:
    """A stack file from which the canary is retired in one step."""
    return without_version(with_weights(text, "echo", {"v1": 100, "v2": 0}), "echo", "v2")


def edited(project: Path) -> Revision:
    """The working tree, in which no overlay is what its stack file says."""
    regions = declared(WorkingTree(project))
    return Revision(
        None, None, regions, stale={(each.name, service): ("edited",) for each in regions for service in each.overlays}
    )


def measure(table: Table, what: str, size: tuple[int, int], action: Callable[[], object]) -> None:
    """Put a row under the others: how long runs take, by the clock and of the processors, their children's time included."""
    times = []
    for _ in range(RUNS):
        before = os.times()
        action()
        after = os.times()
        times.append((after.elapsed - before.elapsed, sum(after[:4]) - sum(before[:4])))
    seconds, processor = zip(*times, strict=True)
    figures = (statistics.median(seconds), max(seconds), statistics.median(processor))
    table.add_row(what, *map(str, size), *(f"{figure:.2f}" for figure in figures))


def main() -> None:
    """Measure and print."""
    table = Table("what", "regions", "services", "median s", "slowest s", "CPU s")
    rollout = (sys.executable, "-m", "rollout")
    commands = {
        "git diff": ("git", "diff", "HEAD"),
        "rollout render": (*rollout, "render"),
        "rollout plan": (*rollout, "plan"),
    }
    alone = {}
    with tempfile.TemporaryDirectory(prefix="echo-bench-") as folder:
        for size in SIZES:
            project = Path(folder) / "-".join(map(str, size))
            make_project(project, *size)
            before = Revision("HEAD", "0" * 40, declared(WorkingTree(project)))
            edit(project, weighed)
            alone["a weight raised in each", size] = changes_between(before, edited(project))
            for what, words in commands.items():
                command = partial(
                    subprocess.run, words, cwd=project, env=_ENVIRONMENT, capture_output=True, check=False
                )
                measure(table, f"{what}, a weight raised in each", size, command)
            edit(project, retired)
            alone["a version retired in one step in each", size] = changes_between(before, edited(project))
        for (what, size), found in alone.items():
            measure(table, f"rules and model alone, {what}", size, partial(judge, found))
    Console().print(table)


if __name__ == "__main__":
    main()
