"""A step is doubted for what it did, and for nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from types import MappingProxyType

import pytest

from rollout.judge.comparison import Margin, expected_requests
from rollout.judge.shares import RISK, Interval, Standing
from rollout.judge.step import (
    MOST_REQUESTS,
    Bound,
    Look,
    Observation,
    Step,
    compared,
    doubt,
    interval,
    is_proven,
    risk_of_each,
    somebody_else_answered,
)
from rollout.measurement import Answers, Count, Host, Measurement, Result, Span, Tally
from rollout.terms import Terms
from tests.rollout.answers import AT_NS, REGION, fault, measured, numbered, ok, other, page

STEP = Step(REGION, "v2", {"v1": 90, "v2": 10}, {"v1": 100, "v2": 0})
NOTHING = measured({})
RIGHT = {"v1": 9_000, "v2": 1_000}
RATE = 500


def counted(*results: Result) -> Measurement:
    count = Count(REGION)
    for result in results:
        count.add(result)
    return count.measurement(planned=len(results), seconds=1.0)


def failing(
    counts: Mapping[str, int], failures: Mapping[str, int] = MappingProxyType({}), bounds_ms: Sequence[float] = ()
) -> Measurement:
    """Answers of versions in an order by lot, so many of them failures; those of v2 take 2 ms, others 1 ms."""
    results = [
        (fault if number < failures.get(version, 0) else ok)(version)
        for version, count in counts.items()
        for number in range(count)
    ]
    Random(1).shuffle(results)
    count = Count(REGION, bounds_ms=bounds_ms)
    for number, result in enumerate(results):
        slow = "version=v2" in result.body
        count.add(replace(result, at_ns=AT_NS + number * 10**9 // RATE, latency_ns=1_900_000 if slow else 950_000))
    return count.measurement(planned=len(results), seconds=len(results) / RATE)


def doubted(seen: Observation, step: Step = STEP, *, proven: bool = False) -> str:
    """Why a step is not well; it must not be."""
    reason = doubt(Look(step, seen), proven=proven)
    assert reason is not None
    return reason


class TestShare:
    def test_a_share_of_the_weight_is_proven_and_not_doubted(self) -> None:
        seen = Observation(NOTHING, failing({"v1": 18_000, "v2": 2_000}))

        assert is_proven(Look(STEP, seen), RATE)
        assert doubt(Look(STEP, seen), proven=False) is None

    def test_few_requests_prove_nothing_and_deny_nothing(self) -> None:
        seen = Observation(NOTHING, measured({"v1": 90, "v2": 10}))

        assert not is_proven(Look(STEP, seen), RATE)
        assert doubt(Look(STEP, seen), proven=False) is None

    def test_what_came_while_the_step_came_is_no_share(self) -> None:
        seen = Observation(measured({"v1": 20_000}))

        assert not is_proven(Look(STEP, seen), RATE)
        assert doubt(Look(STEP, seen), proven=False) is None

    def test_a_share_that_is_off_is_doubted(self) -> None:
        seen = Observation(NOTHING, measured({"v1": 8_500, "v2": 1_500}))

        assert doubted(seen).startswith("v2 got 15.0 % (1,500 of 10,000) where its weight is 10: ")

    def test_one_that_was_proven_can_be_found_off_later(self) -> None:
        seen = Observation(NOTHING, measured({"v1": 8_500, "v2": 1_500}))

        assert "v2 got 15.0 %" in doubted(seen, proven=True)

    def test_a_share_at_the_edge_is_doubted_in_the_end(self) -> None:
        edge = measured({"v1": MOST_REQUESTS * 88 // 100, "v2": MOST_REQUESTS * 12 // 100})

        assert "too near the edge" in doubted(Observation(NOTHING, edge))
        assert doubt(Look(STEP, Observation(NOTHING, edge)), proven=True) is None

    def test_turns_taken_in_order_are_doubted_whatever_the_share(self) -> None:
        turns = numbered(*([ok("v2"), *[ok("v1")] * 9] * 300))

        assert "depends on who answered before" in doubted(Observation(NOTHING, counted(*turns)))

    def test_before_anything_is_measured_a_share_can_be_anywhere(self) -> None:
        assert interval(Look(STEP, Observation(NOTHING))) == Interval(0.0, 1.0)
        assert interval(Look(STEP, Observation(NOTHING, NOTHING))) == Interval(0.0, 1.0)

    def test_the_interval_is_around_the_share(self) -> None:
        found = interval(Look(STEP, Observation(NOTHING, measured(RIGHT))))

        assert 0.08 < found.low < 0.1 < found.high < 0.12


class TestFailures:
    def test_a_version_that_fails_where_the_old_one_does_not_is_doubted(self) -> None:
        seen = Observation(NOTHING, failing({"v1": 1_800, "v2": 200}, {"v2": 200}))

        assert doubted(seen).startswith(
            "v2 fails more often than v1, by more than 0.5 points: 200 of 200 requests, against 0 of 1,800 in the same time "
            "(200 x HTTP 500; "
        )

    def test_a_burst_of_half_a_second_alone_is_no_proof(self) -> None:
        seen = Observation(NOTHING, failing({"v1": 225, "v2": 25}, {"v2": 25}))

        assert doubt(Look(STEP, seen), proven=False) is None

    def test_both_windows_count(self) -> None:
        window = failing({"v1": 675, "v2": 75}, {"v2": 4})

        assert doubt(Look(STEP, Observation(window)), proven=False) is None
        assert "8 of 150 requests, against 0 of 1,350" in doubted(Observation(window, window))

    def test_an_old_version_that_fails_as_often_accuses_nobody(self) -> None:
        seen = Observation(NOTHING, failing({"v1": 9_000, "v2": 1_000}, {"v1": 900, "v2": 100}))

        assert doubt(Look(STEP, seen), proven=False) is None

    def test_a_new_version_that_fails_less_is_not_doubted(self) -> None:
        seen = Observation(NOTHING, failing({"v1": 900, "v2": 100}, {"v1": 450}))

        assert doubt(Look(STEP, seen), proven=False) is None

    def test_few_failures_are_neither_worse_nor_proven(self) -> None:
        seen = Observation(NOTHING, failing({"v1": 5_400, "v2": 600}, {"v2": 7}))

        assert doubt(Look(STEP, seen), proven=False) is None
        assert not is_proven(Look(STEP, seen), RATE)

    def test_one_that_has_all_requests_is_held_against_what_the_old_one_did_before(self) -> None:
        last = Step(REGION, "v2", {"v1": 0, "v2": 100}, {"v1": 50, "v2": 50}, usual=0.01)

        assert doubt(Look(last, Observation(NOTHING, failing({"v2": 2_000}, {"v2": 20}))), proven=False) is None
        assert "100 of 2,000 requests, against 1.00% of those of v1 before" in doubted(
            Observation(NOTHING, failing({"v2": 2_000}, {"v2": 100})), last
        )

    def test_one_that_has_all_may_fail_all_where_the_old_one_did(self) -> None:
        last = Step(REGION, "v2", {"v1": 0, "v2": 100}, {"v1": 100, "v2": 0}, usual=1.0)

        assert doubt(Look(last, Observation(NOTHING, failing({"v2": 2_000}, {"v2": 2_000}))), proven=False) is None

    def test_all_others_together_are_the_old_one(self) -> None:
        step = Step(REGION, "v3", {"v1": 60, "v2": 30, "v3": 10}, {"v1": 60, "v2": 40, "v3": 0})
        seen = Observation(failing({"v1": 600, "v2": 300, "v3": 100}, {"v1": 6, "v2": 3, "v3": 1}))

        assert Look(step, seen).old == Tally(900, 9)
        assert step.old_versions == "v1+v2"


class TestLatency:
    STEP = replace(STEP, bounds=(Bound(1.0, 0.3), Bound(1.5, 0.03), Bound(3.0, 0.005)))

    def test_a_version_that_is_slower_at_the_median_is_doubted(self) -> None:
        seen = Observation(
            NOTHING, failing({"v1": 18_000, "v2": 2_000}, bounds_ms=[bound.ms for bound in self.STEP.bounds])
        )

        assert doubted(seen, self.STEP).startswith(
            "v2 is slow more than 2 times as often as v1: 2,000 of 2,000 requests slower than 1 ms (1.5 x p50), "
            "against 0 of 18,000 in the same time"
        )

    def test_a_bound_is_to_be_proven_where_that_takes_half_of_the_longest_time(self) -> None:
        seen = Observation(NOTHING, failing({"v1": 810, "v2": 90}, bounds_ms=[bound.ms for bound in self.STEP.bounds]))

        def needed(seconds: int) -> list[bool]:
            step = replace(self.STEP, terms=Terms(longest_seconds=seconds))
            return [each.is_needed for each in compared(Look(step, seen), RATE)]

        assert needed(1) == [True, False, False, False]
        assert needed(30) == [True, True, False, False]
        assert needed(3600) == [True, True, True, True]

    def test_how_many_are_slow_now_says_how_long_a_proof_takes(self) -> None:
        seen = Observation(NOTHING, failing(RIGHT, bounds_ms=[bound.ms for bound in self.STEP.bounds]))
        step = replace(self.STEP, bounds=(Bound(1.0, 0.3), Bound(1.5, 0.0), Bound(3.0, 0.3)))

        # a tenth takes longer than 1.5 ms, and none longer than 3
        assert [each.is_needed for each in compared(Look(step, seen), RATE)] == [True, True, True, False]

    def test_where_an_alarm_alone_watches_what_it_finds_is_known(self) -> None:
        """In twenty samples of two seconds, and in ten: eleven are the fewest."""
        step = replace(self.STEP, terms=Terms(longest_seconds=1))

        def found_from(times: int) -> list[float | None]:
            counts = {"v1": 900 * times, "v2": 100 * times}
            seen = Observation(NOTHING, failing(counts, bounds_ms=[bound.ms for bound in step.bounds]))
            return [each.found_from for each in compared(Look(step, seen), RATE)]

        failed, *slow = found_from(20)
        assert failed is None
        assert all(part and 0 < part < 0.2 for part in slow)
        assert found_from(10) == [None] * 4

    def test_what_a_proof_still_takes_is_known(self) -> None:
        few, many, worse = (
            Observation(NOTHING, failing({"v1": 900 * times, "v2": 100 * times}, {"v2": bad}))
            for times, bad in ((1, 0), (40, 0), (1, 100))
        )

        (short,) = compared(Look(STEP, few), RATE)
        assert short.requests_to_go
        (enough,) = compared(Look(STEP, many), RATE)
        assert (enough.standing, enough.requests_to_go) == (Standing.HOLDS, 0)
        (never,) = compared(Look(STEP, worse), RATE)
        assert never.requests_to_go is None

    def test_declared_bounds_take_the_place_of_measured_ones(self) -> None:
        known = {8: 900, 72: 100}

        assert [bound.is_declared for bound in Bound.of(known)] == [False] * 3
        assert Bound.of(known, (250, 1)) == (Bound(250, 0.1, is_declared=True), Bound(1, 1.0, is_declared=True))
        assert Bound.of({}, (250,)) == (Bound(250, 0.0, is_declared=True),)

    def test_a_version_that_is_slower_than_a_declared_bound_is_doubted(self) -> None:
        step = replace(STEP, bounds=(Bound(1.0, 0.0, is_declared=True),))
        seen = Observation(NOTHING, failing({"v1": 18_000, "v2": 2_000}, bounds_ms=[1.0]))

        assert doubted(seen, step).startswith(
            "v2 is slow more than 2 times as often as v1 plus 0.5 points: 2,000 of 2,000 requests slower than 1 ms (declared), "
            "against 0 of 18,000 in the same time"
        )

    def test_a_declared_bound_that_nobody_exceeds_is_proven(self) -> None:
        step = replace(STEP, bounds=(Bound(1_000.0, 0.0, is_declared=True),))
        few, many = (
            Observation(NOTHING, failing({"v1": 9 * times, "v2": times}, bounds_ms=[1_000.0])) for times in (100, 4_000)
        )

        assert [(each.name, each.is_needed) for each in compared(Look(step, few), RATE)][1:] == [
            ("slower than 1,000 ms (declared)", True)
        ]
        assert not is_proven(Look(step, few), RATE)
        assert is_proven(Look(step, many), RATE)

    def test_nothing_is_compared_where_the_new_one_has_all(self) -> None:
        last = Step(REGION, "v2", {"v1": 0, "v2": 100}, {"v1": 50, "v2": 50}, self.STEP.bounds)
        seen = Observation(NOTHING, failing({"v2": 5_000}, bounds_ms=[bound.ms for bound in last.bounds]))

        assert [each.name for each in compared(Look(last, seen), RATE)] == ["failed, nothing to compare with"]
        assert is_proven(Look(last, seen), RATE)


def test_all_tests_of_a_promotion_risk_what_is_declared() -> None:
    assert risk_of_each(5, 2) * 2 * (5 * 17 + 3 * 4) == pytest.approx(RISK)


def clients(answers: Mapping[str, Answers], before: Mapping[str, Answers] = MappingProxyType({})) -> Observation:
    """A minute of 1,000 requests of clients each ten seconds, and how they were answered."""
    spans = (Span(10, {"v1": Tally(900), "v2": Tally(100)}, answers),) * 6
    return Observation(NOTHING, NOTHING, spans, before)


class TestClients:
    SEEN = Observation(NOTHING, NOTHING, (Span(10, {"v1": Tally(900, 0), "v2": Tally(100, 30)}),) * 6)

    def test_a_version_that_fails_other_clients_is_doubted(self) -> None:
        assert doubted(self.SEEN).startswith(
            "v2 fails clients more often than v1, by more than 0.5 points: 180 of 600 requests, against 0 of 5,400"
        )

    def test_what_testers_ask_for_was_not_drawn(self) -> None:
        assert doubt(Look(replace(STEP, has_testers=True), self.SEEN), proven=False) is None

        (*_, told) = compared(Look(replace(STEP, has_testers=True), self.SEEN), RATE)
        assert (told.is_watched, told.found_from, told.alone_seconds) == (False, None, None)

    def test_how_long_they_alone_would_take_for_a_proof_is_known(self) -> None:
        """As many requests as where all are the probe's: at 100 a second, and where one comes each 10 s."""
        answers = {"v1": Answers(0, {5: 900}), "v2": Answers(0, {5: 100})}
        many = clients(answers, {"v1": Answers(0, {5: 98, 50: 2})})
        few = Observation(NOTHING, NOTHING, (Span(100, {"v1": Tally(9), "v2": Tally(1)}),) * 6)
        expected = expected_requests(0.1, 0.0, 0.0, Margin(points=0.005), STEP.risk)
        assert expected

        failed, errors, *slow = compared(Look(STEP, many), RATE)[1:]
        assert failed.alone_seconds == errors.alone_seconds == pytest.approx(expected / 100)
        assert [each.alone_seconds for each in slow] == [None, None], "of what never is, no ratio is proven"
        assert failed.found_from is not None
        (*_, failed) = compared(Look(STEP, few), RATE)
        assert failed.alone_seconds == pytest.approx(expected * 10)
        assert failed.found_from is None, "of six requests of v2 not even all are enough"

    def test_three_attempts_of_a_request_are_one(self) -> None:
        few = Observation(NOTHING, NOTHING, (Span(10, {"v1": Tally(900, 0), "v2": Tally(100, 3)}),) * 3)

        assert doubt(Look(STEP, few), proven=False) is None

    def test_a_version_that_answers_them_with_4xx_is_doubted(self) -> None:
        errors = clients({"v1": Answers(9), "v2": Answers(30)})

        assert doubted(errors).startswith(
            "v2 answers clients with 4xx more often than v1, by more than 0.5 points: 180 of 600 requests, against 54 of 5,400"
        )
        assert doubt(Look(STEP, clients({"v1": Answers(270), "v2": Answers(30)})), proven=False) is None

    def test_a_version_that_is_slow_for_them_is_doubted(self) -> None:
        slow = clients(
            {"v1": Answers(0, {5: 890, 50: 10}), "v2": Answers(0, {5: 60, 50: 40})}, {"v1": Answers(0, {5: 98, 50: 2})}
        )

        # p50 and p95 of the old version are at most 5 ms, before; each span is one observation that counts for 2 at most
        assert doubted(replace(slow, clients=slow.clients * 4)).startswith(
            "v2 is slower than 5 ms for clients more than 2 times as often as v1: 960 of 2,400 requests, against 240 of 21,600"
        )
        assert doubt(Look(STEP, slow), proven=False) is None

    def test_what_is_slow_in_two_spans_one_after_the_other_speaks_once(self) -> None:
        """Ten times a moment in which only v2 was slow, of which a Prometheus shows one half in a span, the other in the next."""
        quick = {"v1": Answers(0, {5: 900}), "v2": Answers(0, {5: 100})}
        half = {**quick, "v2": Answers(0, {5: 50, 50: 50})}
        seen = clients(quick, {"v1": Answers(0, {5: 98, 50: 2})})
        spans = tuple(Span(10, {}, each, overlaps=True) for each in (half, half, quick) * 10)

        assert doubted(replace(seen, clients=tuple(replace(each, overlaps=False) for each in spans)))
        assert doubt(Look(STEP, replace(seen, clients=spans)), proven=False) is None
        assert doubted(replace(seen, clients=spans * 4))

    def test_a_declared_bound_is_held_against_the_class_of_their_envoys_below_it(self) -> None:
        step = replace(STEP, bounds=(Bound(300.0, 0.0, is_declared=True), Bound(0.1, 0.0, is_declared=True)))
        classes = dict.fromkeys((5.0, 250.0, 500.0), 0)
        slow = clients({"v1": Answers(0, {**classes, 250: 900}), "v2": Answers(0, {**classes, 5: 60, 500: 40})})

        assert doubted(replace(slow, clients=slow.clients * 4), step).startswith(
            "v2 is slower than 250 ms for clients more than 2 times as often as v1 plus 0.5 points: 960 of 2,400 requests"
        )
        assert [each.name for each in compared(Look(step, slow), RATE) if "clients" in each.name][2:] == [
            "slower than 250 ms of other clients"
        ]

    def test_those_whose_latency_is_not_known_are_none_that_are_quick(self) -> None:
        before = {"v1": Answers(0, {5: 1})}

        def slower(answers: Mapping[str, Answers]) -> list[tuple[Tally, Tally]]:
            return [(each.new, each.old) for each in compared(Look(STEP, clients(answers, before)), RATE)[3:]]

        assert slower({"v1": Answers(0, {5: 90}), "v2": Answers(0, {5: 6, 50: 4})}) == [(Tally(60, 24), Tally(540))]
        assert slower({"v1": Answers(9)}) == []

    def test_both_versions_may_be_slow_for_them(self) -> None:
        slow = clients(
            {"v1": Answers(0, {5: 540, 50: 360}), "v2": Answers(0, {5: 50, 50: 50})}, {"v1": Answers(0, {5: 1})}
        )

        assert doubt(Look(STEP, replace(slow, clients=slow.clients * 9)), proven=False) is None

    def test_answers_of_a_pod_whose_requests_are_forgotten_are_requests(self) -> None:
        forgotten = (Span(10, {"v2": Tally(0)}, {"v1": Answers(0, {5: 900}), "v2": Answers(50)}),) * 6

        assert doubted(Observation(NOTHING, NOTHING, forgotten)).startswith(
            "v2 answers clients with 4xx more often than v1, by more than 0.5 points: 300 of 300 requests, against 0 of 5,400"
        )

    def test_they_are_compared_in_what_is_counted(self) -> None:
        names = ["failed of other clients", "answered with 4xx of other clients", "slower than 5 ms of other clients"]
        answers, before = {"v1": Answers(0, {5: 1})}, {"v1": Answers(0, {5: 2}), "v2": Answers(0, {50: 9})}

        def told(seen: Observation) -> list[str]:
            return [each.name for each in compared(Look(STEP, seen), RATE)[1:]]

        assert told(self.SEEN) == names[:1]
        assert told(clients(answers)) == names[:2]
        assert told(clients(answers, before)) == names
        assert told(Observation(NOTHING, NOTHING)) == []


