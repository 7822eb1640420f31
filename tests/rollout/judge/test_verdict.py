from __future__ import annotations

from dataclasses import replace

import pytest

from rollout.judge.checks import Kind
from rollout.judge.shares import Interval, Standing
from rollout.judge.verdict import is_decided, verdict_of
from rollout.measurement import Count, Measurement, Origin, Result, Tally
from tests.rollout.answers import REGION, drawn, measured, numbered, ok

WEIGHTS = {"v1": 90, "v2": 10}
RIGHT = measured({"v1": 5_388, "v2": 612})


def kinds(measurement: Measurement, weights: dict[str, int] = WEIGHTS) -> list[Kind]:
    return [finding.kind for finding in verdict_of(measurement, weights).findings]


def counted(results: list[Result]) -> Measurement:
    count = Count(REGION)
    for result in results:
        count.add(result)
    return count.measurement(planned=len(results), seconds=1.0)


class TestRegion:
    def test_is_not_yet_known_while_the_shares_can_be_right_and_wrong(self) -> None:
        verdict = verdict_of(measured({"v1": 900, "v2": 100}), WEIGHTS)

        assert (verdict.standing, verdict.word) == (Standing.NOT_YET_KNOWN, "not yet known")
        assert [finding.kind for finding in verdict.findings] == [Kind.UNDECIDED]

    def test_says_how_many_more_requests_decide_it(self) -> None:
        undecided = verdict_of(measured({"v1": 900, "v2": 100}), WEIGHTS)
        more = undecided.requests_to_go
        assert more is not None
        assert f"1,000 requests do not decide it; about {more:,} more would" in undecided.findings[0].text

        total = -(-(1_000 + more) // 10) * 10
        assert verdict_of(measured({"v1": total * 9 // 10, "v2": total // 10}), WEIGHTS).holds

    def test_says_that_a_share_at_the_edge_is_never_decided(self) -> None:
        verdict = verdict_of(measured({"v1": 8_800, "v2": 1_200}), WEIGHTS)

        assert verdict.requests_to_go is None
        assert "not even 1,000,000 more would" in verdict.findings[0].text

    def test_is_not_judged_where_requests_depend_on_each_other(self) -> None:
        in_turns = counted(numbered(*([ok("v1"), ok("v2")] * 2_000)))

        verdict = verdict_of(in_turns, {"v1": 50, "v2": 50})

        assert (verdict.standing, verdict.word, verdict.holds) == (None, "not independent", False)
        assert [finding.text for finding in verdict.findings] == [
            "which version answers depends on who answered before: 4,000 answers came in 4,000 runs of one version, "
            "and nothing can be said of their shares"
        ]

    def test_takes_more_to_deny_independence_where_a_third_version_could_have_answered(self) -> None:
        in_turns = counted(numbered(*([ok("v1"), ok("v2")] * 8)))

        assert is_decided(in_turns, {"v1": 50, "v2": 50})
        assert not is_decided(in_turns, {"v1": 45, "v2": 45, "v3": 10})

    def test_is_not_found_off_weight_where_requests_depend_on_each_other(self) -> None:
        sticky = counted(numbered(*[ok("v1")] * 1_000, *[ok("v2")] * 1_000))

        assert [finding.kind for finding in verdict_of(sticky, WEIGHTS).findings] == [Kind.NOT_INDEPENDENT]

    def test_does_not_hold_where_a_request_failed_and_requests_depend_on_each_other(self) -> None:
        in_turns = replace(counted(numbered(*([ok("v1"), ok("v2")] * 2_000))), unanswered=1)

        assert verdict_of(in_turns, {"v1": 50, "v2": 50}).standing is Standing.DOES_NOT_HOLD

    def test_holds_when_requests_are_drawn_by_lot(self) -> None:
        assert verdict_of(counted(drawn({"v1": 5_388, "v2": 612})), WEIGHTS).holds

    def test_holds_when_shares_are_near_their_weights_and_nothing_failed(self) -> None:
        assert verdict_of(RIGHT, WEIGHTS).holds

    def test_does_not_hold_with_a_dead_canary(self) -> None:
        verdict = verdict_of(measured({"v1": 150}), WEIGHTS)

        assert verdict.standing is Standing.DOES_NOT_HOLD
        assert Kind.SILENT in [finding.kind for finding in verdict.findings]

    @pytest.mark.parametrize("weight", [1, 2])
    def test_does_not_hold_with_a_dead_canary_that_zero_is_near_to(self, weight: int) -> None:
        assert kinds(measured({"v1": 9_000}), {"v1": 100 - weight, "v2": weight}) == [Kind.SILENT]

    def test_does_not_hold_at_85_to_15_against_90_to_10(self) -> None:
        assert kinds(measured({"v1": 2_550, "v2": 450})) == [Kind.OFF_WEIGHT, Kind.OFF_WEIGHT]

    def test_says_how_far_a_share_is_off(self) -> None:
        verdict = verdict_of(measured({"v1": 2_550, "v2": 450}), WEIGHTS)

        assert verdict.findings[1].text == (
            "v2 got 15.0 % (450 of 3,000) where its weight is 10: its share is in "
            f"{100 * verdict.rows[1].interval.low:.1f} - {100 * verdict.rows[1].interval.high:.1f} %, and 8 - 12 % are right"
        )

    def test_does_not_hold_with_one_failed_request(self) -> None:
        one_failed = replace(
            RIGHT,
            answered={Origin(REGION, "v1"): Tally(5_388, 0), Origin(REGION, "v2"): Tally(612, 1)},
            reasons={"HTTP 500": 1},
        )

        assert kinds(one_failed) == [Kind.FAILED]

    def test_does_not_hold_with_one_unanswered_request(self) -> None:
        assert kinds(replace(measured({"v1": 5_388, "v2": 611}), unanswered=1)) == [Kind.FAILED]

    def test_says_why_requests_failed(self) -> None:
        failed = replace(measured({"v1": 2_700}), unanswered=300, reasons={"HTTP 503": 299, "EOF": 1})

        texts = [finding.text for finding in verdict_of(failed, WEIGHTS).findings if finding.kind is Kind.FAILED]

        assert texts == ["300 requests failed at (no answer) (all failures: 299 x HTTP 503, 1 x EOF)"]

    def test_does_not_hold_with_one_answer_from_another_region(self) -> None:
        crossed = replace(RIGHT, answered={**RIGHT.answered, Origin("region-b", "v1"): Tally(1, 0)})

        assert kinds(crossed) == [Kind.CROSSED]

    def test_does_not_hold_when_all_answers_come_from_another_region(self) -> None:
        assert Kind.CROSSED in kinds(replace(RIGHT, region="region-b"))

    def test_does_not_hold_with_one_answer_of_a_version_without_weight(self) -> None:
        assert kinds(measured({"v1": 5_387, "v2": 612, "v3": 1})) == [Kind.UNWEIGHTED]

    def test_does_not_hold_with_one_answer_of_a_version_with_weight_0(self) -> None:
        assert kinds(measured({"v1": 5_999, "v2": 1}), {"v1": 100, "v2": 0}) == [Kind.UNWEIGHTED]

    def test_is_found_off_weight_only_at_versions_that_have_one(self) -> None:
        findings = verdict_of(measured({"v1": 5_000, "v2": 1_000}), {"v1": 100, "v2": 0}).findings

        assert [(finding.kind, finding.row) for finding in findings] == [
            (Kind.UNWEIGHTED, "v2"),
            (Kind.OFF_WEIGHT, "v1"),
        ]

    def test_holds_when_a_version_with_weight_0_got_nothing(self) -> None:
        assert verdict_of(measured({"v1": 3_000}), {"v1": 100, "v2": 0}).holds

    def test_does_not_hold_with_one_unreadable_answer(self) -> None:
        unreadable = replace(measured({"v1": 5_387, "v2": 612}), unreadable=1, samples=("hello",))

        assert kinds(unreadable) == [Kind.UNREADABLE]

    def test_does_not_hold_with_one_answer_of_another_version_than_was_chosen(self) -> None:
        assert kinds(replace(RIGHT, mislabelled={("v2", "v1"): 1})) == [Kind.MISLABELLED]

    def test_says_which_subset_matches_the_wrong_pods(self) -> None:
        swapped = replace(RIGHT, mislabelled={("v1", "v2"): 9, ("v2", "v1"): 1_203})

        assert [(finding.row, finding.text) for finding in verdict_of(swapped, WEIGHTS).findings] == [
            (
                "v1",
                "9 requests that were routed to v1 were answered by v2: the labels of subset v1 match pods of v2",
            ),
            (
                "v2",
                "1,203 requests that were routed to v2 were answered by v1: the labels of subset v2 match pods of v1",
            ),
        ]

    def test_holds_with_fewer_requests_than_were_planned(self) -> None:
        assert verdict_of(replace(RIGHT, planned=50_000), WEIGHTS).holds

    def test_is_not_yet_known_without_any_request(self) -> None:
        assert verdict_of(measured({}, planned=3_000), WEIGHTS).standing is Standing.NOT_YET_KNOWN

    def test_weights_that_are_no_split_are_refused(self) -> None:
        with pytest.raises(ValueError, match="sum to 100"):
            verdict_of(RIGHT, {"v1": 90, "v2": 20})


@pytest.mark.parametrize(
    ("measurement", "decided"),
    [
        (RIGHT, True),
        (measured({"v1": 900, "v2": 100}), False),
        (measured({}), False),
        (measured({"v1": 150}), True),
        (replace(measured({"v1": 9}), unanswered=1), True),
        (measured({"v1": 9, "v3": 1}), True),
        (counted(numbered(*[ok("v1")] * 100, *[ok("v2")] * 12)), True),
    ],
)
def test_is_decided_when_more_requests_would_not_change_the_verdict(measurement: Measurement, *, decided: bool) -> None:
    assert is_decided(measurement, WEIGHTS) is decided
    assert (verdict_of(measurement, WEIGHTS).standing is not Standing.NOT_YET_KNOWN) is decided


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

        rows = verdict_of(mixed, WEIGHTS).rows

        assert [(row.label, row.requests, row.failures) for row in rows] == [
            ("v1", 3, 1),
            ("v2", 0, 0),
            ("v9", 1, 0),
            ("v1 of region-b", 2, 0),
            ("(no version)", 2, 0),
            ("(no answer)", 2, 2),
        ]
        assert sum(row.share for row in rows) == pytest.approx(1)

    def test_have_a_weight_only_where_the_stack_gives_one(self) -> None:
        crossed = replace(RIGHT, answered={**RIGHT.answered, Origin("region-b", "v1"): Tally(1, 0)})

        assert [(row.label, row.weight) for row in verdict_of(crossed, WEIGHTS).rows] == [
            ("v1", 90),
            ("v2", 10),
            ("v1 of region-b", None),
        ]

    def test_are_there_for_versions_that_got_nothing(self) -> None:
        assert [row.label for row in verdict_of(measured({"v1": 3_000}), WEIGHTS).rows] == ["v1", "v2"]

    def test_carry_their_own_findings_only(self) -> None:
        rows = verdict_of(measured({"v1": 2_699, "v2": 300, "v3": 1}), WEIGHTS).rows

        assert {row.label: [finding.kind for finding in row.findings] for row in rows} == {
            "v1": [],
            "v2": [],
            "v3": [Kind.UNWEIGHTED],
        }

    def test_that_have_no_finding_stand_for_themselves(self) -> None:
        rows = verdict_of(replace(RIGHT, answered={**RIGHT.answered, Origin(REGION, "v3"): Tally(1, 0)}), WEIGHTS).rows

        assert [row.word for row in rows] == ["holds", "holds", "no weight"]

    def test_are_not_yet_known_while_their_share_can_be_right_and_wrong(self) -> None:
        assert [row.word for row in verdict_of(measured({"v1": 900, "v2": 100}), WEIGHTS).rows] == ["not yet known"] * 2

    def test_do_not_stand_for_themselves_where_requests_depend_on_each_other(self) -> None:
        rows = verdict_of(counted(numbered(*([ok("v1"), ok("v2")] * 2_000))), {"v1": 50, "v2": 50}).rows

        assert [(row.standing, row.word) for row in rows] == [(None, "not independent")] * 2

    def test_without_any_request_can_be_anything(self) -> None:
        assert [row.interval for row in verdict_of(measured({}), WEIGHTS).rows] == [Interval(0.0, 1.0)] * 2

    def test_show_the_interval_of_their_share(self) -> None:
        second = verdict_of(RIGHT, WEIGHTS).rows[1]

        assert second.interval.low < second.share < second.interval.high


def test_findings_are_those_of_what_was_lost_and_then_of_the_shares() -> None:
    wrong = replace(measured({"v1": 3_000}), unanswered=1, answered={Origin("region-b", "v1"): Tally(3_000, 0)})

    assert [finding.kind for finding in verdict_of(wrong, WEIGHTS).findings] == [
        Kind.FAILED,
        Kind.CROSSED,
        Kind.SILENT,
        Kind.SILENT,
    ]
