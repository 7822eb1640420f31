"""How a measurement came to be what it is, in a few hundred moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rollout.measurement import Measurement

_MOST_POINTS = 400


@dataclass(frozen=True)
class Point:
    """A look: how many requests had been sent, and how many of them each version had answered."""

    requests: int
    counts: Mapping[str, int]


class Trail:
    """Remembers how many requests each version had answered at evenly spaced looks, and at the last one.

    However many looks there are, at most 400 are kept: where that is too few for all, every second one is forgotten and
    from then on only half as many are remembered.
    """

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._last: Point | None = None
        self._looks = 0
        self._every = 1

    def add(self, so_far: Measurement) -> None:
        """Remembers a look, unless it is the last one again."""
        point = Point(so_far.requests, {version: tally.requests for version, tally in so_far.versions.items()})
        if point == self._last:
            return
        if self._looks % self._every == 0:
            self._points.append(point)
        self._last = point
        self._looks += 1
        if len(self._points) == _MOST_POINTS:
            self._points = self._points[::2]
            self._every *= 2

    @property
    def points(self) -> tuple[Point, ...]:
        """The moments, in order; the last look is the last of them."""
        if self._last is None or self._points[-1:] == [self._last]:
            return tuple(self._points)
        return (*self._points, self._last)
