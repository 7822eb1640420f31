from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from rollout.split import FALSE_ALARM_RISK, requests_needed, share_interval, within_tolerance


def chance_of_being_off(requests: int, weight: int, *, true_percent: float) -> float:
    """Exact probability that a version with this true share is found off its weight."""
    allowed = [count for count in range(requests + 1) if within_tolerance(count, requests, weight)]
    inside = binom.cdf(allowed[-1], requests, true_percent / 100) - binom.cdf(
        allowed[0] - 1, requests, true_percent / 100
    )
    return float(1 - inside)


class TestRequestsNeeded:
    @pytest.mark.parametrize(
        ("weight", "requests"),
        [(25, 5_100), (75, 5_100), (50, 6_800), (10, 3_000), (1, 3_000), (0, 3_000), (100, 3_000)],
    )
    def test_of_two_versions(self, weight: int, requests: int) -> None:
        assert requests_needed({"v1": 100 - weight, "v2": weight}) == requests

    def test_of_one_version_is_the_least(self) -> None:
        assert requests_needed({"v1": 100}) == 3_000

    def test_versions_without_weight_cost_nothing(self) -> None:
        assert requests_needed({"v1": 50, "v2": 50, "v3": 0, "v4": 0}) == requests_needed({"v1": 50, "v2": 50})

    @pytest.mark.parametrize("weight", range(1, 100))
    def test_a_right_split_of_two_fails_less_than_once_in_1000(self, weight: int) -> None:
        requests = requests_needed({"v1": 100 - weight, "v2": weight})

        assert chance_of_being_off(requests, weight, true_percent=weight) < FALSE_ALARM_RISK

    def test_a_right_split_of_three_fails_less_than_once_in_1000(self) -> None:
        for first, second in itertools.product(range(5, 95, 10), repeat=2):
            if first + second < 100:
                weights = {"v1": first, "v2": second, "v3": 100 - first - second}
                requests = requests_needed(weights)
                at_most = sum(chance_of_being_off(requests, weight, true_percent=weight) for weight in weights.values())
                assert at_most < FALSE_ALARM_RISK, weights

    def test_85_to_15_is_told_from_90_to_10(self) -> None:
        requests = requests_needed({"v1": 90, "v2": 10})

        assert chance_of_being_off(requests, 10, true_percent=15) > 0.99999

    @pytest.mark.parametrize("weights", [{"v1": 90, "v2": 11}, {"v1": 110, "v2": -10}, {}])
    def test_weights_that_are_no_split_are_refused(self, weights: dict[str, int]) -> None:
        with pytest.raises(ValueError, match="sum to 100"):
            requests_needed(weights)


class TestWithinTolerance:
    @pytest.mark.parametrize(
        ("count", "within"), [(300, True), (360, True), (361, False), (240, True), (239, False), (0, False)]
    )
    def test_two_points_to_either_side_belong_to_the_band(self, count: int, within: bool) -> None:
        assert within_tolerance(count, 3_000, 10) is within


class TestShareInterval:
    @settings(max_examples=50, deadline=None)
    @given(requests=st.integers(1, 10_000), data=st.data())
    def test_is_the_exact_binomial_one(self, requests: int, data: st.DataObject) -> None:
        count = data.draw(st.integers(0, requests))

        interval = share_interval(count, requests)
        expected = binomtest(count, requests).proportion_ci(0.99, method="exact")

        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)

    def test_of_nothing_begins_at_zero_and_does_not_end_there(self) -> None:
        interval = share_interval(0, 3_000)

        assert interval.low == 0.0
        assert 0.001 < interval.high < 0.002
