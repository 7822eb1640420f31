"""What a promotion is judged by, fixed before its first step. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

UNANSWERED = 1e-4
"""The part of all requests, 0..1, that may get an answer from nobody: one in 10,000, as on a path that is well."""

LATENCIES = (0.5, 0.95, 0.99)
"""The quantiles of the old version's latencies, from before the first step, by which it is known what is slow if that is not declared."""

SLOW = 1.5
"""How many times such a quantile a request takes at least that is slow."""


@dataclass(frozen=True)
class Terms:
    """How the new version is to stand to the others, in the same seconds.

    Attributes:
        keep: The percent that the others keep in each region until all regions are done, 0..50: somebody to compare with.
        points: How much more of its requests may fail, in percentage points, above 0.
        ratio: How many times as many of its requests may be slow, above 1. In the lab, of two versions of one image, the one with a tenth
            of the requests has up to 1.5 times as many: its connections and pods are idle more often.
        longest_seconds: How long a step may take to be proven; then the promotion stops.
    """

    keep: int = 1
    points: float = 0.5
    ratio: float = 2.0
    longest_seconds: int = 600

    def __str__(self) -> str:
        return f"keep={self.keep} points={self.points:g} ratio={self.ratio:g} longest={self.longest_seconds}s"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `str`.

        Raises:
            ValueError: the text is none.
        """
        found = re.fullmatch(r"keep=(\d+) points=([\d.e-]+) ratio=([\d.e+]+) longest=(\d+)s", text)
        if found is None:
            raise ValueError("no terms")
        return cls(int(found[1]), float(found[2]), float(found[3]), int(found[4]))

    def weight(self, step: int) -> int:
        """What the new version gets with a step while something is kept for the others, a percent."""
        return min(step, 100 - self.keep)
