"""Error rates, and requests needed, of `rollout/judge/comparison.py`: is the new version worse, and how much worse can it be?

Run `python -m bench.judge`, with `--runs 500` for a first look. The functions that are simulated are the product's own. Beside them:
- pooled: the test that they took the place of. All requests of a version count alike, whenever they were (universal inference:
  Wasserman, Ramdas and Balakrishnan 2020).
- Argo Rollouts, docs/features/analysis.md: `interval: 60s`, `count: 5`, `successCondition: result >= 0.95`; one measurement that
  fails ends it, as without a `failureLimit`.
- Flagger, docs/gitbook/tutorials/istio-progressive-delivery.md: `interval: 1m`, `threshold: 5`, `request-success-rate` of 99 at least.
Their windows are taken to be whole and exact, at once.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.special import betaln, xlogy

from rollout.judge.comparison import (
    Margin,
    expected_requests,
    log_begun,
    log_evidence_of_average,
    log_growth,
    log_growth_of_average,
    mixed,
    smallest_found,
)
from rollout.judge.shares import RISK

PER_SECOND = 500
PER_SAMPLE = 250
"""A sample is half a second."""
SAMPLES_A_MINUTE = 120
FIVE_MINUTES = 5 * SAMPLES_A_MINUTE
TEN_MINUTES = 10 * SAMPLES_A_MINUTE
HALF_AN_HOUR = 30 * SAMPLES_A_MINUTE
OF_A_LOOK = 20
"""Samples between two looks at clients' counters: ten seconds."""
ATTEMPTS = 3
"""So many attempts of a request are counted, at most; evidence of clients is taken to the power of one by this."""

NO_WORSE = Margin()
HALF_A_POINT = Margin(points=0.005)
HALF_AS_MUCH_AGAIN = Margin(1.5)

Array = NDArray[np.float64]
Found = NDArray[np.bool_]


@dataclass(frozen=True)
class Rates:
    """What half a second is like: the new version's share, and how often either version is bad, in each run."""

    share: float
    new: Array | float
    old: Array | float


World = Callable[[np.random.Generator, int], Iterator[Rates]]
"""Half seconds without an end, in so many runs."""


@dataclass(frozen=True)
class Counts:
    """A sample of each run."""

    share: float
    requests: Array | int
    to_new: Array
    new: Array
    old: Array


class Test(Protocol):
    """Something that looks at sample after sample."""

    def finds(self, seen: Counts) -> Found:
        """In which runs it now holds the new version to be worse."""


class Alarm:
    """The product's, `cut` or not."""

    def __init__(
        self,
        runs: int,
        margin: Margin = NO_WORSE,
        *,
        together: bool,
        cut: bool = True,
        risk: float = RISK,
        attempts: int = 1,
    ) -> None:
        self._margin, self._together, self._cut, self._enough = margin, together, cut, -math.log(risk)
        self._attempts = attempts
        self._samples = 0
        self._begun: Array = np.full((runs, 1), -np.inf)

    def finds(self, seen: Counts) -> Found:
        """See `Test`."""
        requests = np.zeros(seen.new.shape) + seen.requests
        if self._cut:
            requests, new, old = (each / self._attempts for each in (requests, seen.new, seen.old))
            growth = log_growth(seen.share, requests, new, old, self._margin, together=self._together)
        else:
            each = [(1.0, 1.0, 0.0), (1.0, 0.0, 1.0), (1.0, 0.0, 0.0)]
            steps = np.array([log_growth(seen.share, *one, self._margin, together=False) for one in each])
            growth = np.stack([seen.new, seen.old, requests - seen.new - seen.old], axis=-1) @ steps
        self._begun = log_begun(self._begun, self._samples, growth[None])
        self._samples += 1
        # a mixture is no more than the most of its parts
        found = self._begun.max(axis=-1) >= self._enough
        found[found] = mixed(self._begun[found]) >= self._enough
        return np.asarray(found)


