"""What all clients of a region but the probe get of a service: their requests by version, from one look at counters to the next."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from rollout.answers import stopped_by
from rollout.measurement import Answers, Coverage, Span, Tally
from rollout.problem import Problem, RolloutError
from rollout.traffic.attack import END_SECONDS, LONGEST_SECONDS

EVERY_SECONDS = 10.0

_REST = 10
"""How many times as long as a look took the pause after it is at least: it is work for what is looked at."""


def rest_seconds(took_seconds: float, every_seconds: float = EVERY_SECONDS) -> float:
    """The pause after a look.

    Args:
        took_seconds: How long the look took.
        every_seconds: The shortest pause.
    """
    return max(every_seconds, _REST * took_seconds)


@dataclass(frozen=True)
class Window:
    """What was seen since a watch began or turned.

    Attributes:
        spans: One for each look at which something new was known; none while nothing is.
        coverage: Of all of them.
        before: How versions had answered until it began. A version of which nothing is known is missing.
        trouble: Why the last look failed, and what to do; "" where it did not.
        problems: The same in parts; none where it did not.
        failed: How many of the last looks in a row failed.
        untold: As of the source.
    """

    spans: tuple[Span, ...] = ()
    coverage: Coverage = field(default_factory=Coverage)
    before: Mapping[str, Answers] = field(default_factory=dict)
    trouble: str = ""
    problems: tuple[Problem, ...] = ()
    failed: int = 0
    untold: str = ""

    @property
    def versions(self) -> Mapping[str, Tally]:
        """What each of the service's versions did with all the requests."""
        names = {version for span in self.spans for version in span.versions}
        return {name: sum((span.tally([name]) for span in self.spans), Tally()) for name in names}


class Source(Protocol):
    """Counters of clients' requests.

    Attributes:
        untold: What it cannot tell of failures and latency that it is asked for, in a sentence; "" where it tells all of it.
    """

    untold: str

    def begin(self) -> tuple[Mapping[str, Answers], Coverage]:
        """Counts nothing that ended before this call, now or later.

        Returns:
            How versions had answered until now, at any time; a version of which nothing is known is missing. And who is silent.

        Raises:
            RolloutError: nothing can be known now, and why; to be called again.
        """

    def look(self) -> tuple[Span | None, Coverage]:
        """What ended since the last look, or the beginning; None where nothing newer is known.

        Raises:
            RolloutError: nothing can be known now, and why; the next look tells of both intervals.
        """


class ClientsWatch:
    """What all clients of a region get of a service all the time, from look to look.

    It lasts as long as the block that it is entered for, two weeks at most. What cannot be asked is told, and is no reason to end.

    Args:
        source: What is looked at.
        every_seconds: The pause between two looks, at least; ten times as long as a look takes where that is longer.
    """

    def __init__(self, source: Source, every_seconds: float = EVERY_SECONDS) -> None:
        self._source, self._every_seconds = source, every_seconds
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._turns = 0
        # the turn that the window began with
        self._turned: int | None = None
        self._spans: list[Span] = []
        self._coverage = Coverage()
        self._before: Mapping[str, Answers] = {}
        self._trouble = ""
        self._problems: tuple[Problem, ...] = ()
        self._failed = 0
        self._thread = threading.Thread(target=self._follow, name="clients", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        with self._news:
            self._stop.set()
            self._news.notify_all()
        self._thread.join(END_SECONDS)

    def seen(self) -> Window:
        """The window so far."""
        with self._news:
            is_new = self._turned != self._turns
            found = Window() if is_new else Window(tuple(self._spans), self._coverage, self._before)
            untold = self._source.untold
            return replace(found, trouble=self._trouble, problems=self._problems, failed=self._failed, untold=untold)

    def turn(self) -> None:
        """Ends the window; the next one begins with a look that begins after this call, as soon as none is under way.

        What ends between the last look and that one is in neither window.
        """
        with self._news:
            self._turns += 1
            self._news.notify_all()

    def _follow(self) -> None:
        ends = time.monotonic() + LONGEST_SECONDS
        while not self._stop.is_set():
            if time.monotonic() > ends:
                self._trouble = f"they were watched for {LONGEST_SECONDS / 3600:.0f} h without an end"
                return
            turns, began = self._turns, time.monotonic()
            try:
                with stopped_by(self._stop):
                    if self._turned == turns:
                        self._add(*self._source.look())
                    else:
                        self._begin(turns, *self._source.begin())
            except RolloutError as error:
                self._fail(error)
            self._pause(turns, rest_seconds(time.monotonic() - began, self._every_seconds))

    def _pause(self, turns: int, seconds: float) -> None:
        with self._news:
            self._news.wait_for(lambda: self._stop.is_set() or self._turns != turns, seconds)

    def _fail(self, error: RolloutError) -> None:
        with self._news:
            # a look that the end of the watch cut off is no trouble of the region
            if self._stop.is_set():
                return
            self._problems, self._failed = error.problems, self._failed + 1
            self._trouble = "; ".join(text for each in error.problems for text in (each.what, each.fix) if text)

    def _begin(self, turns: int, before: Mapping[str, Answers], coverage: Coverage) -> None:
        with self._news:
            if self._stop.is_set():
                return
            self._trouble, self._problems, self._failed = "", (), 0
            self._turned, self._spans, self._coverage, self._before = turns, [], coverage, before

    def _add(self, span: Span | None, coverage: Coverage) -> None:
        with self._news:
            if self._stop.is_set():
                return
            self._trouble, self._problems, self._failed = "", (), 0
            self._coverage = self._coverage.then(coverage)
            self._spans += [span] if span else []
