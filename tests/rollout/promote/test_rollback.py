"""The way back is given up by a person and by nothing that does not answer, and no region waits for another."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from rollout.git.record import PromotionState, Record
from rollout.git.repository import Repository
from rollout.problem import RolloutError, TransientError
from rollout.promote.promotion import roll_back, to_take_back
from rollout.promote.results import PromotionResult, RollbackResult
from rollout.promote.upstream import Upstream
from tests.rollout.planned import REGIONS, Project
from tests.rollout.promote.fake_regions import FakeRegions
from tests.rollout.promote.test_promotion import begin, interrupt, make_fast_and_nobodys, newest, planned
from tests.rollout.promote.two_clones import BEFORE, TwoClones
from tests.rollout.repository import mortal_git
from tests.rollout.stack_files import edit

MOST_PAUSES = 1_000
"""Far more than any test needs: what goes on after so many waits for what will never be."""


@pytest.fixture(autouse=True)
def _fast_and_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_fast_and_nobodys(tmp_path, monkeypatch)


def begun(clones: TwoClones, regions: FakeRegions) -> None:
    """A promotion that was stopped with v2 at 50 % in region-a."""

    def stopped() -> None:
        regions.once("look", "region-a", 50, interrupt)
        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, planned(clones, (50,)))

    regions.reach("begun", stopped)
    assert clones.weights("region-a") == regions.in_force("region-a") == {"v1": 50, "v2": 50}


def in_both_regions(clones: TwoClones, regions: FakeRegions) -> None:
    regions.reach("in both regions", lambda: begin(clones, regions, planned(clones, (50,))))


def back(clones: TwoClones, regions: FakeRegions, upstream: Upstream | None = None) -> RollbackResult:
    upstream = upstream or clones.upstream()

    def where(tip: str) -> tuple[Record, list[str]]:
        record = newest(clones)
        return record, to_take_back(upstream, tip, record)

    return roll_back(upstream, regions, where, "by hand")


def pausing(clones: TwoClones, number: int, action: Callable[[], object]) -> Upstream:
    """The operator's upstream, with something that is done at the pause of this number, counted from 1."""

    def pause(seconds: float) -> None:
        clones.paused.append(seconds)
        if len(clones.paused) == number:
            action()
        assert len(clones.paused) < MOST_PAUSES

    return replace(clones.upstream(), pause=pause)


def lock_main(clones: TwoClones) -> Path:
    """Makes the remote's main one that cannot be pushed to, until the file goes."""
    lock = clones.remote.directory / "refs" / "heads" / "main.lock"
    lock.touch()
    return lock


