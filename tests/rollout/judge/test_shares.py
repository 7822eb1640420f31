from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.judge.shares import (
    RISK,
    Interval,
    Standing,
    allowed,
    is_inside,
    is_outside,
    log_evidence,
    requests_to_go,
    share_interval,
    standing,
    version_risk,
)

SPLIT = {"v1": 90, "v2": 10}


def exact_evidence(count: int, requests: int, weight: int, share: Fraction) -> Fraction:
    """M(share) in fractions: B(x+½, y+½) / B(½, ½) is a product of the rule of Krichevsky and Trofimov's predictions."""
    others = requests - count
    odd = math.prod(range(1, 2 * count, 2)) * math.prod(range(1, 2 * others, 2))
    jeffreys = Fraction(odd, 2**requests * math.factorial(requests))
    point = Fraction(weight, 100) ** count * (1 - Fraction(weight, 100)) ** others
    return (point + jeffreys) / 2 / (share**count * (1 - share) ** others)


def chance_of_ever(found: object, true_share: float, weight: int, requests: int) -> float:
    """Exact probability that the interval is found so after some request of the first `requests`, the look after each."""
    alive = np.array([1.0])
    for sent in range(1, requests + 1):
        alive = np.append(alive, 0.0) * (1 - true_share) + np.append(0.0, alive) * true_share
        counts = np.arange(sent + 1, dtype=float)
        likely = alive > 1e-15
        decided = np.zeros_like(likely)
        assert callable(found)
        decided[likely] = found(counts[likely], np.full(likely.sum(), float(sent)), weight, RISK)
        alive[decided] = 0
    return float(1 - alive.sum())


class TestAllowed:
    @pytest.mark.parametrize(
        ("weight", "low", "high"),
        [(10, 0.08, 0.12), (50, 0.48, 0.52), (4, 0.02, 0.06), (99, 0.97, 1.0), (100, 0.98, 1.0), (0, 0.0, 0.02)],
    )
    def test_is_two_points_to_either_side(self, weight: int, low: float, high: float) -> None:
        assert allowed(weight) == Interval(low, high)

    @pytest.mark.parametrize(("weight", "low"), [(1, 0.005), (2, 0.01), (3, 0.015)])
    def test_of_a_small_weight_does_not_reach_zero(self, weight: int, low: float) -> None:
        assert allowed(weight).low == low

    @pytest.mark.parametrize("weight", [-1, 101])
    def test_refuses_what_is_no_percent(self, weight: int) -> None:
        with pytest.raises(ValueError, match="whole percent"):
            allowed(weight)


class TestLogEvidence:
    @settings(max_examples=100)
    @given(requests=st.integers(0, 300), weight=st.integers(0, 100), percent=st.integers(1, 99), data=st.data())
    def test_is_the_ratio_as_computed_in_fractions(
        self, requests: int, weight: int, percent: int, data: st.DataObject
    ) -> None:
        count = data.draw(st.integers(0, requests))
        exact = exact_evidence(count, requests, weight, Fraction(percent, 100))

        found = log_evidence(count, requests, weight, percent / 100)

        assert found == pytest.approx(math.log(exact.numerator) - math.log(exact.denominator), abs=1e-9)

    @settings(max_examples=200)
    @given(
        requests=st.integers(0, 5_000),
        weight=st.integers(0, 100),
        share=st.floats(0.001, 0.999),
        data=st.data(),
    )
    def test_of_the_true_share_stays_the_same_in_the_mean(
        self, requests: int, weight: int, share: float, data: st.DataObject
    ) -> None:
        count = data.draw(st.integers(0, requests))
        now = log_evidence(count, requests, weight, share)

        hit = math.exp(log_evidence(count + 1, requests + 1, weight, share) - now)
        miss = math.exp(log_evidence(count, requests + 1, weight, share) - now)

        assert share * hit + (1 - share) * miss == pytest.approx(1, abs=1e-8)

    def test_against_a_share_that_cannot_be_is_infinite(self) -> None:
        assert log_evidence(3, 10, 100, 1.0) == math.inf
        assert log_evidence(3, 10, 0, 0.0) == math.inf


