"""While a region is frozen nothing begins and no step is taken; the way back is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rollout.git.record import PromotionState
from rollout.git.repository import Repository
from rollout.problem import RolloutError, TransientError
from rollout.promote.promotion import RunOptions, preview, promote, roll_back, to_take_back
from rollout.promote.retirement import retire
from rollout.promote.upstream import Upstream
from tests.rollout.planned import REGIONS
from tests.rollout.promote.fake_regions import FakeRegions
from tests.rollout.promote.test_promotion import ALL, HALF, begin, make_fast_and_nobodys, newest, planned, resume
from tests.rollout.promote.test_rollback import lock_main
from tests.rollout.promote.two_clones import BEFORE, TwoClones

EVENING = datetime(2026, 11, 29, 19, 59, tzinfo=UTC)
NIGHT = datetime(2026, 11, 29, 20, tzinfo=UTC)
MORNING = datetime(2026, 11, 30, 6, tzinfo=UTC)
FROZEN = r"region-a: \$\.rules\.freeze\[0\]: frozen until 2026-11-30 06:00 UTC: end of the year"


@dataclass
class Clock:
    """What time it is for who promotes."""

    now: datetime = EVENING

    def upstream(self, clones: TwoClones) -> Upstream:
        return replace(clones.upstream(), now=lambda: self.now)

    def strikes(self, now: datetime) -> None:
        self.now = now


@pytest.fixture(autouse=True)
def _fast_and_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_fast_and_nobodys(tmp_path, monkeypatch)


@pytest.fixture
def frozen(clones: TwoClones) -> TwoClones:
    """With region-a, and it alone, frozen each night from 20:00 to 6:00."""
    clones.somebody("Freeze region-a", lambda project: project.freeze("region-a", "0 20 * * *", "10h"))
    return clones


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_no_promotion_begins_if_one_of_its_regions_is_frozen(frozen: TwoClones, clock: Clock) -> None:
    upstream = clock.upstream(frozen)
    upstream.tip()
    assert preview(upstream, planned(frozen))
    clock.strikes(NIGHT)

    assert preview(upstream, planned(frozen, regions=("region-b",)))
    with pytest.raises(RolloutError, match=FROZEN):
        preview(upstream, planned(frozen, regions=("region-b", "region-a")))


def test_a_promotion_stops_before_the_next_step_and_goes_on_afterwards(
    frozen: TwoClones, regions: FakeRegions, clock: Clock
) -> None:
    regions.once("look", "region-a", 50, lambda: clock.strikes(NIGHT))

    with pytest.raises(RolloutError, match=FROZEN) as stopped:
        begin(frozen, regions, planned(frozen, (50, 100), ("region-a",)), clock.upstream(frozen))

    assert "rollout promote --resume" in str(stopped.value)
    assert frozen.weights("region-a") == HALF
    assert newest(frozen).state is PromotionState.IN_PROGRESS
    with pytest.raises(RolloutError, match=FROZEN):
        resume(frozen, regions, clock.upstream(frozen))
    assert frozen.weights("region-a") == HALF

    clock.strikes(MORNING)

    assert resume(frozen, regions, clock.upstream(frozen)).state is PromotionState.DONE
    assert frozen.weights("region-a") == ALL


def test_a_step_is_not_taken_when_a_window_opens_while_it_is_tried_again(
    frozen: TwoClones, regions: FakeRegions, clock: Clock
) -> None:
    lock = lock_main(frozen)

    def pause(_seconds: float) -> None:
        clock.strikes(NIGHT)
        lock.unlink()

    upstream = replace(clock.upstream(frozen), pause=pause).on_the_way()

    with pytest.raises(RolloutError, match=FROZEN):
        begin(frozen, regions, planned(frozen, (50, 100), ("region-a",)), upstream)

    assert frozen.weights("region-a") == BEFORE


def test_a_step_that_came_before_a_window_opened_is_taken_though_its_push_got_no_answer(
    frozen: TwoClones, regions: FakeRegions, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = Repository.push

    def lost(repository: Repository, *arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(Repository, "push", push)
        push(repository, *arguments, **options)
        raise TransientError.of("the connection ended", "it is a test", "try again")

    monkeypatch.setattr(Repository, "push", lost)
    upstream = replace(clock.upstream(frozen), pause=lambda _seconds: clock.strikes(NIGHT)).on_the_way()

    with pytest.raises(RolloutError, match=FROZEN):
        begin(frozen, regions, planned(frozen, (50, 100), ("region-a",)), upstream)

    assert frozen.weights("region-a") == regions.in_force("region-a") == HALF


def test_no_command_is_run_before_a_step_that_is_refused(
    frozen: TwoClones, regions: FakeRegions, clock: Clock, tmp_path: Path
) -> None:
    regions.once("look", "region-a", 50, lambda: clock.strikes(NIGHT))
    written = tmp_path / "written"
    options = RunOptions(before_step=[f"echo $ROLLOUT_WEIGHT >> {written}"])

    with pytest.raises(RolloutError, match=FROZEN):
        promote(clock.upstream(frozen), regions, planned(frozen, (50, 100), ("region-a",)), None, options)

    assert written.read_text() == "50\n"


def test_the_rest_is_not_given_while_a_region_is_frozen(frozen: TwoClones, regions: FakeRegions, clock: Clock) -> None:
    regions.once("look", "region-a", 99, lambda: clock.strikes(NIGHT))

    with pytest.raises(RolloutError, match=FROZEN):
        begin(frozen, regions, planned(frozen, (50, 100), ("region-a",), keep=1), clock.upstream(frozen))

    assert frozen.weights("region-a") == {"v1": 1, "v2": 99}


def test_a_step_that_fails_is_taken_back_all_the_same(frozen: TwoClones, regions: FakeRegions, clock: Clock) -> None:
    def fails() -> None:
        clock.strikes(NIGHT)
        regions.fail("v2")

    regions.once("look", "region-a", 50, fails)

    ended = begin(frozen, regions, planned(frozen, (50, 100), ("region-a",)), clock.upstream(frozen))

    assert ended.state is PromotionState.ROLLED_BACK
    assert frozen.weights("region-a") == regions.in_force("region-a") == BEFORE


@pytest.mark.parametrize("weight", [1, 50])
def test_on_the_way_back_a_commit_is_pushed_whatever_the_rule_finds(
    frozen: TwoClones, clock: Clock, weight: int
) -> None:
    clock.strikes(NIGHT)
    upstream, weights = clock.upstream(frozen), {"region-a": {"v1": 100 - weight, "v2": weight}}
    back = upstream.on_the_way_back()

    with pytest.raises(RolloutError, match=FROZEN):
        upstream.placed(lambda tip: upstream.shifted(tip, weights, "Step"))
    commit = back.placed(lambda tip: back.shifted(tip, weights, "Back"))

    assert frozen.tip == commit
    assert frozen.subjects() == ["Freeze region-a", "Back"]


def test_a_rollback_by_hand_is_pushed(frozen: TwoClones, regions: FakeRegions, clock: Clock) -> None:
    begin(frozen, regions, planned(frozen, (50,), ("region-a",)), clock.upstream(frozen))
    clock.strikes(NIGHT)
    upstream = clock.upstream(frozen)

    undone = roll_back(
        upstream, regions, lambda tip: (newest(frozen), to_take_back(upstream, tip, newest(frozen))), "by hand"
    )

    assert undone.holds
    assert frozen.weights("region-a") == BEFORE


def test_no_version_is_retired(frozen: TwoClones, regions: FakeRegions, clock: Clock) -> None:
    clock.strikes(NIGHT)

    with pytest.raises(RolloutError, match=FROZEN):
        retire(clock.upstream(frozen), regions, "v2", REGIONS)

    assert frozen.subjects() == ["Freeze region-a"]