class TestNeverGivenUp:
    def test_while_the_remote_is_away(self, clones: TwoClones, regions: FakeRegions) -> None:
        remote = clones.remote.directory
        upstream = pausing(clones, 3, lambda: remote.with_name("away").rename(remote))

        def goes_away() -> None:
            regions.fail("v2")
            remote.rename(remote.with_name("away"))

        regions.once("look", "region-a", 50, lambda: None)
        regions.once("look", "region-a", 50, lambda: None)
        regions.once("look", "region-a", 50, goes_away)

        ended = begin(clones, regions, planned(clones, (50, 100)), upstream)

        assert ended.state is PromotionState.ROLLED_BACK
        assert clones.weights("region-a") == regions.in_force("region-a") == BEFORE
        assert clones.paused == [0.5, 1, 2]
        told = [line for line in clones.said if line.startswith("main of origin cannot be fetched: fatal: ")]
        assert [line.rpartition("; ")[2] for line in told] == [f"tries again in {pause:g} s" for pause in (0.5, 1, 2)]

    def test_while_the_remote_takes_no_push(self, clones: TwoClones, regions: FakeRegions) -> None:
        begun(clones, regions)
        lock = lock_main(clones)

        undone = back(clones, regions, pausing(clones, 4, lock.unlink))

        assert undone.holds
        assert clones.weights("region-a") == BEFORE
        assert len(clones.paused) == 4

    def test_while_others_are_always_first(
        self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun(clones, regions)
        push, pushes = Repository.push, 0

        def overtaken(
            repository: Repository, commit: str, remote: str, branch: str, *, onto: str | None = None
        ) -> None:
            nonlocal pushes
            pushes += 1
            if pushes <= 12:
                clones.somebody_writes()
            push(repository, commit, remote, branch, onto=onto)

        monkeypatch.setattr(Repository, "push", overtaken)

        back(clones, regions)

        assert clones.weights("region-a") == BEFORE
        assert clones.subjects()[1:] == ["Write"] * 12 + ["Roll back echo v2 in region-a"]
        # told at the first, second, fourth and eighth
        assert sum("somebody pushed to main meanwhile" in line for line in clones.said) == 4

    def test_while_what_git_does_is_ended_by_a_signal(
        self, clones: TwoClones, regions: FakeRegions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun(clones, regions)
        upstream, push, others = clones.upstream(), Repository.push, iter([clones.somebody_writes])

        def overtaken(
            repository: Repository, commit: str, remote: str, branch: str, *, onto: str | None = None
        ) -> None:
            next(others, lambda: "")()
            push(repository, commit, remote, branch, onto=onto)

        monkeypatch.setattr(Repository, "push", overtaken)
        monkeypatch.setenv("PATH", f"{mortal_git(tmp_path)}:{os.environ['PATH']}")

        assert back(clones, regions, upstream).holds

        assert clones.weights("region-a") == BEFORE
        killed = {each.name for each in (tmp_path / "killed").iterdir()}
        assert {"cat-file", "diff-tree", "ls-tree", "merge-base", "push"} <= killed

    def test_while_a_cluster_does_not_answer(self, clones: TwoClones, regions: FakeRegions) -> None:
        in_both_regions(clones, regions)
        regions.silent = {"region-b"}

        undone = back(clones, regions, pausing(clones, 5, regions.silent.clear))

        assert undone.holds
        assert [*undone.deliveries] == ["region-b", "region-a"]
        assert regions.in_force("region-b") == BEFORE
        assert any(
            line.startswith("region-b: the cluster does not answer") and line.endswith("tries again in 8 s")
            for line in clones.said
        )

    @pytest.mark.parametrize("gone", [BrokenPipeError, SystemExit])
    def test_by_a_terminal_that_is_gone(
        self, clones: TwoClones, regions: FakeRegions, gone: type[BaseException]
    ) -> None:
        begun(clones, regions)

        def nobody_reads(_line: str) -> None:
            raise gone

        regions.say = nobody_reads
        assert back(clones, regions, replace(clones.upstream(), say=nobody_reads)).holds

    def test_but_by_a_person(self, clones: TwoClones, regions: FakeRegions) -> None:
        begun(clones, regions)
        lock_main(clones)

        with pytest.raises(KeyboardInterrupt):
            back(clones, regions, pausing(clones, 2, interrupt))

    def test_by_a_terminal_that_goes_when_a_step_fails(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.fail("v2")

        def gone(line: str) -> None:
            if " failed: " in line:
                raise BrokenPipeError

        clones.hearing.append(gone)

        assert begin(clones, regions, planned(clones, (50,), ("region-a",))).state is PromotionState.ROLLED_BACK

    def test_by_a_signature_that_needs_a_person(self, clones: TwoClones, regions: FakeRegions) -> None:
        begun(clones, regions)
        clones.operator.repository.git("config", "gpg.program", "false")
        clones.operator.repository.git("config", "commit.gpgSign", "true")

        assert back(clones, regions).holds

        assert clones.weights("region-a") == BEFORE
        assert any(line.startswith("the commit cannot be signed: ") for line in clones.said)

    def test_by_a_runner_that_goes_before_the_push(self, clones: TwoClones, regions: FakeRegions) -> None:
        begun(clones, regions)
        lock = lock_main(clones)

        def goes() -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            lock.unlink()

        with pytest.raises(KeyboardInterrupt) as ended:
            back(clones, regions, pausing(clones, 2, goes))

        assert ended.value.args == (signal.SIGTERM,)
        assert clones.weights("region-a") == BEFORE
        assert clones.said[-1].endswith(
            "is delivered all the same; `rollout rollback` sees that it is so in every region"
        )

    def test_but_by_a_runner_that_goes_while_nobody_merges_it(
        self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun(clones, regions)
        tip, looks = Repository.tip, iter(range(5))

        def looked(repository: Repository, remote: str, branch: str) -> str | None:
            assert next(looks, None) is not None, "it waits on"
            return tip(repository, remote, branch)

        def goes(line: str) -> None:
            if "waits until it is merged" in line:
                monkeypatch.setattr(Repository, "tip", looked)
                os.kill(os.getpid(), signal.SIGTERM)

        clones.hearing.append(goes)

        with pytest.raises(KeyboardInterrupt) as ended:
            back(clones, regions, clones.upstream(proposal="rollout"))

        assert ended.value.args == (signal.SIGTERM,)
        assert clones.weights("region-a") == {"v1": 50, "v2": 50}
        assert clones.weights("region-a", clones.remote.git("rev-parse", "rollout")) == BEFORE
        assert clones.said[-1].startswith("rollout stays as it is; once it is merged, `rollout rollback` ")

    def test_by_somebody_who_changes_the_failing_region_meanwhile(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        clones.somebody_weighs("region-b", v1=90, v2=10)
        lock = clones.remote.directory / "refs" / "heads" / "main.lock"

        def fails() -> None:
            regions.fail("v2")
            lock.touch()

        def changes_it() -> None:
            lock.unlink()
            clones.somebody_weighs("region-a", v1=60, v2=40)

        regions.once("look", "region-a", 50, fails)

        ended = begin(clones, regions, planned(clones, (50, 100)), pausing(clones, 2, changes_it))

        assert ended.state is PromotionState.ROLLED_BACK
        assert (clones.weights("region-a"), clones.weights("region-b")) == ({"v1": 60, "v2": 40}, BEFORE)
        assert ended.undone
        assert [each.what.partition(":")[0] for each in ended.undone.problems] == ["region-a"]

    def test_by_a_terminal_that_goes_at_any_time(self, clones: TwoClones, regions: FakeRegions) -> None:
        begun(clones, regions)
        regions.once("deliver", "region-a", 0, lambda: os.kill(os.getpid(), signal.SIGHUP))

        assert back(clones, regions).holds


class TestAStepForward:
    """Is tried again for a minute."""

    def test_goes_on_when_the_remote_answers_again(self, clones: TwoClones, regions: FakeRegions) -> None:
        lock = lock_main(clones)

        ended = begin(clones, regions, planned(clones, (50,)), pausing(clones, 3, lock.unlink).on_the_way())

        assert ended.state is PromotionState.DONE
        assert clones.paused == [0.5, 1, 2]

    def test_is_given_up_after_that(self, clones: TwoClones, regions: FakeRegions) -> None:
        lock_main(clones)

        with pytest.raises(TransientError, match="cannot lock ref"):
            begin(clones, regions, planned(clones, (50,)), clones.upstream().on_the_way())

        assert sum(clones.paused) == 60.5
        assert clones.weights("region-a") == BEFORE

    def until_a_doubt(
        self, clones: TwoClones, fail: Callable[[], None], mend: Callable[[], None] = lambda: None
    ) -> Upstream:
        """Goes on trying, while the remote is locked, until what fails from the first try on is doubted; then it is unlocked."""
        doubted = threading.Event()

        def hear(line: str) -> None:
            if line.endswith("tries again in 0.5 s"):
                fail()
            elif ": v2 failed: " in line:
                mend()
                (clones.remote.directory / "refs" / "heads" / "main.lock").unlink()
                doubted.set()

        clones.hearing.append(hear)
        return replace(clones.upstream(), pause=lambda _seconds: doubted.wait(60)).on_the_way()

    def begun_in_vain(self, clones: TwoClones, regions: FakeRegions) -> PromotionResult:
        """A promotion that is doubted before its first step gets through, for requests that nobody answers meanwhile."""

        def answer_but(rate: float) -> None:
            regions.unanswered_rate = lambda _region: rate

        lock_main(clones)
        upstream = self.until_a_doubt(clones, partial(answer_but, 0.1), partial(answer_but, 0.0))
        return begin(clones, regions, planned(clones, (50,)), upstream)

    def test_that_is_the_first_is_not_taken_when_a_version_that_has_requests_already_fails_meanwhile(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        clones.somebody_weighs("region-a", v1=90, v2=10)
        lock_main(clones)

        ended = begin(clones, regions, planned(clones, (50,)), self.until_a_doubt(clones, partial(regions.fail, "v2")))

        assert ended.state is PromotionState.ROLLED_BACK
        assert ended.taken == []
        assert clones.weights("region-a") == BEFORE
        self.refused_again(clones)

    def test_of_which_none_came_is_no_reason_against_another_promotion(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        ended = self.begun_in_vain(clones, regions)

        assert ended.state is newest(clones).state is PromotionState.ROLLED_BACK
        clones.upstream().refuse_taken_back(planned(clones))

    def test_of_which_none_came_hides_no_promotion_that_was_taken_back_before(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        begun(clones, regions)
        back(clones, regions)
        self.begun_in_vain(clones, regions)

        self.refused_again(clones)

    def test_that_came_is_one_also_where_a_person_has_taken_it_back_before(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        begun(clones, regions)
        clones.somebody_weighs("region-a", v1=100, v2=0)
        back(clones, regions)

        self.refused_again(clones)

    def refused_again(self, clones: TwoClones) -> None:
        upstream = clones.upstream()
        upstream.tip()
        with pytest.raises(RolloutError, match="echo v2 was taken back on"):
            upstream.refuse_taken_back(planned(clones))

    def test_is_not_taken_when_the_version_begins_to_fail_meanwhile(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        def hear(line: str) -> None:
            if line.endswith(": proven"):
                lock_main(clones)

        clones.hearing.append(hear)
        upstream = self.until_a_doubt(clones, partial(regions.fail, "v2"))

        ended = begin(clones, regions, planned(clones, (10, 50), ("region-a",)), upstream)

        assert ended.state is PromotionState.ROLLED_BACK
        assert [each.weight for each in ended.taken] == [10]
        assert clones.weights("region-a") == BEFORE


class TestWhatCannotSucceed:
    """Ends the way back at once, with what a person has to do."""

    def refused(self, clones: TwoClones, regions: FakeRegions, match: str) -> None:
        with pytest.raises(RolloutError, match=match) as refused:
            back(clones, regions)
        assert not isinstance(refused.value, TransientError)
        assert clones.paused == []

    def test_a_hook_of_the_remote_that_refuses(self, clones: TwoClones, regions: FakeRegions) -> None:
        begun(clones, regions)
        hook = clones.remote.directory / "hooks" / "pre-receive"
        hook.write_text("#!/bin/sh\necho 'main is protected' >&2\nexit 1\n")
        hook.chmod(0o755)

        self.refused(clones, regions, r"(?s)main is protected.*push to another one \(--branch\)")

    def test_the_rules(self, clones: TwoClones, regions: FakeRegions) -> None:
        begin(clones, regions, planned(clones, (50, 100), ("region-a",)))
        # what would get all requests at once never had them
        clones.somebody("Another v1", _another_v1)

        self.refused(clones, regions, "the rules refuse it")


def _another_v1(project: Project) -> None:
    project.replace("region-a", "echo:1.0.0", "echo:1.0.1")
    project.render()


class TestSideBySide:
    def test_every_region_is_told_before_one_is_through(self, clones: TwoClones, regions: FakeRegions) -> None:
        in_both_regions(clones, regions)
        met = threading.Barrier(len(REGIONS), timeout=30)
        for region in REGIONS:
            regions.once("deliver", region, 0, met.wait)

        assert back(clones, regions).holds

    def test_a_dead_region_delays_no_other(self, clones: TwoClones, regions: FakeRegions) -> None:
        in_both_regions(clones, regions)
        regions.silent = {"region-b"}
        measured = threading.Event()
        regions.once("certify", "region-a", 0, measured.set)

        def comes_back_when_the_other_is_measured(_seconds: float) -> None:
            assert measured.wait(60)
            regions.silent.clear()

        undone = back(clones, regions, replace(clones.upstream(), pause=comes_back_when_the_other_is_measured))

        assert undone.holds
        assert [line.partition(" after ")[0] for line in clones.said if " after " in line][-2:] == [
            "region-a: v1 100 %, v2 0 %",
            "region-b: v1 100 %, v2 0 %",
        ]
        assert any(line.endswith("; not yet in region-b") for line in clones.said)

    def test_what_is_answered_and_in_the_way_is_told_by_region(self, clones: TwoClones, regions: FakeRegions) -> None:
        in_both_regions(clones, regions)
        regions.arrives = lambda region, _weights: region != "region-b"

        undone = back(clones, regions)

        assert [problem.what for problem in undone.problems] == ["region-b: not synced within 10 min"]
        assert [*undone.deliveries] == [outcome.region.name for outcome in undone.outcomes] == ["region-a"]
        assert not undone.holds

    def test_what_cannot_be_measured_is_a_problem_and_not_a_region_that_does_not_hold(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        begun(clones, regions)

        def is_away(region: str) -> None:
            raise RolloutError.of(f"{region}: the route cannot be read")

        regions.changed = is_away
        undone = back(clones, regions)

        assert [problem.what for problem in undone.problems] == ["region-a: the route cannot be read"]
        assert not undone.outcomes
        assert not undone.holds

    def test_a_fault_of_ours_in_one_is_raised_when_the_others_are_through(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        in_both_regions(clones, regions)

        def fault() -> None:
            raise KeyError("v2")

        regions.once("deliver", "region-b", 0, fault)

        with pytest.raises(KeyError):
            back(clones, regions)

        assert regions.in_force("region-a") == BEFORE
        assert clones.weights("region-b") == BEFORE


@pytest.mark.parametrize("promoted", [True, False], ids=["with the version", "without it"])
def test_a_broken_stack_file_of_another_region_does_not_stand_in_the_way(
    clones: TwoClones, regions: FakeRegions, promoted: bool
) -> None:
    if promoted:
        in_both_regions(clones, regions)
    else:
        begin(clones, regions, planned(clones, (50,), ("region-a",)))
    clones.somebody("Break region-b", lambda project: project.replace("region-b", "services:", "service:"))

    undone = back(clones, regions)

    assert [*undone.weights] == [*undone.deliveries] == ["region-a"]
    assert clones.weights("region-a") == regions.in_force("region-a") == BEFORE
    # where the version has requests that stay with it, this is told
    told = {problem.what.partition(":")[0] for problem in undone.problems}
    assert told == ({"Pulumi.region-b.yaml"} if promoted else set())
    assert undone.holds is not promoted


def _another_limit(project: Project) -> None:
    edit(project.overlay("region-a", "deployment-v1.yaml"), "memory: 64Mi", "memory: 96Mi")


def _a_field_that_no_rule_judges(project: Project) -> None:
    file = project.overlay("region-a", "deployment-v1.yaml")
    edit(file, "      enableServiceLinks: false\n", "      dnsPolicy: Default\n      enableServiceLinks: false\n")


def _a_file_that_is_not_listed(project: Project) -> None:
    project.overlay("region-a", "hpa.yaml").write_text("kind: HorizontalPodAutoscaler\n")


@pytest.mark.parametrize("change", [_another_limit, _a_field_that_no_rule_judges, _a_file_that_is_not_listed])
def test_what_this_checkout_renders_otherwise_stays_as_it_is(
    clones: TwoClones, regions: FakeRegions, change: Callable[[Project], None]
) -> None:
    begun(clones, regions)
    theirs = clones.somebody("What another version of the program renders", change)

    assert back(clones, regions).holds

    assert clones.weights("region-a") == regions.in_force("region-a") == BEFORE
    assert clones.remote.git("diff", "--numstat", theirs, "main").splitlines() == [
        "2\t2\tPulumi.region-a.yaml",
        "2\t2\tdeploy/overlays/region-a/echo/vs.yaml",
    ]


@pytest.mark.parametrize("name", ["dr.yaml", "deployment-v1.yaml"])
def test_an_overlay_that_cannot_be_built_is_made_whole(clones: TwoClones, regions: FakeRegions, name: str) -> None:
    begun(clones, regions)
    clones.somebody("Forget a file", lambda project: project.overlay("region-a", name).unlink())

    assert back(clones, regions).holds

    assert clones.weights("region-a") == BEFORE
    assert clones.remote.git("diff", "--name-only", "--diff-filter=D", "main~2", "main") == ""


@pytest.mark.parametrize("broken", [REGIONS[:1], REGIONS], ids=["of the only region", "of all"])
def test_waits_until_a_broken_stack_file_is_mended_where_nothing_can_be_taken_back_before(
    clones: TwoClones, regions: FakeRegions, broken: Sequence[str]
) -> None:
    begun(clones, regions)

    def replace_in_all(project: Project, old: str, new: str) -> None:
        for region in broken:
            project.replace(region, old, new)

    def mend() -> None:
        # until the mend no record says that the version is taken back
        assert newest(clones).state is PromotionState.IN_PROGRESS
        clones.somebody("Mend it", lambda project: replace_in_all(project, "service:", "services:"))

    clones.somebody("Break it", lambda project: replace_in_all(project, "services:", "service:"))
    clones.said.clear()

    assert back(clones, regions, pausing(clones, 3, mend)).holds

    assert clones.weights("region-a") == regions.in_force("region-a") == BEFORE
    assert clones.said[0].startswith("Pulumi.region-a.yaml: $.services: is missing")
    assert clones.said[0].endswith("; waits until main has that mended; tries again in 0.5 s")


def test_waits_also_where_it_was_broken_before_the_step_failed(clones: TwoClones, regions: FakeRegions) -> None:
    def replaced(subject: str, old: str, new: str) -> None:
        clones.somebody(subject, lambda project: project.replace("region-a", old, new))

    def fails() -> None:
        replaced("Break it", "services:", "service:")
        regions.fail("v2")

    regions.once("look", "region-a", 50, fails)

    ended = begin(
        clones,
        regions,
        planned(clones, (50,), ("region-a",)),
        pausing(clones, 3, lambda: replaced("Mend it", "service:", "services:")),
    )

    assert ended.state is PromotionState.ROLLED_BACK
    assert clones.weights("region-a") == regions.in_force("region-a") == BEFORE
    assert clones.paused == [0.5, 1, 2]


def test_steps_forward_are_refused_with_a_broken_stack_file(clones: TwoClones, regions: FakeRegions) -> None:
    clones.somebody("Break region-b", lambda project: project.replace("region-b", "services:", "service:"))

    with pytest.raises(RolloutError, match=r"Pulumi\.region-b\.yaml"):
        begin(clones, regions, planned(clones, (50,), ("region-a",)))


def test_a_region_that_somebody_took_away_has_nothing_to_be_taken_back(clones: TwoClones, regions: FakeRegions) -> None:
    in_both_regions(clones, regions)
    clones.somebody("Remove region-b", lambda project: project.stack_file("region-b").unlink())

    assert [*back(clones, regions).weights] == ["region-a"]
    assert clones.weights("region-a") == BEFORE