class TestShareInterval:
    @settings(max_examples=100)
    @given(
        requests=st.integers(1, 1_000_000),
        weight=st.integers(0, 100),
        risk=st.sampled_from([0.05, RISK, RISK / 3]),
        data=st.data(),
    )
    def test_holds_the_observed_share_and_ends_where_the_evidence_is_one_over_the_risk(
        self, requests: int, weight: int, risk: float, data: st.DataObject
    ) -> None:
        count = data.draw(st.integers(0, requests))

        interval = share_interval(count, requests, weight, risk)

        assert 0 <= interval.low <= count / requests <= interval.high <= 1
        for bound, certain in ((interval.low, count == 0), (interval.high, count == requests)):
            if not certain:
                # the evidence is steep near 0 and 1, where a bound is known to twelve digits after the point
                inner = log_evidence(count, requests, weight, bound + math.copysign(4e-12, count / requests - bound))
                outer_share = bound - math.copysign(4e-12, count / requests - bound)
                assert inner <= -math.log(risk) + 1e-6
                assert not 0 < outer_share < 1 or log_evidence(count, requests, weight, outer_share) >= (
                    -math.log(risk) - 1e-6
                )

    def test_of_no_requests_says_nothing(self) -> None:
        assert share_interval(0, 0, 10, RISK) == Interval(0.0, 1.0)

    def test_of_all_or_nothing_ends_at_one_or_zero(self) -> None:
        assert share_interval(0, 3_000, 10, RISK).low == 0.0
        assert share_interval(3_000, 3_000, 90, RISK).high == 1.0

    @settings(max_examples=50)
    @given(requests=st.integers(0, 20_000), weight=st.integers(1, 99), data=st.data())
    def test_lies_where_the_verdict_says(self, requests: int, weight: int, data: st.DataObject) -> None:
        count = data.draw(st.integers(0, requests))
        interval, edges = share_interval(count, requests, weight, RISK), allowed(weight)

        assert is_inside(count, requests, weight, RISK) == (edges.low <= interval.low and interval.high <= edges.high)
        assert is_outside(count, requests, weight, RISK) == (interval.high <= edges.low or edges.high <= interval.low)

    @pytest.mark.parametrize(("count", "requests"), [(-1, 10), (11, 10)])
    def test_refuses_what_is_no_count(self, count: int, requests: int) -> None:
        with pytest.raises(ValueError, match="not a count"):
            share_interval(count, requests, 10, RISK)


class TestErrorRates:
    """Exact, by adding up every path that the counts can take; the look is after every request."""

    @pytest.mark.parametrize("weight", [1, 10, 50])
    def test_a_right_split_is_seldom_found_wrong(self, weight: int) -> None:
        assert 0 < chance_of_ever(is_outside, weight / 100, weight, 2_000) < RISK

    @pytest.mark.parametrize("edge", [0.08, 0.12])
    def test_a_share_at_the_edge_is_seldom_certified_or_found_wrong(self, edge: float) -> None:
        assert 0 < chance_of_ever(is_inside, edge, 10, 3_500) < RISK
        assert chance_of_ever(is_outside, edge, 10, 3_500) < RISK

    def test_looking_after_each_request_at_an_interval_for_one_look_would_not_do(self) -> None:
        def excluded_by_one_look(counts: object, requests: object, weight: int, risk: float) -> object:
            from scipy.stats import binom  # noqa: PLC0415

            return (
                2
                * np.minimum(
                    binom.cdf(counts, requests, weight / 100), binom.sf(np.asarray(counts) - 1, requests, weight / 100)
                )
                <= risk
            )

        assert chance_of_ever(excluded_by_one_look, 0.1, 10, 2_000) > 3 * RISK


