"""Promotions of two services on one branch: each has its own record, its own requests and its own way back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rollout.git.record import Promotion, PromotionState, Record, message
from rollout.git.repository import Repository
from rollout.plan.overlays import weighed
from rollout.problem import RolloutError
from rollout.promote.promotion import promote, roll_back, to_take_back
from rollout.promote.results import PromotionResult
from rollout.promote.upstream import InterferenceError, Upstream, commit_files
from rollout.terms import Terms
from tests.rollout.planned import REGIONS, Project
from tests.rollout.promote.fake_regions import FakeRegions
from tests.rollout.promote.test_promotion import make_fast_and_nobodys
from tests.rollout.promote.two_clones import BEFORE, TwoClones, new_two_clones

SERVICES = ("echo", "web")
ALL = {"v1": 0, "v2": 100}
HALF = {"v1": 50, "v2": 50}
CANARY = {"v1": 90, "v2": 10}
REGION_C = "region-c"


@pytest.fixture(autouse=True)
def _fast_and_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_fast_and_nobodys(tmp_path, monkeypatch)


@pytest.fixture
def clones(tmp_path: Path) -> TwoClones:
    """With the service web beside echo."""
    return new_two_clones(tmp_path, web=True)


@pytest.fixture
def regions(clones: TwoClones) -> dict[str, FakeRegions]:
    return {service: FakeRegions(clones.remote, service) for service in SERVICES}


def planned(
    clones: TwoClones, service: str, regions: tuple[str, ...] = ("region-a",), steps: tuple[int, ...] = (50, 100)
) -> Promotion:
    # wide margins, which few requests prove
    terms = Terms(keep=0, points=2, ratio=20)
    return Promotion(f"{service}-v2", service, "v2", steps, regions, 0, clones.tip, terms)


def begin(
    clones: TwoClones, regions: dict[str, FakeRegions], service: str, upstream: Upstream | None = None
) -> PromotionResult:
    return promote(upstream or clones.upstream(service), regions[service], planned(clones, service), None)


def newest(clones: TwoClones, service: str) -> Record:
    upstream = clones.upstream(service)
    found = upstream.repository.newest_record(upstream.tip(), service)
    assert found is not None
    return found[1]


def subjects_of(clones: TwoClones, service: str) -> list[str]:
    return [subject for subject in clones.subjects() if f"{service} " in subject]


def steps_of(service: str) -> list[str]:
    steps = [f"Promote {service} v2 in region-a: {weight} %" for weight in (50, 100)]
    return [*steps, f"{service} v2 is promoted"]


class TestAtTheSameTime:
    def test_one_within_the_other_is_no_interference(self, clones: TwoClones, regions: dict[str, FakeRegions]) -> None:
        ended: list[PromotionResult] = []
        regions["echo"].once(
            "look",
            "region-a",
            50,
            lambda: ended.append(begin(clones, regions, "web", clones.upstream("web", of=clones.colleague))),
        )

        ended.append(begin(clones, regions, "echo"))

        assert [(each.promotion.service, each.state) for each in ended] == [
            ("web", PromotionState.DONE),
            ("echo", PromotionState.DONE),
        ]
        assert clones.subjects() == ["Add web", steps_of("echo")[0], *steps_of("web"), *steps_of("echo")[1:]]
        assert [clones.weights("region-a", service=service) for service in SERVICES] == [ALL, ALL]
        assert [newest(clones, service).promotion.id for service in SERVICES] == ["echo-v2", "web-v2"]

    def test_both_from_one_clone_come_through(self, clones: TwoClones, regions: dict[str, FakeRegions]) -> None:
        def run(service: str) -> PromotionResult:
            upstream = clones.upstream(service)
            with upstream.repository.locked(service):
                return begin(clones, regions, service, upstream)

        with ThreadPoolExecutor(len(SERVICES)) as pool:
            ended = list(pool.map(run, SERVICES))

        assert [each.state for each in ended] == [PromotionState.DONE] * 2
        assert [subjects_of(clones, service) for service in SERVICES] == [
            *(steps_of("echo"), ["Add web", *steps_of("web")][1:])
        ]
        assert [clones.weights("region-a", service=service) for service in SERVICES] == [ALL, ALL]

    def test_a_push_of_the_other_one_first_is_not_lost(
        self, clones: TwoClones, regions: dict[str, FakeRegions], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        push, raced = Repository.push, list[str]()
        theirs = clones.upstream("web", of=clones.colleague)

        def second(repository: Repository, commit: str, remote: str, branch: str, *, onto: str | None = None) -> None:
            if not raced:
                raced.append(commit)
                theirs.placed(lambda tip: theirs.shifted(tip, {"region-a": CANARY}, "Theirs"))
            push(repository, commit, remote, branch, onto=onto)

        monkeypatch.setattr(Repository, "push", second)

        ended = begin(clones, regions, "echo")

        assert ended.state is PromotionState.DONE
        assert clones.subjects() == ["Add web", "Theirs", *steps_of("echo")]
        assert clones.weights("region-a", service="web") == CANARY


class TestTheOtherService:
    def test_that_fails_is_no_reason_to_take_ours_back(
        self, clones: TwoClones, regions: dict[str, FakeRegions]
    ) -> None:
        regions["web"].failure_rate = lambda _region, version, _weight: float(version == "v2")
        ended: list[PromotionResult] = []
        regions["echo"].once("look", "region-a", 50, lambda: ended.append(begin(clones, regions, "web")))

        ours = begin(clones, regions, "echo")

        assert (ended[0].state, ours.state) == (PromotionState.ROLLED_BACK, PromotionState.DONE)
        assert clones.weights("region-a", service="web") == BEFORE
        assert clones.weights("region-a") == ALL

    def test_stays_as_it_is_where_ours_is_rolled_back(self, clones: TwoClones, regions: dict[str, FakeRegions]) -> None:
        for service in SERVICES:
            begin(clones, regions, service)
        upstream = clones.upstream("echo")

        def where(tip: str) -> tuple[Record, list[str]]:
            record = newest(clones, "echo")
            return record, to_take_back(upstream, tip, record)

        roll_back(upstream, regions["echo"], where, "by hand")

        assert clones.subjects()[-1] == "Roll back echo v2 in region-a"
        assert [clones.weights("region-a", service=service) for service in SERVICES] == [BEFORE, ALL]
        assert [newest(clones, service).state for service in SERVICES] == [
            PromotionState.ROLLED_BACK,
            PromotionState.DONE,
        ]

    def test_weighed_by_somebody_in_the_same_file_is_no_interference(
        self, clones: TwoClones, regions: dict[str, FakeRegions]
    ) -> None:
        regions["echo"].once("look", "region-a", 50, lambda: clones.somebody_weighs("region-a", "web", v1=90, v2=10))

        ended = begin(clones, regions, "echo")

        assert ended.state is PromotionState.DONE
        assert clones.weights("region-a", service="web") == CANARY

    def test_removed_by_somebody_is_no_interference(self, clones: TwoClones, regions: dict[str, FakeRegions]) -> None:
        regions["echo"].once("look", "region-a", 50, lambda: clones.somebody("Remove web", Project.remove_service))

        assert begin(clones, regions, "echo").state is PromotionState.DONE

    def test_ours_weighed_by_somebody_is_interference_told_by_that_commit_alone(
        self, clones: TwoClones, regions: dict[str, FakeRegions]
    ) -> None:
        def somebody() -> None:
            clones.somebody_weighs("region-a", "web", v1=90, v2=10)
            clones.somebody("Weigh echo", lambda project: project.weigh("region-a", v1=70, v2=30))

        regions["echo"].once("look", "region-a", 50, somebody)

        ended = begin(clones, regions, "echo")

        assert ended.state is PromotionState.ENDED
        assert "region-a was changed by somebody else meanwhile" in ended.reason
        assert "Weigh echo" in ended.reason
        assert "Set weights" not in ended.reason
        assert clones.weights("region-a") == {"v1": 70, "v2": 30}

    def test_ours_removed_by_somebody_is_interference(self, clones: TwoClones) -> None:
        upstream = clones.upstream("web")
        ours = upstream.placed(lambda tip: upstream.shifted(tip, {"region-a": CANARY}, "Canary"))
        clones.somebody("Remove web", Project.remove_service)

        with pytest.raises(InterferenceError, match=r"region-a was changed by somebody else .*Remove web"):
            upstream.refuse_changed_by_others(ours, upstream.tip(), ["region-a"])

    def test_of_another_region_alone_is_not_of_ours(self, clones: TwoClones) -> None:
        clones.somebody("Remove web in region-b", lambda project: project.remove_service("region-b"))
        upstream = clones.upstream("web")
        tip = upstream.tip()

        assert list(upstream.regions(tip)) == ["region-a"]
        with pytest.raises(RolloutError, match="region-b: there is no region of this name with the service web"):
            upstream.weights(tip, "region-b")


class TestRules:
    @pytest.fixture
    def unsafe(self, clones: TwoClones) -> TwoClones:
        """A rule refuses what web is in region-a."""

        def too_few(project: Project) -> None:
            text = project.stack_file("region-a").read_text()
            before, web = text.split("    web:\n")
            project.stack_file("region-a").write_text(
                before + "    web:\n" + web.replace("maxEjectionPercent: 34", "maxEjectionPercent: 10", 1)
            )
            project.render()

        clones.somebody("Eject too few", too_few)
        return clones

    def edited(self, clones: TwoClones, service: str) -> bool:
        """Whether a canary of a service is refused."""
        upstream = clones.upstream(service)
        files = {"region-a": weighed(upstream.repository.at(upstream.tip()), "region-a", service, CANARY)}
        change = commit_files(upstream.repository, upstream.tip(), service, files, "Canary\n")
        assert change.plan is not None
        assert {(each.rule_id, each.service) for each in change.plan.findings if each.service} == {
            ("ejection-can-fire", "web")
        }
        return bool(change.refused)

    def test_that_refuse_another_service_do_not_refuse_ours(self, unsafe: TwoClones) -> None:
        assert [self.edited(unsafe, service) for service in SERVICES] == [False, True]

    def test_that_refuse_another_service_do_not_stop_a_promotion(
        self, unsafe: TwoClones, regions: dict[str, FakeRegions]
    ) -> None:
        assert begin(unsafe, regions, "echo").state is PromotionState.DONE
        with pytest.raises(RolloutError, match=r"(?s)the rules refuse it:.*\[ejection-can-fire\]"):
            begin(unsafe, regions, "web")


class TestNewestRecord:
    def saying(self, clones: TwoClones, text: str) -> None:
        upstream = clones.upstream()
        upstream.placed(lambda tip: upstream.shifted(tip, {}, text))

    def record(self, service: str, id_: str) -> str:
        promotion = Promotion(id_, service, "v2", (10,), REGIONS, 0, "a" * 40)
        return message("Promote", Record(promotion, PromotionState.IN_PROGRESS, "region-a", 10))

    def of_old(self, id_: str) -> str:
        """As it was before there were several services."""
        return self.record("echo", id_).replace("Rollout-Service: echo\n", "")

    def found(self, clones: TwoClones, service: str) -> str | None:
        repository = Repository(clones.operator.directory)
        newest = repository.newest_record("HEAD", service)
        return newest[1].promotion.id if newest else None

    def test_is_the_services_own_where_a_name_begins_as_another(self, clones: TwoClones) -> None:
        for service in ("echo-extra", "echo", "extra"):
            self.saying(clones, self.record(service, f"of-{service}"))
        # more than are looked at
        for number in range(12):
            self.saying(clones, self.record("echo-extra", f"newer-{number}"))

        assert {service: self.found(clones, service) for service in ("echo", "echo-extra", "extra", "ech")} == {
            "echo": "of-echo",
            "echo-extra": "newer-11",
            "extra": "of-extra",
            "ech": None,
        }

    def test_of_old_is_of_echo_alone(self, clones: TwoClones) -> None:
        self.saying(clones, self.of_old("of-old"))
        self.saying(clones, self.record("web", "of-web"))

        assert [self.found(clones, service) for service in SERVICES] == ["of-old", "of-web"]

    def test_of_old_is_found_below_many_of_others(self, clones: TwoClones) -> None:
        self.saying(clones, self.of_old("of-old"))
        repository = Repository(clones.operator.directory)
        tip = clones.tip
        for number in range(30):
            tip = repository.commit(tip, {}, self.record("web", f"web-{number}"))

        newest = repository.newest_record(tip, "echo")

        assert newest is not None
        assert newest[1].promotion.id == "of-old"

    def test_gives_way_to_a_newer_one_that_names_its_service(self, clones: TwoClones) -> None:
        self.saying(clones, self.of_old("of-old"))
        self.saying(clones, self.record("echo", "newer"))

        assert self.found(clones, "echo") == "newer"

    def test_that_cannot_be_read_is_no_trouble_of_another_service(self, clones: TwoClones) -> None:
        self.saying(clones, self.of_old("of-old"))
        self.saying(clones, self.record("web", "broken").replace("Rollout-Weight: 10\n", ""))

        assert self.found(clones, "echo") == "of-old"
        with pytest.raises(RolloutError, match="Rollout-Weight is there 0 times"):
            self.found(clones, "web")


class TestThreeRegions:
    REGIONS = (*REGIONS, REGION_C)

    @pytest.fixture
    def three(self, clones: TwoClones) -> TwoClones:
        clones.somebody("Add region-c", lambda project: project.add_region(REGION_C))
        return clones

    def test_are_gone_through_one_after_the_other(self, three: TwoClones) -> None:
        service = "web"
        regions = FakeRegions(three.remote, service, self.REGIONS)

        ended = promote(three.upstream(service), regions, planned(three, service, self.REGIONS, (50, 100)), None)

        assert ended.state is PromotionState.DONE
        assert subjects_of(three, service)[-7:] == [
            *(f"Promote {service} v2 in {region}: {weight} %" for region in self.REGIONS for weight in (50, 100)),
            f"{service} v2 is promoted",
        ]
        assert [regions.in_force(region) for region in self.REGIONS] == [ALL] * 3
        measured = [(each.region, each.weight) for each in regions.moments if each.what == "certify"]
        assert measured == [
            *(("region-a", 0), ("region-b", 0), (REGION_C, 0)),
            *(("region-a", 100), ("region-b", 0), (REGION_C, 0)),
            *(("region-a", 100), ("region-b", 100), (REGION_C, 0)),
        ]

    def test_are_all_taken_back_where_the_last_one_fails(self, three: TwoClones) -> None:
        regions = FakeRegions(three.remote, "echo", self.REGIONS)
        regions.failure_rate = lambda region, version, _weight: float((region, version) == (REGION_C, "v2"))

        ended = promote(three.upstream(), regions, planned(three, "echo", self.REGIONS, (50, 100)), None)

        assert ended.state is PromotionState.ROLLED_BACK
        assert ended.undone is not None
        assert ended.undone.weights == dict.fromkeys((REGION_C, *REGIONS), BEFORE)
        assert three.subjects()[-1] == "Roll back echo v2 in region-c, region-a, region-b"
        assert [three.weights(region) for region in self.REGIONS] == [BEFORE] * 3
        assert [regions.in_force(region) for region in self.REGIONS] == [BEFORE] * 3
        assert ended.undone.holds

    def test_a_region_without_the_service_is_none_of_its_promotions(self, three: TwoClones) -> None:
        three.somebody("Remove web in region-c", lambda project: project.remove_service(REGION_C))
        upstream = three.upstream("web")

        assert list(upstream.regions(upstream.tip())) == [*REGIONS]
        assert list(three.upstream().regions(upstream.tip())) == [*self.REGIONS]
