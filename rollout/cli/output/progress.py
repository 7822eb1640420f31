"""How far the regions are, while they are measured: a live line each on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from rollout.judge.shares import share_interval, version_risk
from rollout.measurement import Measurement
from rollout.status import verification

# A line need not change more often than it is drawn.
_EVERY_REQUESTS = 50
# The first plain line comes after a second at the usual rate, each further one after twice as many requests.
_FIRST_LINE_REQUESTS = 500


@contextmanager
def shown(console: Console, ready: Sequence[verification.Ready]) -> Iterator[verification.Progress]:
    """Progress of regions that are measured, for as long as the context lasts; it has no known end."""
    weights = {one.region.name: one.weights for one in ready}
    if not console.is_terminal:
        yield _plain(console, weights)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as lines:
        tasks = {region: lines.add_task(region, total=None) for region in weights}

        def looked(so_far: Measurement) -> None:
            if so_far.requests % _EVERY_REQUESTS == 0:
                lines.update(tasks[so_far.region], description=_text(so_far, weights[so_far.region]))

        yield looked


def _plain(console: Console, weights: Mapping[str, Mapping[str, int]]) -> verification.Progress:
    following = dict.fromkeys(weights, _FIRST_LINE_REQUESTS)
    lock = threading.Lock()

    def looked(so_far: Measurement) -> None:
        with lock:
            if so_far.requests >= following[so_far.region]:
                following[so_far.region] *= 2
                console.print(_text(so_far, weights[so_far.region]))

    return looked


def _text(so_far: Measurement, weights: Mapping[str, int]) -> str:
    """How many requests, and where each share can be by now."""
    risk = version_risk(weights)
    intervals = {
        version: share_interval(so_far.tally([version]).requests, so_far.requests, weight, risk)
        for version, weight in weights.items()
        if weight
    }
    shares = ", ".join(
        f"{version} {100 * interval.low:.1f} - {100 * interval.high:.1f} %" for version, interval in intervals.items()
    )
    return f"{so_far.region}: {so_far.requests:,} requests, {shares}"
