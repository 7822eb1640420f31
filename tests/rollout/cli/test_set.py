"""`rollout set` as an operator runs it: in a clone, beside uncommitted work, against a remote that others push to."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Ran

from rollout.__main__ import app
from rollout.git.record import Promotion, PromotionState, Record, message
from rollout.git.repository import Repository
from tests.rollout.planned import Project, new_planned, new_planned_below
from tests.rollout.repository import Repository as Work
from tests.rollout.repository import new_repository
from tests.rollout.stack_files import edit

FILES = ["Pulumi.region-a.yaml", "deploy/overlays/region-a/echo/vs.yaml"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = new_planned(tmp_path / "project")
    ready(project, monkeypatch, tmp_path)
    return project


@pytest.fixture
def remote(project: Project, tmp_path: Path) -> Work:
    """The bare repository that the project was pushed to."""
    place = tmp_path / "remote.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", str(place)], check=True)
    project.repository.git("remote", "add", "origin", str(place))
    project.repository.git("push", "--quiet", "origin", "main")
    return Work(place)


def ready(project: Project, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The operator stands in the project, and has no other configuration than this."""
    project.repository.git("config", "user.name", "operator")
    project.repository.git("config", "user.email", "operator@corp.local")
    monkeypatch.chdir(project.directory)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def set_weights(*arguments: str) -> Ran:
    return CliRunner().invoke(app, ["set", "--region", "region-a", *arguments])


def state(project: Project) -> tuple[str, str, str]:
    """The branch's tip, what differs from it, and the files that the weights are in."""
    git = project.repository.git
    texts = [(project.directory / name).read_text() for name in FILES]
    return git("rev-parse", "main"), git("status", "--porcelain"), "".join(texts)


def lines(ran: Ran) -> list[str]:
    return ran.stdout.splitlines()


