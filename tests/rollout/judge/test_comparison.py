from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from rollout.judge.comparison import (
    Evidence,
    Margin,
    Sample,
    bounds,
    expected_requests,
    is_within,
    log_evidence,
    log_evidence_of_average,
    log_growth,
    log_growth_of_average,
    pooled,
    smallest_found,
)
from rollout.judge.shares import RISK

Array = NDArray[np.float64]

FOUND = -math.log(RISK)
NO_WORSE = Margin()
HALF_A_POINT = Margin(points=0.005)

shares = st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.9, 0.99])
margins = st.builds(Margin, st.sampled_from([0.5, 1.0, 1.5]), st.sampled_from([0.0, 0.005, 0.1]))


@st.composite
def samples(draw: st.DrawFn, most: int = 2_000) -> Sample:
    requests = draw(st.integers(0, most))
    new = draw(st.integers(0, requests))
    return Sample(draw(shares), requests, new, draw(st.integers(0, requests - new)))


def count(sample: Sequence[tuple[int, int]], drawn: Sequence[bool]) -> tuple[int, int]:
    """The bad ones of the new and of the old version, if these requests go to the new one; a request is what either makes of it."""
    new = sum(of_new for (of_new, _), to_new in zip(sample, drawn, strict=True) if to_new)
    return new, sum(of_old for (_, of_old), to_new in zip(sample, drawn, strict=True) if not to_new)


def mean_factors(
    requests: Sequence[tuple[int, int]], true_share: float, share: float, margin: Margin, *, together: bool
) -> Array:
    """The mean of one sample's factor over all draws, for each λ."""
    mean = np.zeros(1)
    for drawn in itertools.product([True, False], repeat=len(requests)):
        chance = math.prod(true_share if to_new else 1 - true_share for to_new in drawn)
        new, old = count(requests, drawn)
        growth = log_growth(share, float(len(requests)), float(new), float(old), margin, together=together)
        mean = mean + chance * np.exp(growth)
    return mean


class TestSample:
    @pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
    def test_refuses_a_share_that_compares_nothing(self, share: float) -> None:
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            Sample(share, 10, 0, 0)

    @pytest.mark.parametrize(("new", "old"), [(6, 5), (-1, 0), (0, -1)])
    def test_refuses_more_bad_ones_than_there_are(self, new: int, old: int) -> None:
        with pytest.raises(ValueError, match="among 10 requests"):
            Sample(0.1, 10, new, old)


class TestMargin:
    @pytest.mark.parametrize(("ratio", "points"), [(0.0, 0.1), (-1.0, 0.0), (1.0, -0.1), (1.0, 1.1)])
    def test_refuses_what_allows_nothing_or_all(self, ratio: float, points: float) -> None:
        with pytest.raises(ValueError, match="margin"):
            Margin(ratio, points)


