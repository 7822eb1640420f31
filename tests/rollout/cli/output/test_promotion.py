"""What a person reads of a promotion says what happened, how long it took and what it cost; a program gets the same."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from rollout.access import RegionAccess
from rollout.cli.output.promotion import (
    ended_as_json,
    exit_code,
    preview_table,
    print_ended,
    print_retired,
    print_undone,
    retired_as_json,
    undone_as_json,
)
from rollout.git.record import Promotion, PromotionState, Proof
from rollout.judge.step import Comparison
from rollout.judge.verdict import verdict_of
from rollout.measurement import Tally
from rollout.problem import Problem
from rollout.promote.delivery import DeliveryTime
from rollout.promote.results import FirstAnswers, PromotionResult, RetirementResult, RollbackResult, StepResult
from rollout.status.verification import Outcome
from tests.rollout.answers import measured

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BACK = "fedcba9876543210fedcba9876543210fedcba98"
PROMOTION = Promotion("v2-0123", "echo", "v2", (10, 25), ("region-a",), 120, COMMIT)
DELIVERY = DeliveryTime(1.25, 2.5, 7)
PROOF = Proof(
    region="region-a",
    version="v2",
    weight=10,
    requests=5_000,
    share=0.1012,
    interval=(0.09, 0.1155),
    new=Tally(506, 1),
    old=Tally(4_494, 2),
    old_version="v1",
    seconds=120.4,
)
FAILURES = Comparison("failed", Tally(506, 1), Tally(4_494, 2), 0.004, 0.005, is_needed=True, worse=False)
PROVEN = StepResult("region-a", 10, COMMIT, DELIVERY, PROOF, Tally(700, 3), (FAILURES,))
FAILED = StepResult("region-a", 25, COMMIT, DELIVERY)
NEVER_THERE = StepResult("region-a", 25, COMMIT)
REGION = RegionAccess("region-a", "region-a", "region-a")
WEIGHTS = {"v1": 100, "v2": 0}
WELL = Outcome(REGION, "echo", "mesh", WEIGHTS, verdict=verdict_of(measured({"v1": 4_000}), WEIGHTS))
UNWELL = Outcome(REGION, "echo", "mesh", WEIGHTS, verdict=verdict_of(measured({"v1": 4_000, "v2": 3}), WEIGHTS))
UNKNOWN = Outcome(REGION, "echo", "mesh", WEIGHTS, problems=(Problem("the probe died"),))
UNDONE = RollbackResult(
    commit=BACK,
    weights={"region-a": WEIGHTS},
    deliveries={"region-a": DELIVERY},
    outcomes=[WELL],
    seconds=3.21,
    cost={"v1": Tally(1_200, 0), "v2": Tally(90, 61), "": Tally(2, 2)},
)
DONE = PromotionResult(PROMOTION, PromotionState.DONE, "", [PROVEN])
TAKEN_BACK = PromotionResult(
    PROMOTION, PromotionState.ROLLED_BACK, "v2 fails more often than v1", [PROVEN, FAILED], UNDONE
)
RETIRED = RetirementResult("region-a", COMMIT, DELIVERY, Tally(900, 4))


def printed(
    *,
    ended: PromotionResult | None = None,
    undone: RollbackResult | None = None,
    retired: RetirementResult | None = None,
) -> str:
    console = Console(file=io.StringIO(), width=200)
    if ended:
        print_ended(console, ended)
    if undone:
        print_undone(console, undone)
    if retired:
        print_retired(console, "echo", "v2", [retired])
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def row(text: str, weight: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("region-a ") and weight in line)


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (PromotionState.DONE, 0),
        (PromotionState.ROLLED_BACK, 1),
        (PromotionState.ENDED, 2),
        (PromotionState.IN_PROGRESS, 0),
    ],
)
def test_only_what_is_done_or_stopped_well_ends_with_0(state: PromotionState, code: int) -> None:
    assert exit_code(replace(DONE, state=state)) == code


class TestTable:
    def test_both_versions_stand_beside_one_another(self) -> None:
        of_clients = Comparison(
            "failed of other clients", Tally(70, 3), Tally(600, 0), None, 0.005, is_needed=False, worse=True
        )
        few = replace(of_clients, worse=False, found_from=0.0312, alone_seconds=15_000.0)
        by_header = replace(of_clients, worse=False, is_watched=False)
        step = replace(DONE.taken[0], compared=(*DONE.taken[0].compared, of_clients, few, by_header))

        rows = [" ".join(line.split()) for line in printed(ended=replace(DONE, taken=[step])).splitlines()]

        assert "region-a 10 % 1 of 506 2 of 4,494 0.40 points 0.50 points failed within the margin" in rows
        assert "region-a 10 % 3 of 70 0 of 600 - 0.50 points failed of other clients worse, not by the margin" in rows
        assert (
            "region-a 10 % 3 of 70 0 of 600 found from 3.12 % 0.50 points failed of other clients not shown to be worse; "
            "a proof by these alone: 4.2 h" in rows
        )
        assert "region-a 10 % 3 of 70 0 of 600 - 0.50 points failed of other clients not compared" in rows

    def test_a_step_is_a_row_with_its_proof(self) -> None:
        cells = row(printed(ended=DONE), "10 %").split()

        assert " ".join(cells) == (
            "region-a 10 % 0123456789 1.2 s 2.5 s 5,000 10.1 % 9.0 - 11.6 % 1 of 506 2 of 4,494 proven"
        )

    def test_a_step_without_a_proof_failed(self) -> None:
        found = row(printed(ended=TAKEN_BACK), "25 %")

        assert found.split() == ["region-a", "25", "%", "0123456789", "1.2", "s", "2.5", "s", *"-----", "failed"]

    def test_one_that_never_got_there_has_no_times(self) -> None:
        found = row(printed(ended=replace(TAKEN_BACK, taken=[NEVER_THERE])), "25 %")

        assert found.split() == ["region-a", "25", "%", "0123456789", *"-------", "failed"]


class TestEnd:
    def test_one_that_stops_well_says_where_and_how_it_goes_on(self) -> None:
        stopped = replace(DONE, state=PromotionState.IN_PROGRESS, reason="10 % in region-a is proven")

        assert "echo v2 stops: 10 % in region-a is proven. `rollout promote --resume` goes on." in printed(
            ended=stopped
        )

    def test_what_was_answered_at_weight_0_is_told(self) -> None:
        answers = FirstAnswers("region-a", 100, 1.25, 40.0)

        assert (
            "v2 answered 100 of 100 requests at weight 0 in region-a, p50 1.25 ms, p99 40 ms"
            in printed(ended=replace(DONE, first_answers=[answers])).splitlines()
        )

    def test_done_says_what_it_has(self) -> None:
        assert "echo v2 has 25 % in region-a: each step was proven." in printed(ended=DONE)

    def test_what_is_not_done_says_why(self) -> None:
        assert "echo v2 rolled back: v2 fails more often than v1" in printed(ended=TAKEN_BACK)

    def test_a_reason_is_no_markup(self) -> None:
        assert "[red]x[/red]" in printed(ended=replace(TAKEN_BACK, reason="[red]x[/red]"))

    def test_a_way_back_says_how_long_it_took_and_what_it_cost(self) -> None:
        assert printed(undone=UNDONE).splitlines() == [
            "region-a: v1 100 %, v2 0 % by fedcba9876, acknowledged by 7 Envoys",
            "it took 3.2 s until the last Envoy had acknowledged it",
            "it cost 0 of the 1,200 requests that went to v1",
            "it cost 61 of the 90 requests that went to v2",
            "it cost 2 of the 2 requests that went to nobody",
            "region-a echo: holds (4,000 requests)",
        ]

    def test_a_region_that_does_not_hold_after_it_says_why(self) -> None:
        assert "region-a echo: v2 has weight 0 and answered 3 requests (4,003 requests)" in printed(
            undone=replace(UNDONE, outcomes=[UNWELL])
        )

    def test_one_that_could_not_be_measured_says_why(self) -> None:
        assert "region-a echo could not be measured: the probe died" in printed(
            undone=replace(UNDONE, outcomes=[UNKNOWN])
        )

    def test_a_region_that_it_did_not_reach_is_told(self) -> None:
        problem = Problem("region-b: not synced within 10 min", "it is measured by nobody", "see what keeps it")
        undone = replace(UNDONE, weights={"region-a": WEIGHTS, "region-b": WEIGHTS}, problems=(problem,))

        assert "error: region-b: not synced within 10 min" in printed(undone=undone)
        assert undone_as_json(undone)["holds"] is False
        assert undone_as_json(undone)["problems"] == [str(problem)]

    def test_a_retirement_says_what_failed_meanwhile(self) -> None:
        assert printed(retired=RETIRED) == (
            "region-a: echo v2 is gone since 0123456789, after 2.5 s; 4 of 900 requests failed meanwhile\n"
        )


class TestJson:
    def test_a_promotion_has_its_steps(self) -> None:
        document = json.loads(json.dumps(ended_as_json(DONE)))

        assert document["promotion"] == "v2-0123"
        assert (document["service"], document["version"], document["state"]) == ("echo", "v2", "done")
        assert (document["risk"], document["tolerance"], document["undone"]) == (0.001, 0.02, None)
        assert document["steps"] == [
            {
                "region": "region-a",
                "weight": 10,
                "commit": COMMIT,
                "synced_seconds": 1.25,
                "acknowledged_seconds": 2.5,
                "envoys": 7,
                "coming": {"requests": 700, "failures": 3},
                "proof": {
                    "region": "region-a",
                    "version": "v2",
                    "weight": 10,
                    "requests": 5_000,
                    "share": 0.1012,
                    "interval": [0.09, 0.1155],
                    "new": {"requests": 506, "failures": 1},
                    "old": {"requests": 4_494, "failures": 2},
                    "old_version": "v1",
                    "seconds": 120.4,
                },
                "compared": [
                    {
                        "name": "failed",
                        "new": {"requests": 506, "failures": 1},
                        "old": {"requests": 4_494, "failures": 2},
                        "most": 0.004,
                        "allowed": 0.005,
                        "is_needed": True,
                        "worse": False,
                        "is_watched": True,
                        "found_from": None,
                        "requests_to_go": 0,
                        "alone_seconds": None,
                        "standing": "holds",
                    }
                ],
            }
        ]

    def test_a_step_that_never_got_there_has_nothing_more(self) -> None:
        (step,) = ended_as_json(replace(DONE, taken=[NEVER_THERE]))["steps"]

        assert {step[key] for key in ("synced_seconds", "acknowledged_seconds", "envoys", "coming", "proof")} == {None}

    def test_a_way_back_has_its_cost(self) -> None:
        document = ended_as_json(TAKEN_BACK)["undone"]

        assert document == {
            "commit": BACK,
            "weights": {"region-a": WEIGHTS},
            "seconds": 3.21,
            "cost": [
                {"version": "v1", "requests": 1_200, "failures": 0},
                {"version": "v2", "requests": 90, "failures": 61},
                {"version": None, "requests": 2, "failures": 2},
            ],
            "holds": True,
            "problems": [],
        }

    @pytest.mark.parametrize("outcome", [UNWELL, UNKNOWN])
    def test_it_holds_only_where_all_regions_do(self, outcome: Outcome) -> None:
        assert undone_as_json(replace(UNDONE, outcomes=[WELL, outcome]))["holds"] is False

    def test_a_retirement_has_its_regions(self) -> None:
        assert retired_as_json("echo", "v2", [RETIRED]) == {
            "service": "echo",
            "version": "v2",
            "regions": [{"region": "region-a", "commit": COMMIT, "seconds": 2.5, "requests": 900, "failures": 4}],
        }


def test_a_preview_numbers_the_steps() -> None:
    console = Console(file=io.StringIO(), width=200)

    console.print(preview_table([("region-a", {"v1": 90, "v2": 10}), ("region-b", {"v1": 0, "v2": 100})]))

    assert isinstance(console.file, io.StringIO)
    rows = [" ".join(line.split()) for line in console.file.getvalue().splitlines()[2:]]
    assert rows == ["1 region-a v1 90 %, v2 10 %", "2 region-b v1 0 %, v2 100 %"]
