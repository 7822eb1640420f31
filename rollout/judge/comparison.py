"""Is the new version worse than the old one, and by how much at most? Both from the same requests, at any time.

A client's Envoy draws each request's version by the weights, independently of all else. F(new) and F(old) are what either version
would have made of a request: 1 if bad (it failed, or was slower than a bound that was fixed beforehand), else 0. One of them is seen.
Nothing is assumed of F: rates may drift, pods may fail together, an outage may hit both. Only the draw is random.

Alarm. The hypothesis: at no moment is the new version bad more than `ratio` times as often as the old one, plus `points`. With

    X = 1{new, bad} / (ratio·w) - 1{old, bad} / (1-w) - points / ratio

and a true share s ≤ w, X has a mean of at most P(new bad)/ratio - P(old bad) - points/ratio ≤ 0, given all that came before:
s/w ≤ 1 and (1-s)/(1-w) ≥ 1, so w need only be an upper bound. X is never below -B, B = 1/(1-w) + points/ratio. For
0 ≤ λ < 1/B the factor 1 + λX is positive and its mean is at most 1: the product over all requests, mixed over a fixed grid of λ,
reaches 1/r at any time with probability at most r (Ville 1939). Where w = 1 nobody is compared with: the old version counts as never
bad, and the new one is held against `points` alone.
Such a product falls for as long as all is well, where the margin has points, and would take as long to rise again: a version that
breaks after an hour would fail for minutes. So the evidence is a mixture of products that begin with each sample, whose parts are fixed
beforehand and make 1. What has not begun yet counts as 1. One that begins with the nth sample has lost 2·ln n and a little.
The requests of one sample may depend on each other: a version's pods stall or fail together. So a sample's factor G is less than the
product P over its requests, which only lowers the mean.
- For failures G = min(P, `MOST_OF_A_SAMPLE`). No single burst accuses: it takes three bad samples from the beginning.
- `together`, for latency, G = P up to 1 and 2 - 1/P above. Then the mean of G is at most 1 also where two versions that are alike
  stall in turns, as they do on a busy machine: where, given what came before, F(new) and F(old) of the whole sample are as likely the
  other way round. For G ≤ P and G is concave in P, so given F its mean over the draws is at most G of the mean of P, which is
  a product of 1 + λ or less where only the new one is bad, 1 - λ or less where only the old one is, and else 1 or less. The two
  ways round have products p and q with pq ≤ 1, and G(p) + G(q) ≤ 2. (This needs a ratio of 1 at least.) It takes eleven bad samples
  from the beginning.
A hidden state that outlives a sample, such as one version's pods failing for a minute at random, makes that version worse while it
lasts, and is found. That the other version's turn may come is in no test's reach.

Proof. The average of F(new) - ratio·F(old) over all requests of the samples lies within bounds. X = 1{new, bad}/w -
ratio·1{old, bad}/(1-w) has the mean m = F(new) - ratio·F(old) if w is exact, and X/c ≥ -1 for c = ratio/(1-w). For 0 ≤ λ < 1

    (1 + λX/c) · exp(-λm/c)

is positive and has a mean of (1 + λm/c)·exp(-λm/c) ≤ 1, so the product over all requests, mixed over λ, reaches 1/r at any time with
probability at most r; it depends on the m by their average alone. Those averages for which it has not are the lower bound's side. The
upper bound is that of -X, with c = 1/w. (It is never wider than the empirical-Bernstein bound of Howard, Ramdas, McAuliffe and
Sekhon 2021 centred at 0, since exp(λξ - ψ(λ)ξ²) ≤ 1 + λξ: Fan, Grama and Liu 2015. Counts are enough for it, as there are three
values of X only.) It is an average over time, so a version that is bad half of the time is seen. The difference is that of these
very requests, whatever they depend on.

The mixture has half of its mass on the largest λ: an alarm loses ln 2 where the old version is never bad, and "nothing bad at all"
proves a margin m after about ln(2/risk) / (w·m) requests. The other half lies evenly on smaller ones, for what is rarely decided.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

from rollout.judge.shares import Counts, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# Of two bad samples no more than 900 comes, so they never accuse at a risk of 1 in 1,000; the first three do, at 1 in 12,000 too.
MOST_OF_A_SAMPLE = 30.0

_MIXED = 24
# -ln(1-λ), the smallest and the largest: λ is 0.0001 and 0.98
_SMALLEST, _LARGEST = 1e-4, 4.0
# the part of an alarm's evidence that begins with the first sample; after n samples a tenth / n has not begun yet
_FROM_THE_FIRST = 0.9
# where no request may be bad, one that is gets a factor of about 1 / this
_NEVER = 1e-9
# the smallest rate that is found is one of so many
_RATES = 100_000
_MOST_EXPECTED = 1_000_000_000


@dataclass(frozen=True)
class Sample:
    """Requests that were drawn in the same short time, of all clients: what hits all of them at once is in one sample.

    Attributes:
        share: The new version's weight, above 0 and at most 1; the highest where it moved meanwhile.
        requests: All of them, to whichever version.
        new: The bad ones of the new version.
        old: The bad ones of the others.

    Raises:
        ValueError: the share is not in 0..1 or is 0, or more requests are bad than there are.
    """

    share: float
    requests: float
    new: float
    old: float

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share {self.share:g} of the new version is not above 0 and at most 1")
        if min(self.new, self.old) < 0 or self.new + self.old > self.requests:
            raise ValueError(f"{self.new} and {self.old} bad ones are not among {self.requests} requests")


@dataclass(frozen=True)
class Margin:
    """How bad the new version may be: `ratio` times as often as the old one, and `points` (0..1) of all its requests more."""

    ratio: float = 1.0
    points: float = 0.0

    def __post_init__(self) -> None:
        if self.ratio <= 0 or not 0 <= self.points <= 1:
            raise ValueError(f"a margin of {self.ratio:g} times and {self.points:g} more is not one")


class Evidence:
    """The alarm's evidence, sample by sample; what was added before costs nothing more."""

    def __init__(self, margin: Margin, *, together: bool) -> None:
        """Begin with none.

        Args:
            margin: The hypothesis: at no moment is the new version bad more often than this allows.
            together: Whether the requests of a sample may depend on each other (latency). Then the ratio is 1 at least, and
                samples last longer than a stall does: two seconds.
        """
        import numpy as np  # noqa: PLC0415 - most commands compare nothing, and NumPy takes a while

        self._margin, self._together = margin, together
        self._samples = 0
        self._begun: Array = np.full(_MIXED, -np.inf)

    def add(self, samples: Iterable[Sample]) -> None:
        """Add samples that were not added before, in the order of their time."""
        import numpy as np  # noqa: PLC0415

        for share, row in groupby(samples, key=lambda sample: sample.share):
            self.add_many(share, *np.array([(each.requests, each.new, each.old) for each in row], dtype=float).T)

    def add_many(self, share: float, requests: Array, new: Array, old: Array) -> None:
        """As `add`, of one share; an entry of each array is a sample's."""
        growth = log_growth(share, requests, new, old, self._margin, together=self._together)
        self._begun = log_begun(self._begun, self._samples, growth)
        self._samples += len(growth)

    @property
    def log(self) -> float:
        """ln of the evidence. The hypothesis is wrong, at a risk r, once this has reached -ln r."""
        import numpy as np  # noqa: PLC0415

        not_begun = np.log(_not_begun(np.array(float(self._samples))))
        return float(np.logaddexp(mixed(self._begun), not_begun) if self._samples else not_begun)