class TestAlarm:
    """Exact, over all draws of a sample of four requests and each way in which no version is worse than the margin."""

    @pytest.mark.parametrize("together", [False, True])
    @pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.99])
    @pytest.mark.parametrize("less", [1.0, 0.5])
    def test_factor_of_versions_that_are_bad_together_is_one_in_the_mean_at_most(
        self, share: float, less: float, together: bool
    ) -> None:
        for outage in itertools.product([(0, 0), (1, 1), (0, 1)], repeat=4):
            assert mean_factors(outage, less * share, share, NO_WORSE, together=together).max() <= 1 + 1e-9

    @settings(max_examples=100)
    @given(share=shares, margin=margins, old_rate=st.sampled_from([0.0, 0.05, 0.3, 1.0]), together=st.booleans())
    def test_factor_of_a_version_at_the_margin_is_one_in_the_mean_at_most(
        self, share: float, margin: Margin, old_rate: float, together: bool
    ) -> None:
        new_rate = min(margin.ratio * old_rate + margin.points, 1)
        mean = np.zeros(1)
        kinds = [(0, 0), (0, 1), (1, 0), (1, 1)]
        for requests in itertools.product(kinds, repeat=2):
            chance = math.prod(
                (new_rate if new else 1 - new_rate) * (old_rate if old else 1 - old_rate) for new, old in requests
            )
            mean = mean + chance * mean_factors(requests, share, share, margin, together=together)
        assert mean.max() <= 1 + 1e-9

    @settings(max_examples=200)
    @given(
        requests=st.lists(st.sampled_from([(0, 0), (0, 1), (1, 0), (1, 1)]), min_size=1, max_size=7),
        share=shares,
        less=st.sampled_from([1.0, 0.7]),
        margin=st.sampled_from([NO_WORSE, Margin(1.5), HALF_A_POINT]),
    )
    def test_factor_of_versions_that_change_places_is_one_in_the_mean_at_most(
        self, requests: list[tuple[int, int]], share: float, less: float, margin: Margin
    ) -> None:
        turned = [(old, new) for new, old in requests]
        ways = [mean_factors(each, less * share, share, margin, together=True) for each in (requests, turned)]

        assert np.mean(ways, axis=0).max() <= 1 + 1e-9

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_versions_that_stall_in_turns_are_evidence_where_requests_count_by_themselves(self, share: float) -> None:
        ways = [mean_factors([each] * 8, share, share, NO_WORSE, together=False) for each in ((0, 1), (1, 0))]

        assert np.mean(ways, axis=0).max() > 1.1

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
    @pytest.mark.parametrize("requests", [1, 10, 250, 5_000])
    @pytest.mark.parametrize("together", [False, True])
    def test_factor_of_many_requests_that_both_would_fail_is_one_in_the_mean_at_most(
        self, requests: int, share: float, together: bool
    ) -> None:
        to_new = np.arange(requests + 1.0)
        of_all = np.full(requests + 1, float(requests))
        growth = log_growth(share, of_all, to_new, requests - to_new, NO_WORSE, together=together)
        chances = binom.pmf(to_new, requests, share)[:, None]

        assert (chances * np.exp(growth)).sum(axis=0).max() <= 1 + 1e-9

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
    def test_it_takes_eleven_samples_from_the_beginning_to_find_a_version_that_is_always_slow(
        self, share: float
    ) -> None:
        slow = [Sample(share, 5_000, round(share * 5_000), 0)] * 11

        assert log_evidence(slow[:9], NO_WORSE, together=True) < FOUND
        assert log_evidence(slow, NO_WORSE, together=True) >= FOUND

    @pytest.mark.parametrize(("together", "samples"), [(False, 7_200), (True, 1_800)])
    def test_finds_a_version_that_breaks_after_an_hour(self, together: bool, samples: int) -> None:
        well, broken = Sample(0.5, 500, 0, 0), Sample(0.5, 500, 75, 0)
        enough = 40 if together else 8

        assert log_evidence([well] * samples + [broken] * enough, HALF_A_POINT, together=together) >= FOUND

    @pytest.mark.parametrize("number", [1, 2, 100])
    def test_what_begins_with_each_sample_makes_one(self, number: int) -> None:
        assert log_evidence([Sample(0.5, 0, 0, 0)] * number, HALF_A_POINT, together=False) == pytest.approx(0)

    @settings(max_examples=100)
    @given(chosen=st.lists(samples(), max_size=12), at=st.integers(0, 12), margin=margins, together=st.booleans())
    def test_is_the_same_where_samples_are_added_later(
        self, chosen: list[Sample], at: int, margin: Margin, together: bool
    ) -> None:
        evidence = Evidence(margin, together=together)
        evidence.add(chosen[:at])
        evidence.add(chosen[at:])

        assert evidence.log == pytest.approx(log_evidence(chosen, margin, together=together), abs=1e-6)

    @settings(max_examples=100)
    @given(share=shares, requests=st.integers(1, 1_000), margin=margins, data=st.data())
    def test_of_single_requests_does_not_depend_on_how_they_are_split(
        self, share: float, requests: int, margin: Margin, data: st.DataObject
    ) -> None:
        # one bad one of the new version at most, so that no sample reaches the cut
        new, old = data.draw(st.integers(0, 1)) if share >= 0.05 else 0, data.draw(st.integers(0, requests - 1))
        first = data.draw(st.integers(0, old))
        split = ((first, 0, first), (requests - first, new, old - first))
        parts = [log_growth(share, float(n), float(a), float(b), margin, together=False) for n, a, b in split]

        whole = log_growth(share, float(requests), float(new), float(old), margin, together=False)

        assert np.sum(parts, axis=0) == pytest.approx(whole, abs=1e-6)

    @settings(max_examples=100)
    @given(sample=samples(), margin=margins, together=st.booleans())
    def test_grows_with_what_is_bad_of_the_new_version_and_falls_with_what_is_bad_of_the_old(
        self, sample: Sample, margin: Margin, together: bool
    ) -> None:
        more = Sample(sample.share, sample.requests + 1, sample.new, sample.old)
        worse = Sample(more.share, more.requests, more.new + 1, more.old)
        better = Sample(more.share, more.requests, more.new, more.old + 1)
        of_worse, of_more, of_better = (
            log_evidence([each], margin, together=together) for each in (worse, more, better)
        )

        assert of_better - 1e-9 <= of_more <= of_worse + 1e-9

    @settings(max_examples=100)
    @given(chosen=st.lists(samples(), min_size=1, max_size=5), margin=margins, together=st.booleans())
    def test_a_wider_margin_accuses_less(self, chosen: list[Sample], margin: Margin, together: bool) -> None:
        wider = Margin(margin.ratio, margin.points + 0.2)

        assert log_evidence(chosen, wider, together=together) <= log_evidence(chosen, margin, together=together) + 1e-9

    def test_of_nothing_is_none(self) -> None:
        assert log_evidence([], NO_WORSE, together=False) == pytest.approx(0)
        assert log_evidence([Sample(0.1, 0, 0, 0)], HALF_A_POINT, together=True) == pytest.approx(0)

    def test_finds_at_the_fourth_failure_that_only_a_version_with_a_tenth_of_the_requests_fails(self) -> None:
        failures = [Sample(0.1, 10, 1, 0)] * 180

        assert log_evidence(failures[:3], NO_WORSE, together=False) < FOUND
        assert log_evidence(failures[:4], NO_WORSE, together=False) >= FOUND
        assert log_evidence(failures, NO_WORSE, together=False) > 300

    def test_an_outage_of_both_is_no_evidence(self) -> None:
        assert log_evidence([Sample(0.1, 30, 3, 27)] * 10, NO_WORSE, together=False) < 0
        assert log_evidence([Sample(0.1, 30, 3, 27)] * 10, NO_WORSE, together=True) < 1e-9

    def test_it_takes_three_bad_samples(self) -> None:
        burst = Sample(0.1, 5_000, 500, 0)

        assert log_evidence([burst] * 2, NO_WORSE, together=False) < FOUND
        assert log_evidence([burst] * 3, NO_WORSE, together=False) >= FOUND

    def test_one_of_half_a_million_that_nobody_answered_is_fewer_than_one_in_ten_thousand(self) -> None:
        one_in_ten_thousand = Margin(points=1e-4)

        assert log_evidence([Sample(1, 500_000, 1, 0)], one_in_ten_thousand, together=False) < 0
        assert log_evidence([Sample(1, 5_000, 2, 0)] * 100, one_in_ten_thousand, together=False) >= FOUND

    def test_without_an_old_version_it_counts_as_never_bad(self) -> None:
        assert log_evidence([Sample(1, 100, 1, 0)] * 3, NO_WORSE, together=False) >= FOUND
        assert log_evidence([Sample(1, 100, 0, 0)], NO_WORSE, together=True) == pytest.approx(0)


