"""A version comes with weight 0, region after region, and is known to every Envoy before the next one gets it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rollout.problem import RolloutError
from rollout.promote import upstream as upstream_module
from rollout.promote.introduction import Introduction, introduce, preview
from rollout.promote.results import IntroductionResult
from stackfile.model import VersionConfig
from tests.rollout.planned import REGIONS, Project
from tests.rollout.promote.fake_regions import ENVOYS, FakeRegions
from tests.rollout.promote.two_clones import BEFORE, TwoClones

IMAGE = "registry.corp.local/echo:3.0.0"
V3 = Introduction("v3", IMAGE, None, REGIONS, together=False)
WITH_V3 = {**BEFORE, "v3": 0}
IN_A, IN_B = (f"Introduce echo v3 in {region}" for region in REGIONS)


@pytest.fixture(autouse=True)
def _nobodys_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def introduced(clones: TwoClones, regions: FakeRegions, new: Introduction = V3) -> list[IntroductionResult]:
    upstream = clones.upstream()
    return introduce(upstream, regions, new, upstream.tip())


def previewed(clones: TwoClones, new: Introduction = V3) -> dict[str, int]:
    upstream = clones.upstream()
    return {**preview(upstream, new, upstream.tip())}


def versions(clones: TwoClones, region: str) -> dict[str, VersionConfig]:
    upstream = clones.upstream()
    return {**upstream.declared(upstream.tip(), region).versions}


def test_each_region_gets_it_by_a_commit(clones: TwoClones, regions: FakeRegions) -> None:
    results = introduced(clones, regions)

    assert clones.subjects() == [IN_A, IN_B]
    assert [regions.in_force(region) for region in REGIONS] == [WITH_V3, WITH_V3]
    assert [clones.remote.git("log", "-1", "--format=%s", each.commit or "") for each in results] == [IN_A, IN_B]
    assert [(each.region, each.delivery.envoys) for each in results] == [(region, ENVOYS) for region in REGIONS]


def test_a_branch_that_stays_after_a_squash_takes_the_next_region(
    clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_module, "_LOOK_EVERY_SECONDS", 0)
    colleague = clones.colleague.repository

    def squash(line: str) -> None:
        if "waits until it is merged" in line:
            colleague.git("pull", "--quiet", "--ff-only", "origin", "main")
            colleague.git("fetch", "--quiet", "origin", "rollout")
            colleague.git("merge", "--quiet", "--squash", "FETCH_HEAD")
            colleague.git("commit", "--quiet", "--message", "More (#12)")
            colleague.git("push", "--quiet", "origin", "main")

    clones.hearing.append(squash)
    upstream = clones.upstream(proposal="rollout")

    introduce(upstream, regions, V3, upstream.tip())

    assert [regions.in_force(region) for region in REGIONS] == [WITH_V3, WITH_V3]
    assert clones.subjects() == ["More (#12)"] * 2


def test_a_commit_has_the_new_files_and_what_lists_them_and_changes_no_other_version(
    clones: TwoClones, regions: FakeRegions
) -> None:
    introduced(clones, regions, replace(V3, regions=REGIONS[:1]))

    changed = clones.remote.git("show", "--format=", "--name-status", "main").splitlines()
    overlay = "deploy/overlays/region-a/echo"
    assert sorted(changed) == [
        f"A\t{overlay}/deployment-v3.yaml",
        f"A\t{overlay}/pdb-v3.yaml",
        "M\tPulumi.region-a.yaml",
        *(f"M\t{overlay}/{name}" for name in ("dr.yaml", "kustomization.yaml", "vs.yaml")),
    ]
    added, removed = clones.remote.git("diff", "--numstat", "main~", "main", "--", "Pulumi.region-a.yaml").split()[:2]
    assert (added, removed) == ("1", "0")


def test_the_next_region_begins_when_the_one_before_has_it(clones: TwoClones, regions: FakeRegions) -> None:
    seen: list[list[str]] = []
    regions.once("deliver", "region-a", 0, lambda: seen.append(clones.subjects()))
    regions.once("deliver", "region-b", 0, lambda: seen.append(clones.subjects()))

    introduced(clones, regions)

    assert seen == [[IN_A], [IN_A, IN_B]]


def test_where_it_does_not_arrive_the_next_region_does_not_begin(clones: TwoClones, regions: FakeRegions) -> None:
    regions.unhealthy = {"region-a"}

    with pytest.raises(RolloutError, match=r"region-a: not synced") as refused:
        introduced(clones, regions)

    assert refused.value.problems[0].fix.endswith("when it is mended, run this again")
    assert clones.subjects() == [IN_A]


def test_one_commit_brings_it_to_all_regions_where_that_is_asked_for(clones: TwoClones, regions: FakeRegions) -> None:
    results = introduced(clones, regions, replace(V3, together=True))

    assert clones.subjects() == ["Introduce echo v3 in region-a, region-b"]
    assert {each.commit for each in results} == {clones.tip}
    assert [regions.in_force(region) for region in REGIONS] == [WITH_V3, WITH_V3]


def test_it_gets_what_the_version_with_most_weight_has(clones: TwoClones, regions: FakeRegions) -> None:
    def differ(project: Project) -> None:
        old = "2.0.0, replicas: 3, weight: 0"
        project.replace("region-b", old, "2.0.0, replicas: 5, env: {MODE: fast}, weight: 0")
        project.render()
        project.weigh("region-b", v1=0, v2=100)

    clones.somebody("Differ", differ)

    assert previewed(clones) == {"region-a": 3, "region-b": 5}
    introduced(clones, regions)

    v3 = {"image": IMAGE, "weight": 0}
    assert versions(clones, "region-a")["v3"] == versions(clones, "region-a")["v1"].model_copy(update=v3)
    assert versions(clones, "region-b")["v3"] == versions(clones, "region-b")["v2"].model_copy(update=v3)
    assert versions(clones, "region-b")["v3"].env == {"MODE": "fast"}


def test_it_gets_the_replicas_that_are_asked_for(clones: TwoClones, regions: FakeRegions) -> None:
    introduced(clones, regions, replace(V3, replicas=2))

    assert [versions(clones, region)["v3"].replicas for region in REGIONS] == [2, 2]


def test_where_it_is_already_it_is_only_waited_for(clones: TwoClones, regions: FakeRegions) -> None:
    introduced(clones, regions, replace(V3, regions=REGIONS[:1]))
    moments = len(regions.moments)

    assert previewed(clones) == {"region-b": 3}
    results = introduced(clones, regions)
    again = introduced(clones, regions)

    assert [each.commit is None for each in results] == [True, False]
    assert [each.commit for each in again] == [None, None]
    assert clones.subjects() == [IN_A, IN_B]
    assert [moment.region for moment in regions.moments[moments:]] == [*REGIONS, *REGIONS]


@pytest.mark.parametrize("other", [replace(V3, image="registry.corp.local/echo:3.0.1"), replace(V3, replicas=4)])
def test_what_is_there_otherwise_is_refused_before_any_region_begins(
    clones: TwoClones, regions: FakeRegions, other: Introduction
) -> None:
    introduced(clones, regions, replace(V3, regions=REGIONS[1:]))

    with pytest.raises(
        RolloutError, match=r"(?s)region-b: v3 is there already, with .*echo:3.0.0 and 3 replicas.*rollout retire v3"
    ):
        introduced(clones, regions, other)

    assert clones.subjects() == [IN_B]


@pytest.mark.parametrize(
    ("unusable", "told"),
    [
        (replace(V3, image="registry.corp.local/echo:latest"), r"versions\.v3\.image: .*latest"),
        (replace(V3, image="registry.corp.local/echo"), r"versions\.v3\.image: "),
        (replace(V3, version="V3"), r"versions\.V3: .*DNS label"),
        (replace(V3, replicas=1001), r"versions\.v3\.replicas: 1001"),
    ],
)
def test_what_a_stack_file_may_not_say_is_refused(clones: TwoClones, unusable: Introduction, told: str) -> None:
    with pytest.raises(RolloutError, match=told):
        previewed(clones, unusable)


def test_what_the_rules_refuse_is_not_pushed(clones: TwoClones, regions: FakeRegions) -> None:
    def add(project: Project) -> None:
        project.add_service(
            "    echo-v3:\n      namespace: echo\n"
            "      versions: {x: {image: registry.corp.local/echo:1.0.0, replicas: 3, weight: 100}}\n"
        )

    clones.somebody("Add echo-v3", add)

    with pytest.raises(RolloutError, match=r"(?s)the rules refuse it.*own-objects"):
        introduced(clones, regions, replace(V3, version="v3-x"))

    assert clones.subjects() == ["Add echo-v3"]


def test_a_preview_pushes_nothing(clones: TwoClones) -> None:
    tip = clones.tip

    assert previewed(clones) == dict.fromkeys(REGIONS, 3)
    assert clones.tip == tip


def test_what_somebody_writes_elsewhere_meanwhile_stays_below_it(clones: TwoClones, regions: FakeRegions) -> None:
    regions.once("deliver", "region-a", 0, clones.somebody_writes)

    introduced(clones, regions)

    assert clones.subjects() == [IN_A, "Write", IN_B]


def test_a_region_that_somebody_changes_meanwhile_is_left_alone(clones: TwoClones, regions: FakeRegions) -> None:
    regions.once("deliver", "region-a", 0, lambda: clones.somebody_weighs("region-b", v1=90, v2=10))

    with pytest.raises(RolloutError, match="region-b was changed by somebody else"):
        introduced(clones, regions)

    assert clones.subjects() == [IN_A, "Set weights"]


def test_a_promotion_that_begins_meanwhile_stops_it(clones: TwoClones, regions: FakeRegions) -> None:
    regions.once("deliver", "region-a", 0, clones.somebody_promotes)

    with pytest.raises(RolloutError, match="another rollout of echo is at work"):
        introduced(clones, regions)

    assert clones.subjects() == [IN_A, "Promote v2"]
