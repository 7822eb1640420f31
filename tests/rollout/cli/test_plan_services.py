"""`rollout plan` where services come, go and move, and where a stack file takes the form that has several."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.rollout.planned import REGIONS, WEB, Project, new_planned, plan, plan_json, rules_of

CANARY = WEB.replace("weight: 100", "weight: 90").replace("weight: 0", "weight: 10")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = new_planned(tmp_path / "project")
    monkeypatch.chdir(made.directory)
    return made


@pytest.fixture
def two(project: Project) -> Project:
    """With the service web beside echo, committed."""
    project.add_service()
    project.commit()
    return project


def in_older_form(project: Project, region: str) -> None:
    """Writes a stack file as it was before there were several services: echo is a setting by itself."""
    text = project.stack_file(region).read_text()
    head, block = text.split("  echo-rollout:services:\n    echo:\n")
    echo, rest = block.split("  echo-rollout:probe:\n")
    inner = re.sub("(?m)^  ", "", echo)
    project.stack_file(region).write_text(f"{head}  echo-rollout:echo:\n{inner}  echo-rollout:probe:\n{rest}")


def states(*arguments: str) -> list[tuple[str, str, str]]:
    return [(each["region"], each["service"], each["state"]) for each in plan_json(*arguments)["regions"]]


def lines(*arguments: str) -> list[str]:
    return plan(*arguments).stdout.splitlines()


class TestService:
    def test_that_is_new_is_told_beside_one_that_is_as_it_was(self, project: Project) -> None:
        project.add_service(CANARY, "region-a")

        assert states() == [
            ("region-a", "echo", "unchanged"),
            ("region-a", "web", "new"),
            ("region-b", "echo", "unchanged"),
        ]
        assert "region-a, web: is new: v1 90 %, v2 10 %" in lines()
        assert "region-a, echo: nothing changes: v1 90 %, v2 10 %" in lines()

    def test_that_is_gone_is_refused_while_it_has_requests(self, two: Project) -> None:
        two.remove_service("region-a")

        found = states()

        assert found[:2] == [("region-a", "echo", "unchanged"), ("region-a", "web", "gone")]
        assert ("refused", "region-a", "service-removed") in rules_of(plan_json())

    def test_that_changes_is_told_alone_and_with_its_findings(self, two: Project) -> None:
        two.weigh("region-a", "web", v1=30, v2=70)

        document = plan_json()

        assert [(each["service"], each["state"]) for each in document["regions"]] == [
            *(("echo", "unchanged"), ("web", "changed")),
            *(("echo", "unchanged"), ("web", "unchanged")),
        ]
        assert {(each["rule"], each["region"], each["service"]) for each in document["findings"]} == {
            ("increase-limited", "region-a", "web")
        }

    def test_whose_overlay_moves_is_told_by_its_path_and_by_who_reads_it(self, two: Project) -> None:
        two.replace("region-a", "      namespace: shop\n", "      namespace: shop\n      path: deploy/shop\n")
        two.render()

        document = plan_json()

        (web,) = [each for each in document["regions"] if (each["region"], each["service"]) == ("region-a", "web")]
        assert web["differences"] == []
        assert [(each["path"], each["before"], each["after"]) for each in web["settings"]] == [
            ("services.web.path", "deploy/overlays/region-a/web", "deploy/shop")
        ]
        assert (
            "  pulumi up -s region-a: services.web.path: deploy/overlays/region-a/web → deploy/shop " in plan().stdout
        )

    def test_whose_overlay_moves_is_read_there(self, two: Project) -> None:
        two.replace("region-a", "      namespace: shop\n", "      namespace: shop\n      path: deploy/shop\n")
        two.render()
        two.commit()
        routes = two.directory / "deploy/shop/vs.yaml"
        routes.write_text(routes.read_text().replace("weight: 100", "weight: 99"))
        two.commit()

        document = plan_json("--base", "HEAD~1", "--head", "HEAD")

        found = {(each["rule"], each["service"]) for each in document["findings"]}
        assert {("weights-sum-100", "web"), ("overlay-rendered", "web")} <= found


class TestOlderForm:
    """Before there were several services, echo was a setting by itself."""

    @pytest.fixture
    def older(self, project: Project) -> Project:
        for region in REGIONS:
            in_older_form(project, region)
        project.commit()
        assert "echo-rollout:services:" not in project.stack_file("region-a").read_text()
        return project

    def newer(self, project: Project) -> None:
        for region in REGIONS:
            project.repository.git("checkout", "--quiet", "HEAD~1", "--", f"Pulumi.{region}.yaml")

    def test_written_as_now_changes_nothing(self, older: Project) -> None:
        self.newer(older)

        ran = plan()

        assert ran.exit_code == 0, ran.output
        assert [line for line in ran.stdout.splitlines() if line.startswith("region-")] == [
            f"{region}: nothing changes: v1 90 %, v2 10 %" for region in REGIONS
        ]

    def test_written_as_now_changes_what_else_does(self, older: Project) -> None:
        self.newer(older)
        older.weigh("region-a", v1=75, v2=25)

        document = plan_json()

        assert (document["verdict"], [each["state"] for each in document["regions"]]) == (
            "safe",
            ["changed", "unchanged"],
        )
        assert document["regions"][0]["settings"] == []
        assert [each["field"] for each in document["regions"][0]["differences"]] == [
            f"spec.http[0].route[{entry}].weight" for entry in (0, 1)
        ]

    def test_with_a_place_of_its_own_for_the_overlay_changes_nothing(self, project: Project) -> None:
        place = "deploy/elsewhere"
        project.replace("region-a", "      # path: deploy/overlays/region-a/echo ", f"      path: {place} ")
        project.render()
        project.commit()
        new = project.stack_file("region-a").read_text()
        project.replace("region-a", f"      path: {place} ", "      # path: none ")
        in_older_form(project, "region-a")
        project.replace("region-a", "    # revision: main ", f"    path: {place}\n    # revision: main ")
        project.commit()
        project.stack_file("region-a").write_text(new)

        assert [state for _, _, state in states()] == ["unchanged"] * 2
        assert rules_of(plan_json()) == []