def evidence_against(true: int, new: Array, old: Array, share: float, *, above: bool) -> Array:
    """Of these bad requests, against the sum of F(new) - F(old) that is the true one."""
    scale = 1 / share if above else 1 / (1 - share)
    growth = log_growth_of_average(share, new, old, 1.0, scale, above=above)
    return log_evidence_of_average(growth, np.asarray(float(true)), scale, above=above)


def ever_excluded(share: float, outcomes: Sequence[tuple[int, int]], risk: float, *, above: bool) -> float:
    """How likely the true average is outside after some request, exactly: draws with the same counts are added up."""
    undecided = {(0, 0): 1.0}
    ever, true = 0.0, 0
    for of_new, of_old in outcomes:
        true += of_new - of_old
        following: dict[tuple[int, int], float] = {}
        for (new_bad, old_bad), chance in undecided.items():
            for state, likely in (
                ((new_bad + of_new, old_bad), share),
                ((new_bad, old_bad + of_old), 1 - share),
            ):
                following[state] = following.get(state, 0.0) + chance * likely
        new, old = np.array(list(following), dtype=float).T
        excluded = evidence_against(true, new, old, share, above=above) >= -math.log(risk)
        ever += sum(chance for chance, out in zip(following.values(), excluded, strict=True) if out)
        undecided = {state: chance for (state, chance), out in zip(following.items(), excluded, strict=True) if not out}
    return ever


