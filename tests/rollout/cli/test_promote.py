"""The verbs that change regions: what they refuse, what they show, and how they end."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner
from typer.testing import Result as Ran

from rollout.__main__ import app
from rollout.access import RegionAccess
from rollout.cli import clone as clone_module
from rollout.cli.clone import Clone
from rollout.cli.output import notification
from rollout.cli.promote import DEFAULT_STEPS
from rollout.git.record import Promotion, PromotionState, Record, message
from rollout.git.repository import Repository
from rollout.problem import Problem, refuse
from rollout.promote import persistence, preflight
from rollout.promote import promotion as engine
from rollout.promote import upstream as upstream_module
from rollout.promote.clusters import Clusters
from rollout.promote.upstream import Upstream
from tests.rollout.cli.output.test_notification import Fake
from tests.rollout.planned import REGIONS, Project
from tests.rollout.promote.fake_regions import FakeRegions
from tests.rollout.promote.two_clones import BEFORE, TwoClones, new_two_clones
from tests.rollout.repository import Repository as Work

ALL = {"v1": 0, "v2": 100}
QUICK = ("--steps", "50,100", "--bake", "0s", "--keep=0", "--margin=2", "--slower=20")
ONE = ("--regions", "region-a", *QUICK)
INTRODUCE = ["introduce", "v3", "--image", "registry.corp.local/echo:3.0.0"]


@pytest.fixture
def clones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TwoClones:
    """With the operator's clone as the working directory."""
    monkeypatch.setattr(engine, "LOOK_EVERY_SECONDS", 0)
    monkeypatch.setattr(upstream_module, "_LOOK_EVERY_SECONDS", 0)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    clones = new_two_clones(tmp_path)
    monkeypatch.chdir(clones.operator.directory)
    return clones


@pytest.fixture
def regions(clones: TwoClones, monkeypatch: pytest.MonkeyPatch) -> FakeRegions:
    fake = FakeRegions(clones.remote)

    def clusters(_opened: Clone, _names: Sequence[str], _rate: int) -> FakeRegions:
        return fake

    monkeypatch.setattr(Clone, "clusters", clusters)
    monkeypatch.setattr(preflight, "refuse_troubles", lambda *_arguments: refuse(fake.in_the_way))
    return fake


def run(*arguments: str) -> Ran:
    return CliRunner().invoke(app, [*arguments])


def interrupt() -> None:
    raise KeyboardInterrupt


def stopped(regions: FakeRegions, what: str = "look") -> Ran:
    """A promotion in region-a, while it is stopped by Ctrl-C at 50 %."""
    regions.once(what, "region-a", 50, interrupt)
    return run("promote", "v2", *ONE)


def interrupted(regions: FakeRegions) -> None:
    """After that."""
    regions.reach("interrupted", lambda: stopped(regions))


def refused(ran: Ran, *said: str) -> None:
    assert ran.exit_code == 2, ran.output
    assert all(text in ran.stderr for text in said), ran.stderr
    assert "Traceback" not in ran.output


@pytest.mark.usefixtures("regions")
class TestRefused:
    @pytest.mark.parametrize("steps", ["25,10", "10,10", "0,50", "50,101", "10;50", "ten", ","])
    def test_steps_that_do_not_rise(self, clones: TwoClones, steps: str) -> None:
        refused(run("promote", "v2", "--steps", steps), f"--steps {steps}: these are not rising percents in 1..100")
        assert clones.subjects() == []

    @pytest.mark.parametrize("bake", ["90", "13h", "-1s", "1d", "1.5m"])
    def test_a_bake_that_is_no_time(self, bake: str) -> None:
        refused(run("promote", "v2", f"--bake={bake}"), f"--bake {bake}: this is no time of at most 12h")

    def test_an_until_that_is_no_step(self) -> None:
        refused(run("promote", "v2", "--until=30"), "--until 30: this is no step of the promotion", "10, 25, 50, 100")

    def test_no_version(self) -> None:
        refused(run("promote"), "no version is named", "rollout promote v2")

    @pytest.mark.parametrize(
        "told",
        [
            ["v2"],
            ["--steps", "50"],
            ["--regions", "region-a"],
            ["--bake", "1s"],
            ["--keep", "0"],
            ["--margin", "1"],
            ["--again"],
            ["--dry-run"],
        ],
    )
    def test_anything_beside_resume(self, told: list[str]) -> None:
        refused(run("promote", "--resume", *told), "--resume stands beside")

    def test_a_version_that_is_not_there(self) -> None:
        refused(run("promote", "v3"), "region-a has no version v3")

    def test_a_region_that_is_not_there(self) -> None:
        refused(run("promote", "v2", "--regions", "region-a,region-c"), "region-c")

    def test_a_region_whose_stack_file_at_head_is_broken(self, clones: TwoClones) -> None:
        clones.operator.replace("region-a", "services:", "service:")
        clones.operator.commit()

        refused(run("promote", "v2", *ONE), "Pulumi.region-a.yaml: $.services: is missing")

    def test_a_jump_that_the_rules_refuse(self, clones: TwoClones) -> None:
        refused(run("promote", "v2", "--steps", "10,100"), "the rules refuse it")
        assert clones.subjects() == []

    def test_outside_a_project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

        refused(run("promote", "v2"), "no Pulumi.yaml")

    def test_a_remote_that_is_not_there(self) -> None:
        refused(run("promote", "v2", "--remote", "nobody"), "main of nobody cannot be fetched")

    def test_while_another_one_is_at_work_in_this_clone(self, clones: TwoClones) -> None:
        with Repository(clones.operator.directory).locked("echo"):
            for verb in (["promote", "v2"], ["rollback"], ["retire", "v2"], INTRODUCE):
                refused(run(*verb), "another rollout of echo is at work in this clone (pid ")


