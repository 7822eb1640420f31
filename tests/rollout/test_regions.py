from __future__ import annotations

from pathlib import Path

import pytest

from rollout.access import PulumiAccess, RegionAccess
from rollout.problem import RolloutError
from rollout.regions import discover, find_project, refuse_unknown_services, select, the_service
from stackfile.model import ConfigError
from stackfile.reader import load_stack_file

STACK = """\
config:
  echo-rollout:delivery: direct
  echo-rollout:cluster:
    context: {context}
  echo-rollout:mesh:
    network: network-a
  echo-rollout:services:
   echo:
    versions:
      v1: {{image: registry.corp.local/echo:1.0.0, replicas: 3, weight: 90}}
      v2: {{image: registry.corp.local/echo:2.0.0, replicas: 3, weight: 10}}
  echo-rollout:probe:
    image: registry.corp.local/probe:1.0.0
"""
REGIONS = """\
regions:
  region-b: {kubeconfig: /lab/kubeconfig, context: b}
  region-a: {kubeconfig: /lab/kubeconfig, context: a}
pulumi:
  path: /lab/bin
  environment: {PULUMI_CONFIG_PASSPHRASE: ""}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: echo-rollout\nruntime: python\n")
    return tmp_path


def problems_of(project: Path) -> list[str]:
    with pytest.raises(RolloutError) as refused:
        discover(project)
    return [problem.what for problem in refused.value.problems]


def words_of_preview(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        load_stack_file(path)
    return refused.value.problems


class TestCommitted:
    def test_are_read_in_the_place_of_those_on_the_disk(self, project: Path) -> None:
        (project / "Pulumi.region-a.yaml").write_text("config: [")

        found = discover(project, None, {"Pulumi.region-a.yaml": STACK.format(context="a").encode()})

        assert [(region.name, region.context) for region in found.regions] == [("region-a", "a")]

    def test_one_that_cannot_be_used_hides_no_other(self, project: Path) -> None:
        files = {"Pulumi.region-a.yaml": b"config: [", "Pulumi.region-b.yaml": STACK.format(context="b").encode()}

        assert [region.name for region in discover(project, None, files).regions] == ["region-b"]
        with pytest.raises(RolloutError, match=r"Pulumi\.region-a\.yaml"):
            discover(project, None, {"Pulumi.region-a.yaml": b"config: ["})


class TestStackFiles:
    def test_each_is_a_region(self, project: Path) -> None:
        for name in ("region-b", "region-a"):
            (project / f"Pulumi.{name}.yaml").write_text(STACK.format(context=f"context-of-{name}"))

        assert discover(project).regions == (
            RegionAccess("region-a", "region-a", "context-of-region-a"),
            RegionAccess("region-b", "region-b", "context-of-region-b"),
        )

    def test_region_may_have_another_name_than_its_stack(self, project: Path) -> None:
        (project / "Pulumi.prod-1.yaml").write_text(STACK.format(context="c") + "  echo-rollout:region: north\n")

        assert discover(project).regions == (RegionAccess("north", "prod-1", "c"),)

    def test_kubeconfig_is_relative_to_the_project(self, project: Path) -> None:
        text = STACK.format(context="c\n    kubeconfig: clusters/a.yaml")
        (project / "Pulumi.region-a.yaml").write_text(text)

        assert discover(project).regions[0].kubeconfig == project / "clusters/a.yaml"

    def test_pulumi_is_used_as_it_is(self, project: Path) -> None:
        (project / "Pulumi.region-a.yaml").write_text(STACK.format(context="c"))

        assert discover(project).pulumi == PulumiAccess(project)

    def test_problems_are_told_line_for_line_in_the_words_of_preview(self, project: Path) -> None:
        for name, text in {"region-a": STACK.format(context="''"), "region-b": "confg: {}\n"}.items():
            (project / f"Pulumi.{name}.yaml").write_text(text.replace("weight: 90", "weight: many"))
        expected = [line for path in sorted(project.glob("Pulumi.*.yaml")) for line in words_of_preview(path)]

        with pytest.raises(RolloutError) as refused:
            discover(project)

        assert len(expected) == 3
        assert str(refused.value).splitlines() == expected

    def test_problems_of_all_files_are_told_together(self, project: Path) -> None:
        (project / "Pulumi.region-a.yaml").write_text(STACK.format(context="c").replace("weight: 90", "weight: many"))
        (project / "Pulumi.region-b.yaml").write_text("config: {}\n")

        first, second = problems_of(project)

        assert "Pulumi.region-a.yaml" in first
        assert "many" in first
        assert "Pulumi.region-b.yaml" in second

    def test_a_project_without_any_is_refused(self, project: Path) -> None:
        assert "no region" in problems_of(project)[0]


class TestRegionsFile:
    def test_goes_before_the_stack_files(self, project: Path) -> None:
        (project / "Pulumi.region-a.yaml").write_text(STACK.format(context="ignored"))
        (project / ".regions.yaml").write_text(REGIONS)

        assert discover(project).regions == (
            RegionAccess("region-a", "region-a", "a", Path("/lab/kubeconfig")),
            RegionAccess("region-b", "region-b", "b", Path("/lab/kubeconfig")),
        )

    def test_says_how_to_reach_pulumi(self, project: Path) -> None:
        (project / ".regions.yaml").write_text(REGIONS)

        assert discover(project).pulumi == PulumiAccess(project, Path("/lab/bin"), {"PULUMI_CONFIG_PASSPHRASE": ""})

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("regions: {region-a: {contxt: a}}", "$.regions.region-a.context"),
            ("regions: {}", "$.regions"),
            ("regions: {region-a: {context: a}}\nother: 1", "$.other"),
            ("regions: {region-a: {context: a}}\npulumi: {environment: {X: [1]}}", "$.pulumi.environment.X"),
            ("", "$"),
            ("regions: [", ".regions.yaml"),
        ],
    )
    def test_is_refused_with_the_place_of_what_is_wrong(self, project: Path, text: str, place: str) -> None:
        (project / ".regions.yaml").write_text(text)

        assert place in problems_of(project)[0]

    def test_problems_are_told_together(self, project: Path) -> None:
        (project / ".regions.yaml").write_text("regions: {region-a: {}, region-b: {context: ''}}")

        assert len(problems_of(project)) == 2


class TestSelect:
    REGIONS = (RegionAccess("region-a", "region-a", "a"), RegionAccess("region-b", "region-b", "b"))

    def test_nothing_named_is_all(self) -> None:
        assert select(self.REGIONS, []) == self.REGIONS

    def test_named_ones_come_once_and_in_the_regions_order(self) -> None:
        assert select(self.REGIONS, ["region-b", "region-a", "region-b"]) == self.REGIONS

    def test_only_named_ones_come(self) -> None:
        assert select(self.REGIONS, ["region-b"]) == self.REGIONS[1:]

    def test_all_unknown_names_are_told_with_the_nearest(self) -> None:
        with pytest.raises(RolloutError) as refused:
            select(self.REGIONS, ["region-bb", "moon"])

        first, second = refused.value.problems
        assert first.fix == "did you mean region-b?"
        assert second.fix == "the known regions are region-a, region-b"


class TestTheService:
    def test_nothing_named_is_the_only_one(self) -> None:
        assert the_service(["echo", "echo"], None) == "echo"

    def test_is_the_one_that_is_named(self) -> None:
        assert the_service(["echo", "web"], "web") == "web"

    def test_has_to_be_named_where_there_are_several(self) -> None:
        with pytest.raises(RolloutError) as refused:
            the_service(["web", "echo", "web"], None)

        (problem,) = refused.value.problems
        assert problem.what == "there are the services echo, web, and none is named"
        assert problem.fix == "name it: --service echo"

    def test_that_is_unknown_is_told_with_the_nearest(self) -> None:
        with pytest.raises(RolloutError) as refused:
            the_service(["echo", "web"], "wep")

        (problem,) = refused.value.problems
        assert (problem.what, problem.fix) == ("--service wep: there is no such service", "did you mean web?")

    @pytest.mark.parametrize(
        ("wish", "told"), [(None, "there is no service here"), ("web", "--service web: there is no")]
    )
    def test_of_none_is_refused(self, wish: str | None, told: str) -> None:
        with pytest.raises(RolloutError, match=told):
            the_service([], wish)

    def test_all_unknown_names_are_told_together(self) -> None:
        with pytest.raises(RolloutError) as refused:
            refuse_unknown_services(["echo", "web"], ["echo", "moon", "wep", "moon"])

        assert [problem.what.split(":")[0] for problem in refused.value.problems] == ["--service moon", "--service wep"]


class TestFindProject:
    def test_is_the_nearest_one_above(self, project: Path) -> None:
        below = project / "components" / "deep"
        below.mkdir(parents=True)

        assert find_project(below) == project

    def test_no_project_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(RolloutError, match=r"no Pulumi\.yaml"):
            find_project(tmp_path)


class TestNamedRegionsFile:
    def test_goes_before_the_usual_one(self, project: Path, tmp_path: Path) -> None:
        (project / ".regions.yaml").write_text("regions: {region-c: {context: c}}\n")
        named = tmp_path / "elsewhere.yaml"
        named.write_text(REGIONS)

        assert [region.name for region in discover(project, named).regions] == ["region-a", "region-b"]

    def test_that_is_missing_is_refused(self, project: Path, tmp_path: Path) -> None:
        with pytest.raises(RolloutError, match=r"missing\.yaml"):
            discover(project, tmp_path / "missing.yaml")