def log_evidence(samples: Iterable[Sample], margin: Margin, *, together: bool) -> float:
    """ln of the evidence that these samples give; see `Evidence`."""
    evidence = Evidence(margin, together=together)
    evidence.add(samples)
    return evidence.log


def pooled(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """One sample a share, of all these requests. A proof says the same of them; an alarm does not."""
    by_share: dict[float, Sample] = {}
    for sample in samples:
        so_far = by_share.get(sample.share, Sample(sample.share, 0, 0, 0))
        requests, new, old = so_far.requests + sample.requests, so_far.new + sample.new, so_far.old + sample.old
        by_share[sample.share] = Sample(sample.share, requests, new, old)
    return tuple(by_share.values())


def bounds(samples: Iterable[Sample], ratio: float, risk: float) -> Interval:
    """Where the average of F(new) - `ratio`·F(old) over all requests can be; each bound is ever wrong with probability at most `risk`.

    Where a share is 1 the old version counts as never bad. Leave out samples whose share is not exact. Judge samples of one
    share, or of shares whose least and greatest were fixed beforehand: they set the scale.
    """
    by_share = pooled(samples)
    high, low = (_Average.of(by_share, ratio, above=above).bound(risk) for above in (True, False))
    return Interval(*(min(max(bound, -ratio), 1.0) for bound in (low, high)))


def is_within(samples: Iterable[Sample], margin: Margin, risk: float) -> bool:
    """Whether the new version is proven to be within the margin: the upper one of the `bounds` is. Far cheaper than these."""
    return _Average.of(samples, margin.ratio, above=True).is_below(margin.points, risk)


def expected_requests(share: float, new_rate: float, old_rate: float, margin: Margin, risk: float) -> int | None:
    """About how many requests prove that a version which is bad so often is within the margin.

    Args:
        share: The new version's, above 0 and at most 1.
        new_rate: How often it is bad, 0..1.
        old_rate: How often the old version is, 0..1.
        margin: What is to be proven.
        risk: As of `bounds`.

    Returns:
        The number; None for more than 1,000,000,000, as where nothing is bad and the margin has no points, or where the version is
        beyond the margin.
    """
    new, old = share * new_rate, (1 - share) * old_rate
    growth = log_growth_of_average(share, new, old, margin.ratio, 1 / share, above=True)
    one = _Average(1, 1 / share, growth, above=True)

    def proven(requests: int) -> bool:
        return one.times(requests).is_below(margin.points, risk)

    return bisect_left(range(_MOST_EXPECTED), True, key=proven) if proven(_MOST_EXPECTED) else None


def smallest_found(
    share: float,
    old_rate: float,
    requests: float,
    margin: Margin,
    risk: float,
    *,
    sample: float = 1.0,
    together: bool = False,
) -> float | None:
    """The smallest bad rate of the new version that the alarm finds, about every other time, in this many requests.

    All evidence is taken to begin with the first sample: nearly all of it begins soon after, and the rate lasts.

    Args:
        share: The new version's, above 0 and below 1.
        old_rate: How often the old version is bad, 0..1.
        requests: All of them, to whichever version.
        margin: The alarm's.
        risk: The alarm's.
        sample: Requests of a sample.
        together: Whether its requests are judged together.

    Returns:
        The rate, 0..1; None where not even a version that is always bad is found.
    """
    import numpy as np  # noqa: PLC0415

    steps = _steps(share, margin)
    # a normal number's mean of anything, as a sum
    at, mass = np.polynomial.hermite_e.hermegauss(15)

    def growth(rate: float) -> Array:
        new, old = share * rate, (1 - share) * old_rate
        rates = np.array([new, old, 1 - new - old])
        mean = rates @ steps
        if not together:
            return np.asarray(requests / sample * np.minimum(sample * mean, math.log(MOST_OF_A_SAMPLE)))
        spread = np.sqrt(sample * (rates @ steps**2 - mean**2))
        grown = _softened(sample * mean[:, None] + spread[:, None] * at) @ mass / mass.sum()
        return np.asarray(requests / sample * grown)

    def found(rate: int) -> bool:
        return bool(mixed(growth(rate / _RATES)) >= -math.log(risk))

    return bisect_left(range(_RATES), True, key=found) / _RATES if found(_RATES) else None


@dataclass(frozen=True)
class _Mixture:
    """The λ that are mixed, as parts of the largest that may be; and what belongs to each."""

    parts: Array
    log_mass: Array


@lru_cache
def _mixture() -> _Mixture:
    import numpy as np  # noqa: PLC0415

    logs = np.geomspace(_SMALLEST, _LARGEST, _MIXED)
    mass = np.full(_MIXED, 0.5 / (_MIXED - 1))
    mass[-1] = 0.5
    return _Mixture(-np.expm1(-logs), np.log(mass))


@lru_cache
def _steps(share: float, margin: Margin) -> Array:
    """ln(1 + λX) for each λ: of a bad request of the new version, of a bad one of the old, and of a good one."""
    import numpy as np  # noqa: PLC0415

    allowed = margin.points / margin.ratio
    old = 1 / (1 - share) if share < 1 else 0.0
    rates = _mixture().parts / max(old + allowed, _NEVER)
    steps: Array = np.log1p(np.outer([1 / (margin.ratio * share) - allowed, -old - allowed, -allowed], rates))
    return steps


def log_growth(share: float, requests: Counts, new: Counts, old: Counts, margin: Margin, *, together: bool) -> Array:
    """By how much the logarithm of each part of the mixture grows with one sample, or with each of arrays of them: a last axis more."""
    import numpy as np  # noqa: PLC0415

    growth: Array = np.stack([new, old, requests - new - old], axis=-1) @ _steps(share, margin)
    return _softened(growth) if together else np.minimum(growth, math.log(MOST_OF_A_SAMPLE))


def _softened(growth: Array) -> Array:
    """ln of 2 - 1/P where the product P is above 1, and of P where it is not; of ln P."""
    import numpy as np  # noqa: PLC0415

    return np.where(growth > 0, np.log1p(-np.expm1(-np.maximum(growth, 0))), growth)


def _not_begun(samples: Array) -> Array:
    """The part of the evidence that begins after so many samples."""
    import numpy as np  # noqa: PLC0415

    return np.where(np.equal(samples, 0), 1.0, (1 - _FROM_THE_FIRST) / np.maximum(samples, 1))


def log_begun(before: Array, samples: int, growth: Array) -> Array:
    """ln of what began with any sample, for each λ.

    Args:
        before: The same, before these samples.
        samples: How many came before them.
        growth: By how much each of them grows; the first axis is that of the samples.
    """
    import numpy as np  # noqa: PLC0415

    if not len(growth):
        return before
    begins = -np.diff(_not_begun(samples + np.arange(len(growth) + 1.0)))
    total = growth.cumsum(axis=0)
    begun = np.log(begins).reshape(-1, *[1] * (growth.ndim - 1)) - (total - growth)
    return np.asarray(total[-1] + np.logaddexp(before, np.logaddexp.reduce(begun, axis=0)))


def mixed(growth: Array) -> Array:
    """ln of the mixture of what has grown by this; over the last axis."""
    import numpy as np  # noqa: PLC0415

    weighted = growth + _mixture().log_mass
    most = weighted.max(axis=-1, keepdims=True)
    return np.asarray(most[..., 0] + np.log(np.exp(weighted - most).sum(axis=-1)))


def log_growth_of_average(share: float, new: Counts, old: Counts, ratio: float, scale: float, *, above: bool) -> Array:
    """By how much the logarithm of each part of the mixture grows with these bad requests, but for λm/c, where c is `scale`."""
    import numpy as np  # noqa: PLC0415

    sign = -1 if above else 1
    rates = sign * _mixture().parts / scale
    of_new, of_old = np.log1p(rates / share), np.log1p(-rates * _per_old(share, ratio))
    growth: Array = np.asarray(new)[..., None] * of_new + np.asarray(old)[..., None] * of_old
    return growth


def log_evidence_of_average(growth: Array, total: Counts, scale: float, *, above: bool) -> Array:
    """ln of the evidence that the sum of all F(new) - ratio·F(old) is below `total` (`above`), or above it; numbers, or arrays."""
    import numpy as np  # noqa: PLC0415

    return mixed(growth + np.asarray(total)[..., None] * (1 if above else -1) / scale * _mixture().parts)


def _per_old(share: float, ratio: float) -> float:
    """What a bad request of the old version counts; where there is none it is never bad."""
    return ratio / (1 - share) if share < 1 else 0.0


@dataclass(frozen=True)
class _Average:
    """What is known of the average of F(new) - ratio·F(old): that it is below something (`above`), or that it is above."""

    requests: float
    scale: float
    growth: Array
    above: bool

    @classmethod
    def of(cls, samples: Iterable[Sample], ratio: float, *, above: bool) -> _Average:
        import numpy as np  # noqa: PLC0415

        by_share = pooled(samples)
        scales = (1 / each.share if above else _per_old(each.share, ratio) for each in by_share)
        scale = max(scales, default=1.0) or 1.0
        growth = np.zeros(_MIXED)
        for each in by_share:
            growth = growth + log_growth_of_average(each.share, each.new, each.old, ratio, scale, above=above)
        return cls(sum(each.requests for each in by_share), scale, growth, above)

    def times(self, factor: float) -> _Average:
        """Of so many times the requests, at the same rates."""
        return replace(self, requests=self.requests * factor, growth=self.growth * factor)

    def is_below(self, points: float, risk: float) -> bool:
        """Whether the average is proven to be at most `points`."""
        evidence = log_evidence_of_average(self.growth, self.requests * points, self.scale, above=True)
        return bool(evidence >= -math.log(risk))

    def bound(self, risk: float) -> float:
        """The average against which the evidence is 1/risk; infinite where nothing was seen."""
        from scipy.optimize import brentq  # noqa: PLC0415

        sign = 1 if self.above else -1
        if not self.requests:
            return sign * math.inf
        mixture = _mixture()
        # where one part of the mixture suffices, and where all of them together do not
        enough = (-math.log(risk) - mixture.log_mass - self.growth) / mixture.parts
        too_little = enough - math.log(_MIXED) / mixture.parts

        def lacking(total: float) -> float:
            return float(mixed(self.growth + total * mixture.parts)) + math.log(risk)

        total = float(brentq(lacking, too_little.min() - 1, enough.min()))
        return sign * total * self.scale / self.requests