class TestInTheWay:
    TROUBLE = Problem("region-a: automatic sync is off", "no way back", "switch it on")

    @pytest.mark.parametrize("verb", [["promote", "v2"], ["retire", "v2"], INTRODUCE])
    def test_nothing_begins(self, clones: TwoClones, regions: FakeRegions, verb: list[str]) -> None:
        regions.in_the_way = [self.TROUBLE, replace(self.TROUBLE, what="region-b: no sidecars")]

        refused(run(*verb), "region-a: automatic sync is off", "what to do: switch it on", "region-b: no sidecars")
        assert (clones.subjects(), regions.moments) == ([], [])

    def test_nothing_goes_on(self, clones: TwoClones, regions: FakeRegions) -> None:
        interrupted(regions)
        before, moments = clones.subjects(), [*regions.moments]
        regions.in_the_way = [self.TROUBLE]

        refused(run("promote", "--resume"), "region-a: automatic sync is off")
        assert (clones.subjects(), regions.moments) == (before, moments)

    def test_the_way_back_is_taken_all_the_same(self, clones: TwoClones, regions: FakeRegions) -> None:
        interrupted(regions)
        regions.in_the_way = [self.TROUBLE]

        assert run("rollback").exit_code == 0
        assert clones.subjects()[-1] == "Roll back echo v2 in region-a"

    def test_the_steps_are_shown_all_the_same(self, regions: FakeRegions) -> None:
        regions.in_the_way = [self.TROUBLE]

        assert run("promote", "v2", "--dry-run").exit_code == 0


