"""A version is taken out only where nothing can send it a request any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.measurement import Tally
from rollout.problem import RolloutError
from rollout.promote import upstream as upstream_module
from rollout.promote.retirement import preview, retire
from stackfile.editing import without_testers
from tests.rollout.planned import REGIONS, Project
from tests.rollout.promote.draws import RATE
from tests.rollout.promote.fake_regions import FakeRegions
from tests.rollout.promote.two_clones import BEFORE, TwoClones, new_two_clones

GONE = {"v1": 100}


@pytest.fixture(autouse=True)
def _nobodys_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def test_each_region_loses_it_by_a_commit(clones: TwoClones, regions: FakeRegions) -> None:
    retired = retire(clones.upstream(), regions, "v2", REGIONS)

    assert clones.subjects() == ["Retire echo v2 in region-a", "Retire echo v2 in region-b"]
    assert [clones.weights(region) for region in REGIONS] == [GONE, GONE]
    assert [regions.in_force(region) for region in REGIONS] == [GONE, GONE]
    assert [each.region for each in retired] == list(REGIONS)
    assert [clones.remote.git("log", "-1", "--format=%s", each.commit) for each in retired] == clones.subjects()


def test_what_was_sent_meanwhile_is_counted(clones: TwoClones, regions: FakeRegions) -> None:
    (retired,) = retire(clones.upstream(), regions, "v2", ["region-a"])

    assert retired.coming.requests > RATE
    assert retired.coming.failures == 0


def test_weight_0_is_acknowledged_before_anything_is_pushed(clones: TwoClones, regions: FakeRegions) -> None:
    seen: list[list[str]] = []
    regions.once("deliver", "region-a", 0, lambda: seen.append(clones.subjects()))
    regions.once("deliver", "region-a", 0, lambda: seen.append(clones.subjects()))

    retire(clones.upstream(), regions, "v2", ["region-a"])

    assert seen == [[], ["Retire echo v2 in region-a"]]


def test_a_version_with_requests_is_refused_in_all_regions(clones: TwoClones, regions: FakeRegions) -> None:
    clones.somebody_weighs("region-b", v1=90, v2=10)

    with pytest.raises(RolloutError, match="region-b: v2 has weight 10"):
        retire(clones.upstream(), regions, "v2", REGIONS)

    assert clones.subjects() == ["Set weights"]


def test_where_it_is_not_nothing_is_done(clones: TwoClones, regions: FakeRegions) -> None:
    retire(clones.upstream(), regions, "v2", ["region-a"])

    assert preview(clones.upstream(), "v2", REGIONS) == {"region-b": False}
    with pytest.raises(RolloutError, match=r"(?s)v2 is in none of the regions region-a.*they have: v1$"):
        preview(clones.upstream(), "v2", ["region-a"])


def test_that_testers_at_a_gateway_can_ask_for_is_refused(clones: TwoClones, regions: FakeRegions) -> None:
    regions.asked_outside = {"v2": ["istio-ingress/g"]}
    tip = clones.tip

    with pytest.raises(
        RolloutError,
        match=r"(?s)region-a: testers outside the mesh can ask for v2, by the gateways istio-ingress/g.*pulumi up -s region-a",
    ):
        retire(clones.upstream(), regions, "v2", ["region-a"])
    assert clones.tip == tip


def test_a_preview_pushes_nothing(clones: TwoClones) -> None:
    tip = clones.tip

    assert preview(clones.upstream(), "v2", REGIONS) == dict.fromkeys(REGIONS, False)
    assert clones.tip == tip


def test_a_proposal_that_somebody_overtook_is_made_anew_by_the_next_run(
    clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_module, "_LOOK_EVERY_SECONDS", 0)

    def another_v2(project: Project) -> None:
        project.replace("region-a", "2.0.0", "2.0.1")
        project.render()

    def overtakes() -> None:
        clones.somebody("Another v2", another_v2)

    def merges() -> None:
        colleague = clones.colleague.repository
        colleague.git("pull", "--quiet", "--ff-only", "origin", "main")
        colleague.git("fetch", "--quiet", "origin", "rollout")
        colleague.git("merge", "--quiet", "--squash", "FETCH_HEAD")
        colleague.git("commit", "--quiet", "--message", "Less (#12)")
        colleague.git("push", "--quiet", "origin", "main")

    answers = [overtakes, merges]

    def hear(line: str) -> None:
        if "waits until it is merged" in line:
            answers.pop(0)()

    clones.hearing.append(hear)
    upstream = clones.upstream(proposal="rollout")
    with pytest.raises(RolloutError, match="region-a was changed by somebody else meanwhile"):
        retire(upstream, regions, "v2", ["region-a"])

    retire(upstream, regions, "v2", ["region-a"])

    assert clones.subjects() == ["Another v2", "Less (#12)"]
    assert clones.weights("region-a") == regions.in_force("region-a") == GONE


def test_weights_that_somebody_gives_it_meanwhile_are_kept(clones: TwoClones, regions: FakeRegions) -> None:
    regions.once("watch", "region-a", 0, lambda: clones.somebody_weighs("region-a", v1=90, v2=10))

    with pytest.raises(RolloutError, match="region-a: v2 has weight 10"):
        retire(clones.upstream(), regions, "v2", REGIONS)

    assert clones.weights("region-a") == {"v1": 90, "v2": 10}


def test_a_change_while_weight_0_is_waited_for_is_kept(clones: TwoClones, regions: FakeRegions) -> None:
    # it is delivered only later
    regions.arrives = lambda _region, weights: weights == BEFORE
    regions.once("deliver", "region-a", 0, lambda: clones.somebody_weighs("region-a", v1=90, v2=10))

    with pytest.raises(RolloutError, match="region-a was changed by somebody else"):
        retire(clones.upstream(), regions, "v2", REGIONS)

    assert clones.weights("region-a") == {"v1": 90, "v2": 10}


def test_a_promotion_that_begins_meanwhile_stops_it(clones: TwoClones, regions: FakeRegions) -> None:
    regions.once("deliver", "region-a", 0, clones.somebody_promotes)

    with pytest.raises(RolloutError, match="another rollout of echo is at work"):
        retire(clones.upstream(), regions, "v2", REGIONS)

    assert clones.subjects() == ["Promote v2"]


def test_a_request_that_is_lost_stops_it_before_the_next_region(clones: TwoClones, regions: FakeRegions) -> None:
    def loses() -> None:
        regions.unanswered_rate = lambda _region: 0.1

    regions.once("deliver", "region-a", 0, lambda: regions.once("deliver", "region-a", 0, loses))

    with pytest.raises(
        RolloutError, match=r"(?s)region-a: while v2 was taken out: .*requests reached no version.*git revert"
    ):
        retire(clones.upstream(), regions, "v2", REGIONS)

    assert clones.subjects() == ["Retire echo v2 in region-a"]


def test_failures_of_the_others_are_counted_and_stop_nothing(clones: TwoClones, regions: FakeRegions) -> None:
    regions.failure_rate = lambda _region, _version, _weight: 1.0

    (retired,) = retire(clones.upstream(), regions, "v2", ["region-a"])

    assert retired.coming == Tally(retired.coming.requests, retired.coming.requests)


class TestOfAVersionThatTestersCanAskFor:
    """The service web has a header for testers, and its v2 weight 0."""

    @pytest.fixture
    def clones(self, tmp_path: Path) -> TwoClones:
        return new_two_clones(tmp_path, web=True)

    @pytest.fixture
    def regions(self, clones: TwoClones) -> FakeRegions:
        return FakeRegions(clones.remote, "web")

    def for_testers(self, clones: TwoClones, commit: str) -> frozenset[str]:
        return clones.upstream("web").declared(commit, "region-a").for_testers

    def test_it_is_taken_from_them_by_a_commit_before(self, clones: TwoClones, regions: FakeRegions) -> None:
        retire(clones.upstream("web"), regions, "v2", REGIONS)

        assert clones.subjects() == [
            "Add web",
            *(f"{verb} in {region}" for region in REGIONS for verb in ("Take web v2 from testers", "Retire web v2")),
        ]
        assert [clones.weights(region, service="web") for region in REGIONS] == [GONE, GONE]
        assert self.for_testers(clones, "main~3") == {"v1"}
        assert clones.weights("region-a", "main~3", "web") == BEFORE

    def test_each_commit_is_acknowledged_before_the_next(self, clones: TwoClones, regions: FakeRegions) -> None:
        seen: list[list[str]] = []
        for _ in range(3):
            regions.once("deliver", "region-a", 0, lambda: seen.append(clones.subjects()[1:]))

        retire(clones.upstream("web"), regions, "v2", ["region-a"])

        taken, retired = "Take web v2 from testers in region-a", "Retire web v2 in region-a"
        assert seen == [[], [taken], [taken, retired]]
        assert [line for line in clones.said if "testers" in line] == [
            "region-a: testers cannot ask for v2, acknowledged by 7 Envoys"
        ]

    def test_a_change_between_the_two_commits_is_kept(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.once("deliver", "region-a", 0, lambda: regions.once("deliver", "region-a", 0, stops))

        def stops() -> None:
            # it is delivered only later
            regions.arrives = lambda _region, weights: weights == BEFORE
            clones.somebody_weighs("region-a", "web", v1=90, v2=10)

        with pytest.raises(RolloutError, match="region-a was changed by somebody else"):
            retire(clones.upstream("web"), regions, "v2", REGIONS)

        assert clones.subjects()[1:] == ["Take web v2 from testers in region-a", "Set weights"]

    def test_a_request_that_is_lost_meanwhile_stops_it(self, clones: TwoClones, regions: FakeRegions) -> None:
        def loses() -> None:
            regions.unanswered_rate = lambda _region: 0.1

        regions.once("deliver", "region-a", 0, lambda: regions.once("deliver", "region-a", 0, loses))

        with pytest.raises(
            RolloutError, match=r"(?s)region-a: while v2 was taken out: .*requests reached no version.*git revert"
        ):
            retire(clones.upstream("web"), regions, "v2", REGIONS)

        assert clones.subjects()[1:] == ["Take web v2 from testers in region-a"]

    def test_one_that_was_cut_off_goes_on(self, clones: TwoClones, regions: FakeRegions) -> None:
        clones.somebody("Hide v2", _hide)

        assert preview(clones.upstream("web"), "v2", REGIONS) == {"region-a": False, "region-b": True}
        retire(clones.upstream("web"), regions, "v2", ["region-a"])

        assert clones.subjects()[2:] == ["Retire web v2 in region-a"]

    def test_a_preview_has_both_commits_judged_and_pushes_none(self, clones: TwoClones) -> None:
        tip = clones.tip

        assert preview(clones.upstream("web"), "v2", REGIONS) == dict.fromkeys(REGIONS, True)
        assert clones.tip == tip


def _hide(project: Project) -> None:
    path = project.stack_file("region-a")
    path.write_text(without_testers(path.read_text(), "web", "v2"))
    project.render()