class TestStanding:
    def test_of_a_right_split_holds(self) -> None:
        assert standing({"v1": 3_600, "v2": 400}, 4_000, SPLIT) is Standing.HOLDS

    def test_of_85_to_15_does_not_hold(self) -> None:
        assert standing({"v1": 2_550, "v2": 450}, 3_000, SPLIT) is Standing.DOES_NOT_HOLD

    def test_of_nothing_is_not_yet_known(self) -> None:
        assert standing({}, 0, SPLIT) is Standing.NOT_YET_KNOWN

    @pytest.mark.parametrize(("share", "sent"), [(0.12, 100_000), (0.08, 100_000)])
    def test_at_the_edge_is_not_known(self, share: float, sent: int) -> None:
        counts = {"v1": round(sent * (1 - share)), "v2": round(sent * share)}
        assert standing(counts, sent, SPLIT) is Standing.NOT_YET_KNOWN

    def test_a_dead_canary_is_caught_within_150_requests(self) -> None:
        caught = next(n for n in range(10, 160, 10) if standing({"v1": n}, n, SPLIT) is Standing.DOES_NOT_HOLD)

        assert caught <= 150

    @pytest.mark.parametrize("weight", [1, 2, 3])
    def test_a_canary_of_little_weight_that_gets_nothing_does_not_hold(self, weight: int) -> None:
        assert standing({"v1": 3_000}, 3_000, {"v1": 100 - weight, "v2": weight}) is Standing.DOES_NOT_HOLD

    def test_all_requests_to_the_only_version_hold(self) -> None:
        assert standing({"v1": 500}, 500, {"v1": 100, "v2": 0}) is Standing.HOLDS

    def test_a_version_without_weight_is_not_judged(self) -> None:
        counts = {"v1": 485_000, "v2": 485_000, "v3": 30_000}
        assert standing(counts, 1_000_000, {"v1": 50, "v2": 50, "v3": 0}) is Standing.HOLDS

    def test_what_a_version_without_weight_gets_is_missing_elsewhere(self) -> None:
        counts = {"v1": 900, "v2": 100}
        assert standing(counts, 1_000, {"v1": 100, "v2": 0}) is Standing.DOES_NOT_HOLD

    def test_one_wrong_share_of_three_is_enough(self) -> None:
        weights = {"v1": 40, "v2": 40, "v3": 20}
        right = {"v1": 40_000, "v2": 40_000, "v3": 20_000}
        wrong = {"v1": 45_000, "v2": 35_000, "v3": 20_000}

        assert standing(right, 100_000, weights) is Standing.HOLDS
        assert standing(wrong, 100_000, weights) is Standing.DOES_NOT_HOLD

    def test_one_open_share_of_three_leaves_it_open(self) -> None:
        weights = {"v1": 40, "v2": 59, "v3": 1}
        sent = 18_000
        counts = {"v1": sent * 40 // 100, "v2": sent * 585 // 1000, "v3": sent * 15 // 1000}

        assert is_inside(counts["v3"], sent, 1, RISK / 3)
        assert standing(counts, sent, weights) is Standing.NOT_YET_KNOWN

    @settings(max_examples=50)
    @given(requests=st.integers(0, 20_000), weight=st.integers(4, 96), data=st.data())
    def test_of_two_versions_is_the_same_by_either(self, requests: int, weight: int, data: st.DataObject) -> None:
        count = data.draw(st.integers(0, requests))

        assert bool(is_inside(count, requests, weight, RISK)) == bool(
            is_inside(requests - count, requests, 100 - weight, RISK)
        )
        assert bool(is_outside(count, requests, weight, RISK)) == bool(
            is_outside(requests - count, requests, 100 - weight, RISK)
        )

    @pytest.mark.parametrize("weights", [{"v1": 90, "v2": 11}, {"v1": 110, "v2": -10}, {}])
    def test_weights_that_are_no_split_are_refused(self, weights: dict[str, int]) -> None:
        with pytest.raises(ValueError, match="sum to 100"):
            standing({}, 0, weights)

    def test_more_answers_than_requests_are_refused(self) -> None:
        with pytest.raises(ValueError, match="11 is not a count of 10"):
            standing({"v2": 11}, 10, SPLIT)


class TestVersionRisk:
    @pytest.mark.parametrize(
        ("weights", "risk"),
        [
            ({"v1": 100}, RISK),
            ({"v1": 90, "v2": 10}, RISK),
            ({"v1": 90, "v2": 10, "v3": 0}, RISK),
            ({"v1": 80, "v2": 10, "v3": 10}, RISK / 3),
        ],
    )
    def test_is_shared_only_by_more_than_two_with_weight(self, weights: dict[str, int], risk: float) -> None:
        assert version_risk(weights) == risk


class TestRequestsToGo:
    @pytest.mark.parametrize(("v2", "sent"), [(100, 1_000), (150, 1_000), (0, 50), (0, 0)])
    def test_is_the_fewest_that_decide_at_the_shares_seen(self, v2: int, sent: int) -> None:
        share = v2 / sent if sent else 0.1
        more = requests_to_go({"v1": sent - v2, "v2": v2}, sent, SPLIT)

        assert more is not None

        def at(total: int) -> Standing:
            return standing({"v1": (1 - share) * total, "v2": share * total}, total, SPLIT)

        assert at(sent + more) is not Standing.NOT_YET_KNOWN
        assert at(sent + more - 1) is Standing.NOT_YET_KNOWN

    def test_is_none_at_the_edge(self) -> None:
        assert requests_to_go({"v1": 880, "v2": 120}, 1_000, SPLIT) is None

    def test_is_zero_when_decided(self) -> None:
        assert requests_to_go({"v1": 4_500, "v2": 500}, 5_000, SPLIT) == 0
