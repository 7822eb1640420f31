"""What one run of a promotion is asked for beside its steps: commands before each of them, where to stop, who is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.git.record import PromotionState
from rollout.problem import RolloutError
from rollout.promote import command
from rollout.promote.promotion import RunOptions, promote
from tests.rollout.promote.fake_regions import FakeRegions
from tests.rollout.promote.test_promotion import begin, interrupt, make_fast_and_nobodys, planned, resume
from tests.rollout.promote.two_clones import BEFORE, TwoClones

ONE = ("region-a",)


@pytest.fixture(autouse=True)
def _fast_and_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_fast_and_nobodys(tmp_path, monkeypatch)
    monkeypatch.setattr(command, "_LOOK_EVERY_SECONDS", 0.01)


class TestBeforeAStep:
    def test_each_step_has_its_commands_in_their_order(
        self, clones: TwoClones, regions: FakeRegions, tmp_path: Path
    ) -> None:
        written = tmp_path / "written"
        told = " ".join(f"$ROLLOUT_{name}" for name in ("SERVICE", "VERSION", "REGION", "WEIGHT", "COMMIT"))
        options = RunOptions(before_step=[f"echo first >> {written}", f'echo "{told}" >> {written}'])
        before = clones.tip

        ended = promote(clones.upstream(), regions, planned(clones, (50, 100), ONE, keep=25), None, options)

        assert [step.weight for step in ended.taken] == [50, 75, 100]
        commits = [before, *(step.commit for step in ended.taken)]
        assert written.read_text().splitlines() == [
            line
            for weight, commit in zip((50, 75, 100), commits, strict=False)
            for line in ("first", f"echo v2 region-a {weight} {commit}")
        ]

    def test_one_that_fails_stops_before_the_step_and_takes_nothing_back(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        options = RunOptions(before_step=['test "$ROLLOUT_WEIGHT" = 50'])

        with pytest.raises(RolloutError, match="failed with exit code 1"):
            promote(clones.upstream(), regions, planned(clones, (50, 100), ONE), None, options)

        assert clones.subjects() == ["Promote echo v2 in region-a: 50 %"]
        assert regions.in_force("region-a")["v2"] == 50
        assert resume(clones, regions).state is PromotionState.DONE

    def test_regions_that_have_begun_are_looked_at_while_it_runs(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.failure_rate = lambda _region, version, weight: float((version, weight) == ("v2", 50) and is_running())
        running = clones.remote.directory / "running"

        def is_running() -> bool:
            return running.exists()

        wait = f'if test "$ROLLOUT_WEIGHT" = 100; then touch {running}; sleep 60; fi'
        ended = promote(
            clones.upstream(), regions, planned(clones, (50, 100), ONE), None, RunOptions(before_step=[wait])
        )

        assert ended.state is PromotionState.ROLLED_BACK
        assert "region-a: v2 fails more often than v1" in ended.reason
        assert regions.in_force("region-a") == BEFORE

    def test_it_is_not_run_again_for_a_step_that_is_committed(
        self, clones: TwoClones, regions: FakeRegions, tmp_path: Path
    ) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        regions.once("look", "region-a", 50, interrupt)
        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, planned(clones, (50, 100), ONE))
        upstream, written = clones.upstream(), tmp_path / "written"
        found = upstream.repository.newest_record(upstream.tip(), "echo")
        assert found is not None

        options = RunOptions(before_step=[f'echo "$ROLLOUT_WEIGHT" >> {written}'])
        promote(upstream, regions, found[1].promotion, (found[0].commit, found[1]), options)

        assert written.read_text() == "100\n"


class TestUntil:
    def test_it_stops_when_the_step_is_proven_in_the_region_and_is_resumed(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        until = RunOptions(until=50)

        ended = promote(clones.upstream(), regions, planned(clones), None, until)

        assert (ended.state, ended.reason) == (PromotionState.IN_PROGRESS, "50 % in region-a is proven")
        assert [(step.weight, step.proof is not None) for step in ended.taken] == [(50, True)]
        assert clones.subjects() == ["Promote echo v2 in region-a: 50 %"]
        assert resume(clones, regions).state is PromotionState.DONE

    def test_after_the_last_step_it_is_done(self, clones: TwoClones, regions: FakeRegions) -> None:
        ended = promote(clones.upstream(), regions, planned(clones, (50,), ONE), None, RunOptions(until=50))

        assert ended.state is PromotionState.DONE

    def test_a_part_that_is_kept_is_left_after_the_last_region(self, clones: TwoClones, regions: FakeRegions) -> None:
        promotion = planned(clones, (50, 100), ONE, keep=50)

        ended = promote(clones.upstream(), regions, promotion, None, RunOptions(until=promotion.terms.weight(100)))

        assert (ended.state, ended.reason) == (PromotionState.IN_PROGRESS, "50 % in region-a is proven")


class TestTell:
    def told(self, clones: TwoClones, regions: FakeRegions) -> list[tuple[str, str]]:
        """Each line, with the subject of its commit."""
        lines: list[tuple[str, str]] = []
        options = RunOptions(tell=lambda line, commit: lines.append((line, commit)))
        try:
            promote(clones.upstream(), regions, planned(clones, (50,), ONE), None, options)
        finally:
            lines = [(line, clones.remote.git("log", "-1", "--format=%s", commit)) for line, commit in lines]
            self.lines = lines
        return lines

    def test_from_the_beginning_to_the_end(self, clones: TwoClones, regions: FakeRegions) -> None:
        begun, step = "Begin with v2 at weight 0", "Promote echo v2 in region-a: 50 %"

        assert self.told(clones, regions) == [
            ("echo v2 begins in region-a: 50 %", begun),
            ("echo v2 gets 50 % in region-a", step),
            ("echo v2 is done", "echo v2 is promoted"),
        ]

    def test_a_doubt_and_the_way_back(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.fail("v2")

        lines = self.told(clones, regions)[2:]

        step, back = "Promote echo v2 in region-a: 50 %", "Roll back echo v2 in region-a"
        assert [subject for _line, subject in lines] == [step, back, back]
        said = [line for line, _subject in lines]
        assert said[0].startswith("echo v2 is taken back: region-a: v2 fails more often than v1")
        assert said[1].startswith("echo v2 has weight 0 in region-a after ")
        assert said[2].startswith("echo v2 is rolled back: region-a: v2 fails more often than v1")

    def test_a_way_back_that_nobody_watches_any_more(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.fail("v2")
        regions.once("look", "region-a", 50, lambda: regions.once("deliver", "region-a", 0, interrupt))

        with pytest.raises(KeyboardInterrupt):
            self.told(clones, regions)

        assert self.lines[3:] == [
            ("echo v2 is taken back; nobody watched it arrive: interrupted", "Roll back echo v2 in region-a")
        ]

    def test_no_way_back_where_somebody_changed_the_region(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.fail("v2")
        regions.once("look", "region-a", 50, lambda: clones.somebody_weighs("region-a", v1=60, v2=40))

        lines = [line for line, _subject in self.told(clones, regions)[2:]]

        assert len(lines) == 1
        assert lines[0].startswith("echo v2 is ended: region-a was changed by somebody else meanwhile")

    def test_that_it_stops(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.silent = {"region-a"}

        with pytest.raises(RolloutError):
            self.told(clones, regions)
        assert self.lines[-1][0] == "echo v2 stops where it is: region-a: the cluster does not answer"