class TestSomebodyElse:
    def test_requests_that_nobody_answers_are_doubted_if_they_are_many(self) -> None:
        def unanswered(one_in: int) -> Observation:
            results = [other(0, error="dial: connection refused") if n % one_in == 0 else ok() for n in range(5_000)]
            return Observation(
                counted(*(replace(each, at_ns=AT_NS + n * 10**9 // RATE) for n, each in enumerate(results)))
            )

        assert somebody_else_answered(Look(STEP, unanswered(5_000))) is None
        assert doubted(unanswered(100)) == (
            "50 of 5,000 requests were answered by nobody, where 0.01% are allowed (all failures: 50 x connection refused)"
        )

    def test_a_request_that_another_region_answers_is_doubted(self) -> None:
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

    def test_a_proxys_own_error_is_a_failure_of_the_version_that_it_was_for(self) -> None:
        seen = Observation(counted(ok("v1"), page("v2", 503, upstream=False)))

        assert somebody_else_answered(Look(STEP, seen)) is None
        assert Look(STEP, seen).new == Tally(1, 1)

    def test_a_failure_of_a_versions_pod_that_names_nobody_is_not_lost(self) -> None:
        assert somebody_else_answered(Look(STEP, Observation(counted(page("v2", 502))))) is None

    def test_an_answer_of_a_version_that_is_not_routed_to_is_doubted(self) -> None:
        assert doubted(Observation(counted(ok("v3")))) == "v3 has no weight and answered 1 requests"

    def test_one_that_loses_its_weight_may_answer_while_the_step_comes_and_not_later(self) -> None:
        last = Step(REGION, "v2", {"v1": 0, "v2": 100}, {"v1": 50, "v2": 50})
        window = counted(ok("v1"), ok("v2"))

        assert doubt(Look(last, Observation(window)), proven=False) is None
        assert doubted(Observation(NOTHING, window), last) == "v1 has no weight and answered 1 requests"

    @pytest.mark.parametrize("version", ["v1", "v2"])
    def test_a_versions_own_failure_is_not_lost(self, version: str) -> None:
        assert somebody_else_answered(Look(STEP, Observation(counted(fault(version))))) is None


class TestRestarts:
    @pytest.mark.parametrize(
        ("restarts", "accused"),
        [
            ({}, False),
            ({"v2": ["OOMKilled"]}, False),
            ({"v2": ["OOMKilled", "Error"]}, True),
            ({"v1": ["Error"] * 5}, False),
            # a cause that both share
            ({"v1": ["Error"], "v2": ["Error"] * 5}, False),
        ],
    )
    def test_only_containers_of_the_new_version_that_end_again_accuse_it(
        self, restarts: Mapping[str, Sequence[str]], accused: bool
    ) -> None:
        reason = doubt(Look(STEP, Observation(NOTHING, restarts=restarts)), proven=False)

        assert (reason is not None) is accused
        assert reason is None or reason == (
            "containers of v2 ended within ten minutes: 1 x OOMKilled, 1 x Error; of v1 none"
        )

    @pytest.mark.parametrize(
        ("not_ready", "restarts", "accused"),
        [
            ({"v2": [5.0, 120.0]}, {}, True),
            ({"v2": [119.0] * 3}, {}, False),
            ({"v1": [600.0]}, {}, False),
            # one cause that ends the one and makes the other wait
            ({"v2": [600.0]}, {"v1": ["Error"]}, False),
        ],
    )
    def test_a_container_of_the_new_version_that_is_not_ready_for_long_accuses_it(
        self, not_ready: Mapping[str, Sequence[float]], restarts: Mapping[str, Sequence[str]], accused: bool
    ) -> None:
        reason = doubt(Look(STEP, Observation(NOTHING, restarts=restarts, not_ready=not_ready)), proven=False)

        assert reason == ("pods of v2 that were ready are not ready: 1, for 120 s; of v1 none" if accused else None)


class TestEjections:
    OLD, ONE, OTHER = Host("v1", "10.0.0.1:80"), Host("v2", "10.0.0.2:80"), Host("v2", "10.0.0.3:80")

    def reason(self, *looks: Mapping[Host, int]) -> str | None:
        """What is said of what clients leave out, at looks from 30 s to 30 s."""
        spans = tuple(Span(30.0, {}, ejected=ejected) for ejected in looks)
        return doubt(Look(STEP, Observation(NOTHING, clients=spans)), proven=False)

    def test_of_a_pod_of_the_new_version_that_clients_leave_out_for_long_accuse_it(self) -> None:
        looks = [{self.ONE: 3, self.OTHER: 1}, {self.ONE: 2}, {self.ONE: 2}, {self.ONE: 2}, {self.ONE: 2}]

        assert self.reason(*looks) == "clients have ejected pods of v2 for 120 s: 10.0.0.2:80; of v1 none"
        assert self.reason({}, *looks[1:]) is None

    @pytest.mark.parametrize(
        "otherwise",
        [
            pytest.param({}, id="it was tried again and is well"),
            pytest.param({ONE: 1}, id="by one client alone"),
            pytest.param({OTHER: 2}, id="another pod"),
            pytest.param({ONE: 2, OLD: 1}, id="one of the old version too"),
        ],
    )
    def test_accuse_nobody_where_it_was_otherwise_once(self, otherwise: Mapping[Host, int]) -> None:
        for place in range(5):
            looks: list[Mapping[Host, int]] = [{self.ONE: 2}] * 5
            looks[place] = otherwise
            assert self.reason(*looks) is None

    def test_accuse_nobody_by_two_looks_with_long_between_them(self) -> None:
        spans = tuple(Span(seconds, {}, ejected={self.ONE: 2}) for seconds in (30.0, 600.0, 30.0))

        assert doubt(Look(STEP, Observation(NOTHING, clients=spans)), proven=False) is None
