"""A step is doubted for what it did, and for nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rollout.judge.shares import Interval
from rollout.judge.step import (
    MOST_REQUESTS,
    Observation,
    Step,
    doubt,
    interval,
    is_proven,
    new_tally,
    old_tally,
    somebody_else_answered,
)
from rollout.measurement import Count, Measurement, Origin, Result, Tally
from tests.rollout.answers import REGION, drawn, fault, measured, numbered, ok, other, page

STEP = Step(REGION, "v2", {"v1": 90, "v2": 10}, {"v1": 100, "v2": 0})
NOTHING = measured({})
RIGHT = {"v1": 9_000, "v2": 1_000}


def counted(*results: Result) -> Measurement:
    count = Count(REGION)
    for result in results:
        count.add(result)
    return count.measurement(planned=len(results), seconds=1.0)


def failing(counts: dict[str, int], failures: dict[str, int]) -> Measurement:
    """Answers of versions, so many of them failures."""
    answered = {
        Origin(REGION, version): Tally(requests, failures.get(version, 0)) for version, requests in counts.items()
    }
    return replace(measured(counts), answered=answered, reasons={"HTTP 500": sum(failures.values())})


def doubted(seen: Observation, step: Step = STEP, *, proven: bool = False) -> str:
    """Why a step is not well; it must not be."""
    reason = doubt(step, seen, proven=proven)
    assert reason is not None
    return reason


class TestShare:
    def test_a_share_of_the_weight_is_proven_and_not_doubted(self) -> None:
        seen = Observation(NOTHING, counted(*drawn(RIGHT)))

        assert is_proven(STEP, seen)
        assert doubt(STEP, seen, proven=False) is None

    def test_few_requests_prove_nothing_and_deny_nothing(self) -> None:
        seen = Observation(NOTHING, measured({"v1": 90, "v2": 10}))

        assert not is_proven(STEP, seen)
        assert doubt(STEP, seen, proven=False) is None

    def test_what_came_while_the_step_came_is_no_share(self) -> None:
        seen = Observation(measured({"v1": 20_000}))

        assert not is_proven(STEP, seen)
        assert doubt(STEP, seen, proven=False) is None

    def test_a_share_that_is_off_is_doubted(self) -> None:
        seen = Observation(NOTHING, measured({"v1": 8_500, "v2": 1_500}))

        assert doubted(seen).startswith("v2 got 15.0 % (1,500 of 10,000) where its weight is 10: ")

    def test_one_that_was_proven_can_be_found_off_later(self) -> None:
        seen = Observation(NOTHING, measured({"v1": 8_500, "v2": 1_500}))

        assert "v2 got 15.0 %" in doubted(seen, proven=True)

    def test_a_share_at_the_edge_is_doubted_in_the_end(self) -> None:
        edge = measured({"v1": MOST_REQUESTS * 88 // 100, "v2": MOST_REQUESTS * 12 // 100})

        assert "too near the edge" in doubted(Observation(NOTHING, edge))
        assert doubt(STEP, Observation(NOTHING, edge), proven=True) is None

    def test_turns_taken_in_order_are_doubted_whatever_the_share(self) -> None:
        turns = numbered(*([ok("v2"), *[ok("v1")] * 9] * 300))

        assert "depends on who answered before" in doubted(Observation(NOTHING, counted(*turns)))

    def test_before_anything_is_measured_a_share_can_be_anywhere(self) -> None:
        assert interval(STEP, Observation(NOTHING)) == Interval(0.0, 1.0)
        assert interval(STEP, Observation(NOTHING, NOTHING)) == Interval(0.0, 1.0)

    def test_the_interval_is_around_the_share(self) -> None:
        found = interval(STEP, Observation(NOTHING, measured(RIGHT)))

        assert 0.08 < found.low < 0.1 < found.high < 0.12


class TestFailures:
    def test_a_version_that_fails_where_the_old_one_does_not_is_doubted(self) -> None:
        seen = Observation(failing({"v1": 180, "v2": 20}, {"v2": 20}))

        assert doubted(seen).startswith(
            "v2 fails more often than v1: 20 of 20 requests, against 0 of 180 (20 x HTTP 500; false-alarm rate at most 0.1%)"
        )

    def test_both_windows_count(self) -> None:
        window = failing({"v1": 45, "v2": 2}, {"v2": 2})

        assert doubt(STEP, Observation(window), proven=False) is None
        assert "4 of 4 requests, against 0 of 90" in doubted(Observation(window, window))

    def test_an_old_version_that_fails_as_often_accuses_nobody(self) -> None:
        seen = Observation(failing({"v1": 9_000, "v2": 1_000}, {"v1": 900, "v2": 100}))

        assert doubt(STEP, seen, proven=False) is None

    def test_a_new_version_that_fails_less_is_not_doubted(self) -> None:
        seen = Observation(failing({"v1": 900, "v2": 100}, {"v1": 450}))

        assert doubt(STEP, seen, proven=False) is None

    def test_the_last_step_is_held_against_what_the_old_one_did_before(self) -> None:
        last = Step(REGION, "v2", {"v1": 0, "v2": 100}, {"v1": 50, "v2": 50}, old=Tally(10_000, 0))
        seen = Observation(NOTHING, failing({"v2": 1_000}, {"v2": 50}))

        assert "50 of 1,000 requests, against 0 of 10,000" in doubted(seen, last)
        assert old_tally(last, seen) == Tally(10_000, 0)
        assert new_tally(last, seen) == Tally(1_000, 50)

    def test_all_others_together_are_the_old_one(self) -> None:
        step = Step(REGION, "v3", {"v1": 60, "v2": 30, "v3": 10}, {"v1": 60, "v2": 40, "v3": 0})
        seen = Observation(failing({"v1": 600, "v2": 300, "v3": 100}, {"v1": 6, "v2": 3, "v3": 1}))

        assert old_tally(step, seen) == Tally(900, 9)
        assert step.old_versions == "v1+v2"


class TestSomebodyElse:
    def test_a_request_that_nobody_answers_is_doubted(self) -> None:
        seen = Observation(counted(ok("v1"), other(0, error="dial: connection refused")))

        assert doubted(seen) == "1 requests failed at (no answer) (all failures: 1 x connection refused)"

    def test_so_is_one_that_another_region_answers(self) -> None:
        assert (
            doubted(Observation(counted(ok("v1", "region-b"))))
            == "1 requests sent in region-a were answered by region-b"
        )

    def test_so_is_a_success_that_names_nobody(self) -> None:
        assert "1 answers have an expected status and name no version" in doubted(
            Observation(counted(other(200, "<html>")))
        )

    def test_so_is_an_answer_of_another_version_than_was_chosen(self) -> None:
        seen = Observation(counted(replace(ok("v1"), subset="v2", upstream=True)))

        assert "1 requests that were routed to v2 were answered by v1" in doubted(seen)

    def test_so_is_a_proxys_own_error_with_the_version_that_it_was_for(self) -> None:
        seen = Observation(counted(ok("v1"), page("v2", 503, upstream=False)))

        assert doubted(seen) == "1 requests failed at (no answer) (all failures: 1 x HTTP 503 by a proxy, for v2)"

    def test_a_failure_of_a_versions_pod_that_names_nobody_is_not_lost(self) -> None:
        assert somebody_else_answered(STEP, Observation(counted(page("v2", 502)))) is None

    def test_an_answer_of_a_version_that_is_not_routed_to_is_doubted(self) -> None:
        assert doubted(Observation(counted(ok("v3")))) == "v3 has no weight and answered 1 requests"

    def test_one_that_loses_its_weight_may_answer_while_the_step_comes_and_not_later(self) -> None:
        last = Step(REGION, "v2", {"v1": 0, "v2": 100}, {"v1": 50, "v2": 50})
        window = counted(ok("v1"), ok("v2"))

        assert doubt(last, Observation(window), proven=False) is None
        assert doubted(Observation(NOTHING, window), last) == "v1 has no weight and answered 1 requests"

    @pytest.mark.parametrize("version", ["v1", "v2"])
    def test_a_versions_own_failure_is_not_lost(self, version: str) -> None:
        assert somebody_else_answered(STEP, Observation(counted(fault(version)))) is None
