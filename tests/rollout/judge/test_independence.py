from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.judge.independence import denied, log_evidence, runs
from rollout.judge.shares import RISK


def transitions(labels: Sequence[str], known: str = "") -> dict[tuple[str, str], int]:
    named = dict.fromkeys(zip(known, known, strict=True), 0)
    return {**named, **Counter(itertools.pairwise(labels))}


def exact_evidence(labels: Sequence[str], known: str) -> Fraction:
    """E in fractions, request by request: the chain predicts with the rule of Krichevsky and Trofimov."""
    seen: Counter[tuple[str, str]] = Counter()
    chain = Fraction(1)
    for before, after in itertools.pairwise(labels):
        row = sum(seen[before, other] for other in known)
        chain *= (seen[before, after] + Fraction(1, 2)) / (row + Fraction(len(known), 2))
        seen[before, after] += 1
    arrivals = Counter(labels[1:])
    best = Fraction(1)
    for times in arrivals.values():
        best *= Fraction(times, len(labels) - 1) ** times
    return chain / best


def chance_of_ever(shares: dict[str, float], length: int, risk: float) -> float:
    """How likely independent draws are denied at some look, exactly: sequences with the same counts are added up."""
    pairs = [(before, after) for before in shares for after in shares]
    undecided = {(label, (0,) * len(pairs)): share for label, share in shares.items()}
    ever = 0.0
    for _ in range(length - 1):
        following: dict[tuple[str, tuple[int, ...]], float] = defaultdict(float)
        for ((before, counts), chance), (after, share) in itertools.product(undecided.items(), shares.items()):
            more = tuple(count + (pair == (before, after)) for pair, count in zip(pairs, counts, strict=True))
            following[after, more] += chance * share
        found = {state for state in following if denied(dict(zip(pairs, state[1], strict=True)), risk)}
        ever += sum(following[state] for state in found)
        undecided = {state: chance for state, chance in following.items() if state not in found}
    return ever


@settings(max_examples=100)
@given(known=st.sampled_from(["ab", "abc"]), data=st.data())
def test_evidence_is_the_ratio_as_computed_in_fractions(known: str, data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=60))
    exact = exact_evidence(labels, known)

    assert log_evidence(transitions(labels, known)) == pytest.approx(
        math.log(exact.numerator) - math.log(exact.denominator), abs=1e-9
    )


@pytest.mark.parametrize(
    ("shares", "length"), [({"a": 0.5, "b": 0.5}, 13), ({"a": 0.9, "b": 0.1}, 13), ({"a": 0.5, "b": 0.3, "c": 0.2}, 8)]
)
def test_independent_draws_are_denied_no_more_often_than_the_risk_at_any_look(
    shares: dict[str, float], length: int
) -> None:
    # the risk is large, for in few requests nothing else is reached
    assert 0 < chance_of_ever(shares, length, risk=0.4) <= 0.4


@pytest.mark.parametrize("cycle", ["ab", "aab", "aaaaaaaaab"])
def test_taking_turns_is_denied(cycle: str) -> None:
    assert denied(transitions(cycle * 400), RISK)


def test_a_connection_that_sticks_is_denied() -> None:
    assert denied(transitions(("a" * 90 + "b" * 10) * 3), RISK)


def test_a_few_requests_deny_nothing() -> None:
    assert not denied(transitions("abababab"), RISK)


def test_one_version_alone_says_nothing() -> None:
    assert log_evidence(transitions("a" * 1_000)) == 0
    assert not denied({}, RISK)


def test_of_two_labels_it_depends_on_the_runs_alone() -> None:
    few_runs, same_runs_elsewhere = "aaabbbaaabbba", "aabbbbaaaabba"

    assert runs(transitions(few_runs)) == runs(transitions(same_runs_elsewhere)) == 5
    assert Counter(few_runs) == Counter(same_runs_elsewhere)
    assert log_evidence(transitions(few_runs)) == pytest.approx(log_evidence(transitions(same_runs_elsewhere)))


@given(labels=st.text("abc", min_size=2, max_size=50))
def test_runs_are_unbroken_series(labels: str) -> None:
    assert runs(transitions(labels)) == len(list(itertools.groupby(labels)))


def test_no_runs_without_two_answers() -> None:
    assert runs({}) == 0


def test_the_risk_decides() -> None:
    labels = transitions("ab" * 7)

    assert RISK < math.exp(-log_evidence(labels)) < 0.1
    assert denied(labels, 0.1)
    assert not denied(labels, RISK)
