"""What is committed is on top of what is delivered, judged, and nobody else's is lost or mistaken for ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from pydantic import BaseModel

from rollout.git.record import Promotion, PromotionState, Record, message
from rollout.git.repository import OvertakenError, Repository
from rollout.problem import Problem, RolloutError
from rollout.promote import upstream as upstream_module
from rollout.promote.upstream import InterferenceError, Upstream, followed_branch
from stackfile.editing import without_version
from stackfile.model import RegionConfig
from tests.rollout.planned import REGIONS, Project
from tests.rollout.promote.two_clones import BEFORE, TwoClones
from tests.rollout.stack_files import edit

CANARY = {"v1": 90, "v2": 10}
_Model = TypeVar("_Model", bound=BaseModel)


@pytest.fixture(autouse=True)
def _fast_and_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "_LOOK_EVERY_SECONDS", 0)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def upstream(clones: TwoClones) -> Upstream:
    return clones.upstream()


def canary(upstream: Upstream, region: str = "region-a") -> Callable[[str], str]:
    return lambda tip: upstream.shifted(tip, {region: CANARY}, "Canary")


def without(version: str) -> Callable[[str], str]:
    return lambda text: without_version(text, "echo", version)


def _with(model: _Model, **values: object) -> _Model:
    return model.model_copy(update=values)


def record(clones: TwoClones, state: PromotionState = PromotionState.IN_PROGRESS) -> Record:
    return Record(Promotion("v2-x", "echo", "v2", (10,), REGIONS, 0, clones.tip), state, "region-a", 10)


class TestCommit:
    def test_is_pushed_nowhere(self, clones: TwoClones, upstream: Upstream) -> None:
        tip = clones.tip

        commit = upstream.shifted(tip, {"region-a": CANARY}, "Canary")

        assert clones.tip == tip
        assert [upstream.weights(commit, region) for region in REGIONS] == [CANARY, BEFORE]
        assert [upstream.weights(tip, region) for region in REGIONS] == [BEFORE, BEFORE]

    def test_that_the_rules_refuse_is_refused(self, clones: TwoClones, upstream: Upstream) -> None:
        with pytest.raises(RolloutError, match=r"(?s)the rules refuse it:.*60"):
            upstream.shifted(clones.tip, {"region-a": {"v1": 40, "v2": 60}}, "Too much")

    def test_of_weights_is_refused_where_this_checkout_renders_more(
        self, clones: TwoClones, upstream: Upstream
    ) -> None:
        def another_limit(project: Project) -> None:
            edit(project.overlay("region-a", "deployment-v1.yaml"), "memory: 64Mi", "memory: 96Mi")

        tip = clones.somebody("What another version of the program renders", another_limit)
        upstream.tip()

        with pytest.raises(RolloutError, match=r"deployment-v1\.yaml\n(?s:.*)bring this checkout up to date"):
            upstream.shifted(tip, {"region-a": CANARY}, "Canary")
        assert upstream.shifted(tip, {"region-b": CANARY}, "Canary")

    def test_without_a_version_lacks_all_of_its_files(self, clones: TwoClones, upstream: Upstream) -> None:
        commit = upstream.edited(clones.tip, {"region-a": without("v2")}, "Retire", "retire v2")

        assert upstream.weights(commit, "region-a") == {"v1": 100}
        changed = clones.operator.repository.git("diff", "--name-status", clones.tip, commit)
        assert "D\tdeploy/overlays/region-a/echo/deployment-v2.yaml" in changed.splitlines()

    def test_without_a_version_that_has_requests_is_refused(self, clones: TwoClones, upstream: Upstream) -> None:
        with pytest.raises(RolloutError):
            upstream.edited(clones.tip, {"region-a": without("v1")}, "Retire", "retire v1")

    def test_of_a_region_that_is_not_there_is_refused(self, clones: TwoClones, upstream: Upstream) -> None:
        with pytest.raises(
            RolloutError,
            match=r"(?s)region-c: there is no region .* with the service echo at .* region-a, region-b",
        ):
            upstream.weights(clones.tip, "region-c")


class TestPlaced:
    def test_is_pushed_and_followed(self, clones: TwoClones, upstream: Upstream) -> None:
        commit = upstream.placed(canary(upstream))

        assert clones.tip == commit
        assert clones.operator.repository.git("rev-parse", "HEAD") == commit
        assert "weight: 10" in clones.operator.stack_file("region-a").read_text()

    def test_is_made_anew_on_top_of_what_somebody_else_pushed(self, clones: TwoClones, upstream: Upstream) -> None:
        commit = upstream.placed(self.overtaken(upstream, [], lambda: clones.somebody_weighs("region-b", v1=90, v2=10)))

        assert clones.subjects() == ["Set weights", "Canary"]
        assert [upstream.weights(commit, region) for region in REGIONS] == [CANARY, CANARY]

    def test_is_judged_anew_where_others_changed_what_it_is_judged_by(
        self, clones: TwoClones, upstream: Upstream
    ) -> None:
        text = message("Promote", record(clones))
        theirs = clones.upstream(of=clones.colleague)
        for action in (
            lambda: clones.somebody_weighs("region-b", v1=90, v2=10),
            lambda: clones.somebody_writes("__main__.py"),
            lambda: theirs.placed(lambda tip: theirs.shifted(tip, {}, text)),
        ):
            tips: list[str] = []

            upstream.placed(self.overtaken(upstream, tips, action))

            assert len(tips) == 2

    def test_is_not_judged_again_where_others_changed_something_else(
        self, clones: TwoClones, upstream: Upstream
    ) -> None:
        tips: list[str] = []

        commit = upstream.placed(self.overtaken(upstream, tips, clones.somebody_writes))

        assert len(tips) == 1
        assert clones.subjects() == ["Write", "Canary"]
        assert [upstream.weights(commit, region) for region in REGIONS] == [CANARY, BEFORE]

    def overtaken(self, upstream: Upstream, tips: list[str], action: Callable[[], object]) -> Callable[[str], str]:
        """Makes the canary, and notes on top of what; somebody else does something before it is pushed, the first time."""

        def make(tip: str) -> str:
            tips.append(tip)
            commit = upstream.shifted(tip, {"region-a": CANARY}, "Canary")
            if len(tips) == 1:
                action()
            return commit

        return make

    def test_what_somebody_set_back_meanwhile_is_not_brought_again(self, clones: TwoClones, upstream: Upstream) -> None:
        first = clones.tip
        clones.somebody_writes()

        def make(tip: str) -> str:
            commit = upstream.shifted(tip, {"region-a": CANARY}, "Canary")
            clones.remote.git("update-ref", "refs/heads/main", first)
            return commit

        upstream.placed(make)

        assert clones.subjects() == ["Canary"]

    def test_gives_up_where_others_are_always_first(
        self, clones: TwoClones, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def overtaken(*_arguments: str, **_onto: str) -> None:
            raise OvertakenError(Problem("somebody else's commit came first"))

        monkeypatch.setattr(Repository, "push", overtaken)

        with pytest.raises(RolloutError, match="5 times in a row somebody else pushed to main first"):
            upstream.placed(canary(upstream))

    def test_a_refused_push_changes_nothing(self, clones: TwoClones, upstream: Upstream) -> None:
        hook = clones.remote.directory / "hooks" / "pre-receive"
        hook.write_text("#!/bin/sh\necho 'main is protected' >&2\nexit 1\n")
        hook.chmod(0o755)
        before = clones.tip

        with pytest.raises(RolloutError, match="main is protected"):
            upstream.placed(canary(upstream))

        assert clones.tip == clones.operator.repository.git("rev-parse", "HEAD") == before

    def test_a_commit_that_is_not_merged_in_time_is_told(
        self, clones: TwoClones, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(upstream_module, "_MERGED_WITHIN_SECONDS", -1)
        upstream = clones.upstream(proposal="rollout")

        with pytest.raises(RolloutError, match="was not merged into main"):
            upstream.placed(canary(upstream))

        assert clones.remote.git("log", "-1", "--format=%s", "rollout") == "Canary"

    def test_a_version_that_somebody_proposes_to_take_is_replaced_by_the_same_or_a_way_back_alone(
        self, clones: TwoClones
    ) -> None:
        upstream, theirs = (clones.upstream(proposal="rollout", of=of) for of in (clones.operator, clones.colleague))
        waits = Problem("waits to be merged")

        def retires(by: Upstream, region: str, why: str = "retire v2") -> None:
            edits = {region: without("v2")}
            assert by.placed_unless(lambda tip: by.edited(tip, edits, f"Edit {region}", why), lambda: waits) is waits

        def proposed() -> str:
            return clones.remote.git("log", "-1", "--format=%s", "rollout")

        retires(theirs, "region-b")
        with pytest.raises(RolloutError, match="somebody else pushed to rollout first"):
            upstream.placed_unless(canary(upstream), lambda: waits)
        with pytest.raises(RolloutError, match="somebody else pushed to rollout first"):
            retires(upstream, "region-a", "retire v3")
        assert proposed() == "Edit region-b"

        retires(upstream, "region-a")
        assert proposed() == "Edit region-a"
        back = upstream.on_the_way_back()
        assert back.placed_unless(canary(back), lambda: waits) is waits
        assert proposed() == "Canary"

    def test_work_on_another_branch_is_left_alone(self, clones: TwoClones, upstream: Upstream) -> None:
        repository = clones.operator.repository
        repository.git("switch", "--quiet", "--create", "mine")
        before = repository.git("rev-parse", "HEAD")

        upstream.placed(canary(upstream))

        assert repository.git("rev-parse", "HEAD") == before
        assert any("your branch and files stay as they are" in line for line in clones.said)


class TestOthers:
    def test_a_change_is_told_with_its_commit_and_its_author(self, clones: TwoClones, upstream: Upstream) -> None:
        ours = upstream.placed(canary(upstream))
        theirs = clones.somebody_weighs("region-a", v1=80, v2=20)

        with pytest.raises(InterferenceError, match=f"region-a was changed .*: {theirs[:10]} by test: Set weights"):
            upstream.refuse_changed_by_others(ours, upstream.tip(), REGIONS)

    def test_a_change_elsewhere_is_none(self, clones: TwoClones, upstream: Upstream) -> None:
        ours = upstream.placed(canary(upstream))
        clones.somebody_weighs("region-b", v1=80, v2=20)

        upstream.refuse_changed_by_others(ours, upstream.tip(), ["region-a"])

    def test_a_change_that_was_taken_back_is_none(self, clones: TwoClones, upstream: Upstream) -> None:
        ours = upstream.placed(canary(upstream))
        clones.somebody_weighs("region-a", v1=80, v2=20)
        clones.somebody_weighs("region-a", "echo", **CANARY)

        upstream.refuse_changed_by_others(ours, upstream.tip(), ["region-a"])

    def test_a_promotion_of_somebody_else_is_one_wherever_it_is(self, clones: TwoClones, upstream: Upstream) -> None:
        ours = upstream.tip()
        text = message("Promote", record(clones))
        theirs = upstream.placed(lambda tip: upstream.shifted(tip, {"region-b": CANARY}, text))

        with pytest.raises(InterferenceError, match=f"another rollout of echo is at work: {theirs[:10]}"):
            upstream.refuse_changed_by_others(ours, theirs, ["region-a"])
        upstream.refuse_changed_by_others(theirs, theirs, ["region-a"])

    def test_the_regions_that_nobody_changed_are_left(self, clones: TwoClones, upstream: Upstream) -> None:
        ours = upstream.placed(canary(upstream))
        clones.somebody_weighs("region-a", v1=80, v2=20)

        assert upstream.left_alone(ours, upstream.tip(), REGIONS) == ["region-b"]
        with pytest.raises(InterferenceError, match="region-a was changed by somebody else"):
            upstream.left_alone(ours, upstream.tip(), ["region-a"])


class TestHistory:
    def saying(self, upstream: Upstream, record: Record) -> Callable[[str], str]:
        return lambda tip: upstream.shifted(tip, {}, message("Promote", record))

    def test_the_newest_record_is_found_below_other_commits(self, clones: TwoClones, upstream: Upstream) -> None:
        done = record(clones, PromotionState.DONE)
        for each in (record(clones), done):
            upstream.placed(self.saying(upstream, each))
        clones.somebody_writes()

        found = upstream.repository.newest_record(upstream.tip(), "echo")

        assert found is not None
        assert found[1] == done

    def test_a_version_that_is_proposed_to_go_is_no_record_to_keep(self, clones: TwoClones) -> None:
        upstream, tip = clones.upstream(proposal="rollout"), clones.tip
        made = upstream.edited(tip, {"region-a": without("v2")}, "Retire", "retire v2")
        upstream.repository.push(made, "origin", "rollout")
        for region in reversed(REGIONS):
            clones.somebody("Break", partial(Project.replace, region=region, old="services:", new="service:"))

        assert upstream.last_promotion(upstream.tip()) is None

    def test_there_is_none_before_the_first(self, upstream: Upstream) -> None:
        assert upstream.repository.newest_record(upstream.tip(), "echo") is None

    def test_a_commit_that_is_not_here_yet_is_fetched(self, clones: TwoClones, upstream: Upstream) -> None:
        before = clones.tip
        theirs = clones.somebody_writes()

        assert upstream.contains(before, theirs)
        assert not upstream.contains(theirs, before)


class TestFollowedBranch:
    def regions(self, upstream: Upstream, clones: TwoClones) -> dict[str, RegionConfig]:
        return dict(upstream.regions(clones.tip))

    def test_is_the_one_of_all_regions(self, upstream: Upstream, clones: TwoClones) -> None:
        assert followed_branch(self.regions(upstream, clones), REGIONS) == "main"

    def test_may_be_written_with_its_full_name(self, upstream: Upstream, clones: TwoClones) -> None:
        regions = self.regions(upstream, clones)
        repository = regions["region-b"].repository
        assert repository is not None
        regions["region-b"] = _with(regions["region-b"], repository=_with(repository, revision="refs/heads/main"))

        assert followed_branch(regions, ["region-b"]) == followed_branch(regions, REGIONS) == "main"

    def test_more_than_one_are_refused(self, upstream: Upstream, clones: TwoClones) -> None:
        regions = self.regions(upstream, clones)
        repository = regions["region-b"].repository
        assert repository is not None
        regions["region-b"] = _with(regions["region-b"], repository=_with(repository, revision="live"))

        with pytest.raises(RolloutError, match="different branches: region-a main, region-b live"):
            followed_branch(regions, REGIONS)
        assert followed_branch(regions, ["region-b"]) == "live"

    def test_a_region_that_no_commit_reaches_is_refused(self, upstream: Upstream, clones: TwoClones) -> None:
        regions = self.regions(upstream, clones)
        regions["region-b"] = _with(regions["region-b"], delivery="direct")

        with pytest.raises(RolloutError, match="region-b: delivery is not gitops"):
            followed_branch(regions, REGIONS)
        assert followed_branch(regions, ["region-a"]) == "main"
