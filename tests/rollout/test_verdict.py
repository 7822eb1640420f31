from __future__ import annotations

from dataclasses import replace

import pytest

from rollout.checks import Kind, all_of, no_failures, shares_match, stays_in_region
from rollout.measurement import Measurement, Origin, Tally
from rollout.verdict import judge
from tests.rollout.answers import REGION, measured

WEIGHTS = {"v1": 90, "v2": 10}
RIGHT = measured({"v1": 2_694, "v2": 306})


def kinds(measurement: Measurement, weights: dict[str, int] = WEIGHTS) -> list[Kind]:
    return [finding.kind for finding in judge(measurement, weights).findings]


class TestRegion:
    def test_holds_when_shares_are_near_their_weights_and_nothing_failed(self) -> None:
        assert judge(RIGHT, WEIGHTS).holds

    def test_does_not_hold_with_a_dead_canary(self) -> None:
        verdict = judge(measured({"v1": 3_000}), WEIGHTS)

        assert not verdict.holds
        assert Kind.SILENT in [finding.kind for finding in verdict.findings]

    @pytest.mark.parametrize("weight", [1, 2])
    def test_does_not_hold_with_a_dead_canary_that_zero_is_near_to(self, weight: int) -> None:
        assert kinds(measured({"v1": 3_000}), {"v1": 100 - weight, "v2": weight}) == [Kind.SILENT]

    def test_does_not_hold_at_85_to_15_against_90_to_10(self) -> None:
        assert kinds(measured({"v1": 2_550, "v2": 450})) == [Kind.OFF_WEIGHT, Kind.OFF_WEIGHT]

    def test_says_how_far_a_share_is_off(self) -> None:
        verdict = judge(measured({"v1": 2_550, "v2": 450}), WEIGHTS)

        assert verdict.findings[1].text == (
            "v2 got 15.0 % (450 of 3,000) where its weight is 10: 5.0 points off, 2 are allowed"
        )

    def test_does_not_hold_with_one_failed_request(self) -> None:
        one_failed = replace(
            RIGHT,
            answered={Origin(REGION, "v1"): Tally(2_694, 0), Origin(REGION, "v2"): Tally(306, 1)},
            reasons={"HTTP 500": 1},
        )

        assert kinds(one_failed) == [Kind.FAILED]

    def test_does_not_hold_with_one_unanswered_request(self) -> None:
        assert kinds(replace(measured({"v1": 2_694, "v2": 305}), unanswered=1, planned=3_000)) == [Kind.FAILED]

    def test_says_why_requests_failed(self) -> None:
        failed = replace(measured({"v1": 2_700}), unanswered=300, planned=3_000, reasons={"HTTP 503": 299, "EOF": 1})

        texts = [finding.text for finding in judge(failed, WEIGHTS).findings if finding.kind is Kind.FAILED]

        assert texts == ["300 requests failed at (no answer) (all failures: 299 x HTTP 503, 1 x EOF)"]

    def test_does_not_hold_with_one_answer_from_another_region(self) -> None:
        crossed = replace(RIGHT, answered={**RIGHT.answered, Origin("region-b", "v1"): Tally(1, 0)}, planned=3_001)

        assert kinds(crossed) == [Kind.CROSSED]

    def test_does_not_hold_when_all_answers_come_from_another_region(self) -> None:
        assert Kind.CROSSED in kinds(replace(RIGHT, region="region-b"))

    def test_does_not_hold_with_one_answer_of_a_version_without_weight(self) -> None:
        assert kinds(measured({"v1": 2_693, "v2": 306, "v3": 1})) == [Kind.UNWEIGHTED]

    def test_does_not_hold_with_one_answer_of_a_version_with_weight_0(self) -> None:
        assert kinds(measured({"v1": 2_999, "v2": 1}), {"v1": 100, "v2": 0}) == [Kind.UNWEIGHTED]

    def test_holds_when_a_version_with_weight_0_got_nothing(self) -> None:
        assert judge(measured({"v1": 3_000}), {"v1": 100, "v2": 0}).holds

    def test_does_not_hold_with_one_unreadable_answer(self) -> None:
        unreadable = replace(measured({"v1": 2_693, "v2": 306}), unreadable=1, samples=("hello",), planned=3_000)

        assert kinds(unreadable) == [Kind.UNREADABLE]

    def test_does_not_hold_with_fewer_requests_than_the_weights_need(self) -> None:
        assert kinds(measured({"v1": 2_699, "v2": 300})) == [Kind.TOO_FEW]

    def test_does_not_hold_with_fewer_requests_than_were_planned(self) -> None:
        assert kinds(replace(RIGHT, planned=4_000)) == [Kind.TOO_FEW]

    def test_does_not_hold_when_sending_was_interrupted_and_says_why(self) -> None:
        verdict = judge(replace(RIGHT, planned=4_000, interruption="the probe was killed"), WEIGHTS)

        assert [finding.text for finding in verdict.findings] == [
            "3,000 of 4,000 planned requests were sent: the probe was killed"
        ]

    def test_does_not_hold_without_any_request(self) -> None:
        assert not judge(measured({}, planned=3_000), WEIGHTS).holds


class TestRows:
    def test_add_up_to_all_requests(self) -> None:
        mixed = Measurement(
            REGION,
            planned=10,
            answered={
                Origin(REGION, "v1"): Tally(3, 1),
                Origin("region-b", "v1"): Tally(2, 0),
                Origin(REGION, "v9"): Tally(1, 0),
            },
            unreadable=2,
            unanswered=2,
        )

        rows = judge(mixed, WEIGHTS).rows

        assert [(row.label, row.requests, row.failures) for row in rows] == [
            ("v1", 3, 1),
            ("v2", 0, 0),
            ("v9", 1, 0),
            ("v1 of region-b", 2, 0),
            ("(not echo)", 2, 0),
            ("(no answer)", 2, 2),
        ]
        assert sum(row.share for row in rows) == pytest.approx(1)

    def test_have_a_weight_only_where_the_stack_gives_one(self) -> None:
        crossed = replace(RIGHT, answered={**RIGHT.answered, Origin("region-b", "v1"): Tally(1, 0)})

        assert [(row.label, row.weight) for row in judge(crossed, WEIGHTS).rows] == [
            ("v1", 90),
            ("v2", 10),
            ("v1 of region-b", None),
        ]

    def test_are_there_for_versions_that_got_nothing(self) -> None:
        assert [row.label for row in judge(measured({"v1": 3_000}), WEIGHTS).rows] == ["v1", "v2"]

    def test_carry_their_own_findings_only(self) -> None:
        rows = judge(measured({"v1": 2_699, "v2": 300, "v3": 1}), WEIGHTS).rows

        assert {row.label: [finding.kind for finding in row.findings] for row in rows} == {
            "v1": [],
            "v2": [],
            "v3": [Kind.UNWEIGHTED],
        }

    def test_show_the_interval_of_their_share(self) -> None:
        second = judge(RIGHT, WEIGHTS).rows[1]

        assert second.interval.low < second.share < second.interval.high


def test_checks_compose_and_keep_their_order() -> None:
    check = all_of(stays_in_region, shares_match(WEIGHTS), no_failures)
    wrong = replace(measured({"v1": 3_000}), unanswered=1, answered={Origin("region-b", "v1"): Tally(3_000, 0)})

    assert [finding.kind for finding in check(wrong)] == [Kind.CROSSED, Kind.SILENT, Kind.SILENT, Kind.FAILED]