class Longer:
    """Another test, whose samples are of so many; two seconds if nothing else is said. A share that rose meanwhile is the highest."""

    def __init__(self, test: Test, samples: int = 4) -> None:
        self._test, self._samples = test, samples
        self._seen: list[Counts] = []

    def finds(self, seen: Counts) -> Found:
        """See `Test`."""
        self._seen.append(seen)
        if len(self._seen) < self._samples:
            return np.zeros(seen.new.shape, dtype=bool)
        counts = ((each.to_new, each.new, each.old) for each in self._seen)
        together = Counts(
            seen.share, self._samples * seen.requests, *(np.sum(each, axis=0) for each in zip(*counts, strict=True))
        )
        self._seen = []
        return self._test.finds(together)


class Scraped:
    """A look at a Prometheus, which scraped each client at a moment of its own since the last look.

    What a client sent after that is in the next look. So the tests take turns.
    """

    def __init__(self, *tests: Test, samples: int = OF_A_LOOK) -> None:
        self._tests, self._samples = tests, samples
        self._random = np.random.default_rng(7)
        self._number = 0
        self._scraped: Any = 0.0
        self._late: Any = 0.0

    def finds(self, seen: Counts) -> Found:
        """See `Test`."""
        kinds = np.array([seen.to_new - seen.new, seen.requests - seen.to_new - seen.old, seen.new, seen.old])
        late = self._random.binomial(kinds.astype(int), (self._number % self._samples + 0.5) / self._samples)
        self._scraped, self._late = self._scraped + kinds - late, self._late + late
        self._number += 1
        look, rest = divmod(self._number, self._samples)
        if rest:
            return np.zeros(seen.new.shape, dtype=bool)
        of_new, _, new, old = kinds = self._scraped
        self._scraped, self._late = self._late, 0.0
        return self._tests[look % len(self._tests)].finds(Counts(seen.share, kinds.sum(axis=0), of_new + new, new, old))


class Pooled:
    """The former test: the rates of all requests of either version so far."""

    def __init__(self, runs: int, old_requests: float = 0, old_bad: float = 0) -> None:
        self._new, self._new_bad = np.zeros(runs), np.zeros(runs)
        self._old, self._old_bad = np.full(runs, old_requests), np.full(runs, old_bad)

    def finds(self, seen: Counts) -> Found:
        """See `Test`."""
        self._new, self._new_bad = self._new + seen.to_new, self._new_bad + seen.new
        self._old, self._old_bad = self._old + seen.requests - seen.to_new, self._old_bad + seen.old
        requests, bad = self._new + self._old, self._new_bad + self._old_bad
        in_order = self._new_bad * self._old <= self._old_bad * self._new
        apart = _log_best(self._new_bad, self._new) + _log_best(self._old_bad, self._old)
        of_mixtures = _log_mixed(self._new_bad, self._new) + _log_mixed(self._old_bad, self._old)
        return np.asarray(of_mixtures - np.where(in_order, apart, _log_best(bad, requests)) >= -math.log(RISK))


def _log_mixed(bad: Array, requests: Array) -> Any:
    return betaln(bad + 0.5, requests - bad + 0.5) - betaln(0.5, 0.5)


def _log_best(bad: Array, requests: Array) -> Any:
    of_all = np.maximum(requests, 1)
    return xlogy(bad, bad / of_all) + xlogy(requests - bad, (requests - bad) / of_all)


class Threshold:
    """A success rate of the new version, once a minute; so many that are too low end it, of so many that are looked at."""

    def __init__(self, runs: int, least: float, failed: int, minute: int = SAMPLES_A_MINUTE) -> None:
        self._least, self._enough, self._minute = least, failed, minute
        self._samples, self._failed = 0, np.zeros(runs)
        self._requests, self._bad = np.zeros(runs), np.zeros(runs)

    def finds(self, seen: Counts) -> Found:
        """See `Test`."""
        self._samples += 1
        self._requests, self._bad = self._requests + seen.to_new, self._bad + seen.new
        if self._samples % self._minute == 0:
            self._failed = self._failed + (self._bad > (1 - self._least) * self._requests)
            self._requests, self._bad = np.zeros_like(self._bad), np.zeros_like(self._bad)
        return np.asarray(self._failed >= self._enough)