class TestSet:
    def test_commits_the_stack_file_and_the_overlay_and_nothing_else(self, project: Project) -> None:
        before = project.repository.git("rev-parse", "main")
        text = project.stack_file("region-a").read_text()

        ran = set_weights("v2=25")

        assert ran.exit_code == 0, ran.output
        git = project.repository.git
        assert git("rev-parse", "main^") == before
        assert git("diff", "--name-only", "main^", "main").splitlines() == FILES
        assert git("log", "-1", "--format=%an: %B") == "operator: echo in region-a: v1 90 → 75 %, v2 10 → 25 %"
        assert git("status", "--porcelain") == ""
        assert project.stack_file("region-a").read_text() == text.replace("weight: 90}", "weight: 75}").replace(
            "weight: 10}", "weight: 25}"
        )

    def test_shows_the_plan_of_that_commit(self, project: Project) -> None:
        ran = set_weights("v2=25")

        head = project.repository.git("rev-parse", "main")
        assert f"→ {head[:7]}" in lines(ran)[0]
        assert any(line.startswith("region-a: v2 10 % → 25 %, v1 75 %;") for line in lines(ran))
        assert lines(ran)[-1] == f"committed {head[:10]} on main; it takes effect when it is pushed"

    def test_takes_a_message(self, project: Project) -> None:
        set_weights("v2=25", "--message", "More for v2")

        assert project.repository.git("log", "-1", "--format=%B", "main") == "More for v2"

    def test_has_nothing_to_do_where_the_weights_are_so(self, project: Project) -> None:
        before = state(project)

        ran = set_weights("v2=10")

        assert (ran.exit_code, ran.stdout) == (0, "nothing to do: the weights are so already\n")
        assert state(project) == before

    def test_refuses_what_the_plan_refuses_and_shows_it(self, project: Project) -> None:
        project.replace("region-a", "2.0.0, replicas: 3", "2.0.0, replicas: 1")
        project.render()
        project.commit()
        before = state(project)

        ran = set_weights("v2=100")

        assert ran.exit_code == 2
        assert any(line.startswith("refused: region-a") for line in lines(ran))
        assert lines(ran)[-1] == "nothing was committed"
        assert state(project) == before

    @pytest.mark.parametrize("how", [[], ["--push"], ["--dry-run"]])
    def test_refuses_while_the_region_is_frozen(self, project: Project, remote: Work, how: list[str]) -> None:
        project.freeze("region-a")
        project.commit()
        project.repository.git("push", "--quiet", "origin", "main")
        before = state(project)

        ran = set_weights("v2=25", *how)

        assert ran.exit_code == 2
        assert re.search(r"error: region-a: \$\.rules\.freeze\[0\]: frozen until 20.* UTC: end of the year", ran.stderr)
        assert state(project) == before
        assert remote.git("rev-parse", "main") == before[0]

    def test_gives_requests_back_in_spite_of_a_freeze(self, project: Project) -> None:
        project.freeze("region-a")
        project.commit()

        assert set_weights("v2=0").exit_code == 0

    def test_passes_a_freeze_whose_rule_was_waived(self, project: Project) -> None:
        project.freeze("region-a")
        project.replace("region-a", "{freeze:", "{waived: {outside-freeze: a fault that costs more}, freeze:")
        project.commit()

        ran = set_weights("v2=25")

        assert ran.exit_code == 0
        assert "waived: a fault that costs more" in ran.stdout

    def test_commits_in_spite_of_a_warning(self, project: Project) -> None:
        # the regions are then not alike
        project.replace("region-a", "maxEjectionPercent: 34", "maxEjectionPercent: 50")
        project.render()
        project.commit()

        ran = set_weights("v2=60")

        assert ran.exit_code == 0, ran.output
        assert any(line.startswith("warning: ") for line in lines(ran)), ran.output
        assert project.repository.git("log", "-1", "--format=%s", "main").startswith("echo in region-a: v1 90 → 40 %")

    def test_changes_nothing_in_a_dry_run(self, project: Project) -> None:
        before = state(project)

        ran = set_weights("v2=25", "--dry-run")

        assert (ran.exit_code, lines(ran)[-1]) == (0, "nothing was committed (--dry-run)")
        assert state(project) == before

    def test_keeps_uncommitted_work_in_other_files(self, project: Project) -> None:
        project.weigh("region-b", v1=80, v2=20)
        changed = project.repository.git("status", "--porcelain")

        ran = set_weights("v2=25")

        assert ran.exit_code == 0, ran.output
        assert project.repository.git("status", "--porcelain") == changed
        assert project.repository.git("diff", "--name-only", "main^", "main").splitlines() == FILES

    def test_refuses_where_uncommitted_work_would_be_lost(self, project: Project) -> None:
        project.replace("region-a", "maxEjectionPercent: 34", "maxEjectionPercent: 50")
        before = state(project)

        ran = set_weights("v2=25")

        assert ran.exit_code == 2
        assert ran.stderr.startswith("error: Pulumi.region-a.yaml has changes that are not committed")
        assert state(project) == before

    def test_works_in_a_project_below_the_top_of_its_repository(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project = new_planned_below(new_repository(tmp_path / "mono"), "infra/echo")
        ready(project, monkeypatch, tmp_path)
        monkeypatch.chdir(project.directory / "deploy")

        ran = set_weights("v2=25")

        assert ran.exit_code == 0, ran.output
        names = project.repository.git("diff", "--name-only", "main^", "main").splitlines()
        assert names == [f"infra/echo/{name}" for name in FILES]
        assert project.repository.git("status", "--porcelain") == ""

    def test_refuses_where_the_commit_would_undo_what_this_checkout_does_not_render(self, project: Project) -> None:
        edit(project.overlay("region-a", "deployment-v1.yaml"), "memory: 64Mi", "memory: 96Mi")
        project.commit()
        before = state(project)

        ran = set_weights("v2=25")

        assert (ran.exit_code, ran.stdout) == (2, "")
        assert ran.stderr.startswith("error: region-a: this checkout renders Pulumi.region-a.yaml otherwise than it is")
        assert state(project) == before

    def test_needs_a_branch(self, project: Project) -> None:
        project.repository.git("checkout", "--quiet", "--detach")

        assert set_weights("v2=25").stderr.startswith("error: no branch is checked out, but the commit ")

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["v2"], "'v2' is not of the form VERSION=WEIGHT"),
            (["v9=10"], "v9: there is no such version here"),
            (["v1=50", "v2=60"], "v1 50 + v2 60 makes 110, not 100"),
            (["v2=25", "--region", "region-c"], "--region region-c: there is no such region"),
        ],
    )
    def test_refuses_wishes_that_cannot_be(self, project: Project, arguments: list[str], told: str) -> None:
        before = state(project)

        ran = set_weights(*arguments)

        assert (ran.exit_code, ran.stdout) == (2, "")
        assert ran.stderr.startswith(f"error: {told}")
        assert state(project) == before

    def test_waits_for_no_other_rollout(self, project: Project) -> None:
        with Repository(project.directory).locked("echo"):
            ran = set_weights("v2=25")

        assert (ran.exit_code, ran.stderr[:38]) == (2, "error: another rollout of echo is at w")

    def test_tells_a_program_what_came_of_it(self, project: Project) -> None:
        document: dict[str, Any] = json.loads(set_weights("v2=25", "--json").stdout)

        plan = document.pop("plan")
        assert document == {
            "done": "committed",
            "region": "region-a",
            "service": "echo",
            "before": {"v1": 90, "v2": 10},
            "after": {"v1": 75, "v2": 25},
            "commit": project.repository.git("rev-parse", "main"),
            "branch": "main",
            "remote": None,
        }
        assert plan["head"]["commit"] == document["commit"]

    @pytest.mark.usefixtures("project")
    def test_tells_a_program_that_there_is_nothing_to_do(self) -> None:
        document: dict[str, Any] = json.loads(set_weights("v2=10", "--json").stdout)

        assert (document["done"], document["commit"], document["plan"]) == ("nothing to do", None, None)


