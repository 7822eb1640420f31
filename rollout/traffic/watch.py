"""A region watched while it is changed: a steady stream of requests, counted in windows that follow on one another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Self

from rollout.measurement import Count, Measurement, Result, in_order
from rollout.problem import Problem, RolloutError
from rollout.traffic.attack import END_SECONDS, LONGEST_SECONDS, Attack
from rollout.traffic.probe import Source

_QUIET_SECONDS = 30.0
"""Longer than the probe's timeout for a request (5 s) and a new exec together: after that nothing more will come."""


class Watch:
    """What a region does with the requests that are sent to it all the time, each of them counted in one window.

    It lasts as long as the block that it is entered for. Requests are counted in the order in which they were sent. Those
    that are under way when the watch ends are not counted.

    Args:
        source: The region's probe.
        attack: The requests to send, again and again for as long as it lasts.
        bounds_ms: What takes longer is slow: latencies in ms.
    """

    def __init__(self, source: Source, attack: Attack, bounds_ms: Sequence[float] = ()) -> None:
        self._source = source
        self._bounds_ms = bounds_ms
        self._attack = replace(attack, requests=min(attack.requests, int(attack.rate * LONGEST_SECONDS)))
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._count = self._new_count()
        # over all windows: one that is under way holds back those after it, so more are known to have been sent than counted
        self._counted = 0
        self._sent = 0
        self._began = self._heard = time.monotonic()
        self._failure: RolloutError | None = None
        self._thread = threading.Thread(target=self._follow, name=f"watch {source.region.name}", daemon=True)

    @property
    def region(self) -> str:
        """The region's name."""
        return self._source.region.name

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(END_SECONDS)

    def seen(self) -> Measurement:
        """The window so far.

        Raises:
            RolloutError: no more requests are sent, and why.
        """
        with self._news:
            self._raise_failure()
            if time.monotonic() - self._heard > _QUIET_SECONDS:
                raise RolloutError(self._is_quiet())
            return self._window()

    def turn(self, then: Callable[[Measurement], object] = lambda _ended: None) -> Measurement:
        """Ends the window, and begins the next one with requests that are surely sent after this call; takes about a second.

        Those that were sent up to a second after the last one that came, as many as the rate, still belong to the window that ends:
        some of them were under way already, or written down and not yet delivered.

        Args:
            then: Called with the window that ended before anybody sees the next one.

        Raises:
            RolloutError: no more requests are sent, and why.
        """
        with self._news:
            last = self._sent + self._attack.rate
            while self._counted < last:
                self._raise_failure()
                if not self._news.wait(_QUIET_SECONDS):
                    raise RolloutError(self._is_quiet())
            self._raise_failure()
            ended = self._window()
            self._count, self._began = self._new_count(), time.monotonic()
            then(ended)
            return ended

    def _new_count(self) -> Count:
        return Count(self.region, self._attack.expected, self._bounds_ms)

    def _window(self) -> Measurement:
        count = self._count
        return count.measurement(planned=count.requests, seconds=time.monotonic() - self._began)

    def _follow(self) -> None:
        ends = time.monotonic() + LONGEST_SECONDS
        try:
            # one attack has an end, and a long bake may need the next
            while not self._stop.is_set() and time.monotonic() < ends:
                for result in in_order(self._noted(self._source.results(self._attack, self._stop))):
                    self._add(result)
            self._fail(RolloutError.of(f"{self.region}: watched for {LONGEST_SECONDS / 3600:.0f} h without an end"))
        except RolloutError as error:
            self._fail(error)

    def _noted(self, results: Iterator[Result]) -> Iterator[Result]:
        """An attack's results as they come; how many were sent, by their numbers."""
        before = self._counted
        for result in results:
            with self._news:
                self._sent = max(self._sent, before + result.sequence + 1)
                self._heard = time.monotonic()
            yield result

    def _add(self, result: Result) -> None:
        with self._news:
            self._count.add(result)
            self._counted += 1
            self._news.notify_all()

    def _fail(self, error: RolloutError) -> None:
        with self._news:
            self._failure = error
            self._news.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _is_quiet(self) -> Problem:
        return Problem(
            f"{self.region}: no request was answered for {_QUIET_SECONDS:.0f} s, nor failed",
            "what is not measured is not known to be well",
            f"see that the probe runs and its exec goes through: kubectl --context {self._source.region.context} -n echo-probe get pods",
        )
