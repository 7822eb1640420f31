"""An anytime-valid test of a split: is every version's share within its tolerance, is one outside, or is it not yet known?

One version's share. Of n requests x went to a version of configured weight w; each request is a draw of its own, and the
version's true share p is unknown. For any distribution π on shares, fixed before the first request,

    M(p) = ∫ q^x (1-q)^(n-x) dπ(q)  /  p^x (1-p)^(n-x)

is, if p is the true share, a product of factors with mean 1: a martingale that begins at 1 and is never negative. By
Ville's inequality (1939) it reaches 1/r at any time, ever, with probability at most r. So the shares p whose M(p) is
below 1/r are a confidence sequence: with probability 1 - r it holds the true share after every request at once, however
often somebody looks and for whatever reason they stop (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021; for
counts of several kinds Lindon and Malek 2022).

π is half a point mass on w and half Jeffreys' prior, the beta distribution with parameters ½ and ½:

    M(p) = [½ w^x (1-w)^(n-x) + ½ B(x+½, n-x+½) / B(½, ½)]  /  p^x (1-p)^(n-x)

The point mass makes M at least half of the likelihood ratio of w against p, Wald's (1945), which no test beats in
the mean where the split is right: a right split is certified for the price of ln 2. Jeffreys' prior loses ½ ln n + O(1) to
the best share in hindsight, whatever it is: that finds a wrong split, of any size.

Several shares. The same interval serves both verdicts, the table and the plot; see `version_risk` and `standing`. It assumes
that the requests are independent, which `rollout.judge.independence` tests.

Weights are whole percents that sum to 100, as in a stack file; shares are 0..1.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# How often, at most, a verdict may be wrong: a right split found wrong, or a wrong one certified.
RISK = 0.001
# How far a share may be from its weight, in points, the edge included.
TOLERANCE_POINTS = 2
# What proves a split may send so many, if it needs them. 90/10 needs 4,900 in the mean, 50/50 13,500, and 42,900 once in
# 1,000 times (1,000 simulated runs each): a split that is right is then left undecided about as rarely as found wrong.
DEFAULT_MOST = 50_000

_MOST_TO_GO = 1_000_000

# one number, or an array of them for simulations; counts may be fractions where a prediction scales them
Counts = TypeVar("Counts", float, "NDArray[np.float64]")


@dataclass(frozen=True)
class Interval:
    """Bounds of a share, both in 0..1, or of a difference."""

    low: float
    high: float


class Standing(StrEnum):
    """What is known of a split."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    NOT_YET_KNOWN = "not yet known"


def allowed(weight: int) -> Interval:
    """The shares that are right for a weight: two points to either side, the edges included.

    Below a weight of 4 the lower edge is half the weight, so that a version that gets nothing is never right.

    Raises:
        ValueError: the weight is outside 0..100.
    """
    if not 0 <= weight <= 100:
        raise ValueError(f"weight {weight} is not a whole percent")
    low = max(weight - TOLERANCE_POINTS, weight / 2 if weight < 2 * TOLERANCE_POINTS else 0)
    return Interval(low / 100, min(weight + TOLERANCE_POINTS, 100) / 100)


def version_risk(weights: Mapping[str, int], risk: float = RISK) -> float:
    """The risk at which each version's interval is made, so that the verdict on all of them has `risk`.

    Of two versions one has too much of what the other lacks, and their intervals mirror each other: one event, which has
    the whole risk. Of k > 2 any may be found outside by mistake, so each has risk/k (union bound).
    """
    routed = sum(weight > 0 for weight in weights.values())
    return risk if routed <= 2 else risk / routed


def share_interval(count: float, requests: float, weight: int, risk: float) -> Interval:
    """The confidence sequence for one share: every p whose M(p) is below 1/risk.

    Args:
        count: Requests that the version answered.
        requests: All requests, of every version.
        weight: The version's configured weight, 0..100.
        risk: How often, at most, the true share is outside at any time; `version_risk` for one that is part of a verdict.

    Raises:
        ValueError: `count` is not in 0..`requests`, or the weight is outside 0..100.
    """
    _check(count, requests, weight)
    # M for share p of x is M for share 1-p of n-x: the upper bound is the lower one in the mirror
    return Interval(
        _lower_bound(count, requests, weight, risk), 1 - _lower_bound(requests - count, requests, 100 - weight, risk)
    )


def _lower_bound(count: float, requests: float, weight: int, risk: float) -> float:
    from scipy.optimize import brentq  # noqa: PLC0415 - most commands need no interval, and SciPy takes a while

    if count == 0:
        return 0.0

    # M falls from infinity at share 0 to at most 1 at the observed share
    def excess(share: float) -> float:
        return log_evidence(count, requests, weight, share) + math.log(risk)

    return float(brentq(excess, sys.float_info.min, count / requests))


