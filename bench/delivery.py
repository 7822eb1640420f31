"""How long a pushed commit takes to move the traffic: asked for by the push, beside Argo CD's own polling.

Run as root: `.venv/bin/python -m bench.delivery [--changes 50] [--polled 3]`. It makes a lab of its own and removes it. Each change turns
all requests from one version to the other in both regions, so that every answer says under which weights it was sent. The time
is from the start of `git push` to the first moment at which half of a region's requests are answered by the new version.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.load import Answer, Load
from lab.delivery.remote import Remote
from lab.place import CHECKOUT, Lab
from rollout.cluster.application import read_application
from rollout.git.repository import Repository
from rollout.promote.upstream import commit_edits
from rollout.regions import discover
from stackfile.editing import with_weights

RATE = 100
_WINDOW = 10
"""Requests by which a half is told: a tenth of a second."""
_PUSHED_SECONDS = 60
_SYNCED_SECONDS = 180
_POLLED_SECONDS = 420  # Argo CD looks every 120 s, up to 60 s later, at a branch's head that it remembers for 180 s
_V1, _V2 = {"v1": 100, "v2": 0}, {"v1": 0, "v2": 100}


def half_on(version: str, answers: list[Answer], since_seconds: float) -> float | None:
    """When, after a moment, half of the requests of a tenth of a second were first answered by a version; Unix time."""
    later = sorted((answer for answer in answers if answer.at_seconds >= since_seconds), key=lambda one: one.at_seconds)
    for position in range(len(later) - _WINDOW + 1):
        window = later[position : position + _WINDOW]
        if 2 * sum(answer.version == version for answer in window) >= _WINDOW:
            return window[_WINDOW // 2].at_seconds
    return None


@dataclass
class Project:
    """A clone with a lab of its own.

    Attributes:
        lab: The lab.
        tip: The commit that is delivered.
    """

    lab: Lab
    tip: str

    def run(self, *arguments: str) -> None:
        """Run `python -m lab …` in it."""
        subprocess.run([sys.executable, "-m", "lab", *arguments], cwd=self.lab.checkout, check=True)

    def commit(self, weights: Mapping[str, int]) -> None:
        """Commit these weights of all regions, with what is rendered of them; pushed nowhere yet."""
        edits = {region.name: lambda text: with_weights(text, weights) for region in self.lab.regions}
        self.tip = commit_edits(self._repository, self.tip, edits, f"Weigh {dict(weights)}").commit

    def push(self) -> None:
        """Push the last commit."""
        self._repository.push(self.tip, "lab", "main")

    def await_synced(self) -> None:
        """Wait until Argo CD has brought all regions to the last commit and finds them healthy."""
        until(self._is_synced, _SYNCED_SECONDS)

    def _is_synced(self) -> bool:
        regions = discover(self.lab.checkout).regions
        found = [read_application(region, "argocd/echo") for region in regions]
        return all(each.is_well and each.synced_revision == self.tip for each in found)

    @property
    def _repository(self) -> Repository:
        return Repository(self.lab.checkout)


def cloned(checkout: Path) -> Project:
    """Clone what is committed here, to a branch `main`."""
    git = ("git", "-c", "safe.directory=*")
    subprocess.run([*git, "clone", "--quiet", str(CHECKOUT), str(checkout)], check=True)
    (checkout / ".venv").symlink_to(CHECKOUT / ".venv")
    for arguments in (
        ("switch", "--quiet", "--force-create", "main"),
        ("config", "user.name", "bench"),
        ("config", "user.email", "bench@corp.local"),
    ):
        subprocess.run([*git, *arguments], cwd=checkout, check=True)
    return Project(Lab(checkout, checkout / ".lab", Lab.of_environment().cache), Repository(checkout).head()[0])


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition is met.

    Raises:
        TimeoutError: it is not in time.
    """
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"it took longer than {seconds:.0f} s")
        time.sleep(0.1)


def change(project: Project, loads: Iterable[Load], weights: Mapping[str, int], limit_seconds: float) -> list[float]:
    """Turn all requests to one version by a commit; the seconds that it took in each region."""
    (version,) = (name for name, weight in weights.items() if weight)
    project.commit(weights)
    began = time.time()
    project.push()
    for load in loads:
        until(lambda: load.share(version, RATE) == 1, limit_seconds)  # noqa: B023
    times = [half_on(version, load.answers, began) for load in loads]
    project.await_synced()
    return [moment - began for moment in times if moment is not None]


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--changes", type=int, default=50, help="changes that the push asks for")
    arguments.add_argument("--polled", type=int, default=3, help="changes that Argo CD finds by polling alone")
    asked = arguments.parse_args()
    table = Table(
        "commit to half of the traffic", "changes × regions", "median s", "95 % s", "slowest s", "sent", "failed"
    )
    with tempfile.TemporaryDirectory(prefix="echo-bench-") as folder:
        project = cloned(Path(folder) / "checkout")
        hook = Remote(project.lab).hook
        try:
            project.run("up", "--no-verify")
            project.commit(_V1)
            project.push()
            project.await_synced()
            turns = itertools.cycle((_V2, _V1))
            for what, count, limit_seconds in (
                ("asked for by the push", asked.changes, _PUSHED_SECONDS),
                ("found by polling", asked.polled, _POLLED_SECONDS),
            ):
                if what == "found by polling":
                    hook.rename(hook.with_suffix(".off"))
                times, sent, failed = measure(project, what, itertools.islice(turns, count), limit_seconds)
                if times:
                    ordered = sorted(times)
                    most = ordered[max(0, -(-len(ordered) * 95 // 100) - 1)]
                    figures = (f"{statistics.median(times):.2f}", f"{most:.2f}", f"{ordered[-1]:.2f}")
                    table.add_row(what, str(len(times)), *figures, f"{sent:,}", str(failed))
        finally:
            Console().print(table)
            project.run("down")


def measure(
    project: Project, what: str, turns: Iterable[Mapping[str, int]], limit_seconds: float
) -> tuple[list[float], int, int]:
    """The seconds of each turn in each region, and how many requests were sent and failed meanwhile."""
    times: list[float] = []
    with ExitStack() as stack:
        loads = [stack.enter_context(Load(region, RATE)) for region in project.lab.regions]
        for weights in track(list(turns), description=what):
            times += change(project, loads, weights, limit_seconds)
    return (
        times,
        sum(load.sent for load in loads),
        sum(sum(load.failures().values()) for load in loads),
    )


if __name__ == "__main__":
    main()
