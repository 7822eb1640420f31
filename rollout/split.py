"""The statistics of a fixed-size test of a split: how many requests, how far off is off, and what the rest may be.

Pure functions on integers. Weights are whole percents that sum to 100, as in a stack file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

# How far a share may be from its weight, in points, the edge included.
TOLERANCE_POINTS = 2
# How often a split that is right may be found wrong.
FALSE_ALARM_RISK = 0.001
# Coverage of the intervals that are shown. They are for the reader: the verdict does not use them.
INTERVAL_CONFIDENCE = 0.99
FEWEST_REQUESTS = 3_000
_ROUND_UP_TO = 100


@dataclass(frozen=True)
class Interval:
    """Bounds of a share, both in 0..1."""

    low: float
    high: float


def requests_needed(weights: Mapping[str, int]) -> int:
    """Fewest requests with which a split that is right is found wrong less than once in 1,000; at least 3,000.

    Of n requests a version with weight w (p = w/100) gets a binomial number X with mean n·p and variance n·p·(1-p),
    because each request is a draw of its own. It is found off when |X - n·p| > n·t, t = 0.02. By the normal
    approximation that has probability 2·(1 - Φ(t·√n / √(p(1-p)))), which is at most α for

        n ≥ z² · p(1-p) / t²,   z = Φ⁻¹(1 - α/2).

    Two versions make one event, since what one has too much the other lacks: α is the whole risk, 0.001, and z = 3.29.
    That gives 5,076 for 75/25 and 6,768 for 50/50. With k > 2 versions any of k shares can be off, so each gets α/k
    (union bound), and the version whose weight is nearest to 50 decides. Rounded up to hundreds: 5,100 and 6,800.

    The rounding is part of the proof. With n a multiple of 100, n·p and n·t are whole numbers, so the first count that
    is off is n·t + 1, half a request beyond what the approximation's continuity correction asks for; this pays for the
    approximation. The exact binomial risk is below 0.001 for each of the weights 1..99 (at most 0.00096, at 45/55).

    Raises:
        ValueError: a weight is outside 0..100, or they do not sum to 100.
    """
    if any(not 0 <= weight <= 100 for weight in weights.values()) or sum(weights.values()) != 100:
        raise ValueError(f"weights {dict(weights)} are not whole percents that sum to 100")
    routed = [weight for weight in weights.values() if weight > 0]
    events = 1 if len(routed) <= 2 else len(routed)
    z = NormalDist().inv_cdf(1 - FALSE_ALARM_RISK / events / 2)
    # in percents, p(1-p)/t² is w(100-w)/T²
    widest = max(weight * (100 - weight) for weight in routed)
    needed = z * z * widest / TOLERANCE_POINTS**2
    return max(FEWEST_REQUESTS, math.ceil(needed / _ROUND_UP_TO) * _ROUND_UP_TO)


def within_tolerance(count: int, requests: int, weight: int) -> bool:
    """Whether `count` of `requests` is at most two points from `weight` percent.

    In integers: as floats, 0.12 - 0.10 is more than 0.02, and the edge belongs to the band.
    """
    return abs(100 * count - weight * requests) <= TOLERANCE_POINTS * requests


def share_interval(count: int, requests: int) -> Interval:
    """The exact (Clopper and Pearson 1934) 99 % interval of a share of which `count` of `requests` were seen.

    Exact, not Wilson's: it covers at least 99 % for every weight, also near 0 and 100 where canaries live and where
    Wilson's falls short of its name; the price is less than a tenth of a point in width from 3,000 requests on.
    The bounds are quantiles of the beta distribution. `scipy.stats.binomtest` gives the same numbers, but importing
    `scipy.stats` takes a second, which would be a tenth of the whole command.
    """
    # imported here: numpy, which comes with it, takes two tenths of a second, and most commands need no interval
    from scipy.special import betaincinv  # noqa: PLC0415

    tail = (1 - INTERVAL_CONFIDENCE) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, requests - count + 1, tail))
    high = 1.0 if count == requests else float(betaincinv(count + 1, requests - count, 1 - tail))
    return Interval(low, high)
