"""Error rates and requests needed of the tests of a split, `rollout/judge/`: 10,000 simulated runs each, a look every ten requests.

Run `python -m bench.proof`. The functions that are simulated are the product's own. Beside them stands the fixed-size test of the
same two error rates: the fewest requests, known beforehand, with which a share at the edge is certified at most once in 1,000, and a
right one at least 999 times in 1,000.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import binom

from rollout.judge import independence
from rollout.judge.shares import DEFAULT_MOST, RISK, allowed, is_inside, is_outside, log_evidence

RUNS = 10_000
LOOK = 10
Counts = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], NDArray[np.int64]]
"""What is counted of the next `LOOK` requests of some runs: a row a count, a column a run."""
Decision = Callable[[Counts, Counts], NDArray[np.bool_]]


def follow(draw: Draw, decisions: tuple[Decision, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw requests until the first decision that is true, or `DEFAULT_MOST`.

    Returns:
        By which decision each run ended (-1: by none), and after how many requests.
    """
    random = np.random.default_rng(1)
    by, requests = np.full(RUNS, -1), np.full(RUNS, DEFAULT_MOST)
    counts, alive = np.zeros((1, RUNS)), np.arange(RUNS)
    for sent in range(LOOK, DEFAULT_MOST + 1, LOOK):
        counts = counts + draw(random, alive.size)
        undecided = np.ones(alive.size, dtype=bool)
        for number, decision in enumerate(decisions):
            found = undecided & decision(counts, np.full(alive.size, float(sent)))
            by[alive[found]], requests[alive[found]] = number, sent
            undecided &= ~found
        counts, alive = counts[:, undecided], alive[undecided]
        if not alive.size:
            break
    return by, requests


def toward(share: float) -> Draw:
    """Requests that go to one version with this probability."""
    return lambda random, runs: random.binomial(LOOK, share, (1, runs))


def figures(requests: NDArray[np.int64], *of: Callable[[NDArray[np.int64]], object]) -> list[str]:
    """Numbers of these requests, as they are printed."""
    return [f"{each(requests):,.0f}" if requests.size else "-" for each in of]


def upper(requests: NDArray[np.int64]) -> float:
    """The number that 99 of 100 runs do not exceed."""
    return float(np.quantile(requests, 0.99, method="higher"))


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


def verdict(test: Callable[[Counts, Counts, int, float], object], weight: int) -> Decision:
    """A verdict on a split of two versions. One version's interval is the other's in the mirror."""
    return lambda counts, sent: np.asarray(test(counts[0], sent, weight, RISK))


def shares() -> list[Table]:
    """Verdicts on splits, right and wrong; and what the right ones cost beside the fixed-size test."""
    verdicts = Table("split", "true share", "holds", "does not", f"open at {DEFAULT_MOST:,}", "mean", "99 %", "most")
    costs = Table("right split", "mean", "99 %", "fixed size, exact", "by formula", "mean / fixed")
    cases = (
        *((weight, weight / 100) for weight in (10, 50, 1, 100)),
        *((10, share) for share in (0.08, 0.12, 0.15, 0.0, 0.01)),
    )
    for weight, share in cases:
        by, requests = follow(toward(share), (verdict(is_inside, weight), verdict(is_outside, weight)))
        rates = [f"{100 * np.mean(by == number):.2f} %" for number in (0, 1, -1)]
        split = f"{100 - weight}/{weight}"
        verdicts.add_row(split, f"{100 * share:g} %", *rates, *figures(requests[by >= 0], np.mean, upper, np.max))
        if share == weight / 100:
            formula, exact = fixed_size(weight)
            # runs that are still open count with all that they were sent
            mine = figures(requests, np.mean, upper)
            costs.add_row(split, *mine, f"{exact:,}", f"{formula:,}", f"{np.mean(requests) / exact:.2f}")
    return [verdicts, costs]


def intervals() -> list[Table]:
    """How often the true share is outside at some look: the confidence sequence, and a plain interval looked at as often."""

    def plain(counts: Counts, sent: Counts) -> NDArray[np.bool_]:
        width = NormalDist().inv_cdf(1 - RISK / 2) * np.sqrt(sent * share * (1 - share))
        return np.asarray((sent >= 100) & (np.abs(counts[0] - share * sent) > width))

    def sequence(counts: Counts, sent: Counts) -> NDArray[np.bool_]:
        return np.asarray(log_evidence(counts[0], sent, 10, share) >= -math.log(RISK))

    table = Table("true share, weight 10", "confidence sequence", "plain 99.9 % interval, from 100 requests on")
    for share in (0.10, 0.12):
        missed = [np.mean(follow(toward(share), (interval,))[0] == 0) for interval in (sequence, plain)]
        table.add_row(f"{100 * share:g} %", *(f"{100 * rate:.2f} %" for rate in missed))
    return [table]


def neighbours() -> list[Table]:
    """How often independence is denied, and after how many requests; v2 has a tenth in each."""
    most = 3_000
    table = Table("sequence at 90/10", "runs", f"denied by {most:,}", "mean", "most")
    chains = {
        "independent": (0.10, 0.10),
        "v2 again with 20 %, not 10": (0.10 * 0.8 / 0.9, 0.20),
        "v2 again with 50 %": (0.10 * 0.5 / 0.9, 0.50),
    }
    for what, (after_v1, after_v2) in chains.items():
        denied = denials(after_v1, after_v2, most)
        found = denied[denied > 0]
        table.add_row(what, f"{RUNS:,}", f"{100 * found.size / RUNS:.2f} %", *figures(found, np.mean, np.max))
    turns = ["v2" if number % 10 == 9 else "v1" for number in range(most)]
    looks = range(LOOK, most, LOOK)
    first = next(sent for sent in looks if independence.denied(Counter(itertools.pairwise(turns[:sent])), RISK))
    table.add_row("in turns, every tenth", "1", "100 %", f"{first:,}", f"{first:,}")
    return [table]


def denials(after_v1: float, after_v2: float, most: int) -> NDArray[np.int64]:
    """Draw chains in which v2 comes with these probabilities after each version; the requests until denied, 0 for never."""
    random = np.random.default_rng(2)
    denied = np.zeros(RUNS, dtype=np.int64)
    second = random.random(RUNS) < 0.1
    seen = np.zeros((RUNS, 2, 2), dtype=np.int64)
    for sent in range(2, most + 1):
        following = random.random(RUNS) < np.where(second, after_v2, after_v1)
        seen[np.arange(RUNS), second.astype(int), following.astype(int)] += 1
        second = following
        if sent % LOOK == 0:
            for run in np.flatnonzero(denied == 0):
                (one, two), (three, four) = seen[run].tolist()
                names = {("v1", "v1"): one, ("v1", "v2"): two, ("v2", "v1"): three, ("v2", "v2"): four}
                if independence.denied(names, RISK):
                    denied[run] = sent
    return denied


def main() -> None:
    """Simulate and print."""
    console = Console()
    console.print(f"{RUNS:,} runs each, risk {RISK}, a look every {LOOK} requests; requests until decided")
    for part in (shares, intervals, neighbours):
        for table in part():
            console.print(table)


if __name__ == "__main__":
    main()