class TestServices:
    """Two of them, echo and web."""

    @pytest.fixture
    def two(self, project: Project) -> Project:
        project.add_service()
        project.commit()
        return project

    def test_one_has_to_be_named(self, two: Project) -> None:
        before = state(two)

        ran = set_weights("v2=25")

        assert (ran.exit_code, ran.stdout) == (2, "")
        assert ran.stderr.startswith("error: there are the services echo, web, and none is named")
        assert state(two) == before

    def test_the_other_one_stays_as_it_is(self, two: Project) -> None:
        echo = two.overlay("region-a", "vs.yaml").read_text()

        ran = set_weights("v2=25", "--service", "web")

        assert ran.exit_code == 0, ran.output
        git = two.repository.git
        assert git("log", "-1", "--format=%s") == "web in region-a: v1 100 → 75 %, v2 0 → 25 %"
        assert git("diff", "--name-only", "main^", "main").splitlines() == [
            "Pulumi.region-a.yaml",
            "deploy/overlays/region-a/web/vs.yaml",
        ]
        assert any(line.startswith("region-a, web: v2 0 % → 25 %, v1 75 %;") for line in lines(ran))
        assert two.overlay("region-a", "vs.yaml").read_text() == echo

    def test_a_promotion_of_the_other_one_keeps_nobody(self, two: Project) -> None:
        promotion = Promotion("p-1", "echo", "v2", (10, 50), ("region-a",), 60, "a" * 40)
        repository = Repository(two.directory)
        text = message("Promote", Record(promotion, PromotionState.IN_PROGRESS, "region-a", 10))
        assert repository.follow(repository.commit(two.repository.git("rev-parse", "main"), {}, text))

        assert set_weights("v2=25", "--service", "echo").exit_code == 2
        assert set_weights("v2=25", "--service", "web").exit_code == 0


