"""Requests to a service that are answered by lot, and what they add up to: in arrays, because a proof takes many thousands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from rollout.measurement import (
    MOMENT_SECONDS,
    NOBODY,
    Drawn,
    Latencies,
    Measurement,
    Moment,
    Origin,
    Result,
    Tally,
    together,
)
from tests.rollout.answers import AT_NS, fault, ok, other

RATE = 2_500
"""Requests a second, and so those of a look: the proof of a share takes some ten thousand."""
VERSIONS = (NOBODY, "v1", "v2", "v3")
_CLASSES_PER_DOUBLING = 8
_REFUSED = "connection refused"


@dataclass(frozen=True)
class Draws:
    """Requests of a region, in the order of sending: an entry of each array.

    Attributes:
        region: Its name.
        version: The place of the version that was chosen among `VERSIONS`; that of `NOBODY` where nobody answered.
        failed: Whether it failed.
        at_ns: When it was sent.
        latency_ns: How long it took.
    """

    region: str
    version: NDArray[np.int64]
    failed: NDArray[np.bool_]
    at_ns: NDArray[np.int64]
    latency_ns: NDArray[np.int64]

    @classmethod
    def of_a_second(
        cls,
        region: str,
        second: int,
        weights: Mapping[str, int],
        random: np.random.Generator,
        *,
        unanswered: float,
        failing: Callable[[str, int], float],
        slower: Callable[[str], float],
    ) -> Draws:
        """Draws those of one second, each with a latency of its own: 1 ms in the median, 4 ms in one of a hundred.

        Args:
            region: Its name.
            second: Its number.
            weights: Whole percents by version.
            random: The lot.
            unanswered: How often nobody answers, 0..1.
            failing: How often a version with its weight fails, 0..1.
            slower: How many times as long a version takes.
        """
        lot = random.random(RATE)
        rates = _by_version({version: failing(version, weight) for version, weight in weights.items()})
        factors = _by_version({version: slower(version) for version in weights}, else_=1.0)
        shares = _by_version({version: weight / 100 for version, weight in weights.items()})
        chosen = random.choice(len(VERSIONS), RATE, p=shares)
        version = np.where(lot < unanswered, 0, chosen)
        latency = 1e6 * factors[version] * random.lognormal(0, 0.6, RATE)
        at_ns = AT_NS + (second * RATE + np.arange(RATE)) * 1_000_000_000 // RATE
        failed = lot < np.maximum(rates[chosen], unanswered)
        return cls(region, version, failed, at_ns, latency.astype(np.int64))

    def results(self, first: int = 0) -> Iterator[Result]:
        """Each of them as the probe reports it; `first` is the place of the first one in the order of sending."""
        rows = zip(*(each.tolist() for each in (self.version, self.failed, self.at_ns, self.latency_ns)), strict=True)
        kinds = {
            (place, failed): (fault if failed else ok)(version, self.region)
            for (place, version), failed in product(enumerate(VERSIONS), (False, True))
        }
        kinds[0, True] = other(0, error=_REFUSED)
        for sequence, (version, failed, at_ns, latency_ns) in enumerate(rows, first):
            kind = kinds[version, failed]
            yield Result(kind.code, kind.body, kind.error, sequence, at_ns, latency_ns=latency_ns)

    def added(self, so_far: Measurement | None, before: int, bounds_ms: Sequence[float]) -> Measurement:
        """What `rollout.measurement.Count` makes of their results after others.

        Args:
            so_far: What it made of the others; None where these are the first.
            before: The place of the version that answered last; that of `NOBODY` where these are the first.
            bounds_ms: What takes longer is slow.
        """
        requests, failures = (self._counts(of) for of in (slice(None), self.failed))
        reasons = {"HTTP 500": sum(failures[1:]), _REFUSED: failures[0]}
        own = Measurement(
            region=self.region,
            planned=RATE,
            answered={
                Origin(self.region, version): Tally(requests[place], failures[place])
                for place, version in enumerate(VERSIONS)
                if place and requests[place]
            },
            unanswered=requests[0],
            reasons={reason: times for reason, times in reasons.items() if times},
            seconds=1.0,
            transitions=self._transitions(before),
            moments=self._moments(bounds_ms),
            latencies=self._latencies(),
        )
        return _sum(so_far, own) if so_far else own

    @property
    def last(self) -> int:
        """The place of the version that answered last; that of `NOBODY` where none did."""
        answered = self.version[self.version > 0]
        return int(answered[-1]) if len(answered) else 0

    def _transitions(self, before: int) -> dict[tuple[str, str], int]:
        places = np.concatenate([[before], self.version])
        answered, size = places[places > 0], len(VERSIONS)
        pairs = np.bincount(answered[:-1] * size + answered[1:], minlength=size**2).tolist()
        return {pair: times for pair, times in zip(product(VERSIONS, VERSIONS), pairs, strict=True) if times}

    def _counts(self, of: slice | NDArray[np.bool_]) -> list[int]:
        """How many of some of them each version has."""
        counts: list[int] = np.bincount(self.version[of], minlength=len(VERSIONS)).tolist()
        return counts

    def _moments(self, bounds_ms: Sequence[float]) -> tuple[Moment, ...]:
        moment = self.at_ns // int(MOMENT_SECONDS * 1e9)
        moment -= moment[0]
        cell, cells = moment * len(VERSIONS) + self.version, (int(moment[-1]) + 1) * len(VERSIONS)
        bad = [self.failed, *(self.latency_ns > bound * 1e6 for bound in bounds_ms)]
        columns = [np.bincount(cell, minlength=cells), *(np.bincount(cell[each], minlength=cells) for each in bad)]
        table = np.stack(columns, axis=-1).reshape(-1, len(VERSIONS), len(columns)).tolist()
        return tuple(
            {
                version: Drawn(requests, failed, tuple(slow))
                for version, (requests, failed, *slow) in zip(VERSIONS, row, strict=True)
                if requests
            }
            for row in table
        )

    def _latencies(self) -> dict[str, Latencies]:
        classes = np.ceil(_CLASSES_PER_DOUBLING * np.log2(np.maximum(self.latency_ns, 1) / 1e6)).astype(np.int64)
        lowest = int(classes.min())
        found: dict[str, Latencies] = {}
        for place, version in enumerate(VERSIONS):
            counts = np.bincount(classes[self.version == place] - lowest).tolist()
            if counts:
                found[version] = {lowest + each: times for each, times in enumerate(counts) if times}
        return found


def _sum(one: Measurement, more: Measurement) -> Measurement:
    answered = {
        origin: one.answered.get(origin, Tally()) + more.answered.get(origin, Tally())
        for origin in sorted({*one.answered, *more.answered})
    }
    return replace(
        one,
        planned=one.planned + more.planned,
        answered=answered,
        unanswered=one.unanswered + more.unanswered,
        reasons=Counter(one.reasons) + Counter(more.reasons),
        seconds=one.seconds + more.seconds,
        transitions=Counter(one.transitions) + Counter(more.transitions),
        moments=(*one.moments, *more.moments),
        latencies={
            version: together([of.latencies.get(version, {}) for of in (one, more)])
            for version in one.latencies.keys() | more.latencies.keys()
        },
    )


def _by_version(values: Mapping[str, float], else_: float = 0.0) -> NDArray[np.float64]:
    return np.array([values.get(version, else_) for version in VERSIONS])
