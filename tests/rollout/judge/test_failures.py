from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.judge.failures import fails_more, log_evidence, log_evidence_of_counts
from rollout.measurement import Tally


def jeffreys(failures: int, requests: int) -> Fraction:
    product = Fraction(1)
    for seen in range(failures):
        product *= Fraction(2 * seen + 1, 2)
    for seen in range(requests - failures):
        product *= Fraction(2 * seen + 1, 2)
    return product / math.factorial(requests)


def likelihood(tally: Tally, rate: Fraction) -> Fraction:
    return rate**tally.failures * (1 - rate) ** (tally.requests - tally.failures)


def exact_evidence(new: Tally, old: Tally) -> Fraction:
    """E in fractions; the rates of the maximum are either as seen, or both the rate of all together."""
    seen = [Fraction(tally.failures, max(tally.requests, 1)) for tally in (new, old)]
    together = Fraction(new.failures + old.failures, max(new.requests + old.requests, 1))
    as_seen = [tuple(seen)] if seen[0] <= seen[1] or not old.requests else []
    best = max(likelihood(new, a) * likelihood(old, b) for a, b in [*as_seen, (together, together)])
    return jeffreys(new.failures, new.requests) * jeffreys(old.failures, old.requests) / best


tallies = st.integers(0, 60).flatmap(lambda requests: st.builds(Tally, st.just(requests), st.integers(0, requests)))


@settings(max_examples=200)
@given(new=tallies, old=tallies)
def test_evidence_is_the_ratio_as_computed_in_fractions(new: Tally, old: Tally) -> None:
    exact = exact_evidence(new, old)

    assert log_evidence(new, old) == pytest.approx(math.log(exact.numerator) - math.log(exact.denominator), abs=1e-9)


@settings(max_examples=100)
@given(new=tallies, old=tallies)
def test_no_rates_in_order_explain_the_counts_better_than_the_denominator(new: Tally, old: Tally) -> None:
    mixed = jeffreys(new.failures, new.requests) * jeffreys(old.failures, old.requests)
    rates = [Fraction(step, 20) for step in range(21)]
    best = max(likelihood(new, a) * likelihood(old, b) for a in rates for b in rates if a <= b)

    assert best == 0 or log_evidence(new, old) <= math.log(mixed) - math.log(best) + 1e-9


@pytest.mark.parametrize(("new_rate", "old_rate"), [(0.0, 0.3), (0.05, 0.05), (0.3, 0.3), (0.3, 0.35), (1.0, 1.0)])
def test_a_version_that_is_no_worse_is_accused_no_more_often_than_the_risk_at_any_look(
    new_rate: float, old_rate: float
) -> None:
    """Exact, over all paths of two failure counts; each version gets every other request, the look is after each."""
    risk = 0.1
    alive = np.zeros((102, 102))
    alive[0, 0] = 1
    new, old = np.meshgrid(np.arange(102.0), np.arange(102.0), indexing="ij")
    sent = {"new": 0, "old": 0}
    for turn in ("new", "old") * 100:
        sent[turn] += 1
        axis, rate = (0, new_rate) if turn == "new" else (1, old_rate)
        alive = alive * (1 - rate) + np.roll(alive, 1, axis=axis) * rate
        possible = (new <= sent["new"]) & (old <= sent["old"])
        evidence = log_evidence_of_counts(
            new[possible],
            np.full(possible.sum(), float(sent["new"])),
            old[possible],
            np.full(possible.sum(), float(sent["old"])),
        )
        alive[possible] = np.where(evidence >= -math.log(risk), 0, alive[possible])
    assert 1 - alive.sum() <= risk


def test_errors_always_are_caught_in_four_requests_of_the_new_version() -> None:
    assert fails_more(Tally(4, 4), Tally(36, 0))


def test_thirty_percent_are_caught_in_thirty_requests_of_the_new_version() -> None:
    assert fails_more(Tally(30, 9), Tally(270, 0))


def test_one_failure_accuses_nobody() -> None:
    assert not fails_more(Tally(30, 1), Tally(270, 0))


def test_the_new_version_may_fail_as_often_as_the_old_one() -> None:
    assert not fails_more(Tally(1_000, 300), Tally(9_000, 2_700))


def test_the_new_version_may_be_better() -> None:
    assert not fails_more(Tally(1_000, 0), Tally(9_000, 9_000))


def test_nothing_sent_proves_nothing() -> None:
    assert log_evidence(Tally(0, 0), Tally(0, 0)) == 0
    assert not fails_more(Tally(0, 0), Tally(1_000, 0))


def test_without_an_old_version_nothing_is_worse() -> None:
    assert not fails_more(Tally(1_000, 1_000), Tally(0, 0))
