"""How far the regions are, while they are measured: bars on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from rollout import verification

# A bar need not move more often than it is drawn.
_EVERY_REQUESTS = 50
_PLAIN_STEPS = 4


@contextmanager
def shown(console: Console, planned: Mapping[str, int]) -> Iterator[verification.Progress]:
    """Progress of regions with so many requests planned, for as long as the context lasts."""
    if not console.is_terminal:
        yield _Lines(console, planned)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Bars(bars, {region: bars.add_task(region, total=requests) for region, requests in planned.items()})


@dataclass(frozen=True)
class _Bars:
    bars: Progress
    tasks: Mapping[str, TaskID]

    def sent(self, region: str, requests: int) -> None:
        if requests % _EVERY_REQUESTS == 0:
            self.bars.update(self.tasks[region], completed=requests)


@dataclass(frozen=True)
class _Lines:
    """One line for each quarter of a region's requests."""

    console: Console
    planned: Mapping[str, int]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sent(self, region: str, requests: int) -> None:
        planned = self.planned[region]
        if requests * _PLAIN_STEPS // planned > (requests - 1) * _PLAIN_STEPS // planned:
            with self.lock:
                self.console.print(f"{region}: {requests:,} of {planned:,} requests")
