"""How long a pushed commit takes to move the traffic: asked for by the push, beside Argo CD's own polling.

Run as root: `.venv/bin/python -m bench.delivery`; at saturation and through as many requests as one likes with
`--rate 4000 --changes 20 --requests 1000000 --polled 0`. It makes a lab of its own and removes it. Each change turns all requests from one
version to the other in both regions, so that every answer says under which weights it was sent. The time is from the start of
`git push` to the first moment at which half of a region's requests are answered by the new version.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.load import Answer, Load
from lab.delivery.remote import Remote
from lab.machine.waiting import comes_true
from lab.place import CHECKOUT, Lab
from rollout.cluster.application import read_application
from rollout.git.repository import Repository
from rollout.plan.overlays import weighed
from rollout.promote.upstream import commit_files
from rollout.regions import discover

_WINDOWS_A_SECOND = 10
"""How often a half is told."""
_MOST_SECONDS = 1_200.0
_PUSHED_SECONDS = 60
_SYNCED_SECONDS = 180
_POLLED_SECONDS = 420  # Argo CD looks every 120 s, up to 60 s later, at a branch's head that it remembers for 180 s


def half_on(version: str, answers: list[Answer], since_seconds: float, window: int) -> float | None:
    """When, after a moment, half of the requests of a tenth of a second were first answered by a version; Unix time."""
    later = sorted((answer for answer in answers if answer.at_seconds >= since_seconds), key=lambda one: one.at_seconds)
    for position in range(len(later) - window + 1):
        some = later[position : position + window]
        if 2 * sum(answer.version == version for answer in some) >= window:
            return some[window // 2].at_seconds
    return None


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition is met.

    Raises:
        TimeoutError: it is not in time.
    """
    if not comes_true(condition, seconds):
        raise TimeoutError(f"it took longer than {seconds:.0f} s")


class Project:
    """A clone of what is committed here, on a branch `main`, with a lab of its own."""

    def __init__(self, checkout: Path) -> None:
        git = ("git", "-c", "safe.directory=*")
        author = ("--config=user.name=bench", "--config=user.email=bench@corp.local")
        subprocess.run([*git, "clone", "--quiet", *author, str(CHECKOUT), str(checkout)], check=True)
        subprocess.run([*git, "switch", "--quiet", "--force-create", "main"], cwd=checkout, check=True)
        (checkout / ".venv").symlink_to(CHECKOUT / ".venv")
        self.lab = Lab(checkout, checkout / ".lab", Lab.of_environment().cache)
        self._repository = Repository(checkout)
        self._tip = self._repository.head()[0]

    def run(self, *arguments: str) -> None:
        """Run `python -m lab …` in it."""
        subprocess.run([sys.executable, "-m", "lab", *arguments], cwd=self.lab.checkout, check=True)

    def push(self, version: str) -> float:
        """Give a version all requests in all regions by a commit, and push it; when the push began, in Unix time."""
        weights = {name: 100 if name == version else 0 for name in ("v1", "v2")}
        tree = self._repository.at(self._tip)
        files = {region.name: weighed(tree, region.name, "echo", weights) for region in self.lab.regions}
        self._tip = commit_files(self._repository, self._tip, "echo", files, f"Weigh {weights}").commit
        began = time.time()
        self._repository.push(self._tip, "lab", "main")
        return began

    def await_synced(self) -> None:
        """Wait until Argo CD has brought all regions to the last commit and finds them healthy."""
        until(self._is_synced, _SYNCED_SECONDS)

    def _is_synced(self) -> bool:
        found = [read_application(region, "argocd/echo") for region in discover(self.lab.checkout).regions]
        return all(each.is_well and each.synced_revision == self._tip for each in found)


def change(project: Project, loads: Sequence[Load], version: str, limit_seconds: float, rate: int) -> list[float]:
    """Turn all requests to one version by a commit; the seconds that it took in each region."""
    before = [load.sent for load in loads]
    began = project.push(version)
    until(lambda: all(load.share(version, rate) == 1 for load in loads), limit_seconds)
    window = max(2, rate // _WINDOWS_A_SECOND)
    times = [
        half_on(version, load.answers[max(0, sent - rate) :], began, window)
        for load, sent in zip(loads, before, strict=True)
    ]
    project.await_synced()
    return [moment - began for moment in times if moment is not None]


def measure(
    project: Project,
    table: Table,
    what: str,
    versions: Sequence[str],
    limit_seconds: float,
    *,
    rate: int,
    requests: int = 0,
) -> None:
    """Turn all requests to each of the versions in turn, and put a row under the others; at least so many requests are sent."""
    times: list[float] = []
    with ExitStack() as stack:
        loads = [stack.enter_context(Load(region, rate)) for region in project.lab.regions]
        for number, version in enumerate(track(versions, description=what), 1):
            times += change(project, loads, version, limit_seconds, rate)
            wanted = requests * number // len(versions)
            until(lambda wanted=wanted: sum(load.sent for load in loads) >= wanted, _MOST_SECONDS)  # type: ignore[misc]
    ordered = sorted(times)
    most = ordered[-(-len(ordered) * 95 // 100) - 1]
    figures = [f"{figure:.2f}" for figure in (statistics.median(ordered), most, ordered[-1])]
    sent, failed = sum(load.sent for load in loads), sum(sum(load.failures().values()) for load in loads)
    table.add_row(what, str(len(ordered)), *figures, f"{sent:,}", str(failed))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=100, help="requests a second in each region (default: 100)")
    parser.add_argument("--changes", type=int, default=50, help="changes that a push asks for (default: 50)")
    parser.add_argument("--polled", type=int, default=3, help="changes that are found by polling (default: 3)")
    parser.add_argument("--requests", type=int, default=0, help="requests to send at least through the changes")
    wish = parser.parse_args()
    table = Table(
        "commit to half of the traffic", "changes × regions", "median s", "95 % s", "slowest s", "sent", "failed"
    )
    with tempfile.TemporaryDirectory(prefix="echo-bench-") as folder:
        project = Project(Path(folder) / "checkout")
        hook = Remote(project.lab).hook
        try:
            project.run("up", "--no-verify")
            project.push("v1")
            project.await_synced()
            turns = itertools.cycle(("v2", "v1"))
            asked, polled = [list(itertools.islice(turns, count)) for count in (wish.changes, wish.polled)]
            measure(
                project, table, "asked for by the push", asked, _PUSHED_SECONDS, rate=wish.rate, requests=wish.requests
            )
            hook.rename(hook.with_suffix(".off"))
            if polled:
                measure(project, table, "found by polling", polled, _POLLED_SECONDS, rate=wish.rate)
        finally:
            Console().print(table)
            project.run("down")


if __name__ == "__main__":
    main()