class TestInProgress:
    @pytest.mark.parametrize(
        "verb", [["promote", "v2"], ["promote", "v2", "--regions", "region-b"], ["retire", "v2"], INTRODUCE]
    )
    def test_nothing_else_begins(self, clones: TwoClones, regions: FakeRegions, verb: list[str]) -> None:
        interrupted(regions)

        refused(
            run(*verb),
            "the promotion echo-v2-",
            "is in progress: echo v2 has 50 % in region-a",
            "--resume",
            "rollout rollback",
        )
        assert clones.subjects() == ["Promote echo v2 in region-a: 50 %"]

    def test_nor_does_it_from_another_clone(
        self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        interrupted(regions)
        monkeypatch.chdir(clones.colleague.directory)

        refused(run("promote", "v2"), "is in progress")


class TestShallow:
    """A clone of depth 1, below whose only commit there is a promotion in progress."""

    @pytest.fixture
    def shallow(self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch) -> Work:
        interrupted(regions)
        clones.somebody_writes()
        return self.cloned(clones, monkeypatch)

    def cloned(self, clones: TwoClones, monkeypatch: pytest.MonkeyPatch) -> Work:
        directory = clones.remote.directory.with_name("shallow")
        clones.remote.git("clone", "--quiet", "--depth=1", f"file://{clones.remote.directory}", str(directory))
        clone = Work(directory)
        clone.git("config", "user.name", "shallow")
        clone.git("config", "user.email", "shallow@corp.local")
        monkeypatch.chdir(directory)
        assert clone.git("rev-list", "--count", "HEAD") == "1"
        return clone

    @pytest.mark.usefixtures("shallow")
    @pytest.mark.parametrize("verb", [["promote", "v2"], ["promote", "v2", "--dry-run"], ["retire", "v2"]])
    def test_nothing_else_begins(self, verb: list[str]) -> None:
        refused(
            run(*verb), "this clone is shallow: fetches the history", "is in progress: echo v2 has 50 % in region-a"
        )

    @pytest.mark.usefixtures("shallow")
    def test_a_weight_is_not_set(self, clones: TwoClones) -> None:
        wish = ["set", "v2=20", "--region", "region-a"]

        refused(run(*wish), "the history of ", "git fetch --unshallow origin")
        refused(run(*wish, "--push"), "is in progress: echo v2 has 50 % in region-a")
        refused(run(*wish), "is in progress")
        assert clones.subjects()[-1] == "Write"

    @pytest.mark.usefixtures("shallow")
    def test_it_is_taken_back(self, clones: TwoClones, regions: FakeRegions) -> None:
        ran = run("rollback")

        assert ran.exit_code == 0, ran.output
        assert clones.weights("region-a") == regions.in_force("region-a") == BEFORE

    @pytest.mark.usefixtures("shallow")
    def test_it_is_gone_on_with(self, clones: TwoClones) -> None:
        assert run("promote", "--resume").exit_code == 0
        assert clones.weights("region-a") == ALL

    def test_a_remote_that_is_shallow_itself_is_refused(
        self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        interrupted(regions)
        clones.somebody_writes()
        self.cloned(clones, monkeypatch).git("remote", "rename", "origin", "whole")
        directory = clones.remote.directory.with_name("second")
        clones.remote.git(
            "clone", "--quiet", "--depth=1", f"file://{clones.remote.directory.with_name('shallow')}", str(directory)
        )
        monkeypatch.chdir(directory)

        refused(run("promote", "v2"), "the history of ", "a promotion that is in progress may be below")


class TestDryRun:
    def test_shows_the_steps_and_changes_nothing(self, clones: TwoClones, regions: FakeRegions) -> None:
        ran = run("promote", "v2", "--dry-run")

        assert ran.exit_code == 0, ran.output
        rows = [line.split() for line in ran.stdout.splitlines() if "region-" in line]
        weights = list(map(int, DEFAULT_STEPS.split(",")))
        steps = [(region, min(weight, 99)) for region in ("region-a", "region-b") for weight in weights]
        steps += [(region, 100) for region in ("region-a", "region-b")]
        assert rows == [
            [str(number), region, "v1", str(100 - weight), "%,", "v2", str(weight), "%"]
            for number, (region, weight) in enumerate(steps, 1)
        ]
        assert clones.subjects() == []
        assert regions.moments == []

    def test_goes_through_the_regions_in_the_order_that_is_said(self, regions: FakeRegions) -> None:
        ran = run("promote", "v2", "--dry-run", "--regions", "region-b,region-a", "--steps", "50")

        assert [line.split()[1] for line in ran.stdout.splitlines() if "region-" in line] == ["region-b", "region-a"]
        assert regions.moments == []

    @pytest.mark.usefixtures("regions")
    def test_of_a_retirement_names_the_regions(self, clones: TwoClones) -> None:
        ran = run("retire", "v2", "--dry-run")

        assert ran.exit_code == 0
        assert [line.partition(":")[0] for line in ran.stdout.splitlines()] == list(REGIONS)
        assert clones.subjects() == []


class TestServices:
    """Two of them, echo and web."""

    @pytest.fixture
    def two(self, clones: TwoClones) -> TwoClones:
        clones.somebody("Add web", Project.add_service)
        clones.operator.repository.git("pull", "--quiet", "--ff-only")
        return clones

    @pytest.mark.usefixtures("two", "regions")
    def test_one_has_to_be_named(self) -> None:
        for verb in (["promote", "v2"], ["promote", "--resume"], ["rollback"], ["retire", "v2"], INTRODUCE):
            refused(run(*verb), "there are the services echo, web, and none is named", "--service echo")

    @pytest.mark.usefixtures("two", "regions")
    def test_one_that_is_not_there_is_told_with_the_nearest(self) -> None:
        for verb in (["promote", "v2"], ["rollback"], ["retire", "v2"]):
            refused(run(*verb, "--service", "wep"), "--service wep: there is no such service", "did you mean web?")

    @pytest.mark.usefixtures("regions")
    def test_a_retirement_of_what_testers_can_ask_for_says_that_this_ends_first(self, two: TwoClones) -> None:
        ran = run("retire", "v2", "--service", "web", "--dry-run")

        assert ran.stdout.splitlines() == [
            f"{region}: web v2 would be removed once every Envoy has acknowledged its weight 0, and testers: false by a "
            "commit before"
            for region in REGIONS
        ]
        assert two.subjects() == ["Add web"]

    def test_each_has_a_promotion_and_a_way_back_of_its_own(
        self, two: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        web = FakeRegions(two.remote, "web")
        opened: list[str] = []

        def clusters(clone: Clone, _names: Sequence[str], _rate: int) -> FakeRegions:
            opened.append(clone.upstream.service)
            return {"echo": regions, "web": web}[clone.upstream.service]

        monkeypatch.setattr(Clone, "clusters", clusters)
        regions.once("look", "region-a", 50, interrupt)
        assert run("promote", "v2", *ONE, "--service", "echo").exit_code == 130

        done = run("promote", "v2", *ONE, "--service", "web")

        assert done.exit_code == 0, done.output
        assert "web v2 has 100 % in region-a: each step was proven." in done.stdout
        refused(run("promote", "--resume", "--service", "web"), "no promotion of web is in progress", "web-v2-")
        assert run("rollback", "--service", "echo").exit_code == 0
        assert [two.weights("region-a", service=service) for service in ("echo", "web")] == [BEFORE, ALL]
        assert opened == ["echo", "web", "echo"]

    @pytest.mark.usefixtures("two", "regions")
    def test_the_one_is_not_kept_from_work_while_the_other_is_at_it(self, clones: TwoClones) -> None:
        with Repository(clones.operator.directory).locked("echo"):
            refused(run("promote", "v2", "--dry-run", "--service", "echo"), "another rollout of echo is at work")
            assert run("promote", "v2", "--dry-run", "--service", "web").exit_code == 0


class TestPromote:
    def test_done_ends_with_0_and_prints_the_steps(self, clones: TwoClones, regions: FakeRegions) -> None:
        ran = run("promote", "v2", *ONE)

        assert ran.exit_code == 0, ran.output
        assert [
            line.split()[-1] for line in ran.stdout.splitlines() if re.match(r"region-a .* proven$", line.rstrip())
        ] == ["proven"] * 2
        assert "echo v2 has 100 % in region-a: each step was proven." in ran.stdout
        assert clones.weights("region-a") == regions.in_force("region-a") == ALL

    def test_a_branch_by_its_full_name_where_a_tag_has_the_same(self, clones: TwoClones, regions: FakeRegions) -> None:
        def by_full_name(project: Project) -> None:
            for region in REGIONS:
                project.replace(region, "    # revision: main ", "    revision: refs/heads/main ")

        clones.somebody("Name the branch", by_full_name)
        clones.operator.repository.git("pull", "--quiet", "--ff-only")
        clones.operator.repository.git("tag", "main", "HEAD~1")

        ran = run("promote", "v2", *ONE)

        assert ran.exit_code == 0, ran.output
        assert clones.weights("region-a") == regions.in_force("region-a") == ALL

    def test_json_is_all_that_is_on_stdout(self, regions: FakeRegions) -> None:
        ran = run("promote", "v2", *ONE, "--json")

        document = json.loads(ran.stdout)
        assert (document["state"], [step["weight"] for step in document["steps"]]) == ("done", [50, 100])
        assert "committed as" in ran.stderr

    def test_taken_back_ends_with_1_and_says_what_it_cost(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.failure_rate = lambda _region, version, _weight: float(version == "v2")

        ran = run("promote", "v2", *ONE)

        assert ran.exit_code == 1, ran.output
        assert "echo v2 rolled back: region-a: v2 fails more often than v1" in ran.stdout
        assert "requests that went to v2" in ran.stdout
        assert clones.weights("region-a") == BEFORE

    def test_a_way_back_that_does_not_arrive_ends_with_2(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.failure_rate = lambda _region, version, _weight: float(version == "v2")
        regions.arrives = lambda _region, weights: weights["v2"] > 0

        ran = run("promote", "v2", *ONE)

        assert ran.exit_code == 2, ran.output
        assert "region-a: v1 100 %, v2 0 % by " in ran.stdout
        assert "NOT known to be delivered" in ran.stdout
        assert clones.weights("region-a") == BEFORE

    def test_a_remote_that_is_away_for_a_moment_does_not_stop_it(
        self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        remote = clones.remote.directory
        away = remote.with_name("away")
        comes_back = partial(Upstream, pause=lambda _seconds: away.rename(remote))
        monkeypatch.setattr(clone_module, "Upstream", comes_back)
        for action in (lambda: None, lambda: None, lambda: remote.rename(away)):
            regions.once("look", "region-a", 50, action)

        ran = run("promote", "v2", *ONE)

        assert ran.exit_code == 0, ran.output
        assert "tries again in 0.5 s" in ran.stderr

    def test_somebody_else_ends_it_with_2(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.once("look", "region-a", 50, lambda: clones.somebody_weighs("region-a", v1=70, v2=30))

        ran = run("promote", "v2", *ONE)

        assert ran.exit_code == 2, ran.output
        assert "echo v2 ended: region-a was changed by somebody else meanwhile" in ran.stdout

    def test_a_region_that_does_not_hold_before_is_refused(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.unanswered_rate = lambda _region: 0.1

        refused(run("promote", "v2", *ONE), "nothing was changed")
        assert clones.subjects() == []

    @pytest.mark.parametrize("fault", [KeyError("v2"), SystemExit(1), BrokenPipeError()], ids=repr)
    def test_a_fault_of_its_own_ends_with_70_and_says_where_it_came_from(
        self, clones: TwoClones, regions: FakeRegions, fault: BaseException
    ) -> None:
        def fails() -> None:
            raise fault

        regions.once("look", "region-a", 50, fails)

        ran = run("promote", "v2", *ONE)

        assert ran.exit_code == 70, ran.output
        assert f"error: rollout itself failed: {type(fault).__name__}" in ran.stderr
        assert "in fails" in ran.stderr
        assert clones.weights("region-a") == {"v1": 50, "v2": 50}
        assert run("promote", "--resume").exit_code == 0

    def test_ctrl_c_ends_with_130_and_says_how_to_go_on(self, regions: FakeRegions) -> None:
        ran = stopped(regions)

        assert ran.exit_code == 130
        assert "`rollout promote --resume` goes on with what is in progress" in ran.stderr

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_another_signal_ends_it_with_words_as_well(self, regions: FakeRegions, number: signal.Signals) -> None:
        regions.once("look", "region-a", 50, lambda: os.kill(os.getpid(), number))
        # under nohup one of them is ignored
        before = signal.signal(number, signal.SIG_DFL)
        try:
            ran = run("promote", "v2", *ONE)
        finally:
            signal.signal(number, before)

        assert ran.exit_code == 128 + number
        assert "stopped: `rollout promote --resume` goes on with what is in progress" in ran.stderr


class TestNobodyReads:
    """The code is right on a terminal that is gone."""

    @pytest.fixture
    def gone(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        """The terminal goes when this is called."""

        def fails(*_arguments: object, **_options: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        def go() -> None:
            monkeypatch.setattr(Console, "print", fails)
            monkeypatch.setattr(typer, "echo", fails)
            monkeypatch.setattr(traceback, "print_exception", fails)

        return go

    def test_a_rollback_and_another_one(self, regions: FakeRegions, gone: Callable[[], None]) -> None:
        interrupted(regions)
        gone()

        assert [run("rollback").exit_code, run("rollback", "--json").exit_code] == [0, 0]

    def test_a_step_that_fails(self, regions: FakeRegions, gone: Callable[[], None]) -> None:
        regions.failure_rate = lambda _region, version, _weight: float(version == "v2")

        def stays_there() -> None:
            gone()
            regions.arrives = lambda _region, _weights: False

        regions.once("look", "region-a", 50, lambda: regions.once("deliver", "region-a", 0, stays_there))

        assert run("promote", "v2", *ONE).exit_code == 2

    def test_a_fault(self, regions: FakeRegions, gone: Callable[[], None]) -> None:
        def fails() -> None:
            gone()
            raise KeyError("v2")

        regions.once("look", "region-a", 50, fails)

        assert run("promote", "v2", *ONE).exit_code == 70

    @pytest.mark.usefixtures("regions")
    def test_what_is_refused(self, gone: Callable[[], None]) -> None:
        gone()

        assert run("rollback").exit_code == 2


class TestElsewhere:
    """Gone on with in a clone that does not know a region of it yet."""

    @pytest.fixture
    def older(self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch) -> Path:
        regions.once("look", "region-a", 50, interrupt)
        run("promote", "v2", *QUICK)
        clone = clones.colleague.repository
        clone.git("rm", "--quiet", "Pulumi.region-b.yaml")
        clone.git("commit", "--quiet", "--message", "Before region-b")
        monkeypatch.chdir(clone.directory)
        return clone.directory

    def test_the_newest_commit_says_where_it_is(
        self, older: Path, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[RegionAccess] = []

        def look(_project: Path, where: Sequence[RegionAccess], *_: object) -> None:
            seen.extend(where)
            refuse([Problem("seen")])

        monkeypatch.setattr(preflight, "refuse_troubles", look)

        refused(run("promote", "--resume"), "seen")
        assert [(each.name, each.stack) for each in seen] == [(region, region) for region in REGIONS]

    def test_where_nothing_says_that_it_is_refused(self, older: Path, regions: FakeRegions) -> None:
        (older / ".regions.yaml").write_text("regions: {region-a: {context: region-a}}\n")
        before = [*regions.moments]

        refused(run("promote", "--resume"), "region-b: nothing in .regions.yaml says where this region is")
        assert regions.moments == before


class TestOptionsOfOneRun:
    def test_it_runs_a_command_stops_well_and_tells(
        self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        people = Fake()
        monkeypatch.setattr(notification, "receivers", lambda _urls: [people])
        written = clones.remote.directory / "written"
        asked = ("--before-step", f"echo $ROLLOUT_WEIGHT >> {written}", "--notify=slack://secret")

        ran = run("promote", "v2", *ONE, "--until=50", *asked)

        assert ran.exit_code == 0, ran.output
        assert "echo v2 stops: 50 % in region-a is proven. `rollout promote --resume` goes on." in ran.stdout
        assert (clones.subjects(), regions.in_force("region-a")["v2"]) == (["Promote echo v2 in region-a: 50 %"], 50)
        assert people.lines[1:] == [
            f"echo v2 gets 50 % in region-a ({clones.tip[:10]})",
            f"echo v2 is in progress: 50 % in region-a is proven ({clones.tip[:10]})",
        ]

        assert run("promote", "--resume", *asked).exit_code == 0
        assert written.read_text().split() == ["50", "100"]

    def test_a_command_that_fails_ends_with_2(self, clones: TwoClones, regions: FakeRegions) -> None:
        refused(run("promote", "v2", *ONE, "--before-step=exit 3"), "--before-step 'exit 3' failed with exit code 3")
        assert (clones.subjects(), regions.in_force("region-a")) == ([], BEFORE)

    @pytest.mark.usefixtures("regions")
    def test_an_address_that_is_none_begins_nothing(self, clones: TwoClones) -> None:
        refused(run("promote", "v2", *ONE, "--notify=nothing://secret"), "--notify: number 1 is no address")
        assert clones.subjects() == []


class TestResume:
    def test_goes_on_as_it_began(self, clones: TwoClones, regions: FakeRegions) -> None:
        interrupted(regions)

        ran = run("promote", "--resume")

        assert ran.exit_code == 0, ran.output
        assert clones.subjects() == [
            "Promote echo v2 in region-a: 50 %",
            "Promote echo v2 in region-a: 100 %",
            "echo v2 is promoted",
        ]

    @pytest.mark.usefixtures("regions")
    def test_of_none_is_refused(self) -> None:
        refused(run("promote", "--resume"), "no promotion of echo is in progress: there never was one")

    @pytest.mark.parametrize(("first", "state"), [("promote", "done"), ("rollback", "rolled back")])
    def test_of_one_that_ended_is_refused(self, regions: FakeRegions, first: str, state: str) -> None:
        interrupted(regions)
        run("promote", "--resume") if first == "promote" else run("rollback")

        refused(
            run("promote", "--resume"), "no promotion of echo is in progress: the last one, echo-v2-", f"is {state}"
        )


class TestUntilRegion:
    def test_stops_well_and_goes_on_once_all_regions_are_measured_again(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        first = run("promote", "v2", *QUICK, "--until-region", "region-a")

        assert first.exit_code == 0, first.output
        assert "echo v2 stops: region-a is done. `rollout promote --resume` goes on." in first.stdout
        assert [clones.weights(region) for region in REGIONS] == [ALL, BEFORE]
        assert {record.state for record in clones.records()} == {PromotionState.IN_PROGRESS}
        moments = len(regions.moments)

        second = run("promote", "--resume", "--until-region", "region-b")

        assert second.exit_code == 0, second.output
        assert "echo v2 has 100 % in region-a, region-b: each step was proven." in second.stdout
        assert [clones.weights(region) for region in REGIONS] == [ALL, ALL]
        done = [(moment.what, moment.region) for moment in regions.moments[moments:]]
        assert done.index(("certify", "region-b")) < done.index(("watch", "region-b"))

    def test_of_a_region_that_is_done_takes_no_step(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.once("look", "region-b", 50, interrupt)
        assert run("promote", "v2", *QUICK).exit_code == 130
        before = clones.subjects()

        ran = run("promote", "--resume", "--until-region", "region-a")

        assert ran.exit_code == 0, ran.output
        assert clones.subjects() == before

    def test_a_version_that_fails_before_is_taken_back(self, clones: TwoClones, regions: FakeRegions) -> None:
        regions.failure_rate = lambda _region, version, weight: float(version == "v2" and weight >= 50)

        ran = run("promote", "v2", *QUICK, "--until-region", "region-a")

        assert ran.exit_code == 1, ran.output
        assert clones.weights("region-a") == BEFORE

    @pytest.mark.usefixtures("regions")
    def test_of_a_region_that_it_does_not_go_through_is_refused(self) -> None:
        refused(run("promote", "v2", *ONE, "--until-region", "region-b"), "does not go through it", "region-a")


class TestAgain:
    """After a version was taken back."""

    @pytest.fixture(autouse=True)
    def taken_back(self, clones: TwoClones, regions: FakeRegions) -> None:
        def taken_back() -> None:
            interrupted(regions)
            assert run("rollback", "--reason", "answers slowly").exit_code == 0
            clones.somebody_writes()

        regions.reach("taken back", taken_back)

    @pytest.mark.parametrize("more", [(), ("--dry-run",), ("--regions", "region-b")])
    def test_the_same_image_is_refused_with_the_reason(self, clones: TwoClones, more: tuple[str, ...]) -> None:
        back = clones.remote.git("rev-parse", "main~1")

        refused(
            run("promote", "v2", *QUICK, *more),
            "echo v2 was taken back on 20",
            f" by {back[:10]} of operator: answers slowly",
            "registry.corp.local/echo:2.0.0",
            "rollout promote v2 --again",
        )
        assert clones.subjects()[-1] == "Write"

    def test_it_is_promoted_where_a_person_says_so(self, clones: TwoClones) -> None:
        assert run("promote", "v2", *ONE, "--again").exit_code == 0
        assert clones.weights("region-a") == ALL

    def test_so_it_is_with_another_image(self, clones: TwoClones) -> None:
        def another(project: Project) -> None:
            for region in REGIONS:
                project.replace(region, "echo:2.0.0", "echo:2.0.1")
            project.render()

        clones.somebody("Mend v2", another)

        assert run("promote", "v2", *ONE).exit_code == 0

    def test_a_promotion_of_another_version_since_then_is_no_pardon(self, clones: TwoClones) -> None:
        upstream = clones.upstream(of=clones.colleague)
        promotion = Promotion("v1-x", "echo", "v1", (100,), REGIONS, 0, clones.tip)
        done = message("echo v1 is promoted", Record(promotion, PromotionState.DONE, "region-b", 100))
        upstream.placed(lambda tip: upstream.shifted(tip, {}, done))

        refused(run("promote", "v2", *ONE), "answers slowly")


class TestRollback:
    def test_a_remote_that_does_not_answer_at_first_is_asked_again(
        self, clones: TwoClones, regions: FakeRegions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        interrupted(regions)
        fetch, remote = Repository.fetch, clones.remote.directory
        away = remote.rename(remote.with_name("away"))

        def comes_back(repository: Repository, name: str, branch: str) -> str:
            try:
                return fetch(repository, name, branch)
            finally:
                if away.exists():
                    away.rename(remote)

        monkeypatch.setattr(Repository, "fetch", comes_back)
        monkeypatch.setattr(persistence, "FIRST_PAUSE_SECONDS", 0)

        ran = run("rollback")

        assert ran.exit_code == 0, ran.output
        assert "main of origin cannot be fetched: fatal: " in ran.stderr
        assert clones.weights("region-a") == BEFORE

    def test_takes_back_what_is_done(self, clones: TwoClones, regions: FakeRegions) -> None:
        run("promote", "v2", *ONE)

        ran = run("rollback", "--reason", "too slow")

        assert ran.exit_code == 0, ran.output
        assert "region-a: v1 100 %, v2 0 %" in ran.stdout
        assert "region-a echo: holds" in ran.stdout
        assert clones.weights("region-a") == regions.in_force("region-a") == BEFORE
        assert (clones.records()[-1].reason, clones.subjects()[-1]) == ("too slow", "Roll back echo v2 in region-a")

    def test_is_not_kept_from_it_by_an_edit_that_nobody_has_committed(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        run("promote", "v2", *ONE)
        for region in REGIONS:
            clones.operator.replace(region, "services:", "service:")

        ran = run("rollback")

        assert ran.exit_code == 0, ran.output
        assert regions.in_force("region-a") == BEFORE

    def test_a_region_that_this_clone_cannot_find_is_named_and_stops_no_other(
        self, clones: TwoClones, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake = FakeRegions(clones.remote)

        def clusters(*found: Any) -> FakeRegions:
            Clusters(*found)
            return fake

        monkeypatch.setattr(clone_module, "Clusters", clusters)
        monkeypatch.setattr(preflight, "refuse_troubles", lambda *_arguments: None)
        assert run("promote", "v2", *QUICK).exit_code == 0
        clones.somebody("Break region-b", lambda project: project.replace("region-b", "services:", "service:"))
        clones.operator.repository.git("pull", "--quiet", "--ff-only")

        for ran in (run("rollback"), run("rollback")):
            assert ran.exit_code == 2, ran.output
            assert "region-a: v1 100 %, v2 0 %" in ran.stdout
            assert "region-a echo: holds" in ran.stdout
            assert "error: Pulumi.region-b.yaml" in ran.stdout
        assert clones.weights("region-a") == fake.in_force("region-a") == BEFORE

    def test_takes_back_what_is_in_progress(self, clones: TwoClones, regions: FakeRegions) -> None:
        stopped(regions, "deliver")

        ran = run("rollback")

        assert ran.exit_code == 0, ran.output
        assert clones.weights("region-a") == BEFORE
        assert run("promote", "v2", *ONE, "--again").exit_code == 0

    def test_a_region_that_does_not_hold_after_it_ends_with_1(self, clones: TwoClones, regions: FakeRegions) -> None:
        interrupted(regions)
        regions.unanswered_rate = lambda _region: 0.1

        ran = run("rollback", "--json")

        assert ran.exit_code == 1, ran.output
        said = json.loads(ran.stdout)
        assert (said["service"], said["holds"]) == ("echo", False)
        assert clones.weights("region-a") == BEFORE

    def test_a_region_that_it_does_not_reach_ends_with_2_and_can_be_seen_to_later(
        self, clones: TwoClones, regions: FakeRegions
    ) -> None:
        interrupted(regions)
        regions.arrives = lambda _region, weights: weights["v2"] > 0

        ran = run("rollback")

        assert ran.exit_code == 2, ran.output
        assert "region-a: not synced within 10 min" in ran.stdout
        assert clones.weights("region-a") == BEFORE
        regions.arrives = lambda _region, _weights: True
        assert run("rollback").exit_code == 0
        assert regions.in_force("region-a") == BEFORE

    def test_where_nothing_is_left_it_commits_nothing(self, clones: TwoClones, regions: FakeRegions) -> None:
        interrupted(regions)
        run("rollback")
        tip = clones.tip

        ran = run("rollback")

        assert (ran.exit_code, clones.tip) == (0, tip)
        assert "nothing to commit: echo v2 has no requests" in ran.stderr

    @pytest.mark.usefixtures("regions")
    def test_where_there_never_was_a_promotion_is_refused(self) -> None:
        refused(run("rollback"), "there was no promotion of echo to take back")


class TestIntroduce:
    def test_ends_with_0_and_says_what_comes_next(self, clones: TwoClones, regions: FakeRegions) -> None:
        ran = run(*INTRODUCE)

        assert ran.exit_code == 0, ran.output
        brought = [f"{region}: echo v3 comes with " for region in REGIONS]
        *lines, next_ = ran.stdout.splitlines()
        assert [line[: len(begin)] for line, begin in zip(lines, brought, strict=True)] == brought
        assert next_ == "next: rollout promote v3 --service echo"
        assert [regions.in_force(region) for region in REGIONS] == [{**BEFORE, "v3": 0}] * 2
        assert clones.operator.stack_file("region-b").read_text().count("v3: {image:") == 1

    def test_what_it_brings_can_be_promoted_and_retired(self, clones: TwoClones, regions: FakeRegions) -> None:
        assert run(*INTRODUCE, "--region", "region-a").exit_code == 0

        for verb in (["promote", "v3", *ONE], ["retire", "v1", "--region", "region-a"]):
            ran = run(*verb)
            assert ran.exit_code == 0, ran.output
        assert clones.weights("region-a") == regions.in_force("region-a") == {"v2": 0, "v3": 100}
        assert clones.weights("region-b") == BEFORE

    @pytest.mark.usefixtures("regions")
    def test_again_it_says_that_it_is_there(self, clones: TwoClones) -> None:
        assert run(*INTRODUCE, "--together").exit_code == 0
        before = clones.subjects()

        ran, dry = run(*INTRODUCE), run(*INTRODUCE, "--dry-run")

        assert (ran.exit_code, dry.exit_code) == (0, 0)
        assert ran.stdout.startswith("region-a: echo v3 was there already; 7 Envoys know it\nregion-b: ")
        assert dry.stdout.splitlines() == [f"{region}: echo v3 is there already" for region in REGIONS]
        assert clones.subjects() == before == ["Introduce echo v3 in region-a, region-b"]

    @pytest.mark.usefixtures("regions")
    def test_a_dry_run_says_how_it_would_come(self, clones: TwoClones) -> None:
        ran = run(*INTRODUCE, "--dry-run")

        assert ran.stdout.splitlines() == [f"{region}: echo v3 would come with 3 replicas" for region in REGIONS]
        assert clones.subjects() == []

    @pytest.mark.usefixtures("regions")
    def test_an_image_without_a_fixed_tag_is_refused(self, clones: TwoClones) -> None:
        refused(run("introduce", "v3", "--image", "registry.corp.local/echo"), "versions.v3.image")
        assert clones.subjects() == []

    @pytest.mark.usefixtures("regions")
    def test_json_is_all_that_is_on_stdout(self, clones: TwoClones) -> None:
        document = json.loads(run(*INTRODUCE, "--region", "region-b", "--json").stdout)

        assert document == {
            "service": "echo",
            "version": "v3",
            "regions": [{"region": "region-b", "commit": clones.tip, "seconds": 0.8, "envoys": 7}],
        }


class TestRetire:
    def test_ends_with_0_and_says_where_it_is_gone(self, clones: TwoClones, regions: FakeRegions) -> None:
        ran = run("retire", "v2", "--region", "region-b")

        assert ran.exit_code == 0, ran.output
        assert ran.stdout.startswith("region-b: echo v2 is gone since ")
        assert clones.weights("region-b") == regions.in_force("region-b") == {"v1": 100}
        assert clones.weights("region-a") == BEFORE

    def test_json_is_all_that_is_on_stdout(self, regions: FakeRegions) -> None:
        document = json.loads(run("retire", "v2", "--json").stdout)

        assert [each["region"] for each in document["regions"]] == list(REGIONS)
        assert [moment.region for moment in regions.moments if moment.what == "watch"] == list(REGIONS)

    @pytest.mark.usefixtures("regions")
    def test_a_version_with_requests_is_refused(self, clones: TwoClones) -> None:
        refused(run("retire", "v1"), "region-a: v1 has weight 100", "region-b: v1 has weight 100")
        assert clones.subjects() == []

    def test_after_a_promotion_the_old_version_can_go(self, clones: TwoClones, regions: FakeRegions) -> None:
        run("promote", "v2", *ONE)

        ran = run("retire", "v1", "--region", "region-a")

        assert ran.exit_code == 0, ran.output
        assert clones.weights("region-a") == regions.in_force("region-a") == {"v2": 100}
