"""Error rates and requests needed of the tests in `rollout/judge/`: 10,000 simulated runs each, the look after every ten requests.

`python -m bench.proof [RUNS]`. The functions that are simulated are the product's own. Beside them stands the fixed-size test of the
same two error rates: the fewest requests, known beforehand, with which a share at the edge is certified at most once in 1,000, and a
right one at least 999 times in 1,000.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import binom

from rollout.judge import failures, independence
from rollout.judge.shares import DEFAULT_MOST, RISK, allowed, is_inside, is_outside, log_evidence

RUNS = 10_000
LOOK = 10
Counts = NDArray[np.float64]
Decision = Callable[[Counts, Counts], NDArray[np.bool_]]


@dataclass(frozen=True)
class Decided:
    """What became of each run: by which decision it ended (-1: by none), and after how many requests."""

    by: NDArray[np.int64]
    requests: NDArray[np.int64]

    def rate(self, decision: int) -> float:
        """Part of the runs that ended so."""
        return float(np.mean(self.by == decision))


def follow(share: float, decisions: tuple[Decision, ...], runs: int, most: int = DEFAULT_MOST) -> Decided:
    """Draw requests that go to one version with this probability, until the first decision that is true, or `most`."""
    random = np.random.default_rng(1)
    by, requests = np.full(runs, -1), np.full(runs, most)
    counts, alive = np.zeros(runs), np.arange(runs)
    for sent in range(LOOK, most + 1, LOOK):
        counts += random.binomial(LOOK, share, counts.size)
        undecided = np.ones(counts.size, dtype=bool)
        for number, decision in enumerate(decisions):
            found = undecided & decision(counts, np.full(counts.size, float(sent)))
            by[alive[found]], requests[alive[found]] = number, sent
            undecided &= ~found
        counts, alive = counts[undecided], alive[undecided]
        if not alive.size:
            break
    return Decided(by, requests)


def verdict(weight: int) -> tuple[Decision, Decision]:
    """The two verdicts on a split of two versions: it holds, it does not. One version's interval is the other's in the mirror."""
    return (
        lambda counts, sent: np.asarray(is_inside(counts, sent, weight, RISK)),
        lambda counts, sent: np.asarray(is_outside(counts, sent, weight, RISK)),
    )


def fixed_size(weight: int) -> tuple[int, int]:
    """Requests of the fixed-size test: by the normal approximation, and exactly (the first multiple of ten that will do).

    With tolerance t, weight p and edge e the approximation is n = ((z(1-α)·√(e(1-e)) + z(1-α/2)·√(p(1-p))) / t)², for the edge that
    asks for more. Exactly: the counts that certify are the most for which both edges keep to α, by the binomial distribution.
    """
    edges, right = allowed(weight), weight / 100
    one, two = NormalDist().inv_cdf(1 - RISK), NormalDist().inv_cdf(1 - RISK / 2)
    within = [edge for edge in (edges.low, edges.high) if 0 < edge < 1]
    formula = max(
        ((one * math.sqrt(edge * (1 - edge)) + two * math.sqrt(right * (1 - right))) / (edge - right)) ** 2
        for edge in within
    )
    sent = np.arange(LOOK, 60_000, LOOK)
    lowest = binom.isf(RISK, sent, edges.low) + 1
    # the quantile is the first count with at least that probability up to it: one less keeps below it
    highest = binom.ppf(RISK, sent, edges.high) - 1 if edges.high < 1 else sent
    power = binom.cdf(highest, sent, right) - binom.cdf(lowest - 1, sent, right)
    return math.ceil(formula), int(sent[np.argmax(power >= 1 - RISK)])


def shares(runs: int) -> list[Table]:
    """Verdicts on splits, right and wrong; and what the right ones cost beside the fixed-size test."""
    verdicts = Table("split", "true share", "holds", "does not", f"open at {DEFAULT_MOST:,}", "mean", "99 %", "most")
    costs = Table("right split", "mean", "99 %", "fixed size, exact", "by formula", "mean / fixed")
    cases = (
        *((weight, weight / 100) for weight in (10, 50, 1, 100)),
        *((10, share) for share in (0.08, 0.12, 0.15, 0.0, 0.01)),
    )
    for weight, share in cases:
        result = follow(share, verdict(weight), runs)
        decided = result.requests[result.by >= 0]
        figures = [f"{f(decided):,.0f}" if decided.size else "-" for f in (np.mean, upper, np.max)]
        rates = [f"{100 * result.rate(by):.2f} %" for by in (0, 1, -1)]
        split = f"{100 - weight}/{weight}"
        verdicts.add_row(split, f"{100 * share:g} %", *rates, *figures)
        if share == weight / 100:
            formula, exact = fixed_size(weight)
            # runs that are still open count with all that they were sent
            mean = float(np.mean(result.requests))
            figures = [f"{figure:,.0f}" for figure in (mean, upper(result.requests), exact, formula)]
            costs.add_row(split, *figures, f"{mean / exact:.2f}")
    return [verdicts, costs]


def upper(requests: NDArray[np.int64]) -> float:
    """The number that 99 of 100 runs do not exceed."""
    return float(np.quantile(requests, 0.99, method="higher"))


def intervals(runs: int) -> list[Table]:
    """How often the true share is outside at some look: the confidence sequence, and a plain interval looked at as often."""

    def plain(counts: Counts, sent: Counts) -> NDArray[np.bool_]:
        width = NormalDist().inv_cdf(1 - RISK / 2) * np.sqrt(sent * share * (1 - share))
        return np.asarray((sent >= 100) & (np.abs(counts - share * sent) > width))

    def sequence(counts: Counts, sent: Counts) -> NDArray[np.bool_]:
        return np.asarray(log_evidence(counts, sent, 10, share) >= -math.log(RISK))

    table = Table("true share, weight 10", "confidence sequence", "plain 99.9 % interval, from 100 requests on")
    for share in (0.10, 0.12):
        missed = [follow(share, (interval,), runs).rate(0) for interval in (sequence, plain)]
        table.add_row(f"{100 * share:g} %", *(f"{100 * rate:.2f} %" for rate in missed))
    return [table]


def neighbours(runs: int) -> list[Table]:
    """How often independence is denied, and after how many requests; v2 has a tenth in each."""
    most = 3_000
    table = Table("sequence at 90/10", "runs", f"denied by {most:,}", "mean", "most")
    chains = {
        "independent": (0.10, 0.10),
        "v2 again with 20 %, not 10": (0.10 * 0.8 / 0.9, 0.20),
        "v2 again with 50 %": (0.10 * 0.5 / 0.9, 0.50),
    }
    for what, (after_v1, after_v2) in chains.items():
        denied = denials(after_v1, after_v2, runs, most)
        found = denied[denied > 0]
        figures = (f"{np.mean(found):,.0f}", f"{np.max(found):,}") if found.size else ("-", "-")
        table.add_row(what, f"{runs:,}", f"{100 * found.size / runs:.2f} %", *figures)
    turns = [number % 10 == 9 for number in range(most)]
    first = next(sent for sent in range(LOOK, most, LOOK) if independence.denied(pairs(turns[:sent]), RISK))
    table.add_row("in turns, every tenth", "1", "100 %", f"{first:,}", f"{first:,}")
    return [table]


def pairs(sequence: list[bool]) -> Counter[tuple[str, str]]:
    """The transitions of one sequence."""
    names = ["v2" if second else "v1" for second in sequence]
    return Counter(itertools.pairwise(names))


def denials(after_v1: float, after_v2: float, runs: int, most: int) -> NDArray[np.int64]:
    """Draw chains in which v2 comes with these probabilities after each version; the requests until denied, 0 for never."""
    random = np.random.default_rng(2)
    denied = np.zeros(runs, dtype=np.int64)
    second = random.random(runs) < 0.1
    seen = np.zeros((runs, 2, 2), dtype=np.int64)
    everyone = np.arange(runs)
    for sent in range(2, most + 1):
        following = random.random(runs) < np.where(second, after_v2, after_v1)
        seen[everyone, second.astype(int), following.astype(int)] += 1
        second = following
        if sent % LOOK == 0:
            for run in np.flatnonzero(denied == 0):
                (one, two), (three, four) = seen[run].tolist()
                names = {("v1", "v1"): one, ("v1", "v2"): two, ("v2", "v1"): three, ("v2", "v2"): four}
                if independence.denied(names, RISK):
                    denied[run] = sent
    return denied


def comparisons(runs: int) -> list[Table]:
    """How often the new version is found worse than the old one, after how many requests, and how many of them failed."""
    most = 10_000
    table = Table("weight of new", "new fails", "old fails", f"found by {most:,}", "mean", "most", "failed, mean")
    for weight, new, old in (
        *((10, rate, rate) for rate in (0.0, 0.01, 0.3)),
        *((10, new, 0.0) for new in (1.0, 0.3, 0.05)),
        (10, 0.05, 0.01),
        (25, 1.0, 0.0),
        (25, 0.3, 0.0),
    ):
        requests, failed = accusations(weight / 100, new, old, runs, most)
        found = requests[requests > 0]
        figures = ("-", "-", "-")
        if found.size:
            figures = (f"{np.mean(found):,.0f}", f"{np.max(found):,}", f"{np.mean(failed[requests > 0]):,.1f}")
        rates = (f"{100 * new:g} %", f"{100 * old:g} %", f"{100 * found.size / runs:.2f} %")
        table.add_row(str(weight), *rates, *figures)
    return [table]


def accusations(
    share: float, new_rate: float, old_rate: float, runs: int, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Requests until the new version is found to fail more, 0 for never; and how many had failed by then."""
    random = np.random.default_rng(3)
    found, failed = np.zeros(runs, dtype=np.int64), np.zeros(runs, dtype=np.int64)
    alive = np.arange(runs)
    new, new_failures, old_failures = np.zeros(runs), np.zeros(runs), np.zeros(runs)
    for sent in range(LOOK, most + 1, LOOK):
        more = random.binomial(LOOK, share, alive.size)
        new += more
        new_failures += random.binomial(more, new_rate)
        old_failures += random.binomial(LOOK - more, old_rate)
        evidence = failures.log_evidence_of_counts(new_failures, new, old_failures, sent - new)
        worse = evidence >= -math.log(RISK)
        found[alive[worse]], failed[alive[worse]] = sent, (new_failures + old_failures)[worse]
        alive, new = alive[~worse], new[~worse]
        new_failures, old_failures = new_failures[~worse], old_failures[~worse]
        if not alive.size:
            break
    return found, failed


def main() -> None:
    """Simulate and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    console = Console()
    console.print(f"{runs:,} runs each, risk {RISK}, a look every {LOOK} requests; requests until decided")
    for part in (shares, intervals, neighbours, comparisons):
        for table in part(runs):
            console.print(table)


if __name__ == "__main__":
    main()
