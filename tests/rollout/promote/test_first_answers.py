"""A version that testers can ask for answers at weight 0, before it gets anybody's request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rollout.git.record import Promotion, PromotionState
from rollout.measurement import Result
from rollout.problem import RolloutError
from rollout.promote.promotion import promote
from rollout.promote.results import PromotionResult
from rollout.terms import Terms
from tests.rollout.answers import fault, ok, other, page
from tests.rollout.planned import REGIONS, WEB
from tests.rollout.promote.fake_regions import FakeRegions
from tests.rollout.promote.test_promotion import make_fast_and_nobodys, resume
from tests.rollout.promote.two_clones import TwoClones, new_two_clones


@pytest.fixture(autouse=True)
def _fast_and_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_fast_and_nobodys(tmp_path, monkeypatch)


@pytest.fixture
def clones(tmp_path: Path) -> TwoClones:
    """With the service web, whose v2 has weight 0 and a header."""
    return new_two_clones(tmp_path, web=True)


@pytest.fixture
def regions(clones: TwoClones) -> FakeRegions:
    return FakeRegions(clones.remote, "web")


def begin(clones: TwoClones, regions: FakeRegions, names: tuple[str, ...] = ("region-a",)) -> PromotionResult:
    terms = Terms(keep=0, points=2, ratio=20)
    promotion = Promotion("web-v2", "web", "v2", (50,), names, 0, clones.tip, terms)
    return promote(clones.upstream("web"), regions, promotion, None)


def asked(regions: FakeRegions) -> list[tuple[str, int]]:
    return [(moment.region, moment.weight) for moment in regions.moments if moment.what == "ask"]


def test_it_is_asked_in_each_region_before_its_first_step(clones: TwoClones, regions: FakeRegions) -> None:
    ended = begin(clones, regions, REGIONS)

    assert ended.state is PromotionState.DONE
    assert asked(regions) == [("region-a", 0), ("region-b", 0)]
    assert [(answers.region, answers.requests) for answers in ended.first_answers] == [
        (region, 100) for region in REGIONS
    ]
    assert all(0 < answers.p50_ms < answers.p99_ms < 10 for answers in ended.first_answers)
    assert any(line.startswith("v2 answered 100 of 100 requests at weight 0 in region-b, p50 ") for line in clones.said)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (lambda region: fault("v2", region), "1 requests failed at v2 (all failures: 1 x HTTP 500)"),
        (lambda _region: other(0, error="connection refused"), "1 requests failed at (no answer)"),
        (lambda _region: page("v2", 503, upstream=False), "1 x HTTP 503 by a proxy, for v2"),
        (lambda region: ok("v1", region), "v1 answered 1 requests"),
        (lambda _region: ok("v2", "region-z"), "v2 of region-z answered 1 requests"),
        (lambda _region: page(""), "1 answers"),
    ],
)
def test_one_bad_answer_begins_nothing(
    clones: TwoClones, regions: FakeRegions, bad: Callable[[str], Result], said: str
) -> None:
    regions.at_weight_0 = lambda number, region: bad(region) if number == 50 else ok("v2", region)

    with pytest.raises(RolloutError) as refused:
        begin(clones, regions)

    assert "v2 was asked 100 times at weight 0 (x-web-version: v2): " in str(refused.value)
    assert said in str(refused.value)
    assert clones.subjects() == ["Add web"]


def test_a_second_region_is_not_begun_and_is_resumed(clones: TwoClones, regions: FakeRegions) -> None:
    regions.at_weight_0 = lambda _number, region: fault("v2", region) if region == "region-b" else ok("v2", region)

    with pytest.raises(RolloutError, match="region-b: v2 was asked"):
        begin(clones, regions, REGIONS)

    assert clones.subjects() == ["Add web", "Promote web v2 in region-a: 50 %"]
    assert [clones.weights(region, service="web")["v2"] for region in REGIONS] == [50, 0]

    regions.at_weight_0 = lambda _number, region: ok("v2", region)
    assert resume(clones, regions, clones.upstream("web")).state is PromotionState.DONE


def test_one_that_has_requests_already_is_not_asked(clones: TwoClones) -> None:
    clones.somebody_weighs("region-a", "web", v1=90, v2=10)
    regions = FakeRegions(clones.remote, "web")

    assert begin(clones, regions).state is PromotionState.DONE
    assert asked(regions) == []


def test_one_that_testers_cannot_ask_for_is_not_asked_and_why(tmp_path: Path) -> None:
    clones = new_two_clones(tmp_path)
    without = WEB.replace("weight: 0}", "weight: 0, testers: false}")
    clones.somebody("Add web", lambda project: project.add_service(without))
    regions = FakeRegions(clones.remote, "web")

    assert begin(clones, regions).state is PromotionState.DONE
    assert asked(regions) == []
    assert [line for line in clones.said if "weight 0" in line] == [
        "region-a: v2 is not asked at weight 0: no header leads to it (testers in the stack file)"
    ]