class TestBounds:
    @pytest.mark.parametrize("above", [True, False])
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    @pytest.mark.parametrize("outcomes", [[(1, 1)], [(1, 0)], [(0, 1)], [(1, 0), (1, 1), (0, 1), (1, 0)]])
    def test_evidence_against_the_true_average_is_one_in_the_mean_at_most(
        self, outcomes: list[tuple[int, int]], share: float, above: bool
    ) -> None:
        true = sum(new - old for new, old in outcomes)
        mean = 0.0
        for drawn in itertools.product([True, False], repeat=len(outcomes)):
            chance = math.prod(share if to_new else 1 - share for to_new in drawn)
            new, old = (np.asarray(float(bad)) for bad in count(outcomes, drawn))
            mean += chance * math.exp(evidence_against(true, new, old, share, above=above))

        assert 0.3 < mean <= 1 + 1e-9

    @pytest.mark.parametrize("above", [True, False])
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    @pytest.mark.parametrize(
        "cycle",
        [[(1, 1)], [(1, 0)], [(0, 1)], [(1, 0)] * 10 + [(0, 1)] * 10, [(0, 0)] * 40 + [(1, 1)] * 20],
        ids=["both", "new", "old", "in turns", "outage"],
    )
    def test_hold_the_true_average_at_every_look_but_for_the_risk(
        self, cycle: list[tuple[int, int]], share: float, above: bool
    ) -> None:
        # the risk is large, for in few requests nothing else is reached
        assert ever_excluded(share, (cycle * 120)[:120], 0.2, above=above) <= 0.2

    def test_are_not_so_wide_that_no_average_is_ever_outside(self) -> None:
        assert ever_excluded(0.5, [(1, 0)] * 200, 0.2, above=True) > 0.01
        assert ever_excluded(0.5, [(0, 1)] * 200, 0.2, above=False) > 0.01

    @settings(max_examples=100)
    @given(sample=samples(), ratio=st.sampled_from([0.5, 1.0, 1.5]))
    def test_end_where_the_evidence_is_one_over_the_risk(self, sample: Sample, ratio: float) -> None:
        found = bounds([sample], ratio, RISK)
        for points in (0.0, 0.1, 0.5):
            if abs(found.high - points) > 1e-9:
                assert is_within([sample], Margin(ratio, points), RISK) == (found.high < points and sample.requests > 0)
        assert -ratio <= found.low <= found.high <= 1

    @settings(max_examples=100)
    @given(chosen=st.lists(samples(), min_size=1, max_size=8), data=st.data())
    def test_depend_neither_on_the_order_of_samples_nor_on_how_they_are_split(
        self, chosen: list[Sample], data: st.DataObject
    ) -> None:
        split = [
            part
            for each in chosen
            for part in (
                Sample(each.share, each.new, each.new, 0),
                Sample(each.share, each.requests - each.new, 0, each.old),
            )
        ]
        one, other = bounds(chosen, 1.0, RISK), bounds(data.draw(st.permutations(split)), 1.0, RISK)

        assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=1e-9)

    @settings(max_examples=50)
    @given(chosen=st.lists(samples(), max_size=12))
    def test_are_the_same_where_one_sample_a_share_is_kept(self, chosen: list[Sample]) -> None:
        kept = pooled(chosen)
        one, other = bounds(chosen, 1.0, RISK), bounds(kept, 1.0, RISK)

        assert len(kept) == len({each.share for each in chosen})
        assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=1e-9)

    @settings(max_examples=100)
    @given(sample=samples())
    def test_are_mirrored_where_the_versions_change_places(self, sample: Sample) -> None:
        mirrored = Sample(1 - sample.share, sample.requests, sample.old, sample.new)
        one, other = bounds([sample], 1.0, RISK), bounds([mirrored], 1.0, RISK)

        assert (-other.high, -other.low) == pytest.approx((one.low, one.high), abs=1e-9)

    @settings(max_examples=50)
    @given(sample=samples(), times=st.integers(2, 20))
    def test_come_closer_the_longer_the_rates_stay(self, sample: Sample, times: int) -> None:
        once, often = bounds([sample], 1.0, RISK), bounds([sample] * times, 1.0, RISK)

        assert often.high - often.low <= once.high - once.low + 1e-9

    def test_of_nothing_say_nothing(self) -> None:
        assert (bounds([], 1.5, RISK).low, bounds([], 1.5, RISK).high) == (-1.5, 1.0)
        assert not is_within([], Margin(points=1.0), RISK)

    def test_seven_of_six_hundred_against_none_is_not_yet_known_to_be_within_half_a_point(self) -> None:
        seen = [Sample(0.1, 6_000, 7, 0)]
        found = bounds(seen, 1.0, RISK)

        assert found.low < HALF_A_POINT.points < found.high
        assert not is_within(seen, HALF_A_POINT, RISK)

    def test_a_version_that_is_bad_half_of_the_time_is_not_within_half_a_point(self) -> None:
        seen = [Sample(0.1, 500, 50, 0), Sample(0.1, 500, 0, 0)] * 100

        assert bounds(seen, 1.0, RISK).low > 0.4

    @pytest.mark.parametrize("share", [0.1, 0.5])
    def test_nothing_bad_at_all_proves_a_margin(self, share: float) -> None:
        enough = math.ceil(math.log(2 / RISK) / (share * HALF_A_POINT.points))

        assert is_within([Sample(share, round(1.02 * enough), 0, 0)], HALF_A_POINT, RISK)
        assert not is_within([Sample(share, round(0.98 * enough), 0, 0)], HALF_A_POINT, RISK)