def argo(runs: int) -> Test:
    """Its documents' example; five measurements are five minutes, which is as long as a world is looked at."""
    return Threshold(runs, 0.95, 1)


def flagger(runs: int) -> Test:
    """Its documents' example."""
    return Threshold(runs, 0.99, 5)


def first_found(
    tests: Sequence[Test], world: World, runs: int, samples: int = FIVE_MINUTES, requests: int = PER_SAMPLE
) -> list[NDArray[np.int64]]:
    """For each test, after how many samples it finds the new version worse, in each run; 0 for never."""
    random = np.random.default_rng(4)
    found = [np.zeros(runs, dtype=np.int64) for _ in tests]
    for number, rates in zip(range(1, samples + 1), world(random, runs), strict=False):
        to_new = random.binomial(requests, rates.share, runs)
        new, old = random.binomial(to_new, rates.new), random.binomial(requests - to_new, rates.old)
        seen = Counts(rates.share, requests, *(each.astype(float) for each in (to_new, new, old)))
        for test, at in zip(tests, found, strict=True):
            if not at.all():
                at[test.finds(seen) & (at == 0)] = number
        if all(at.all() for at in found):
            break
    return found


def common(rate: Callable[[int], float], share: Callable[[int], float] = lambda _: 0.1) -> World:
    """Either version is equally bad, which changes from sample to sample."""

    def world(_: np.random.Generator, __: int) -> Iterator[Rates]:
        for number in range(10 * FIVE_MINUTES):
            yield Rates(share(number), rate(number), rate(number))

    return world