def log_evidence(count: Counts, requests: Counts, weight: int, share: float) -> Counts:
    """ln M(share): the evidence against a true share. Infinite where `share` is 0 or 1 and was seen to be neither."""
    import numpy as np  # noqa: PLC0415
    from scipy.special import betaln, xlog1py, xlogy  # noqa: PLC0415

    others = requests - count
    at_weight = xlogy(count, weight / 100) + xlog1py(others, -weight / 100)
    anywhere = betaln(count + 0.5, others + 0.5) - betaln(0.5, 0.5)
    mixture: Any = np.logaddexp(at_weight, anywhere) - math.log(2)
    evidence: Counts = mixture - xlogy(count, share) - xlog1py(others, -share)
    return evidence


def is_inside(count: Counts, requests: Counts, weight: int, risk: float) -> Any:
    """Whether the interval lies within what the weight allows; a truth value, or an array of them."""
    edges = allowed(weight)
    # beyond 0 and 1 there is no share to be excluded
    above: Any = edges.low == 0 or (count > edges.low * requests) & _excluded(count, requests, weight, edges.low, risk)
    below: Any = edges.high == 1 or (count < edges.high * requests) & _excluded(
        count, requests, weight, edges.high, risk
    )
    return above & below


def is_outside(count: Counts, requests: Counts, weight: int, risk: float) -> Any:
    """Whether the interval has nothing in common with what the weight allows; a truth value, or an array of them."""
    edges = allowed(weight)
    too_few = (count < edges.low * requests) & _excluded(count, requests, weight, edges.low, risk)
    too_many = (count > edges.high * requests) & _excluded(count, requests, weight, edges.high, risk)
    return too_few | too_many


def _excluded(count: Counts, requests: Counts, weight: int, share: float, risk: float) -> Any:
    return log_evidence(count, requests, weight, share) >= -math.log(risk)


def standing(counts: Mapping[str, float], requests: float, weights: Mapping[str, int], risk: float = RISK) -> Standing:
    """What the counts so far prove. It may be asked after every request; the first answer that decides may be kept.

    It holds when the interval of every version with weight lies within what its weight allows. If the split is wrong, one
    share at least is off, and its interval excludes it with probability at most `risk`: no union bound is needed.
    It does not hold when some version's interval lies wholly outside. If the split is right, that happens with probability at
    most `risk`: see `version_risk`.

    Args:
        counts: Requests by the version that answered; a version that is missing has none. Versions without weight are not
            judged here: what they get is a finding of its own.
        requests: All requests that a version answered.
        weights: The configured split.
        risk: How often, at most, either verdict may be wrong.

    Raises:
        ValueError: the weights do not sum to 100, or a count is not in 0..`requests`.
    """
    _check_split(weights)
    each = version_risk(weights, risk)
    routed = {version: weight for version, weight in weights.items() if weight > 0}
    for version, weight in routed.items():
        _check(counts.get(version, 0), requests, weight)
    if any(is_outside(counts.get(version, 0), requests, weight, each) for version, weight in routed.items()):
        return Standing.DOES_NOT_HOLD
    if all(is_inside(counts.get(version, 0), requests, weight, each) for version, weight in routed.items()):
        return Standing.HOLDS
    return Standing.NOT_YET_KNOWN


def requests_to_go(
    counts: Mapping[str, int], requests: int, weights: Mapping[str, int], risk: float = RISK
) -> int | None:
    """How many more requests decide it if the shares stay as seen; 0 when it is decided.

    An estimate for the reader: the shares will move. Before the first request the split is taken to be right. None for more
    than 1,000,000: a share so near an edge may never be decided.

    Raises:
        ValueError: as `standing`.
    """
    _check_split(weights)
    shares = {
        version: counts.get(version, 0) / requests if requests else weight / 100 for version, weight in weights.items()
    }

    def decided(more: int) -> bool:
        total = requests + more
        scaled = {version: share * total for version, share in shares.items()}
        return standing(scaled, total, weights, risk) is not Standing.NOT_YET_KNOWN

    if standing(counts, requests, weights, risk) is not Standing.NOT_YET_KNOWN:
        return 0
    if not decided(_MOST_TO_GO):
        return None
    return bisect_left(range(_MOST_TO_GO), True, key=decided)


def _check(count: float, requests: float, weight: int) -> None:
    if not 0 <= count <= requests:
        raise ValueError(f"{count} is not a count of {requests} requests")
    if not 0 <= weight <= 100:
        raise ValueError(f"weight {weight} is not a whole percent")


def _check_split(weights: Mapping[str, int]) -> None:
    if any(not 0 <= weight <= 100 for weight in weights.values()) or sum(weights.values()) != 100:
        raise ValueError(f"weights {dict(weights)} are not whole percents that sum to 100")
