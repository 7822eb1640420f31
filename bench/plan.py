"""Speed of `rollout plan` beside what a reviewer has without it, and of the rules and the model alone over 2 and 50 regions.

Run `.venv/bin/python -m bench.plan [--runs 10]`. It makes Git repositories of its own from the project's stack files, with as many
regions as it takes, renders and commits them, and changes them in the working tree. A command's time holds the start of Python;
that of rules and model holds neither that nor reading files. CPU is of both together, user and system: it says the same on a
machine that does other work besides.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rollout.git.revisions import WorkingTree
from rollout.plan.comparison import Revision, changes_between
from rollout.plan.declaration import declared
from rules.facts.region import Change
from rules.judgement import judge
from tests.rollout.planned import V2, Project, new_planned
from tests.rollout.stack_files import ROOT

MANY = 50


def project_of(regions: int, directory: Path) -> Project:
    """The project with this many regions, committed; those that are more than it has are made from region-b."""
    project = new_planned(directory)
    text = project.stack_file("region-b").read_text()
    for number in range(regions - 2):
        name = f"{number:02}"
        project.stack_file(f"region-{name}").write_text(
            text.replace("region-b", f"region-{name}").replace("network-b", f"network-{name}")
        )
    project.render()
    project.commit()
    return project


def regions_of(project: Project) -> list[str]:
    """The names of its regions."""
    return [path.name.split(".")[1] for path in sorted(project.directory.glob("Pulumi.*.yaml"))]


def weigh(project: Project) -> None:
    """Raises the canary in every region."""
    for region in regions_of(project):
        project.weigh(region, v1=75, v2=25)


def retire(project: Project) -> None:
    """Retires the canary in one step in every region."""
    for region in regions_of(project):
        project.weigh(region, v1=100, v2=0)
        project.replace(region, V2.replace("10}", "0}"), "")
    project.render()


def changes_of(project: Project, change: Callable[[Project], None]) -> tuple[Change, ...]:
    """What the rules are given for a change of the working tree, which is undone again."""
    before = Revision("HEAD", "0" * 40, declared(WorkingTree(project.directory)))
    change(project)
    after = Revision(None, None, declared(WorkingTree(project.directory)))
    project.repository.git("checkout", "--quiet", ".")
    project.repository.git("clean", "--quiet", "--force", "-d")
    return changes_between(before, after)


def seconds_of(action: Callable[[], object], runs: int) -> list[tuple[float, float]]:
    """How long each of some runs takes, by the clock and of the processors, its children's time included."""
    times = []
    for _ in range(runs):
        before = os.times()
        action()
        after = os.times()
        times.append((after.elapsed - before.elapsed, sum(after[:4]) - sum(before[:4])))
    return times


def command(project: Project, *words: str) -> Callable[[], object]:
    """A command run in the project's directory, whatever it ends with."""
    return lambda: subprocess.run(
        words,
        cwd=project.directory,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=10, help="runs of each")
    runs: int = arguments.parse_args().runs
    table = Table("what", "regions", "median s", "slowest s", "CPU s")
    rollout = (sys.executable, "-m", "rollout")
    with tempfile.TemporaryDirectory(prefix="echo-bench-") as folder:
        projects = {count: project_of(count, Path(folder) / str(count)) for count in (2, MANY)}
        alone = {
            (what, count): changes_of(project, change)
            for count, project in projects.items()
            for what, change in (("a weight raised in each", weigh), ("a version retired in one step in each", retire))
        }
        for count, project in projects.items():
            weigh(project)
            for what, words in {
                "git diff": ("git", "diff", "HEAD"),
                "rollout render --check": (*rollout, "render", "--check"),
                "rollout plan": (*rollout, "plan"),
            }.items():
                add(table, f"{what}, a weight raised in each", count, seconds_of(command(project, *words), runs))
        for (what, count), changes in alone.items():
            add(table, f"rules and model alone, {what}", count, seconds_of(lambda: judge(changes), runs))  # noqa: B023
    Console().print(table)


def add(table: Table, what: str, regions: int, times: list[tuple[float, float]]) -> None:
    """Put a row under the others."""
    seconds, processor = zip(*times, strict=True)
    figures = (statistics.median(seconds), max(seconds), statistics.median(processor))
    table.add_row(what, str(regions), *(f"{figure:.2f}" for figure in figures))


if __name__ == "__main__":
    main()