def weights(number: int) -> float:
    """10, 25, 50, 99, each for a quarter of five minutes."""
    return (0.10, 0.25, 0.50, 0.99)[min(4 * number // FIVE_MINUTES, 3)]


def outbreak(number: int, rate: float = 0.3) -> float:
    """For the third minute."""
    return rate if 2 * SAMPLES_A_MINUTE <= number < 3 * SAMPLES_A_MINUTE else 0.002


def swing(number: int) -> float:
    """From 0.1 to 4.9 % and back in 2.6 minutes."""
    return 0.025 - 0.024 * math.cos(number / 50)


def breakdowns(of_each: int, seconds: float, *, shared: bool = False, rate: float = 0.33) -> World:
    """Pods that fail together, for a time that begins at any: a node's of both versions, or each version's own, at random.

    Args:
        of_each: Breakdowns of a version in five minutes, in the mean.
        seconds: How long one lasts.
        shared: Whether both versions fail at once.
        rate: How often a version fails meanwhile.
    """

    def world(random: np.random.Generator, runs: int) -> Iterator[Rates]:
        shape = (1 if shared else 2, runs)
        left, length = np.zeros(shape), seconds * PER_SECOND / PER_SAMPLE
        while True:
            begins = random.random(shape) < of_each / FIVE_MINUTES
            fresh = begins * np.minimum(random.random(shape), length)
            broken = np.minimum(np.minimum(left, 1) + fresh, 1)
            left = np.maximum(left - 1, begins * (length - fresh)).clip(min=0)
            bad = 0.002 + broken * (rate - 0.002)
            yield Rates(0.1, bad[0], bad[-1])

    return world


def false_alarms(runs: int) -> Table:
    """How often the new version is accused by each, of two that are alike."""
    table = Table(
        "both versions are bad equally often",
        "alarm, failures",
        "not cut",
        "together",
        "of 2 s",
        "clients, failures or 4xx",
        "clients, latency",
        "the same, scraped",
        "pooled",
        "Argo",
        "Flagger",
    )
    # what it is like, and how often the old version was bad in the five minutes before
    worlds: dict[str, tuple[float, World] | None] = {
        "1 %": (0.01, common(lambda _: 0.01)),
        "none for five minutes, then 5 %": (0.0, common(lambda _: 0.05)),
        "a step from 0.2 to 5 %": (0.002, common(lambda number: 0.002 if number < 200 else 0.05)),
        "a ramp from 0 to 5 %": (0.0, common(lambda number: 0.05 * number / FIVE_MINUTES)),
        "a day's swing, 0.1 to 5 %": (
            0.0255,
            common(lambda number: 0.0255 - 0.0245 * math.cos(math.tau * number / FIVE_MINUTES)),
        ),
        "0.2 %, 30 % for a minute": (0.002, common(outbreak)),
        "the same, weights 10, 25, 50, 99": (0.002, common(outbreak, weights)),
        "a swing, weights 10, 25, 50, 99": (0.025, common(swing, weights)),
        "half of all (slow at the median)": (0.5, common(lambda _: 0.5)),
        "a node of both fails by a third, 10 s": (0.002, breakdowns(5, 10, shared=True)),
        "alike, but not at every moment:": None,
        "either fails by a third, 0.1 s": (0.002, breakdowns(20, 0.1)),
        "either fails by a third, 0.5 s": (0.002, breakdowns(20, 0.5)),
        "either stalls, 0.5 s": (0.002, breakdowns(20, 0.5, rate=0.9)),
        "either stalls, 2 s": (0.002, breakdowns(10, 2, rate=0.9)),
        "either fails by a third, 20 s": (0.002, breakdowns(2, 20)),
    }
    for what, case in worlds.items():
        if case is None:
            table.add_section()
            table.add_row(what)
            continue
        rate_before, world = case
        before = FIVE_MINUTES * PER_SAMPLE
        tests: list[Test] = [
            Alarm(runs, together=False),
            Alarm(runs, together=False, cut=False),
            Alarm(runs, together=True),
            Longer(Alarm(runs, together=True)),
            Longer(Alarm(runs, together=False, attempts=ATTEMPTS), OF_A_LOOK),
            Longer(Alarm(runs, together=True, attempts=ATTEMPTS), OF_A_LOOK),
            Scraped(*(Alarm(runs, together=True, risk=RISK / 2, attempts=ATTEMPTS) for _ in range(2))),
            Pooled(runs, before, rate_before * before),
            argo(runs),
            flagger(runs),
        ]
        table.add_row(what, *(f"{100 * np.mean(found > 0):.2f} %" for found in first_found(tests, world, runs)))
    return table


def told(found: NDArray[np.int64], each: float, unit: str = "") -> str:
    """The mean and the 99 % quantile of what was found, and how often if that is not always."""
    if not found.any():
        return "-"
    at = found[found > 0] * each
    part = np.mean(found > 0)
    often = "" if part == 1 else f" ({100 * part:.{1 if part < 0.999 else 2}f} %)"
    digits = 1 if at.mean() < 100 and unit else 0
    return f"{at.mean():,.{digits}f}, {np.quantile(at, 0.99, method='higher'):,.{digits}f}{unit}{often}"


def power(runs: int) -> Table:
    """After how many requests or seconds a version that is worse is found."""
    table = Table(
        "weight",
        "new",
        "old",
        "requests at 10/s",
        "at 500/s: alarm, failures",
        "together, of 2 s",
        "pooled",
        "Argo",
        "Flagger",
        title="found within five minutes: mean, 99 %, and how often if not always",
    )
    for weight in (10, 25, 50, 99):
        for new, old, old_before in (
            (1.0, 0.0, 0.0),
            (0.3, 0.0, 0.0),
            (0.05, 0.0, 0.0),
            (0.03, 0.0, 0.05),
            (0.05, 0.01, 0.01),
        ):
            share = weight / 100

            def world(_: np.random.Generator, __: int, rates: Rates = Rates(share, new, old)) -> Iterator[Rates]:
                while True:
                    yield rates

            few = first_found([Alarm(runs, together=False)], world, runs, HALF_AN_HOUR, 5)[0]
            before = FIVE_MINUTES * PER_SAMPLE
            tests: list[Test] = [
                Alarm(runs, together=False),
                Longer(Alarm(runs, together=True)),
                Pooled(runs, before, old_before * before),
                argo(runs),
                flagger(runs),
            ]
            seconds = PER_SAMPLE / PER_SECOND
            earlier = f", {100 * old_before:g} % earlier" if old_before != old else ""
            table.add_row(
                str(weight),
                f"{100 * new:g} %",
                f"{100 * old:g} %{earlier}",
                told(few, 5),
                *(told(found, seconds, " s") for found in first_found(tests, world, runs)),
            )
        table.add_section()
    return table


def until_proven(
    runs: int, share: float, rate: float, margin: Margin, most: int = 2_000_000
) -> tuple[NDArray[np.int64], int | None]:
    """Requests until a version that is equally bad is proven to be within the margin, a look each half second; 0 for never."""
    random = np.random.default_rng(5)
    proven, alive = np.zeros(runs, dtype=np.int64), np.arange(runs)
    growth = np.zeros((runs, 1))
    for sent in range(PER_SAMPLE, most + 1, PER_SAMPLE):
        to_new = random.binomial(PER_SAMPLE, share, alive.size)
        new, old = random.binomial(to_new, rate), random.binomial(PER_SAMPLE - to_new, rate)
        growth = growth + log_growth_of_average(
            share, new.astype(float), old.astype(float), margin.ratio, 1 / share, above=True
        )
        total = np.full(alive.size, sent * margin.points)
        enough = log_evidence_of_average(growth, total, 1 / share, above=True) >= -math.log(RISK)
        proven[alive[enough]] = sent
        growth, alive = growth[~enough], alive[~enough]
        if not alive.size:
            break
    return proven, expected_requests(share, rate, rate, margin, RISK)


def proofs(runs: int) -> list[Table]:
    """What a proof takes, and how often one is wrong."""
    costs = Table(
        "weight", "both are bad", "proven", "requests, mean, 99 %", "expected", title="versions that are alike"
    )
    cases = (
        *((weight, rate, HALF_A_POINT) for weight in (10, 50) for rate in (0.0, 0.001, 0.01)),
        *((weight, rate, HALF_AS_MUCH_AGAIN) for weight in (10, 50) for rate in (0.5, 0.05, 0.01)),
    )
    for weight, rate, margin in cases:
        proven, expected = until_proven(runs if rate else 1, weight / 100, rate, margin)
        what = f"within {100 * margin.points:g} points" if margin.points else f"within {margin.ratio:g} times"
        costs.add_row(str(weight), f"{100 * rate:g} %", what, told(proven, 1), f"{expected:,}" if expected else "-")
    for rate in (0.0, 0.01):
        expected = expected_requests(0.99, rate, rate, HALF_A_POINT, RISK)
        costs.add_row("99", f"{100 * rate:g} %", "within 0.5 points", "", f"{expected:,}")
    for rate in (0.5, 0.05, 0.01):
        expected = expected_requests(0.99, rate, rate, HALF_AS_MUCH_AGAIN, RISK)
        costs.add_row("99", f"{100 * rate:g} %", "within 1.5 times", "", f"{expected:,}")
    return [costs, coverage(runs)]


def coverage(runs: int) -> Table:
    """How often the true average is ever outside of the bounds, in five minutes."""
    table = Table("the rates", "above the upper bound", "below the lower")

    def worse_in_turns(_: np.random.Generator, __: int) -> Iterator[Rates]:
        for number in range(10 * FIVE_MINUTES):
            yield Rates(0.1, *((0.3, 0.0) if number // 20 % 2 else (0.0, 0.1)))

    worlds = {
        "both 1 %": common(lambda _: 0.01),
        "both 0.2 %, 30 % for a minute": common(outbreak),
        "both 50 %": common(lambda _: 0.5),
        "the new one 30 % and the old one 10 %, in turns": worse_in_turns,
        "either fails by a third at random, 5 s": breakdowns(5, 10, shared=False),
        "both swing, at a weight of 50": common(swing, lambda _: 0.5),
    }
    for what, world in worlds.items():
        missed = []
        for above in (True, False):
            random = np.random.default_rng(6)
            growth, true, ever = np.zeros((runs, 1)), np.zeros(runs), np.zeros(runs, dtype=bool)
            for _, rates in zip(range(FIVE_MINUTES), world(random, runs), strict=False):
                to_new = random.binomial(PER_SAMPLE, rates.share, runs)
                new = random.binomial(to_new, rates.new).astype(float)
                old = random.binomial(PER_SAMPLE - to_new, rates.old).astype(float)
                scale = 1 / rates.share if above else 1 / (1 - rates.share)
                growth = growth + log_growth_of_average(rates.share, new, old, 1.0, scale, above=above)
                true = true + PER_SAMPLE * (np.asarray(rates.new) - rates.old)
                ever |= log_evidence_of_average(growth, true, scale, above=above) >= -math.log(RISK)
            missed.append(f"{100 * np.mean(ever):.2f} %")
        table.add_row(what, *missed)
    return table


BOUNDS = {"p50": 0.5, "p95": 0.05, "p99": 0.01}
"""Latencies of the old version, and how many of its requests are slower."""


def slower(new: Sequence[float]) -> Callable[[int, float], World]:
    """A new version with such parts of its requests slower than the old one's p50, p95, p99."""

    def at(bound: int, share: float) -> World:
        return lambda _, __: iter([Rates(share, new[bound], [*BOUNDS.values()][bound])] * TEN_MINUTES)

    return at


def stalling(bound: int, share: float) -> World:
    """A new version that stands still for 0.6 s of every 0.65 s: who comes meanwhile is slow."""

    def world(random: np.random.Generator, runs: int) -> Iterator[Rates]:
        usual = [*BOUNDS.values()][bound]
        phase = random.random(runs) * 0.65
        for number in range(TEN_MINUTES):
            begin, end = phase + number / 2, phase + (number + 1) / 2
            stalled = (_stalled_until(end) - _stalled_until(begin)) / 0.5
            yield Rates(share, np.minimum(usual + (1 - usual) * stalled, 1), usual)

    return world


def _stalled_until(at: Array) -> Array:
    whole, part = np.divmod(at, 0.65)
    return np.asarray(0.6 * whole + np.minimum(part, 0.6))


def latency(runs: int) -> list[Table]:
    """After how many seconds a slower version is found, by the three bounds with a third of the risk each."""
    table = Table(
        "weight",
        "the new version",
        *BOUNDS,
        "the first of them",
        title="margin 1.5, together, samples of 2 s: found within ten minutes, mean, 99 %",
    )
    # a log-normal latency whose p99 is 4.6 times its median, as measured in the lab; the tail is stretched from p95 on
    cases: dict[str, Callable[[int, float], World]] = {
        "x2, the median too": slower((0.855, 0.278, 0.102)),
        "p99 x1.5": slower((0.5, 0.05, 0.0227)),
        "a third of them slow": slower((0.667, 0.366, 0.34)),
        "stalls, 0.6 s of 0.65 s": stalling,
    }
    for weight in (10, 50, 99):
        for what, at in cases.items():
            found = []
            for bound in range(len(BOUNDS)):
                alarm = Alarm(runs, HALF_AS_MUCH_AGAIN, together=True, risk=RISK / len(BOUNDS))
                found += first_found([Longer(alarm)], at(bound, weight / 100), runs, TEN_MINUTES)
            never = TEN_MINUTES + 1
            first = np.min([np.where(each, each, never) for each in found], axis=0)
            found.append(np.where(first == never, 0, first))
            table.add_row(str(weight), what, *(told(each, 0.5, " s") for each in found))
        table.add_section()
    differences = Table(
        "weight", *BOUNDS, title="found every other time in an hour, at the least: slow requests of the new version"
    )
    for weight in (10, 50, 99):
        rates = [
            smallest_found(
                weight / 100,
                usual,
                3600 * PER_SECOND,
                HALF_AS_MUCH_AGAIN,
                RISK / 3,
                sample=4 * PER_SAMPLE,
                together=True,
            )
            for usual in BOUNDS.values()
        ]
        differences.add_row(str(weight), *("-" if rate is None else f"{100 * rate:.2f} %" for rate in rates))
    return [table, differences]


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    runs = parser.parse_args().runs
    console = Console(width=180)
    console.print(
        f"{runs:,} runs each, risk {RISK}, a look after each sample of half a second, {PER_SECOND} requests a second"
    )
    console.print(false_alarms(runs))
    console.print(power(runs))
    for part in (proofs, latency):
        for table in part(runs):
            console.print(table)


if __name__ == "__main__":
    main()
