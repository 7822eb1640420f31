"""How far the regions are, while they are measured: a live line each on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
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
def shown(console: Console, ready: Sequence[verification.Target]) -> Iterator[verification.Progress]:
    """Progress of regions that are measured, for as long as the context lasts; it has no known end."""
    titles = [one.title for one in ready]
    if not console.is_terminal:
        yield _plain(console, titles)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as lines:
        tasks = {title: lines.add_task(title, total=None) for title in titles}

        def looked(one: verification.Target, so_far: Measurement) -> None:
            # counters of clients are read seldom, at any number of requests
            if so_far.requests % _EVERY_REQUESTS == 0 or so_far.coverage:
                lines.update(tasks[one.title], description=_text(one, so_far))

        yield looked


def _plain(console: Console, titles: Sequence[str]) -> verification.Progress:
    following = dict.fromkeys(titles, _FIRST_LINE_REQUESTS)
    lock = threading.Lock()

    def looked(one: verification.Target, so_far: Measurement) -> None:
        with lock:
            if so_far.requests >= following[one.title]:
                following[one.title] *= 2
                console.print(_text(one, so_far))

    return looked


def _text(one: verification.Target, so_far: Measurement) -> str:
    """How many requests, and where each share can be by now."""
    weights = one.weights
    risk = version_risk(weights)
    intervals = {
        version: share_interval(so_far.tally([version]).requests, so_far.requests, weight, risk)
        for version, weight in weights.items()
        if weight
    }
    shares = ", ".join(
        f"{version} {100 * interval.low:.1f} - {100 * interval.high:.1f} %" for version, interval in intervals.items()
    )
    return f"{one.title}: {so_far.requests:,} requests, {shares}"