class TestPromotionInProgress:
    def record(self, project: Project, state: PromotionState, *regions: str) -> None:
        promotion = Promotion("p-1", "echo", "v2", (10, 50), regions, 60, "a" * 40)
        text = message("Promote v2", Record(promotion, state, regions[0], 10))
        repository = Repository(project.directory)
        assert repository.follow(repository.commit(project.repository.git("rev-parse", "main"), {}, text))

    def test_is_left_alone(self, project: Project) -> None:
        self.record(project, PromotionState.IN_PROGRESS, "region-a", "region-b")
        project.commit()
        before = state(project)

        ran = set_weights("v2=25")

        assert ran.exit_code == 2
        assert ran.stderr.startswith("error: the promotion p-1 is in progress: echo v2 has 10 % in region-a by ")
        assert "rollout rollback" in ran.stderr
        assert state(project) == before

    @pytest.mark.parametrize(
        ("how_far", "region"),
        [
            (PromotionState.DONE, "region-a"),
            (PromotionState.ROLLED_BACK, "region-a"),
            (PromotionState.IN_PROGRESS, "region-b"),
        ],
    )
    def test_keeps_nobody_where_it_is_over_or_elsewhere(
        self, project: Project, how_far: PromotionState, region: str
    ) -> None:
        self.record(project, how_far, region)

        assert set_weights("v2=25").exit_code == 0


class TestPush:
    def test_puts_the_commit_where_the_branch_is_delivered_from(self, project: Project, remote: Work) -> None:
        ran = set_weights("v2=25", "--push")

        assert ran.exit_code == 0, ran.output
        head = project.repository.git("rev-parse", "main")
        assert remote.git("rev-parse", "main") == head
        assert project.repository.git("rev-parse", "origin/main") == head
        assert lines(ran)[-1] == f"pushed {head[:10]} to main of origin"

    def test_goes_to_the_remote_that_is_named(self, project: Project, remote: Work) -> None:
        project.repository.git("remote", "set-url", "origin", "/nowhere")

        assert set_weights("v2=25", "--push", "--remote", str(remote.directory)).exit_code == 0
        assert remote.git("rev-parse", "main") == project.repository.git("rev-parse", "main")

    def test_makes_the_branch_where_the_remote_does_not_have_it(self, project: Project, remote: Work) -> None:
        project.repository.git("switch", "--quiet", "--create", "more-for-v2")

        assert set_weights("v2=25", "--push").exit_code == 0
        assert remote.git("rev-parse", "more-for-v2") == project.repository.git("rev-parse", "HEAD")

    def test_refuses_where_somebody_pushed_first(self, project: Project, remote: Work) -> None:
        repository = Repository(project.directory)
        repository.push(
            repository.commit(project.repository.git("rev-parse", "main"), {}, "Theirs\n"), "origin", "main"
        )
        before, theirs = state(project), remote.git("rev-parse", "main")

        ran = set_weights("v2=25", "--push")

        assert (ran.exit_code, state(project), remote.git("rev-parse", "main")) == (2, before, theirs)
        assert f"at {theirs[:10]} in origin" in ran.stderr
        assert "git pull --ff-only origin main" in ran.stderr

    def test_refuses_to_take_unpushed_commits_along(self, project: Project, remote: Work) -> None:
        project.commit()
        before = remote.git("rev-parse", "main")

        ran = set_weights("v2=25", "--push")

        assert (ran.exit_code, remote.git("rev-parse", "main")) == (2, before)
        assert "git push origin main" in ran.stderr

    def test_that_the_remote_refuses_leaves_the_branch_where_it_was(self, project: Project, remote: Work) -> None:
        hook = remote.directory / "hooks" / "update"
        hook.write_text("#!/bin/sh\necho 'main is protected' >&2\nexit 1\n")
        hook.chmod(0o755)
        before = state(project)

        ran = set_weights("v2=25", "--push")

        assert ran.exit_code == 2
        assert "main is protected" in ran.stderr
        assert state(project) == before
