"""How long a pushed commit takes to move the traffic: asked for by the push, beside Argo CD's own polling.

Run as root: `.venv/bin/python -m bench.delivery [--changes 50] [--polled 3]`. It makes a lab of its own and removes it. Each change turns
all requests from one version to the other in both regions, so that every answer says under which weights it was sent. The time
is from the start of `git push` to the first moment at which half of a region's requests are answered by the new version.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from lab.delivery.remote import Remote
from lab.place import CHECKOUT, Lab
from tests.e2e.checkout import fresh_checkout
from tests.e2e.laboratory import REGIONS, Laboratory
from tests.e2e.load import Answer, Load
from tests.e2e.waiting import until

RATE = 100
_WINDOW = 10
"""Requests by which a half is told: a tenth of a second."""
_PUSHED_SECONDS = 60
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


def change(lab: Laboratory, loads: Mapping[str, Load], weights: Mapping[str, int], limit_seconds: float) -> list[float]:
    """Turn all requests to one version by a commit; the seconds that it took in each region."""
    (version,) = (name for name, weight in weights.items() if weight)
    revision = lab.commit_weights(weights, *REGIONS)
    began = time.time()
    lab.git("push", "--quiet", "lab")
    for load in loads.values():
        until(partial(_all_on, load, version), seconds=limit_seconds)
    times = [half_on(version, load.answers, began) for load in loads.values()]
    lab.await_synced(revision)
    return [moment - began for moment in times if moment is not None]


def _all_on(load: Load, version: str) -> bool:
    return load.share(version, RATE) == 1


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
        checkout = Path(folder) / "checkout"
        fresh_checkout(CHECKOUT, checkout)
        lab = Laboratory(Lab(checkout, checkout / ".lab", Lab.of_environment().cache))
        hook = Remote(lab.place).hook
        try:
            lab.run("up", "--no-verify")
            lab.await_synced(lab.weigh(_V1, *REGIONS))
            turns = itertools.cycle((_V2, _V1))
            for what, count, limit_seconds in (
                ("asked for by the push", asked.changes, _PUSHED_SECONDS),
                ("found by polling", asked.polled, _POLLED_SECONDS),
            ):
                if what == "found by polling":
                    hook.rename(hook.with_suffix(".off"))
                times, sent, failed = measure(lab, what, itertools.islice(turns, count), limit_seconds)
                if times:
                    ordered = sorted(times)
                    most = ordered[max(0, -(-len(ordered) * 95 // 100) - 1)]
                    figures = (f"{statistics.median(times):.2f}", f"{most:.2f}", f"{ordered[-1]:.2f}")
                    table.add_row(what, str(len(times)), *figures, f"{sent:,}", str(failed))
        finally:
            Console().print(table)
            lab.run("down")


def measure(
    lab: Laboratory, what: str, turns: Iterable[Mapping[str, int]], limit_seconds: float
) -> tuple[list[float], int, int]:
    """The seconds of each turn in each region, and how many requests were sent and failed meanwhile."""
    times: list[float] = []
    with ExitStack() as stack:
        loads = {region.name: stack.enter_context(Load(region, RATE)) for region in lab.place.regions}
        for weights in track(list(turns), description=what):
            times += change(lab, loads, weights, limit_seconds)
    return (
        times,
        sum(load.sent for load in loads.values()),
        sum(sum(load.failures().values()) for load in loads.values()),
    )


if __name__ == "__main__":
    main()
