"""Whatever a promotion waits for, what goes wrong in a region that has begun is found and taken back without waiting for it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from rollout.git.command import git
from rollout.git.record import PromotionState
from rollout.judge.step import Step
from rollout.problem import RolloutError
from rollout.promote import lookout
from rollout.promote.lookout import Doubt, Lookout, Watched
from tests.rollout.promote.draws import RATE
from tests.rollout.promote.fake_regions import FakeRegions
from tests.rollout.promote.test_promotion import begin, make_fast_and_nobodys, planned
from tests.rollout.promote.two_clones import BEFORE, TwoClones

PATIENCE_SECONDS = 60.0


@pytest.fixture(autouse=True)
def _fast_and_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_fast_and_nobodys(tmp_path, monkeypatch)
    # what hangs here ends with the test
    monkeypatch.setattr(lookout, "_END_SECONDS", 0.1)


class Hanging:
    """Something that does not answer for as long as a test lasts.

    Attributes:
        asked: Set once it is asked.
        gave_up: Whether somebody waited for it for too long.
    """

    def __init__(self) -> None:
        self.asked, self._over = threading.Event(), threading.Event()
        self.gave_up = False

    def __call__(self) -> None:
        self.asked.set()
        # who waits for it waits until the test fails
        self.gave_up = not self._over.wait(PATIENCE_SECONDS)

    def end(self) -> None:
        """The test is over."""
        self._over.set()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    found = Hanging()
    yield found
    found.end()


def fails_once(regions: FakeRegions, asked: threading.Event) -> None:
    """v2 fails in region-a from the moment that something else is asked."""
    regions.failure_rate = lambda region, version, _weight: float(
        (region, version) == ("region-a", "v2") and asked.is_set()
    )


@pytest.mark.parametrize(
    ("what", "weight"),
    [("certify", 0), ("watch", 0), ("deliver", 50), ("deliver", 100)],
    ids=["it is measured", "its probe is reached", "a step is acknowledged", "its last step is acknowledged"],
)
def test_while_another_region_hangs(
    clones: TwoClones, regions: FakeRegions, hanging: Hanging, what: str, weight: int
) -> None:
    regions.once("certify", "region-b", 0, lambda: regions.once(what, "region-b", weight, hanging))
    fails_once(regions, hanging.asked)

    ended = begin(clones, regions, planned(clones))

    assert ended.state is PromotionState.ROLLED_BACK
    assert ended.reason.startswith("region-a: v2 fails more often than v1")
    assert [clones.weights(region) for region in ("region-a", "region-b")] == [BEFORE, BEFORE]
    assert not hanging.gave_up


_HANGING_GIT = """\
#!/bin/sh
case " $* " in *" {what} "*) mv {next} {begun} 2> /dev/null && exec sleep 3600 ;; esac
exec {git} "$@"
"""


@pytest.mark.parametrize("what", ["fetch", "push"])
def test_while_the_remote_hangs(
    clones: TwoClones, regions: FakeRegions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    upcoming, begun, program = tmp_path / "next", tmp_path / "begun", tmp_path / "hanging" / "git"
    program.parent.mkdir()
    program.write_text(_HANGING_GIT.format(what=what, next=upcoming, begun=begun, git=shutil.which("git")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    # all regions are measured before region-b begins
    regions.once("certify", "region-b", 0, lambda: regions.once("certify", "region-b", 0, upcoming.touch))
    regions.failure_rate = lambda region, version, _weight: float(
        (region, version) == ("region-a", "v2") and begun.exists()
    )

    ended = begin(clones, regions, planned(clones))

    assert begun.exists()
    assert ended.state is PromotionState.ROLLED_BACK
    assert ended.reason.startswith("region-a: v2 fails more often than v1")
    assert regions.in_force("region-a") == BEFORE


def test_ctrl_c_waits_for_nothing_that_hangs(clones: TwoClones, regions: FakeRegions, hanging: Hanging) -> None:
    def interrupts(region: str, _version: str, _weight: int) -> float:
        if hanging.asked.is_set() and threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        return 0.0

    regions.once("deliver", "region-b", 50, hanging)
    regions.failure_rate = interrupts

    with pytest.raises(KeyboardInterrupt):
        begin(clones, regions, planned(clones))

    assert hanging.asked.is_set()
    assert not hanging.gave_up


def test_what_nobody_waits_for_any_more_says_and_pushes_nothing(
    clones: TwoClones, regions: FakeRegions, hanging: Hanging
) -> None:
    before = {*threading.enumerate()}
    regions.once("certify", "region-b", 0, lambda: regions.once("certify", "region-b", 0, hanging))
    fails_once(regions, hanging.asked)
    begin(clones, regions, planned(clones))
    said, tip = [*clones.said], clones.tip

    hanging.end()
    for thread in {*threading.enumerate()} - before:
        thread.join(PATIENCE_SECONDS)

    assert (clones.said, clones.tip) == (said, tip)


def test_no_git_outlives_the_lookout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "_END_SECONDS", PATIENCE_SECONDS)
    begun, ended = tmp_path / "begun", threading.Event()
    git(tmp_path, "init", "--quiet", why="the test")

    def hangs() -> None:
        try:
            git(
                tmp_path,
                "-c",
                f"alias.hang=!touch '{begun}'; exec sleep 3600",
                "hang",
                why="the test",
                timeout_seconds=3600,
            )
        finally:
            ended.set()

    def cannot_be_seen(but: str | None = None) -> None:
        if begun.exists():
            raise RolloutError.of("cannot be seen")

    with Lookout() as looks:
        monkeypatch.setattr(looks, "doubt", cannot_be_seen)
        with pytest.raises(RolloutError, match="cannot be seen"):
            looks.during(hangs)
    assert ended.is_set()


class TestOneRegion:
    """v2 gets half of region-a's requests."""

    STEP = Step("region-a", "v2", {"v1": 50, "v2": 50}, {"v1": 50, "v2": 50})
    NEXT = replace(STEP, weights={"v1": 0, "v2": 100})

    @pytest.fixture
    def fake(self, clones: TwoClones) -> FakeRegions:
        clones.somebody_weighs("region-a", v1=50, v2=50)
        return FakeRegions(clones.remote)

    @pytest.fixture
    def looks(self, fake: FakeRegions) -> Iterator[Lookout]:
        with Lookout() as looks:
            looks.begin(self.STEP, partial(self.watched, fake))
            looks.acknowledged("region-a")
            yield looks

    def watched(self, fake: FakeRegions, step: Step = STEP) -> Watched:
        return Watched(step, fake.watched("region-a"), fake.clients("region-a"), fake.restarts("region-a"))

    def doubts(self, looks: Lookout) -> list[Doubt]:
        return [found for _ in range(20) if (found := looks.doubt())]

    def is_merged(self, clones: TwoClones, fake: FakeRegions) -> None:
        clones.somebody_weighs("region-a", v1=0, v2=100)
        fake.certify(["region-a"])

    def test_one_that_splits_otherwise_is_doubted(self, clones: TwoClones, fake: FakeRegions, looks: Lookout) -> None:
        self.is_merged(clones, fake)

        assert self.doubts(looks)[0].region == "region-a"

    def test_what_comes_after_nobody_knew_the_step_is_not_judged(
        self, clones: TwoClones, fake: FakeRegions, looks: Lookout
    ) -> None:
        looks.hold(["region-a"])
        self.is_merged(clones, fake)

        assert self.doubts(looks) == []

    def test_what_came_before_is(self, fake: FakeRegions, looks: Lookout) -> None:
        fake.fail("v2")
        for _ in range(5):
            looks.hold(["region-a"])

        assert "v2 fails more often than v1" in self.doubts(looks)[0].reason

    def test_the_next_step_is_judged_by_what_comes_after_it_began(
        self, clones: TwoClones, fake: FakeRegions, looks: Lookout
    ) -> None:
        looks.hold(["region-a"])
        self.is_merged(clones, fake)
        looks.begin(self.NEXT, partial(self.watched, fake))
        look = looks.look("region-a")

        assert self.doubts(looks) == []
        assert (look.step, look.seen.proof, look.new.requests) == (self.NEXT, None, RATE)

    def test_what_the_step_before_cost_is_counted_once_until_the_next_one_is_acknowledged(
        self, fake: FakeRegions, looks: Lookout
    ) -> None:
        fake.fail("v2")
        failed = looks["region-a"].cost()["v2"].failures

        looks.begin(self.NEXT, partial(self.watched, fake))
        begun = looks["region-a"].cost()
        looks.acknowledged("region-a")
        acknowledged = looks["region-a"].cost()

        # one second came in the fixture, and one more in each of these calls
        assert sum(tally.requests for tally in begun.values()) == 4 * RATE
        assert begun["v2"].failures > failed > 0
        assert sum(tally.requests for tally in acknowledged.values()) == 3 * RATE

    def test_a_look_that_meets_a_change_of_step_is_made_again(self, fake: FakeRegions, looks: Lookout) -> None:
        # the step before was seen, its window not yet
        fake.once("look", "region-a", 50, lambda: looks.begin(self.NEXT, partial(self.watched, fake)))

        look = looks.look("region-a")

        assert (look.step, look.seen.proof) == (self.NEXT, None)
