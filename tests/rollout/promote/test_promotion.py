"""A promotion goes on only with a proof, goes back by itself, loses nothing when it is killed, and respects everybody else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from rollout.git.record import Promotion, PromotionState, Record
from rollout.git.repository import Repository
from rollout.judge.shares import Standing
from rollout.problem import RolloutError, TransientError
from rollout.promote import lookout
from rollout.promote import promotion as engine
from rollout.promote import upstream as upstream_module
from rollout.promote.promotion import preview, promote, roll_back, steps_left, to_take_back
from rollout.promote.results import PromotionResult
from rollout.promote.upstream import Upstream
from rollout.terms import Terms
from tests.rollout.planned import REGIONS, Project
from tests.rollout.promote.draws import RATE
from tests.rollout.promote.fake_regions import FakeRegions
from tests.rollout.promote.two_clones import BEFORE, TwoClones, new_two_clones

ALL = {"v1": 0, "v2": 100}
HALF = {"v1": 50, "v2": 50}


def make_fast_and_nobodys(home: Path, patched: pytest.MonkeyPatch) -> None:
    """No pauses between two looks, and no configuration of the person who runs the tests."""
    patched.setattr(engine, "LOOK_EVERY_SECONDS", 0)
    patched.setattr(lookout, "LOOK_EVERY_SECONDS", 0.1)
    patched.setattr(upstream_module, "_LOOK_EVERY_SECONDS", 0)
    patched.setenv("HOME", str(home))
    patched.setenv("XDG_CONFIG_HOME", str(home))
    patched.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture(autouse=True)
def _fast_and_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_fast_and_nobodys(tmp_path, monkeypatch)


def planned(
    clones: TwoClones, steps: tuple[int, ...] = (50, 100), regions: tuple[str, ...] = REGIONS, keep: int = 0
) -> Promotion:
    # wide margins, which few requests prove
    terms = Terms(keep=keep, points=2, ratio=20)
    return Promotion(f"v2-{clones.tip[:12]}", "echo", "v2", steps, regions, 0, clones.tip, terms)


def begin(
    clones: TwoClones, regions: FakeRegions, promotion: Promotion, upstream: Upstream | None = None
) -> PromotionResult:
    return promote(upstream or clones.upstream(), regions, promotion, None)


def resume(clones: TwoClones, regions: FakeRegions, upstream: Upstream | None = None) -> PromotionResult:
    upstream = upstream or clones.upstream()
    newest = upstream.repository.newest_record(upstream.tip(), upstream.service)
    assert newest is not None
    return promote(upstream, regions, newest[1].promotion, (newest[0].commit, newest[1]))


def newest(clones: TwoClones) -> Record:
    return clones.records()[-1]


def interrupt() -> None:
    raise KeyboardInterrupt


@dataclass(frozen=True)
class Done:
    """A promotion through both regions, to be looked at."""

    clones: TwoClones
    regions: FakeRegions
    promotion: Promotion
    ended: PromotionResult


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    with pytest.MonkeyPatch.context() as patched:
        directory = tmp_path_factory.mktemp("done")
        make_fast_and_nobodys(directory, patched)
        clones = new_two_clones(directory)
        regions, promotion = FakeRegions(clones.remote), planned(clones)
        return Done(clones, regions, promotion, begin(clones, regions, promotion))


class TestToTheEnd:
    def test_each_region_gets_each_step_by_a_commit(self, done: Done) -> None:
        assert done.ended.state is PromotionState.DONE
        assert done.clones.subjects() == [
            "Promote echo v2 in region-a: 50 %",
            "Promote echo v2 in region-a: 100 %",
            "Promote echo v2 in region-b: 50 %",
            "Promote echo v2 in region-b: 100 %",
            "echo v2 is promoted",
        ]
        assert [done.clones.weights(region) for region in REGIONS] == [ALL, ALL]
        assert [done.regions.in_force(region) for region in REGIONS] == [ALL, ALL]

    def test_each_commit_says_the_proof_on_which_it_goes_on(self, done: Done) -> None:
        records = done.clones.records()

        assert {record.promotion for record in records} == {done.promotion}
        assert [(record.state, record.region, record.weight) for record in records] == [
            (PromotionState.IN_PROGRESS, "region-a", 50),
            (PromotionState.IN_PROGRESS, "region-a", 100),
            (PromotionState.IN_PROGRESS, "region-b", 50),
            (PromotionState.IN_PROGRESS, "region-b", 100),
            (PromotionState.DONE, "region-b", 100),
        ]
        proofs = [record.proof for record in records]
        assert proofs[0] is None
        assert [(proof.region, proof.weight) for proof in proofs if proof] == [
            ("region-a", 50),
            ("region-a", 100),
            ("region-b", 50),
            ("region-b", 100),
        ]
        assert all(abs(proof.share - proof.weight / 100) < 0.02 for proof in proofs if proof)

    def test_a_step_changes_weights_and_what_is_rendered_of_them(self, done: Done) -> None:
        git = done.clones.remote.git
        first, last = done.ended.taken[0].commit, done.clones.tip

        assert git("diff", "--numstat", f"{first}~1", first).splitlines() == [
            "2\t2\tPulumi.region-a.yaml",
            "2\t2\tdeploy/overlays/region-a/echo/vs.yaml",
        ]
        assert git("diff", "--name-only", f"{last}~1", last) == ""

    def test_all_regions_are_measured_before_one_begins(self, done: Done) -> None:
        measured = [(moment.region, moment.weight) for moment in done.regions.moments if moment.what == "certify"]
        assert measured == [
            (region, weight) for weights in ((0, 0), (100, 0)) for region, weight in zip(REGIONS, weights, strict=True)
        ]

    def test_the_operators_files_move_along(self, done: Done) -> None:
        assert done.clones.operator.repository.git("rev-parse", "HEAD") == done.clones.tip
        assert done.clones.operator.repository.git("status", "--porcelain") == ""

    def test_steps_are_told_with_their_delivery_and_their_proof(self, done: Done) -> None:
        steps = done.ended.taken

        assert [(step.region, step.weight) for step in steps] == [
            (region, weight) for region in REGIONS for weight in (50, 100)
        ]
        assert all(step.delivery and step.proof and step.coming for step in steps)
        told = [done.clones.remote.git("log", "-1", "--format=%s", step.commit) for step in steps]
        assert told == done.clones.subjects()[:-1]

    def test_uncommitted_work_of_the_operator_stays(self, clones: TwoClones, regions: FakeRegions) -> None:
        directory = clones.operator.directory
        dirty = (directory / "Pulumi.region-a.yaml").read_text() + "# mine\n"
        (directory / "Pulumi.region-a.yaml").write_text(dirty)
        (directory / "untracked").write_text("mine")
        before = clones.operator.repository.git("rev-parse", "HEAD")

        ended = begin(clones, regions, planned(clones, (50,), ("region-a",)))

        assert ended.state is PromotionState.DONE
        assert (directory / "Pulumi.region-a.yaml").read_text() == dirty
        assert (directory / "untracked").read_text() == "mine"
        assert clones.operator.repository.git("rev-parse", "HEAD") == before
        assert any("your branch and files stay as they are" in line for line in clones.said)

    def test_a_version_that_has_a_part_goes_on_from_there(self, clones: TwoClones, regions: FakeRegions) -> None:
        clones.somebody_weighs("region-a", v1=50, v2=50)
        regions = FakeRegions(clones.remote)

        ended = begin(clones, regions, planned(clones, (25, 50, 100), ("region-a",)))

        assert [step.weight for step in ended.taken] == [50, 100]
        assert ended.state is PromotionState.DONE


class TestPreview:
    def test_names_each_step_and_pushes_nothing(self, clones: TwoClones) -> None:
        tip = clones.tip

        steps = preview(clones.upstream(), planned(clones))

        assert steps == [(region, weights) for region in REGIONS for weights in (HALF, ALL)]
        assert clones.tip == tip

    def test_a_step_that_the_rules_refuse_is_refused(self, clones: TwoClones) -> None:
        with pytest.raises(RolloutError, match="the rules refuse it"):
            preview(clones.upstream(), planned(clones, (10, 100)))

    def test_a_version_that_is_not_there_is_refused(self, clones: TwoClones) -> None:
        with pytest.raises(RolloutError, match="region-a has no version v3"):
            preview(clones.upstream(), replace(planned(clones), version="v3"))

    @pytest.mark.parametrize(
        ("weight", "left"), [(0, (10, 25, 100)), (10, (10, 25, 100)), (11, (25, 100)), (100, (100,))]
    )
    def test_a_step_that_was_reached_is_still_to_be_proven(
        self, clones: TwoClones, weight: int, left: tuple[int, ...]
    ) -> None:
        assert steps_left(planned(clones, (10, 25, 100)), weight) == left


class TestTakenBack:
    def test_a_version_that_always_fails_from_a_step_on(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.failure_rate = lambda _region, version, weight: float(version == "v2" and weight >= 25)

        ended = begin(clones, regions, planned(clones, (10, 25, 50, 100)))

        assert ended.state is PromotionState.ROLLED_BACK
        assert "v2 fails more often than v1" in ended.reason
        assert clones.subjects()[-1] == "Roll back echo v2 in region-a"
        assert (newest(clones).state, newest(clones).reason) == (PromotionState.ROLLED_BACK, ended.reason)
        assert [(step.weight, step.proof is not None) for step in ended.taken] == [(10, True), (25, False)]
        assert regions.in_force("region-a") == BEFORE

    def test_a_version_that_fails_three_of_ten(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.failure_rate = lambda _region, version, _weight: 0.3 if version == "v2" else 0.0

        ended = begin(clones, regions, planned(clones, (10, 50, 100), ("region-a",)))

        assert ended.state is PromotionState.ROLLED_BACK
        assert [step.weight for step in ended.taken] == [10]

    def test_in_the_second_region_takes_the_first_one_back_as_well(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        regions.failure_rate = lambda region, version, _weight: float((region, version) == ("region-b", "v2"))

        ended = begin(clones, regions, planned(clones))

        assert ended.undone is not None
        assert ended.undone.weights == {"region-b": BEFORE, "region-a": BEFORE}
        assert [clones.weights(region) for region in REGIONS] == [BEFORE, BEFORE]
        assert clones.subjects()[-1] == "Roll back echo v2 in region-b, region-a"

    def test_what_it_cost_is_counted_by_version(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.fail("v2")

        ended = begin(clones, regions, planned(clones, (10, 50), ("region-a",)))

        assert ended.undone is not None
        cost = ended.undone.cost
        assert cost["v2"].failures == cost["v2"].requests > 0
        assert cost["v1"].failures == 0
        assert set(cost) == {"v1", "v2"}

    def test_what_was_sent_while_the_step_came_is_among_it(self, clones: TwoClones, regions: FakeRegions) -> None:
        def fails() -> None:
            regions.fail("v2")

        # the look after the two of the delivery
        for action in (lambda: None, fails):
            regions.once("look", "region-a", 50, action)

        ended = begin(clones, regions, planned(clones, (50,), ("region-a",)))

        coming = ended.taken[-1].coming
        assert ended.undone is not None
        assert coming is not None
        assert sum(tally.requests for tally in ended.undone.cost.values()) >= coming.requests + RATE

    def test_it_is_measured_once_more(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.fail("v2")

        ended = begin(clones, regions, planned(clones, (10, 50), ("region-a",)))

        assert ended.undone is not None
        assert [(outcome.region.name, outcome.holds) for outcome in ended.undone.outcomes] == [("region-a", True)]

    def test_a_step_that_is_not_delivered_in_time(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.arrives = lambda _region, weights: weights["v2"] != 50

        ended = begin(clones, regions, planned(clones, (25, 50, 100), ("region-a",)))

        assert ended.state is PromotionState.ROLLED_BACK
        assert "not synced within 10 min" in ended.reason
        assert ended.taken[-1].delivery is None
        assert clones.weights("region-a") == regions.in_force("region-a") == BEFORE

    def test_one_whose_containers_are_killed_again_and_again(self, clones: TwoClones, regions: FakeRegions) -> None:
        killed = {"v2": ("OOMKilled", "OOMKilled")}
        regions.once("look", "region-a", 50, lambda: setattr(regions, "ended", lambda _region: killed))

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        assert ended.state is PromotionState.ROLLED_BACK
        assert ended.reason == ("region-a: containers of v2 ended within ten minutes: 2 x OOMKilled; of v1 none")

    def test_one_of_which_a_pod_is_not_ready_any_more(self, clones: TwoClones, regions: FakeRegions) -> None:
        def fails() -> None:
            regions.not_ready = lambda region: {"v2": (125.0,)} if region == "region-a" else {}

        regions.once("deliver", "region-b", 50, fails)

        ended = begin(clones, regions, planned(clones, (50, 100)))

        assert ended.state is PromotionState.ROLLED_BACK
        assert ended.reason == "region-a: pods of v2 that were ready are not ready: 1, for 125 s; of v1 none"

    def test_a_request_that_nobody_answers(self, clones: TwoClones, regions: FakeRegions) -> None:
        def fails() -> None:
            regions.unanswered_rate = lambda _region: 0.01

        regions.once("look", "region-a", 50, fails)

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        assert ended.state is PromotionState.ROLLED_BACK
        assert "requests were answered by nobody" in ended.reason

    def test_a_region_that_is_done_and_no_longer_well(self, clones: TwoClones, regions: FakeRegions) -> None:
        def fails() -> None:
            regions.failure_rate = lambda region, version, _weight: float((region, version) == ("region-a", "v2"))

        regions.once("deliver", "region-b", 50, fails)

        ended = begin(clones, regions, planned(clones))

        assert ended.state is PromotionState.ROLLED_BACK
        assert "region-a: v2 fails more often than v1" in ended.reason
        assert clones.subjects()[-2:] == [
            "Promote echo v2 in region-b: 50 %",
            "Roll back echo v2 in region-b, region-a",
        ]

    def test_although_argo_cd_finds_its_pods_unhealthy(self, clones: TwoClones, regions: FakeRegions) -> None:
        def crash() -> None:
            regions.unhealthy = {"region-a"}

        regions.once("look", "region-a", 50, crash)

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        assert ended.state is PromotionState.ROLLED_BACK
        assert ended.undone is not None
        assert ended.undone.holds
        assert regions.in_force("region-a") == BEFORE

    def test_what_cannot_be_delivered_any_more_is_told(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.arrives = lambda _region, weights: weights["v2"] == 50
        regions.fail("v2")

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        assert ended.state is PromotionState.ROLLED_BACK
        assert ended.undone is not None
        assert [problem.what for problem in ended.undone.problems] == ["region-a: not synced within 10 min"]
        assert not ended.undone.holds

    def test_also_where_the_promotion_has_not_begun(self, clones: TwoClones) -> None:
        clones.somebody_weighs("region-b", v1=90, v2=10)
        regions = FakeRegions(clones.remote)
        regions.failure_rate = lambda region, version, weight: float(
            (region, version) == ("region-a", "v2") and weight > 10
        )

        ended = begin(clones, regions, planned(clones))

        assert ended.state is PromotionState.ROLLED_BACK
        assert [clones.weights(region) for region in REGIONS] == [BEFORE, BEFORE]

    def test_others_share_the_requests_as_before(self, clones: TwoClones, regions: FakeRegions) -> None:
        clones.somebody_weighs("region-a", v1=90, v2=10)
        regions = FakeRegions(clones.remote)
        regions.failure_rate = lambda _region, version, weight: float(version == "v2" and weight > 10)

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        # not the 10 that it had: it is not well
        assert ended.state is PromotionState.ROLLED_BACK
        assert clones.weights("region-a") == BEFORE


class TestGoesOn:
    def test_an_old_version_that_fails_as_often_accuses_nobody(self, clones: TwoClones, regions: FakeRegions) -> None:
        def fails() -> None:
            regions.failure_rate = lambda _region, _version, _weight: 0.005

        regions.once("deliver", "region-a", 50, fails)

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        assert ended.state is PromotionState.DONE
        last = newest(clones).proof
        assert last is not None
        assert last.new.failures > 0

    def test_what_all_requests_go_to_is_held_against_those_who_had_them(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        regions.failure_rate = lambda _region, version, weight: 0.1 if version == "v2" and weight == 100 else 0.0

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        assert ended.state is PromotionState.ROLLED_BACK
        assert "v2 fails more often than v1" in ended.reason

    def test_a_region_that_is_not_well_before_is_refused(self, clones: TwoClones) -> None:
        clones.somebody_weighs("region-b", v1=90, v2=10)
        regions = FakeRegions(clones.remote)
        regions.failure_rate = lambda region, version, _weight: 0.3 if (region, version) == ("region-b", "v2") else 0.0

        with pytest.raises(RolloutError, match=r"region-b: v2 fails more often than v1, .* nothing was changed"):
            begin(clones, regions, planned(clones))

        assert clones.subjects() == ["Set weights"]

    def test_what_is_committed_and_not_delivered_comes_first(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.arrives = lambda region, _weights: region != "region-b"
        clones.somebody_weighs("region-b", v1=90, v2=10)

        with pytest.raises(RolloutError, match="region-b: not synced"):
            begin(clones, regions, planned(clones))

        assert clones.subjects() == ["Set weights"]

    def test_no_region_is_ahead_of_the_last_step(self, clones: TwoClones) -> None:
        clones.somebody_weighs("region-b", v1=50, v2=50)
        upstream = clones.upstream()
        upstream.tip()

        with pytest.raises(RolloutError, match="region-b: v2 has weight 50, and the last step is 25"):
            preview(upstream, planned(clones, (10, 25)))

    def test_failures_that_both_versions_have_are_no_doubt(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.failure_rate = lambda _region, _version, _weight: 0.005

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        assert ended.state is PromotionState.DONE
        assert ended.taken[0].proof is not None
        assert ended.taken[0].proof.old.failures > 0


class TestKept:
    """The old version keeps a part until all regions are done."""

    def test_all_regions_get_the_rest_at_once(self, clones: TwoClones, regions: FakeRegions) -> None:
        ended = begin(clones, regions, planned(clones, keep=5))

        assert ended.state is PromotionState.DONE
        assert clones.subjects() == [
            "Promote echo v2 in region-a: 50 %",
            "Promote echo v2 in region-a: 95 %",
            "Promote echo v2 in region-b: 50 %",
            "Promote echo v2 in region-b: 95 %",
            "Promote echo v2 everywhere: 100 %",
            "echo v2 is promoted",
        ]
        assert [regions.in_force(region) for region in REGIONS] == [ALL, ALL]
        assert [(step.region, step.weight) for step in ended.taken[-2:]] == [(region, 100) for region in REGIONS]

    def test_a_step_tells_both_versions_over_the_same_requests(self, clones: TwoClones, regions: FakeRegions) -> None:
        ended = begin(clones, regions, planned(clones, (50,), ("region-a",), keep=5))

        step = ended.taken[0]
        assert [each.name.partition(" x ")[2] for each in step.compared] == ["", "p50)", "p95)", "p99)", ""]
        assert all(each.standing is Standing.HOLDS for each in step.compared[:-1])
        assert step.proof is not None
        requests = step.compared[0].new.requests + step.compared[0].old.requests
        assert requests >= step.proof.new.requests + step.proof.old.requests

    def test_a_region_that_is_done_is_watched(self, clones: TwoClones, regions: FakeRegions) -> None:
        def fails() -> None:
            regions.failure_rate = lambda region, version, _weight: 0.3 * ((region, version) == ("region-a", "v2"))

        regions.once("look", "region-b", 50, fails)

        ended = begin(clones, regions, planned(clones, keep=5))

        assert ended.state is PromotionState.ROLLED_BACK
        assert ended.reason.startswith("region-a: v2 fails more often than v1")
        assert [regions.in_force(region) for region in REGIONS] == [BEFORE, BEFORE]

    def test_one_that_is_resumed_watches_the_regions_that_are_done(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        regions.once("look", "region-b", 50, interrupt)
        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, planned(clones, keep=5))

        def fails() -> None:
            regions.failure_rate = lambda region, version, _weight: 0.3 * ((region, version) == ("region-a", "v2"))

        regions.once("look", "region-b", 50, fails)

        ended = resume(clones, regions)

        assert ended.state is PromotionState.ROLLED_BACK
        assert ended.reason.startswith("region-a: v2 fails more often than v1")

    def test_one_killed_while_all_get_the_rest_proves_it(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.once("look", "region-a", 100, interrupt)
        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, planned(clones, (50, 100), ("region-a",), keep=5))

        ended = resume(clones, regions)

        assert ended.state is PromotionState.DONE
        assert [(step.weight, bool(step.proof)) for step in ended.taken] == [(100, True)]
        assert clones.subjects()[-2:] == ["Promote echo v2 everywhere: 100 %", "echo v2 is promoted"]

    def test_one_that_has_all_already_is_proven(self, clones: TwoClones) -> None:
        clones.somebody_weighs("region-a", v1=0, v2=100)

        ended = begin(clones, FakeRegions(clones.remote), planned(clones, (50, 100), ("region-a",), keep=5))

        assert ended.state is PromotionState.DONE
        assert [(step.weight, bool(step.proof)) for step in ended.taken] == [(100, True)]

    def test_failures_that_are_usual_are_no_doubt_once_it_has_all(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        regions.failure_rate = lambda _region, _version, _weight: 0.02

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",), keep=5))

        assert ended.state is PromotionState.DONE

    def test_a_version_that_fails_once_it_has_all_is_taken_back(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.failure_rate = lambda _region, version, weight: 0.1 if version == "v2" and weight == 100 else 0.0

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",), keep=5))

        assert ended.state is PromotionState.ROLLED_BACK
        assert "which has none now" in ended.reason


class TestClients:
    def test_a_version_that_fails_other_clients_is_taken_back(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.clients_failure_rate = lambda _region, version: 0.3 if version == "v2" else 0.0

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",), keep=5))

        assert ended.state is PromotionState.ROLLED_BACK
        assert ended.reason.startswith("region-a: v2 fails clients more often than v1, by more than 2 points")

    def test_without_them_the_probes_requests_are_judged(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.clients_away = True

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        assert ended.state is PromotionState.DONE
        told = "region-a: nothing is known of other clients yet (region-a: no client of echo could be asked); "
        assert f"{told}the probe's requests alone are judged" in clones.said

    def test_clients_whom_both_versions_fail_accuse_nobody(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.clients_failure_rate = lambda _region, _version: 0.3

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",), keep=5))

        assert ended.state is PromotionState.DONE
        told = ended.taken[0].compared[-1]
        assert (told.name, told.new.failures > 0, told.worse) == ("failed of other clients", True, False)


def declare(clones: TwoClones, setting: str) -> None:
    """A setting of echo in all stack files."""

    def change(project: Project) -> None:
        for region in REGIONS:
            project.replace(region, "      maxEjectionPercent: 34", f"      {setting}\n      maxEjectionPercent: 34")

    clones.somebody("Declare what is a failure", change)


class TestDeclared:
    @pytest.mark.parametrize(
        ("setting", "state"),
        [("failureStatuses: [429]", PromotionState.ROLLED_BACK), ("failureStatuses: [410]", PromotionState.DONE)],
    )
    def test_a_status_takes_a_version_back_where_it_is_a_failure(
        self, setting: str, state: PromotionState, clones: TwoClones, regions: FakeRegions
    ) -> None:
        declare(clones, setting)
        # so many 4xx of the old version's that those of the new one are no more
        regions.clients_answers = lambda _region, version: {429: 0.3} if version == "v2" else {404: 0.3}

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",), keep=5))

        assert ended.state is state
        assert not ended.reason or ended.reason.startswith("region-a: v2 fails clients more often than v1, ")

    @pytest.mark.parametrize(("bound", "state"), [("6ms", PromotionState.ROLLED_BACK), ("1s", PromotionState.DONE)])
    def test_a_bound_takes_the_place_of_what_was_measured(
        self, bound: str, state: PromotionState, clones: TwoClones, regions: FakeRegions
    ) -> None:
        declare(clones, f"latencyBounds: [{bound}]")
        regions.slower = lambda _region, version: 3.0 if version == "v2" else 1.0
        terms = Terms(keep=1, points=2, ratio=1.5)

        ended = begin(clones, regions, replace(planned(clones, (50,), ("region-a",)), terms=terms))

        assert ended.state is state
        assert ("requests slower than 6 ms (declared), against" in ended.reason) == (bound == "6ms")
        assert [each.name for step in ended.taken for each in step.compared if "slower" in each.name] == (
            ["slower than 1,000 ms (declared)"] if bound == "1s" else []
        )
        told = [line for line in clones.said if "slow is what takes longer" in line]
        assert told == [f"region-a: slow is what takes longer than {'6' if bound == '6ms' else '1,000'} ms (declared)"]

    def test_what_was_measured_is_told_before_the_first_step(self, clones: TwoClones, regions: FakeRegions) -> None:
        begin(clones, regions, planned(clones, (50,), ("region-a",)))

        at = next(number for number, line in enumerate(clones.said) if "slow is what takes longer" in line)
        bounds = re.findall(r"([0-9.]+) ms \(1\.5 x (p50|p95|p99)\)", clones.said[at])
        assert [part for _, part in bounds] == ["p50", "p95", "p99"]
        assert 1 < float(bounds[0][0]) < float(bounds[1][0]) < float(bounds[2][0]) < 10
        assert at < next(number for number, line in enumerate(clones.said) if "v2 50 %: committed" in line)

    def test_what_clients_do_not_tell_of_it_is_told(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.untold = "their Envoys count no 429"

        begin(clones, regions, planned(clones, (50,), ("region-a",)))

        assert "region-a: their Envoys count no 429; their requests are not judged by that" in clones.said


class TestSlow:
    def test_a_version_that_takes_twice_as_long_is_taken_back(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.slower = lambda _region, version: 3.0 if version == "v2" else 1.0
        promotion = replace(planned(clones, (50, 100), ("region-a",)), terms=Terms(keep=1, points=2, ratio=1.5))

        ended = begin(clones, regions, promotion)

        assert ended.state is PromotionState.ROLLED_BACK
        assert ended.reason.startswith("region-a: v2 is slow more than 1.5 times as often as v1")

    def test_what_slows_both_accuses_nobody(self, clones: TwoClones, regions: FakeRegions) -> None:
        def shared_dependency() -> None:
            regions.slower = lambda _region, _version: 3.0

        regions.once("look", "region-a", 50, shared_dependency)

        ended = begin(clones, regions, planned(clones, (50,), ("region-a",), keep=5))

        assert ended.state is PromotionState.DONE


class TestSameSeconds:
    def test_an_outage_of_both_versions_accuses_nobody(self, clones: TwoClones, regions: FakeRegions) -> None:
        def outage() -> None:
            regions.failure_rate = lambda _region, _version, _weight: 0.3
            regions.once("look", "region-a", 50, over)

        def over() -> None:
            regions.failure_rate = lambda _region, _version, _weight: 0.0

        regions.once("look", "region-a", 50, outage)

        ended = begin(clones, regions, planned(clones, (50,), ("region-a",), keep=5))

        assert ended.state is PromotionState.DONE

    def test_an_outage_after_a_proof_takes_another_one(
        self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By a clock that goes on by a second with each second of requests, both fail from the 24th to the 30th of a bake of 30."""
        seconds = 0

        def outage(_region: str, version: str, weight: int) -> float:
            nonlocal seconds
            seconds += (version, weight) == ("v2", 50)
            return 0.3 if weight == 50 and 23 < seconds <= 30 else 0.0

        regions.failure_rate = outage
        monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: seconds, sleep=lambda _seconds: None))
        terms = Terms(keep=5, points=0.5, ratio=100)

        ended = begin(clones, regions, replace(planned(clones, (50,), ("region-a",)), bake_seconds=30, terms=terms))

        assert ended.state is PromotionState.DONE
        assert {each.standing for step in ended.taken for each in step.compared if each.is_needed} == {Standing.HOLDS}
        assert seconds > 40

    def test_an_old_version_that_failed_before_excuses_nothing(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.failure_rate = lambda _region, version, _weight: 0.05 if version == "v1" else 0.0

        def turned_round() -> None:
            regions.failure_rate = lambda _region, version, _weight: 0.05 if version == "v2" else 0.0

        regions.once("deliver", "region-a", 50, turned_round)

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        assert ended.state is PromotionState.ROLLED_BACK
        assert "v2 fails more often than v1, by more than 2 points" in ended.reason

    def test_a_request_of_very_many_that_nobody_answers_is_usual(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.unanswered_rate = lambda _region: 0.00005

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        assert ended.state is PromotionState.DONE

    def test_what_is_not_proven_in_the_longest_time_stops_it(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.failure_rate = lambda _region, _version, _weight: 0.3
        terms = Terms(keep=5, points=0.01, ratio=20, longest_seconds=0)

        more = (
            r"failed: [^;]*; while this is so, (it takes some [0-9,]+ requests more, |no number of requests proves it)"
        )
        with pytest.raises(RolloutError, match=r"v2 50 % is not proven within 0 s: " + more):
            begin(clones, regions, replace(planned(clones, (50,), ("region-a",)), terms=terms))

        assert newest(clones).state is PromotionState.IN_PROGRESS


class TestOthers:
    def test_a_change_of_a_promoted_region_ends_it_and_is_kept(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.once("look", "region-a", 50, lambda: clones.somebody_weighs("region-a", v1=70, v2=30))

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        assert ended.state is PromotionState.ENDED
        assert "region-a was changed by somebody else meanwhile" in ended.reason
        assert "by test: Set weights" in ended.reason
        assert clones.weights("region-a") == {"v1": 70, "v2": 30}
        assert clones.subjects() == ["Promote echo v2 in region-a: 50 %", "Set weights", "End the promotion of echo v2"]
        assert (newest(clones).state, newest(clones).reason) == (PromotionState.ENDED, ended.reason)

    def test_a_change_of_a_region_that_is_done_ends_it(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.once("look", "region-b", 50, lambda: clones.somebody_weighs("region-a", v1=50, v2=50))

        ended = begin(clones, regions, planned(clones))

        assert ended.state is PromotionState.ENDED
        assert [clones.weights(region) for region in REGIONS] == [HALF, HALF]

    @pytest.mark.parametrize(("what", "weight"), [("certify", 0), ("look", 100), ("watch", 0)])
    def test_a_version_that_is_taken_from_the_next_region_ends_it(
        self, clones: TwoClones, regions: FakeRegions, what: str, weight: int
    ) -> None:
        def removes() -> None:
            clones.somebody("Remove v2", lambda project: project.remove_version("region-b", "v2"))

        regions.once(what, "region-a" if what == "look" else "region-b", weight, removes)

        ended = begin(clones, regions, planned(clones))

        assert ended.state is PromotionState.ENDED
        assert "region-b was changed by somebody else meanwhile" in ended.reason
        assert clones.weights("region-b") == {"v1": 100}

    def test_a_change_while_the_last_step_is_proven_is_not_taken_for_done(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        regions.once("look", "region-b", 100, lambda: clones.somebody_weighs("region-a", v1=50, v2=50))

        ended = begin(clones, regions, planned(clones))

        assert ended.state is PromotionState.ENDED
        assert newest(clones).state is PromotionState.ENDED

    def test_a_change_that_is_delivered_while_a_step_is_proven_ends_it(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        def changes() -> None:
            clones.somebody_weighs("region-b", v1=90, v2=10)
            regions.certify(["region-b"])

        regions.once("look", "region-b", 50, changes)

        ended = begin(clones, regions, planned(clones))

        # what is measured then is what somebody else made of it: no reason to take anything back anywhere
        assert ended.state is PromotionState.ENDED
        assert [clones.weights(region) for region in REGIONS] == [ALL, {"v1": 90, "v2": 10}]

    def test_a_change_instead_of_the_one_that_is_waited_for_ends_it(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        regions.once("deliver", "region-a", 50, lambda: clones.somebody_weighs("region-a", v1=90, v2=10))

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        assert ended.state is PromotionState.ENDED
        assert clones.weights("region-a") == {"v1": 90, "v2": 10}

    def test_a_change_elsewhere_is_kept_and_does_not_stop_it(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.once("look", "region-a", 50, clones.somebody_writes)

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        assert ended.state is PromotionState.DONE
        assert clones.subjects() == [
            "Promote echo v2 in region-a: 50 %",
            "Write",
            "Promote echo v2 in region-a: 100 %",
            "echo v2 is promoted",
        ]

    def test_a_change_of_another_region_does_not_stop_it(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.once("look", "region-a", 50, lambda: clones.somebody_weighs("region-b", v1=90, v2=10))

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        assert ended.state is PromotionState.DONE
        assert clones.weights("region-b") == {"v1": 90, "v2": 10}

    def test_a_change_between_a_look_and_the_push_is_seen(
        self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at_push(monkeypatch, 2, before=lambda: clones.somebody_weighs("region-a", v1=70, v2=30))

        ended = begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        assert ended.state is PromotionState.ENDED
        assert clones.weights("region-a") == {"v1": 70, "v2": 30}
        assert any("somebody pushed to main meanwhile" in line for line in clones.said)

    def test_a_push_elsewhere_at_the_same_moment_is_not_lost(
        self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at_push(monkeypatch, 1, before=clones.somebody_writes)

        ended = begin(clones, regions, planned(clones, (50,), ("region-a",)))

        assert ended.state is PromotionState.DONE
        assert clones.subjects() == ["Write", "Promote echo v2 in region-a: 50 %", "echo v2 is promoted"]

    def test_of_two_that_begin_at_once_one_is_refused(
        self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        promotion = planned(clones, (50, 100), ("region-a",))
        theirs = clones.upstream(of=clones.colleague)

        def begins() -> None:
            regions.once("deliver", "region-a", 50, interrupt)
            with pytest.raises(KeyboardInterrupt):
                begin(clones, regions, promotion, theirs)

        at_push(monkeypatch, 1, before=begins)

        ended = begin(clones, regions, promotion)

        assert ended.state is PromotionState.ENDED
        assert ended.taken == []
        assert clones.subjects() == ["Promote echo v2 in region-a: 50 %"]
        assert newest(clones).state is PromotionState.IN_PROGRESS

    def test_of_two_that_begin_at_once_in_other_regions_one_is_refused(
        self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ours, theirs = planned(clones, regions=("region-a",)), planned(clones, regions=("region-b",))

        def begins() -> None:
            regions.once("deliver", "region-b", 50, interrupt)
            with pytest.raises(KeyboardInterrupt):
                begin(clones, regions, theirs, clones.upstream(of=clones.colleague))

        at_push(monkeypatch, 1, before=begins)

        ended = begin(clones, regions, ours)

        assert ended.state is PromotionState.ENDED
        assert clones.subjects() == ["Promote echo v2 in region-b: 50 %"]


def at_push(
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    *,
    before: Callable[[], object] = lambda: None,
    after: Callable[[], object] = lambda: None,
) -> None:
    """Does something before or after the push of this number, counted from 1; those that it causes itself do not count."""
    push = Repository.push
    count = 0

    def counted(repository: Repository, commit: str, remote: str, branch: str, *, onto: str | None = None) -> None:
        nonlocal count
        count += 1
        now = count == number
        if now:
            before()
        push(repository, commit, remote, branch, onto=onto)
        if now:
            after()

    monkeypatch.setattr(Repository, "push", counted)


class TestResumed:
    THE_END = (
        "Promote echo v2 in region-a: 50 %",
        "Promote echo v2 in region-a: 100 %",
        "Promote echo v2 in region-b: 50 %",
        "Promote echo v2 in region-b: 100 %",
        "echo v2 is promoted",
    )

    @pytest.mark.parametrize("push", [2, 3, 5])
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_killed_at_a_push(
        self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch, when: str, push: int
    ) -> None:
        with monkeypatch.context() as patched:
            at_push(patched, push, **{when: interrupt})
            with pytest.raises(KeyboardInterrupt):
                begin(clones, regions, planned(clones))
        if newest(clones).state is PromotionState.DONE:
            return

        ended = resume(clones, regions)

        assert ended.state is PromotionState.DONE
        assert clones.subjects() == list(self.THE_END)
        assert [regions.in_force(region) for region in REGIONS] == [ALL, ALL]

    @pytest.mark.parametrize("what", ["deliver", "look"])
    @pytest.mark.parametrize(("region", "weight"), [("region-a", 50), ("region-a", 100), ("region-b", 50)])
    def test_killed_while_a_step_is_delivered_or_proven(
        self, clones: TwoClones, regions: FakeRegions, what: str, region: str, weight: int
    ) -> None:
        regions.once(what, region, weight, interrupt)
        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, planned(clones))

        # half of them are gone on with in another clone
        ended = resume(clones, regions, clones.upstream(of=clones.colleague if what == "look" else clones.operator))

        assert ended.state is PromotionState.DONE
        assert clones.subjects() == list(self.THE_END)

    def test_killed_while_all_regions_are_measured(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.once("certify", "region-a", 100, interrupt)
        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, planned(clones))

        ended = resume(clones, regions)

        assert ended.state is PromotionState.DONE
        assert clones.subjects() == list(self.THE_END)

    def test_one_killed_at_the_last_step_remembers_how_the_old_version_did(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        regions.once("look", "region-a", 100, interrupt)
        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, planned(clones, (50, 100), ("region-a",)))

        def fails() -> None:
            # nobody else has requests any more to be compared with
            regions.failure_rate = lambda _region, _version, _weight: 0.1

        regions.once("look", "region-a", 100, fails)

        ended = resume(clones, regions)

        assert ended.state is PromotionState.ROLLED_BACK
        assert "v2 fails more often than v1" in ended.reason

    def test_a_version_that_fails_meanwhile_is_taken_back(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.once("look", "region-a", 50, interrupt)
        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, planned(clones))
        regions.failure_rate = lambda _region, version, _weight: 0.3 if version == "v2" else 0.0

        ended = resume(clones, regions)

        assert ended.state is PromotionState.ROLLED_BACK
        assert clones.weights("region-a") == BEFORE

    @pytest.mark.parametrize("weight", [0, 50, 100])
    def test_weights_that_somebody_else_set_meanwhile_are_kept(
        self, clones: TwoClones, regions: FakeRegions, weight: int
    ) -> None:
        regions.once("look", "region-a", 25, interrupt)
        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, planned(clones, (25, 50), ("region-a",)))
        clones.somebody_weighs("region-a", v1=100 - weight, v2=weight)

        ended = resume(clones, regions)

        assert ended.state is PromotionState.ENDED
        assert "changed by somebody else" in ended.reason
        assert clones.weights("region-a") == {"v1": 100 - weight, "v2": weight}

    def test_what_somebody_else_pushed_elsewhere_is_kept(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.once("look", "region-a", 50, interrupt)
        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, planned(clones, (50, 100), ("region-a",)))
        clones.somebody_writes()

        ended = resume(clones, regions)

        assert ended.state is PromotionState.DONE

    def test_an_unanswered_question_leaves_it_in_progress(self, clones: TwoClones, regions: FakeRegions) -> None:
        def unreachable() -> None:
            raise RolloutError

        regions.once("look", "region-a", 50, unreachable)
        with pytest.raises(RolloutError):
            begin(clones, regions, planned(clones))

        assert newest(clones).state is PromotionState.IN_PROGRESS
        assert resume(clones, regions).state is PromotionState.DONE


class TestBranch:
    """Somebody stands between a commit and its delivery."""

    STEPS = (50, 100)

    def merges(self, clones: TwoClones, *answers: Callable[[], object]) -> Upstream:
        """What is done where something waits to be merged: the first time, the second, …; the last of them from then on."""
        left = [*answers]

        def hear(line: str) -> None:
            if "waits until it is merged" in line:
                (left.pop(0) if len(left) > 1 else left[0])()

        clones.hearing.append(hear)
        return clones.upstream(proposal="rollout")

    def merge(self, clones: TwoClones, *options: str, title: str = "Merge") -> None:
        """As a forge does it: a merge commit, or with `--squash` one of its own."""
        clone = clones.colleague.repository
        clone.git("pull", "--quiet", "--ff-only", "origin", "main")
        clone.git("fetch", "--quiet", "origin", "rollout")
        clone.git("merge", "--quiet", *options, "--message", title, "FETCH_HEAD")
        if "--squash" in options:
            clone.git("commit", "--quiet", "--allow-empty", "--message", title)
        clone.git("push", "--quiet", "origin", "main")

    def squash(self, clones: TwoClones) -> None:
        """With the title of the pull request alone, and the branch goes."""
        self.merge(clones, "--squash", title="More for v2 (#12)")
        self.delete(clones)

    def rebase(self, clones: TwoClones) -> None:
        """The same commit with another hash, on top of somebody else's."""
        clones.somebody_writes()
        clone = clones.colleague.repository
        clone.git("fetch", "--quiet", "origin", "rollout")
        clone.git("cherry-pick", "FETCH_HEAD")
        clone.git("push", "--quiet", "origin", "main")

    def delete(self, clones: TwoClones) -> None:
        clones.remote.git("branch", "--delete", "--force", "rollout")

    def in_region_a(self, clones: TwoClones, steps: tuple[int, ...] = STEPS) -> Promotion:
        return planned(clones, steps, ("region-a",))

    def test_merged_by_a_merge_commit(self, clones: TwoClones, regions: FakeRegions) -> None:
        upstream = self.merges(clones, lambda: self.merge(clones, "--no-ff"))

        ended = begin(clones, regions, self.in_region_a(clones), upstream)

        assert ended.state is PromotionState.DONE
        assert clones.weights("region-a") == ALL
        assert f"done, noted at {clones.tip[:10]}" in clones.said
        # nobody has to merge what changes no file
        assert clones.remote.git("log", "--first-parent", "--format=%s", "main").splitlines()[:-1] == ["Merge"] * 2
        assert newest(clones).state is PromotionState.DONE

    @pytest.mark.parametrize("way", ["squash", "rebase"])
    def test_merged_as_another_commit(self, clones: TwoClones, regions: FakeRegions, way: str) -> None:
        upstream = self.merges(clones, lambda: getattr(self, way)(clones))

        ended = begin(clones, regions, self.in_region_a(clones), upstream)

        assert ended.state is PromotionState.DONE
        assert [took.weight for took in ended.taken if took.proof] == [50, 100]
        assert [(record.state, record.weight) for record in clones.records()][-1:] == [(PromotionState.DONE, 100)]

    def test_a_squash_with_its_title_alone_keeps_the_record(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.once("look", "region-a", 50, interrupt)
        upstream = self.merges(clones, lambda: self.squash(clones))
        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, self.in_region_a(clones), upstream)
        assert clones.subjects() == ["More for v2 (#12)"]
        elsewhere = clones.upstream(of=clones.colleague)

        # another clone knows of it, and takes it back
        found = elsewhere.last_promotion(elsewhere.tip())

        assert found is not None
        assert (found[0].commit, found[1].state, found[1].weight) == (clones.tip, PromotionState.IN_PROGRESS, 50)
        assert to_take_back(elsewhere, clones.tip, found[1]) == ["region-a"]

    def test_merged_while_nobody_waited_is_found(self, clones: TwoClones, regions: FakeRegions) -> None:
        def merged_later() -> None:
            self.merge(clones, "--squash", title="More for v2 (#12)")
            raise KeyboardInterrupt

        upstream = self.merges(clones, merged_later)
        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, self.in_region_a(clones), upstream)
        assert clones.records() == []

        found = upstream.last_promotion(upstream.tip())

        assert found is not None
        assert (found[0].commit, found[1].weight) == (clones.tip, 50)
        assert newest(clones).state is PromotionState.IN_PROGRESS

    def test_one_that_is_done_stays_done_where_its_last_step_stays_on_the_branch(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        upstream = self.merges(clones, lambda: self.merge(clones, "--squash", title="More for v2"))
        begin(clones, regions, self.in_region_a(clones), upstream)

        found = upstream.last_promotion(upstream.tip())

        assert found is not None
        assert found[1].state is newest(clones).state is PromotionState.DONE

    def test_a_note_that_is_not_taken_is_told_and_the_step_is_watched(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        hook = clones.remote.directory / "hooks" / "update"
        hook.write_text('#!/bin/sh\ncase "$1" in refs/notes/*) echo "no notes" >&2; exit 1;; esac\n')
        hook.chmod(0o755)
        upstream = self.merges(clones, lambda: self.squash(clones))

        ended = begin(clones, regions, self.in_region_a(clones), upstream)

        assert ended.state is PromotionState.DONE
        assert any("does not take refs/notes/rollout/echo/promotions" in line for line in clones.said)

    def test_a_note_that_does_not_arrive_at_once_is_pushed_again(
        self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        push, answers = Repository.push_notes, [TransientError, TransientError]

        def lost(repository: Repository, remote: str, service: str) -> None:
            if answers:
                raise answers.pop()
            push(repository, remote, service)

        monkeypatch.setattr(Repository, "push_notes", lost)
        regions.once("look", "region-a", 50, interrupt)
        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, self.in_region_a(clones), self.merges(clones, lambda: self.squash(clones)))

        assert (newest(clones).state, newest(clones).weight) == (PromotionState.IN_PROGRESS, 50)

    def test_a_note_that_was_not_taken_is_pushed_by_the_next_command(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        hook = clones.remote.directory / "hooks" / "update"
        hook.write_text('#!/bin/sh\ncase "$1" in refs/notes/*) echo "no notes" >&2; exit 1;; esac\n')
        hook.chmod(0o755)
        upstream = self.merges(clones, lambda: self.squash(clones))
        begin(clones, regions, self.in_region_a(clones), upstream)
        assert clones.records() == []
        hook.unlink()

        upstream.last_promotion(upstream.tip())

        assert newest(clones).state is PromotionState.DONE

    def test_a_history_that_cannot_be_read_keeps_no_merged_way_back_from_the_regions(
        self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin(clones, regions, self.in_region_a(clones))
        record = newest(clones)

        def unreadable(*_: object) -> None:
            raise RolloutError.of("unreadable", "why", "fix")

        def merged() -> None:
            self.squash(clones)
            monkeypatch.setattr(Repository, "newest_record", unreadable)

        undone = roll_back(self.merges(clones, merged), regions, lambda _tip: (record, ["region-a"]), "by hand")

        assert undone.holds
        assert regions.in_force("region-a") == BEFORE
        assert "unreadable: why; fix" in clones.said

    def test_a_step_is_not_delivered_before_it_is_merged(self, clones: TwoClones, regions: FakeRegions) -> None:
        upstream = self.merges(clones, interrupt)

        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, self.in_region_a(clones), upstream)

        assert clones.subjects() == []
        assert clones.remote.git("log", "-1", "--format=%s", "rollout") == "Promote echo v2 in region-a: 50 %"
        assert not [moment for moment in regions.moments if (moment.what, moment.weight) == ("deliver", 50)]

    def test_one_cut_off_while_it_waits_goes_on_with_the_same_commit(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        waits = clones.hearing
        upstream = self.merges(clones, interrupt)
        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, self.in_region_a(clones, (50,)), upstream)
        proposed = clones.remote.git("rev-parse", "rollout")
        waits.clear()
        merged: list[str] = []

        def merge() -> None:
            merged.append(clones.remote.git("rev-parse", "rollout"))
            self.merge(clones, "--no-ff")

        ended = begin(clones, regions, self.in_region_a(clones, (50,)), self.merges(clones, merge))

        assert ended.state is PromotionState.DONE
        assert merged == [proposed]

    def test_a_branch_that_is_deleted_without_a_merge_stops_it_and_it_goes_on_later(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        squash = partial(self.squash, clones)
        upstream = self.merges(clones, squash, partial(self.delete, clones), squash)

        with pytest.raises(
            RolloutError, match=r"rollout was deleted, and main does not have the weights of [0-9a-f]{10}"
        ):
            begin(clones, regions, self.in_region_a(clones), upstream)
        assert (newest(clones).state, newest(clones).weight) == (PromotionState.IN_PROGRESS, 50)

        assert resume(clones, regions, upstream).state is PromotionState.DONE

    def test_a_branch_that_stays_after_a_squash_takes_the_next_step(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        upstream = self.merges(clones, lambda: self.merge(clones, "--squash", title="More for v2"))

        assert begin(clones, regions, self.in_region_a(clones), upstream).state is PromotionState.DONE

    def test_work_of_others_on_the_branch_is_not_lost(self, clones: TwoClones, regions: FakeRegions) -> None:
        clones.remote.git("branch", "rollout", clones.somebody_writes())
        clones.remote.git("update-ref", "refs/heads/main", "main~1")

        with pytest.raises(RolloutError, match="somebody else pushed to rollout first"):
            begin(clones, regions, self.in_region_a(clones), clones.upstream(proposal="rollout"))

        assert clones.remote.git("log", "-1", "--format=%s", "rollout") == "Write"

    def test_is_waited_for_through_what_others_push(self, clones: TwoClones, regions: FakeRegions) -> None:
        def later() -> None:
            clones.somebody_writes()
            clones.somebody_weighs("region-b", v1=90, v2=10)
            self.squash(clones)
            clones.somebody_writes()

        upstream = self.merges(clones, later)

        ended = begin(clones, regions, self.in_region_a(clones, (50,)), upstream)

        assert ended.state is PromotionState.DONE
        assert clones.subjects() == ["Write", "Set weights", "More for v2 (#12)", "Write"]

    def test_who_changes_the_region_meanwhile_goes_first(self, clones: TwoClones, regions: FakeRegions) -> None:
        upstream = self.merges(clones, lambda: clones.somebody_weighs("region-a", v1=80, v2=20))

        ended = begin(clones, regions, self.in_region_a(clones), upstream)

        assert ended.state is PromotionState.ENDED
        assert "region-a was changed by somebody else" in ended.reason
        assert any(line.startswith("close the proposal rollout: nobody watches") for line in clones.said)

    def test_what_else_came_with_it_ends_it_with_a_record(self, clones: TwoClones, regions: FakeRegions) -> None:
        def resized() -> None:
            clones.colleague.repository.git("pull", "--quiet", "--ff-only", "origin", "main")
            self.merge(clones, "--squash", "--no-commit", title="More for v2, and more pods")
            clones.colleague.replace("region-a", "2.0.0, replicas: 3", "2.0.0, replicas: 4")
            clones.colleague.render()
            clones.colleague.repository.git("commit", "--quiet", "--all", "--amend", "--no-edit")
            clones.colleague.repository.git("push", "--quiet", "--force", "origin", "main")

        ended = begin(clones, regions, self.in_region_a(clones), self.merges(clones, resized))

        assert ended.state is PromotionState.ENDED
        assert (newest(clones).state, newest(clones).weight) == (PromotionState.ENDED, 50)

    def test_a_doubt_while_it_waits_takes_all_back(self, clones: TwoClones, regions: FakeRegions) -> None:
        squash = partial(self.squash, clones)
        upstream = self.merges(clones, squash, partial(self.fail, regions), squash)

        ended = begin(clones, regions, self.in_region_a(clones), upstream)

        assert ended.state is newest(clones).state is PromotionState.ROLLED_BACK
        assert clones.weights("region-a") == regions.in_force("region-a") == BEFORE
        assert "Promote echo v2 in region-a: 100 %" not in clones.remote.git("log", "--all", "--format=%s")

    def test_a_step_that_is_merged_all_the_same_is_taken_back_too(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        colleague = clones.colleague.repository

        def fails() -> None:
            self.fail(regions)
            colleague.git("fetch", "--quiet", "origin", "rollout:step")

        def step_comes_first() -> None:
            colleague.git("pull", "--quiet", "--ff-only", "origin", "main")
            colleague.git("merge", "--quiet", "--squash", "step")
            colleague.git("commit", "--quiet", "--message", "All for v2 (#13)")
            colleague.git("push", "--quiet", "origin", "main")

        squash = partial(self.squash, clones)
        upstream = self.merges(clones, squash, fails, step_comes_first, squash)

        ended = begin(clones, regions, self.in_region_a(clones), upstream)

        assert clones.subjects()[1] == "All for v2 (#13)"
        assert ended.state is newest(clones).state is PromotionState.ROLLED_BACK
        assert clones.weights("region-a") == regions.in_force("region-a") == BEFORE

    def fail(self, regions: FakeRegions) -> None:
        regions.fail("v2")


class TestByHand:
    def back(self, clones: TwoClones, regions: FakeRegions) -> list[str]:
        upstream = clones.upstream()

        def where(tip: str) -> tuple[Record, list[str]]:
            record = newest(clones)
            return record, to_take_back(upstream, tip, record)

        return [*roll_back(upstream, regions, where, "by hand").weights]

    def test_a_promotion_that_is_done_is_taken_back_in_all_regions(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        begin(clones, regions, planned(clones))

        assert sorted(self.back(clones, regions)) == list(REGIONS)
        assert [clones.weights(region) for region in REGIONS] == [BEFORE, BEFORE]
        assert [regions.in_force(region) for region in REGIONS] == [BEFORE, BEFORE]
        assert clones.subjects()[-1] == "Roll back echo v2 in region-b, region-a"
        assert (newest(clones).state, newest(clones).reason) == (PromotionState.ROLLED_BACK, "by hand")

    def test_removes_nothing(self, clones: TwoClones, regions: FakeRegions) -> None:
        begin(clones, regions, planned(clones, (50,), ("region-a",)))

        self.back(clones, regions)

        assert clones.remote.git("diff", "--name-only", planned(clones).before, "main") == ""

    def test_one_in_progress_ends_where_it_was_not_begun(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.once("look", "region-a", 50, interrupt)
        with pytest.raises(KeyboardInterrupt):
            begin(clones, regions, planned(clones))

        assert self.back(clones, regions) == ["region-a"]
        assert newest(clones).state is PromotionState.ROLLED_BACK

    def test_where_the_version_has_nothing_there_is_nothing_to_take(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        begin(clones, regions, planned(clones, (50,), ("region-a",)))
        self.back(clones, regions)

        assert to_take_back(clones.upstream(), clones.upstream().tip(), newest(clones)) == []