class TestExpectedRequests:
    def test_with_nothing_bad_are_those_that_prove_it(self) -> None:
        expected = expected_requests(0.1, 0.0, 0.0, HALF_A_POINT, RISK)
        assert expected is not None

        assert is_within([Sample(0.1, expected, 0, 0)], HALF_A_POINT, RISK)
        assert not is_within([Sample(0.1, expected - 1, 0, 0)], HALF_A_POINT, RISK)

    def test_are_those_that_prove_it_at_these_rates(self) -> None:
        expected = expected_requests(0.5, 0.01, 0.01, Margin(1.5), RISK)
        assert expected is not None

        more, fewer = (round(part * expected * 0.005) for part in (1.01, 0.99))
        assert is_within([Sample(0.5, expected, more, more)], Margin(1.5), RISK)
        assert not is_within([Sample(0.5, expected, fewer, fewer)], Margin(1.5), RISK)

    def test_are_none_where_no_number_is_enough(self) -> None:
        assert expected_requests(0.1, 0.0, 0.0, Margin(1.5), RISK) is None
        assert expected_requests(0.1, 0.01, 0.01, NO_WORSE, RISK) is None
        assert expected_requests(0.1, 0.02, 0.01, HALF_A_POINT, RISK) is None


class TestSmallestFound:
    def test_is_found_and_what_is_smaller_is_not(self) -> None:
        rate = smallest_found(0.1, 0.0, 60_000, NO_WORSE, RISK)
        assert rate is not None

        # bad ones one by one, in samples of their own
        failures = [Sample(0.1, 1, 1, 0)] * math.ceil(6_000 * rate)
        assert log_evidence(failures, NO_WORSE, together=False) >= FOUND
        assert log_evidence(failures[:-1], NO_WORSE, together=False) < FOUND

    @pytest.mark.parametrize(("share", "old_rate"), [(0.1, 0.05), (0.5, 0.05), (0.5, 0.01), (0.9, 0.05)])
    def test_of_samples_judged_together_is_found_about_every_other_time(self, share: float, old_rate: float) -> None:
        rate = smallest_found(share, old_rate, 30_000, NO_WORSE, RISK, sample=100, together=True)
        assert rate is not None

        random = np.random.default_rng(1)
        to_new = random.binomial(100, share, (300, 400))
        new, old = (random.binomial(of, bad).astype(float) for of, bad in ((to_new, rate), (100 - to_new, old_rate)))

        def evidence(run: int) -> float:
            of_run = Evidence(NO_WORSE, together=True)
            of_run.add_many(share, np.full(300, 100.0), new[:, run], old[:, run])
            return of_run.log

        assert 0.35 < np.mean([evidence(run) >= FOUND for run in range(400)]) < 0.65

    @settings(max_examples=30)
    @given(share=shares, old_rate=st.sampled_from([0.0, 0.01, 0.2]), together=st.booleans())
    def test_is_smaller_in_more_requests(self, share: float, old_rate: float, together: bool) -> None:
        few, many = (
            smallest_found(share, old_rate, requests, NO_WORSE, RISK, sample=250, together=together)
            for requests in (10**5, 10**6)
        )

        assert many is not None
        assert few is None or old_rate < many <= few

    def test_is_none_where_not_even_all_is_found(self) -> None:
        assert smallest_found(0.1, 0.5, 10, NO_WORSE, RISK) is None

    @pytest.mark.parametrize(("samples", "found"), [(2, False), (3, True)])
    def test_no_burst_accuses_by_itself(self, samples: int, found: bool) -> None:
        """What the alarm makes of a version that fails all its requests is what is told of it."""
        margin, of_each = HALF_A_POINT, Sample(0.1, 5_000, 500, 0)

        assert (log_evidence([of_each] * samples, margin, together=False) >= FOUND) == found
        rate = smallest_found(0.1, 0.0, 5_000 * samples, margin, RISK, sample=5_000)
        assert (rate is not None) == found
