"""`rollout plan` on the project's own files, as a person, a program and CI run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rollout.planned import V1, V2, Project, new_planned, new_planned_below, plan, plan_json, rules_of
from tests.rollout.repository import new_repository
from tests.rollout.stack_files import ROOT, files_below

V3 = "        v3: {image: registry.corp.local/echo:3.0.0, replicas: 3, weight: 0}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = new_planned(tmp_path / "project")
    monkeypatch.chdir(made.directory)
    return made


def line_of(text: str, start: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return line


class TestChange:
    def test_of_nothing_says_so(self, project: Project) -> None:
        base = project.commit()[:7]

        ran = plan()

        assert (ran.exit_code, ran.stderr) == (0, "")
        assert ran.stdout.splitlines() == [
            f"change: {base} (HEAD) → the working tree",
            "",
            "region-a: nothing changes: v1 90 %, v2 10 %",
            "region-b: nothing changes: v1 90 %, v2 10 %",
            "",
            f"assumed: {base} is delivered and acknowledged in region-a and region-b",
            "nothing changes",
        ]

    def test_of_a_weight_says_who_gains_and_that_the_order_is_safe(self, project: Project) -> None:
        project.weigh(v1=75, v2=25)

        ran = plan()

        assert ran.exit_code == 0
        assert line_of(ran.stdout, "region-a") == (
            "region-a: v2 10 % → 25 %, v1 75 %; v2 has capacity for 100 %; order: safe"
        )
        assert ran.stdout.splitlines()[-1] == "safe"

    def test_says_for_how_much_a_version_has_pods(self, project: Project) -> None:
        project.replace("region-a", "echo:2.0.0, replicas: 3", "echo:2.0.0, replicas: 2")
        project.weigh(v1=75, v2=25)

        ran = plan()

        assert "v2 has capacity for 66 %" in line_of(ran.stdout, "region-a")
        assert line_of(ran.stdout, "  commit") == (
            "  commit: Deployment echo/echo-v2: spec.replicas: 3 → 2 (how many pods answer)"
        )

    def test_back_to_the_stable_version_is_safe(self, project: Project) -> None:
        project.weigh(v1=100, v2=0)

        ran = plan()

        assert ran.exit_code == 0
        assert line_of(ran.stdout, "region-a").startswith("region-a: v1 90 % → 100 %, v2 10 % → 0 %;")

    def test_that_brings_a_version_tells_its_pods(self, project: Project) -> None:
        project.replace("region-a", V2, V2 + V3)
        project.render()

        ran = plan()

        assert line_of(ran.stdout, "region-a") == "region-a: v1 90 %, v2 10 %, v3 new with 0 %; order: safe"
        assert "  commit: v3 comes with 3 pods of registry.corp.local/echo:3.0.0" in ran.stdout.splitlines()
        assert ran.exit_code == 0

    def test_that_retires_a_version_in_one_step_is_refused_with_the_story_and_the_steps(self, project: Project) -> None:
        project.weigh(v1=100, v2=0)
        project.replace("region-a", V2.replace("10}", "0}"), "")
        project.render()

        ran = plan()

        lines = ran.stdout.splitlines()
        assert ran.exit_code == 2
        assert line_of(ran.stdout, "region-a") == (
            "region-a: v1 90 % → 100 %, v2 10 % → gone; v1 has capacity for 100 %; order: not safe"
        )
        lost, safe = lines.index("  how a request can be lost:"), lines.index("  the safe way:")
        assert lines[lost + 1].startswith("    1. Argo CD applies the DestinationRule")
        assert "503" in lines[lost + 3]
        assert lines[safe + 1].startswith("    1. set the weights to v1 100, v2 0")
        assert line_of(ran.stdout, "refused: region-a").endswith("[removed-only-when-idle]")
        assert lines[-1] == "refused: 1 finding to mend first"

    def test_that_retires_an_idle_version_is_safe(self, project: Project) -> None:
        project.weigh(v1=100, v2=0)
        project.commit()
        project.replace("region-a", V2.replace("10}", "0}"), "")
        project.render()

        ran = plan()

        assert ran.exit_code == 0, ran.output
        assert line_of(ran.stdout, "region-a") == "region-a: v1 100 %, v2 0 % → gone; order: safe"

    def test_in_a_freeze_is_a_warning(self, project: Project) -> None:
        project.freeze("region-a")
        project.commit()
        for region in ("region-a", "region-b"):
            project.weigh(region, v1=75, v2=25)

        document = plan_json()

        assert ("warning", "region-a", "outside-freeze") in rules_of(document)
        assert ("warning", "region-b", "outside-freeze") not in rules_of(document)

    def test_of_an_image_under_requests_is_a_warning(self, project: Project) -> None:
        project.replace("region-a", "echo:2.0.0", "echo:2.0.1")
        project.render()

        ran = plan()

        assert ran.exit_code == 1
        assert line_of(ran.stdout, "  commit") == (
            "  commit: Deployment echo/echo-v2: spec.template.spec.containers[echo].image: registry.corp.local/echo:2.0.0 → "
            "registry.corp.local/echo:2.0.1 (restarts its 3 pods)"
        )
        assert "[image-changed-under-requests]" in line_of(ran.stdout, "warning: region-a: Deployment")
        assert ran.stdout.splitlines()[-1].startswith("safe, ")

    def test_in_both_regions_at_once_is_told(self, project: Project) -> None:
        for region in ("region-a", "region-b"):
            project.replace(region, V2, V2 + V3.replace("weight: 0", "weight: 5").replace("3.0.0", "3.0.0"))
            project.weigh(region, v1=85)

        document = plan_json()

        assert ("refused", "region-b", "starts-in-one-region") in rules_of(document)

    def test_of_the_platform_says_that_a_commit_does_not_carry_it(self, project: Project) -> None:
        project.replace("region-a", "probe:1.0.0", "probe:1.0.1")

        ran = plan()

        assert line_of(ran.stdout, "  pulumi") == (
            "  pulumi up -s region-a: probe.image: registry.corp.local/probe:1.0.0 → registry.corp.local/probe:1.0.1 "
            "(the measuring client restarts)"
        )
        assert line_of(ran.stdout, "region-a") == "region-a: no weight changes: v1 90 %, v2 10 %"

    def test_of_what_only_the_rules_read_is_applied_by_nobody(self, project: Project) -> None:
        project.replace("region-a", V1, V1.replace("        v1", "        v1"))
        project.stack_file("region-a").open("a").write("  echo-rollout:rules: {largestIncrease: 20}\n")

        ran = plan()

        assert line_of(ran.stdout, "  rollout plan") == (
            "  rollout plan: rules.largestIncrease: 50 → 20 (what the next change may do; for this one the rules before it hold)"
        )

    def test_with_direct_delivery_is_carried_by_pulumi_whatever_the_overlay_says(self, project: Project) -> None:
        project.replace("region-a", "  # echo-rollout:delivery: gitops", "  echo-rollout:delivery: direct")
        project.weigh(v1=75, v2=25)
        project.repository.git("checkout", "--quiet", "deploy")
        project.commit()
        project.weigh(v1=60, v2=40)
        project.repository.git("checkout", "--quiet", "deploy")

        ran = plan()

        assert ran.exit_code == 0, ran.output
        assert line_of(ran.stdout, "region-a") == (
            "region-a: v2 25 % → 40 %, v1 60 %; v2 has capacity for 100 %; order: safe; by pulumi up -s region-a"
        )

    def test_of_delivery_without_a_handover_is_refused(self, project: Project) -> None:
        project.replace("region-a", "  # echo-rollout:delivery: gitops", "  echo-rollout:delivery: direct")

        assert rules_of(plan_json()) == [("refused", "region-a", "delivery-changed-by-handover")]

    def test_of_delivery_by_handover_changes_no_workload(self, project: Project) -> None:
        project.replace("region-a", "  # echo-rollout:delivery: gitops", "  echo-rollout:delivery: handover")

        document = plan_json()

        assert (rules_of(document), document["regions"][0]["order_is_safe"]) == ([], None)


class TestRegion:
    def test_that_is_new_is_told_with_its_weights_also_untracked(self, project: Project) -> None:
        text = project.stack_file("region-b").read_text().replace("region-b", "region-c").replace("work-b", "work-c")
        project.stack_file("region-c").write_text(text)
        project.render()

        ran = plan()

        assert ran.exit_code == 0, ran.output
        assert line_of(ran.stdout, "region-c") == "region-c: is new: v1 90 %, v2 10 %"
        assert "delivered and acknowledged in region-a and region-b" in ran.stdout

    def test_that_is_gone_is_refused(self, project: Project) -> None:
        project.stack_file("region-b").unlink()
        project.render()

        ran = plan()

        assert ran.exit_code == 2
        assert line_of(ran.stdout, "region-b") == (
            "region-b: is gone; what runs there stays until its stack is destroyed (docs/uninstalling.md)"
        )

    def test_that_does_not_change_is_judged_all_the_same(self, project: Project) -> None:
        project.replace("region-b", "maxEjectionPercent: 34", "maxEjectionPercent: 10")
        project.render()
        project.commit()

        assert rules_of(plan_json())[0] == ("refused", "region-b", "ejection-can-fire")

    def test_alone_is_spoken_of_when_it_is_named(self, project: Project) -> None:
        project.replace("region-b", V2, "")
        project.weigh("region-b", v1=100)
        project.weigh(v1=75, v2=25)

        ran = plan("--region", "region-a")

        assert ran.exit_code == 0
        assert "region-b" not in ran.stdout

    def test_alone_is_spoken_of_together_with_what_is_wrong_between_regions(self, project: Project) -> None:
        project.replace("region-a", "probe:1.0.0", "probe:1.0.1")

        for name in ("region-a", "region-b"):
            assert [rule for _, _, rule in rules_of(plan_json("--region", name))] == ["differ-only-where-allowed"]

    def test_that_is_unknown_is_told_with_the_nearest_that_is(self, project: Project) -> None:
        ran = plan("--region", "region-c")

        assert ran.exit_code == 2
        assert "did you mean region-b?" in ran.stderr

    def test_is_called_by_its_own_name_not_the_stacks(self, project: Project) -> None:
        project.replace("region-b", "config:\n", "config:\n  echo-rollout:region: north\n")
        project.render()
        project.commit()
        project.weigh("region-b", v1=75, v2=25)

        document = plan_json()

        assert [(each["region"], each["stack"]) for each in document["regions"]] == [
            ("north", "region-b"),
            ("region-a", "region-a"),
        ]


class TestStackFile:
    def test_that_cannot_be_used_is_2_with_exactly_its_messages(self, project: Project) -> None:
        project.replace("region-a", "weight: 90", "weight: 190")
        project.replace("region-b", "replicas: 3, weight: 10", "replica: 3, weight: 10")

        ran = plan()

        lines = ran.stderr.splitlines()
        assert (ran.exit_code, ran.stdout) == (2, "")
        assert lines[0].startswith("error: Pulumi.region-a.yaml: $.services.echo.versions.v1.weight: 190 is not")
        assert all(line.startswith("error: Pulumi.region-") for line in lines)
        assert {line.split(":")[1] for line in lines} == {" Pulumi.region-a.yaml", " Pulumi.region-b.yaml"}

    def test_that_cannot_be_used_in_the_head_is_2_too(self, project: Project) -> None:
        project.replace("region-a", "weight: 90", "weight: 190")
        project.commit()

        ran = plan("--base", "HEAD~1", "--head", "HEAD")

        assert (ran.exit_code, ran.stdout) == (2, "")
        assert ran.stderr.startswith("error: Pulumi.region-a.yaml: $.services.echo.versions.v1.weight: 190 is not")

    def test_that_cannot_be_used_leaves_a_comment_in_the_pull_request(self, project: Project) -> None:
        project.replace("region-a", "weight: 90", "weight: 190")

        ran = plan("--markdown")

        assert ran.exit_code == 2
        assert ran.stdout.startswith("<!-- rollout plan -->\n")
        assert "$.services.echo.versions.v1.weight: 190 is not" in ran.stdout

    def test_that_could_not_be_used_at_the_base_is_warned_of_and_its_overlay_judged(self, project: Project) -> None:
        good = project.stack_file("region-a").read_text()
        project.replace("region-a", "weight: 90", "weight: 190")
        project.commit()
        project.stack_file("region-a").write_text(good)
        project.weigh(v1=75, v2=25)

        document = plan_json()

        assert rules_of(document) == [("warning", "region-a", "base-stack-file")]
        assert "Pulumi.region-a.yaml: $.services.echo.versions.v1.weight: 190" in document["findings"][0]["what"]
        assert document["regions"][0]["versions"][1]["before"]["weight"] == 10

    @pytest.mark.parametrize("regions", [["region-a"], ["region-a", "region-b"]])
    def test_that_told_nothing_at_the_base_is_of_a_region_that_was_not_there(
        self, project: Project, regions: list[str]
    ) -> None:
        good = project.stack_file("region-a").read_text()
        project.replace("region-b", "weight: 90", "weight: 190")
        project.repository.git("rm", "-r", "--quiet", "deploy/overlays/region-b")
        project.commit()
        project.stack_file("region-b").unlink()
        for region in regions[1:]:
            project.stack_file(region).write_text(good.replace("region-a", region).replace("work-a", "work-b"))
        project.render()

        document = plan_json()

        assert [(each["region"], each["state"]) for each in document["regions"]] == [
            (name, state) for name, state in (("region-a", "unchanged"), ("region-b", "new")) if name in regions
        ]
        assert rules_of(document) == [("warning", "region-b", "base-stack-file")]

    def test_of_one_region_there_may_be_only_one(self, project: Project) -> None:
        project.replace("region-b", "config:\n", "config:\n  echo-rollout:region: region-a\n")

        ran = plan()

        assert ran.exit_code == 2
        assert "Pulumi.region-a.yaml and Pulumi.region-b.yaml are both of the region region-a" in ran.stderr

    @pytest.mark.parametrize("stack", ["we ird", "né", "-x", "a.b"])
    def test_of_an_odd_name_is_read(self, project: Project, stack: str) -> None:
        text = project.stack_file("region-b").read_text().replace("region-b", "region-c").replace("work-b", "work-c")
        project.stack_file(stack).write_text(text.replace("config:\n", "config:\n  echo-rollout:region: region-c\n"))
        project.render()
        project.commit()

        document = plan_json("--base", "HEAD~1", "--head", "HEAD")

        assert [(each["region"], each["state"]) for each in document["regions"]] == [
            ("region-a", "unchanged"),
            ("region-b", "unchanged"),
            ("region-c", "new"),
        ]

    def test_is_needed_for_a_plan(self, project: Project) -> None:
        for region in ("region-a", "region-b"):
            project.stack_file(region).unlink()
        project.commit()

        ran = plan()

        assert ran.exit_code == 2
        assert "has no stack file Pulumi.<stack>.yaml" in ran.stderr


class TestOverlay:
    def test_that_is_not_rendered_yet_is_warned_of_and_the_stack_file_judged(self, project: Project) -> None:
        project.replace("region-a", V1, V1.replace("90", "30"))
        project.replace("region-a", V2, V2.replace("10", "70"))

        document = plan_json()

        assert rules_of(document) == [
            ("refused", "region-a", "increase-limited"),
            ("warning", "region-a", "overlay-rendered"),
        ]
        assert document["regions"][0]["versions"][1]["after"]["weight"] == 70
        assert "the overlay of region-a will be rendered before it is committed" in document["assumed"]

    def test_that_is_committed_without_rendering_is_refused_and_judged_itself(self, project: Project) -> None:
        project.replace("region-a", V1, V1.replace("90", "75"))
        project.replace("region-a", V2, V2.replace("10", "25"))
        project.commit()

        document = plan_json("--base", "HEAD~1", "--head", "HEAD")

        assert rules_of(document) == [("refused", "region-a", "overlay-rendered")]
        assert document["findings"][0]["what"] == (
            "is not what is rendered of Pulumi.region-a.yaml: VirtualService echo/echo: spec.http[0].route[0].weight; VirtualService "
            "echo/echo: spec.http[0].route[1].weight"
        )
        assert document["regions"][0]["versions"][1]["after"]["weight"] == 10

    def test_edited_by_hand_in_a_commit_is_judged_by_every_rule(self, project: Project) -> None:
        file = project.overlay("region-a", "dr.yaml")
        file.write_text(file.read_text().replace("name: v2", "name: v3"))
        project.commit()

        assert {
            ("refused", "region-a", "overlay-rendered"),
            ("refused", "region-a", "removed-only-when-idle"),
            ("refused", "region-a", "routed-subset-exists"),
        } <= set(rules_of(plan_json("--base", "HEAD~1", "--head", "HEAD")))

    @pytest.mark.parametrize("content", [None, "", "# nothing\n", "kind: [\n"])
    def test_of_which_a_listed_file_is_gone_or_empty_or_no_yaml_is_refused(
        self, project: Project, content: str | None
    ) -> None:
        file = project.overlay("region-a", "deployment-v1.yaml")
        file.unlink()
        if content is not None:
            file.write_text(content)
        project.commit()

        document = plan_json("--base", "HEAD~1", "--head", "HEAD")

        assert {("refused", "region-a", "objects-readable"), ("refused", "region-a", "overlay-rendered")} <= set(
            rules_of(document)
        )
        assert any("echo/deployment-v1.yaml" in finding["where"] for finding in document["findings"])

    def test_that_is_gone_from_the_disk_is_told_by_its_file(self, project: Project) -> None:
        project.overlay("region-a", "deployment-v1.yaml").unlink()

        ran = plan()

        assert ran.exit_code == 1
        assert "deploy/overlays/region-a/echo/deployment-v1.yaml: " in line_of(ran.stdout, "warning: region-a")

    def test_that_is_not_there_is_told(self, project: Project) -> None:
        project.repository.git("rm", "-r", "--quiet", "deploy/overlays/region-a")

        document = plan_json()

        assert rules_of(document) == [("warning", "region-a", "overlay-rendered")]
        assert document["regions"][0]["state"] == "unchanged"

    def test_that_is_not_there_in_a_commit_is_refused(self, project: Project) -> None:
        project.repository.git("rm", "-r", "--quiet", "deploy/overlays/region-a")
        project.commit()

        assert rules_of(plan_json("--base", "HEAD~1", "--head", "HEAD")) == [
            ("refused", "region-a", "overlay-rendered")
        ]

    def test_that_was_not_there_at_the_base_is_taken_to_be_what_the_stack_file_said(self, project: Project) -> None:
        project.repository.git("rm", "-r", "--quiet", "deploy/overlays/region-a")
        base = project.commit()
        project.render()

        document = plan_json()

        assert (rules_of(document), document["regions"][0]["state"]) == ([], "unchanged")
        assert document["assumed"][1] == (
            f"what the stack file of region-a says of echo at {base[:7]}, where it has no overlay, is what runs"
        )

    def test_is_not_looked_at_where_pulumi_delivers(self, project: Project) -> None:
        project.replace("region-a", "  # echo-rollout:delivery: gitops", "  echo-rollout:delivery: direct")
        project.repository.git("rm", "-r", "--quiet", "deploy/overlays/region-a")
        project.commit()

        assert rules_of(plan_json()) == []


class TestRevisions:
    def test_are_compared_without_the_working_tree(self, project: Project) -> None:
        project.weigh(v1=75, v2=25)
        project.commit()
        project.weigh(v1=50, v2=50)

        document = plan_json("--base", "HEAD~1", "--head", "HEAD")

        assert [(each["before"]["weight"], each["after"]["weight"]) for each in document["regions"][0]["versions"]] == [
            (90, 75),
            (10, 25),
        ]

    def test_of_a_branch_are_compared_from_where_it_set_out(self, project: Project) -> None:
        out = project.commit()
        project.repository.git("checkout", "--quiet", "-b", "branch")
        project.weigh(v1=75, v2=25)
        project.commit()
        project.repository.git("checkout", "--quiet", "main")
        (project.directory / "README.md").write_text("other work")
        project.commit()

        document = plan_json("--base", "main", "--head", "branch")

        assert (document["base"], rules_of(document)) == ({"revision": "main", "commit": out}, [])
        assert [each["state"] for each in document["regions"]] == ["changed", "unchanged"]

    def test_of_which_the_base_has_moved_on_in_a_region_are_warned_of(self, project: Project) -> None:
        project.repository.git("checkout", "--quiet", "-b", "branch")
        project.weigh(v1=75, v2=25)
        project.commit()
        project.repository.git("checkout", "--quiet", "main")
        project.weigh("region-b", v1=75, v2=25)
        project.commit()
        project.repository.git("checkout", "--quiet", "branch")

        ran = plan("--base", "main")

        assert ran.exit_code == 1
        assert line_of(ran.stdout, "warning: region-b").endswith("[base-moved]")
        assert line_of(ran.stdout, "change").endswith("(where main and HEAD went apart) → the working tree")
        assert line_of(ran.stdout, "region-b: nothing changes")

    def test_from_a_branch_to_one_that_it_holds_are_a_way_back(self, project: Project) -> None:
        project.weigh(v1=75, v2=25)
        project.commit()

        ran = plan("--base", "HEAD", "--head", "HEAD~1")

        assert line_of(ran.stdout, "region-a").startswith("region-a: v1 75 % → 90 %, v2 10 %;")

    def test_of_which_the_working_tree_is_behind_are_no_way_back(self, project: Project) -> None:
        project.weigh(v1=75, v2=25)
        project.commit()
        project.repository.git("checkout", "--quiet", "HEAD~1")

        document = plan_json("--base", "main")

        assert [each["state"] for each in document["regions"]] == ["unchanged", "unchanged"]
        assert rules_of(document) == [("warning", "region-a", "base-moved")]

    @pytest.mark.parametrize("option", ["--base", "--head"])
    def test_that_are_not_there_are_told(self, project: Project, option: str) -> None:
        ran = plan(option, "release-7")

        assert (ran.exit_code, ran.stdout) == (2, "")
        assert f"error: {option} release-7: there is no such commit" in ran.stderr
        assert "  what to do: " in ran.stderr

    def test_are_needed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "Pulumi.yaml").write_text("name: echo-rollout\n")
        monkeypatch.chdir(tmp_path)

        ran = plan()

        assert ran.exit_code == 2
        assert "is not in a Git repository that can be read" in ran.stderr

    def test_of_a_project_that_was_not_there_make_all_regions_new(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        repository = new_repository(tmp_path / "other")
        repository.commit_text("kind: Other\n")
        made = new_planned_below(repository, "infra")
        monkeypatch.chdir(made.directory)

        document = plan_json("--base", "HEAD~1", "--head", "HEAD")

        assert [(each["region"], each["state"]) for each in document["regions"]] == [
            ("region-a", "new"),
            ("region-b", "new"),
        ]


class TestProven:
    """v1 had all requests, then v2 got them in steps that are allowed; v1 is no stable version any more."""

    @pytest.fixture
    def moved(self, project: Project) -> Project:
        for v1, v2 in ((100, 0), (50, 50), (0, 100)):
            project.weigh(v1=v1, v2=v2)
            project.commit()
        return project

    def test_version_may_have_everything_back_at_once(self, moved: Project) -> None:
        moved.weigh(v1=100, v2=0)

        assert rules_of(plan_json()) == []

    def test_version_with_another_image_may_not(self, moved: Project) -> None:
        moved.replace("region-a", "echo:1.0.0", "echo:1.0.1")
        moved.weigh(v1=100, v2=0)

        assert ("refused", "region-a", "increase-limited") in rules_of(plan_json())

    def test_version_of_another_region_may_not(self, moved: Project) -> None:
        moved.weigh("region-b", v1=0, v2=100)

        assert ("refused", "region-b", "increase-limited") in rules_of(plan_json())

    def test_version_is_looked_for_only_up_to_the_base(self, moved: Project) -> None:
        moved.weigh(v1=100, v2=0)
        later = moved.commit()

        # at the base v1 has 90 %, and v2 never had 100
        document = plan_json("--base", "main~4", "--head", "main~1")

        assert later
        assert ("refused", "region-a", "increase-limited") in rules_of(document)

    def test_version_that_a_shallow_clone_does_not_know_is_said_to_be_unknown(
        self, moved: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moved.weigh(v1=100, v2=0)
        moved.commit()
        moved.repository.git("clone", "--quiet", "--depth=2", f"file://{moved.directory}", str(tmp_path / "clone"))
        monkeypatch.chdir(tmp_path / "clone")

        document = plan_json("--base", "HEAD~1", "--head", "HEAD")

        assert ("refused", "region-a", "increase-limited") in rules_of(document)
        assert document["assumed"][-1] == (
            "no version had all requests of region-a in the commits that this shallow clone lacks"
        )

    def test_version_is_known_where_pulumi_delivers_too(self, project: Project) -> None:
        project.repository.git("rm", "-r", "--quiet", "deploy/overlays/region-a")
        project.replace("region-a", "  # echo-rollout:delivery: gitops", "  echo-rollout:delivery: direct")
        for v1, v2 in ((100, 0), (0, 100)):
            project.weigh(v1=v1, v2=v2)
            project.commit()
        project.weigh(v1=100, v2=0)

        assert rules_of(plan_json()) == []


class TestJson:
    def test_has_this_shape(self, project: Project) -> None:
        base = project.commit()
        project.replace("region-a", "probe:1.0.0", "probe:1.0.1")
        project.weigh(v1=75, v2=25)

        document = plan_json("--region", "region-a")

        findings = document.pop("findings")
        assert document == {
            "verdict": "warning",
            "base": {"revision": "HEAD", "commit": base},
            "head": {"revision": None, "commit": None},
            "regions": [
                {
                    "region": "region-a",
                    "service": "echo",
                    "stack": "region-a",
                    "state": "changed",
                    "delivery": "gitops",
                    "order_is_safe": True,
                    "story": [],
                    "versions": [
                        {
                            "version": "v1",
                            "before": {"weight": 90, "replicas": 3, "images": ["registry.corp.local/echo:1.0.0"]},
                            "after": {"weight": 75, "replicas": 3, "images": ["registry.corp.local/echo:1.0.0"]},
                            "capacity": 100,
                        },
                        {
                            "version": "v2",
                            "before": {"weight": 10, "replicas": 3, "images": ["registry.corp.local/echo:2.0.0"]},
                            "after": {"weight": 25, "replicas": 3, "images": ["registry.corp.local/echo:2.0.0"]},
                            "capacity": 100,
                        },
                    ],
                    "settings": [
                        {
                            "path": "probe.image",
                            "before": "registry.corp.local/probe:1.0.0",
                            "after": "registry.corp.local/probe:1.0.1",
                            "carrier": "pulumi up -s region-a",
                            "effect": "the measuring client restarts",
                        }
                    ],
                    "differences": [
                        {
                            "object": "VirtualService echo/echo",
                            "field": f"spec.http[0].route[{entry}].weight",
                            "before": before,
                            "after": after,
                            "effect": "where requests go, as soon as each client's proxy knows",
                        }
                        for entry, before, after in ((0, 90, 75), (1, 10, 25))
                    ],
                }
            ],
            "assumed": [
                f"{base[:7]} is delivered and acknowledged in region-a",
                "main of https://git.corp.local/platform/echo-rollout.git comes to be the working tree, and Argo CD of region-a "
                "follows it",
            ],
        }
        assert [sorted(finding) for finding in findings] == [
            ["fact", "mend", "reason", "region", "rule", "service", "severity", "steps", "waived", "what", "where"]
        ]

    @pytest.mark.parametrize(("weights", "verdict"), [((75, 25), "safe"), ((30, 70), "refused")])
    def test_tells_the_verdict(self, project: Project, weights: tuple[int, int], verdict: str) -> None:
        project.weigh(v1=weights[0], v2=weights[1])

        assert plan_json()["verdict"] == verdict

    def test_tells_a_waiver_with_its_reason(self, project: Project) -> None:
        project.stack_file("region-a").open("a").write(
            "  echo-rollout:rules:\n    waived: {increase-limited: the old one burns}\n"
        )
        project.commit()
        project.weigh(v1=30, v2=70)

        document = plan_json()

        assert [(each["rule"], each["severity"], each["waived"]) for each in document["findings"]] == [
            ("increase-limited", "warning", "the old one burns")
        ]


class TestUsage:
    def test_below_the_project_is_as_in_it(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        project.weigh(v1=75, v2=25)
        in_it = plan().stdout
        monkeypatch.chdir(project.directory / "deploy" / "overlays")

        assert plan().stdout == in_it

    def test_of_a_project_below_the_top_of_its_repository_is_as_at_the_top(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = new_planned_below(new_repository(tmp_path / "mono"), "infra")
        monkeypatch.chdir(made.directory)
        made.weigh(v1=75, v2=25)

        assert plan_json()["regions"][0]["versions"][1]["before"]["weight"] == 10

    def test_of_a_bare_name_is_told_how_to_say_it(self, project: Project) -> None:
        ran = plan("region-a")

        assert ran.exit_code == 2
        assert "write --region region-a" in ran.stderr

    @pytest.mark.parametrize("arguments", [("--what",), ("--json", "--markdown"), ("--base",)])
    def test_that_is_wrong_is_2(self, project: Project, arguments: tuple[str, ...]) -> None:
        assert plan(*arguments).exit_code == 2

    def test_changes_no_file(self, project: Project) -> None:
        project.weigh(v1=75, v2=25)
        before = files_below(project.directory)

        plan()

        assert files_below(project.directory) == before

    def test_help_tells_the_exit_codes(self) -> None:
        text = plan("--help").stdout

        assert "0    nothing to say against it" in text
        assert "130  stopped by Ctrl-C (143 SIGTERM, 129 SIGHUP)" in text


def started(project: Path, *arguments: str, path: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{path}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_ctrl_c_ends_with_130_and_without_a_word_of_python(project: Project, tmp_path: Path) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    os.mkfifo(tmp_path / "started")
    slow.write_text(f"#!/bin/sh\necho > {tmp_path / 'started'}\nexec sleep 60\n")
    slow.chmod(0o755)
    process = started(project.directory, "-m", "rollout", "plan", path=str(slow.parent))
    (tmp_path / "started").read_text()

    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)

    assert (process.returncode, stdout, stderr) == (130, "", "stopped\n")


def test_a_plan_does_not_wait_for_what_rendering_and_measuring_need(project: Project) -> None:
    process = started(project.directory, "-X", "importtime", "-m", "rollout", "plan", "--json")
    stdout, stderr = process.communicate(timeout=60)
    imported = {line.rsplit("|", 1)[1].strip() for line in stderr.splitlines() if line.startswith("import time:")}

    assert json.loads(stdout)["verdict"] == "safe"
    assert "rollout.plan.comparison" in imported
    assert imported & {"kubernetes", "websocket", "scipy", "pulumi", "pulumi_kubernetes"} == set()
