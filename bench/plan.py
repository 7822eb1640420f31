"""Speed of `rollout plan` beside what a reviewer has without it, and of the rules and the model alone over 2 and 50 regions.

Run `.venv/bin/python -m bench.plan [--runs 10]`. It makes Git repositories of its own from the project's stack files, with as many
regions as it takes, renders and commits them, and changes them in the working tree. A command's time holds the start of Python;
that of rules and model holds neither that nor reading files. CPU is of both together, user and system: it says the same on a
machine that does other work besides.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rollout.plan.comparison import Revision, changes_between
from rollout.plan.declaration import WorkingTree, declared
from rollout.plan.overlays import changes, make
from rules.facts.region import Change
from rules.judgement import judge
from stackfile.editing import with_weights, without_version

ROOT = Path(__file__).resolve().parents[1]
MANY = 50
_VERSIONS = """\
      v1: {image: registry.corp.local/echo:1.0.0, replicas: 3, weight: 90}
      v2: {image: registry.corp.local/echo:2.0.0, replicas: 3, weight: 10}
"""


def project_of(regions: int, project: Path) -> Path:
    """Make the project with this many regions, committed; each but region-a is made from region-b's stack file."""
    project.mkdir()
    shutil.copy(ROOT / "Pulumi.yaml", project)
    for region in ("a", "b", *(f"{number:02}" for number in range(regions - 2))):
        text = (ROOT / f"Pulumi.region-{'a' if region == 'a' else 'b'}.yaml").read_text()
        # those of the project change from day to day
        text, found = re.subn(r"(?m)(^      v[0-9]+: \{.*\}\n)+", _VERSIONS, text)
        assert found == 1, f"the versions of region-{region} are not where they were"
        text = text.replace("region-b", f"region-{region}").replace("network-b", f"network-{region}")
        (project / f"Pulumi.region-{region}.yaml").write_text(text)
    render(project)
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "-c", "user.name=bench", "-c", "user.email=bench@corp.local", "commit", "--quiet", "--message=Begin")
    return project


def git(project: Path, *arguments: str) -> None:
    """Run git in a project."""
    subprocess.run(["git", *arguments], cwd=project, check=True)


def render(project: Path) -> None:
    """Write the overlays, as `rollout render` does."""
    for change in changes(project, []):
        make(project, change)


def edit(project: Path, text_of: Callable[[str], str]) -> None:
    """Change the stack file of every region, and render."""
    for path in project.glob("Pulumi.*.yaml"):
        path.write_text(text_of(path.read_text()))
    render(project)


def weigh(project: Path) -> None:
    """Raise the canary in every region."""
    edit(project, lambda text: with_weights(text, {"v1": 75, "v2": 25}))


def retire(project: Path) -> None:
    """Retire the canary in one step in every region."""
    edit(project, lambda text: without_version(with_weights(text, {"v1": 100, "v2": 0}), "v2"))


def changes_of(project: Path, change: Callable[[Path], None]) -> tuple[Change, ...]:
    """What the rules are given for a change of the working tree, which is undone again."""
    before = Revision("HEAD", "0" * 40, declared(WorkingTree(project)))
    change(project)
    after = Revision(None, None, declared(WorkingTree(project)))
    git(project, "checkout", "--quiet", ".")
    git(project, "clean", "--quiet", "--force", "-d")
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


def command(project: Path, *words: str) -> Callable[[], object]:
    """A command run in the project's directory, whatever it ends with."""
    return lambda: subprocess.run(
        words,
        cwd=project,
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
