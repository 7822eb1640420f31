from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner
from typer.testing import Result as Ran

from components.names import ServiceAddress
from rollout.__main__ import app as rollout
from rollout.access import RegionAccess
from rollout.cli.status import status
from rollout.cluster.application import Application, parse_application
from rollout.cluster.envoys import Envoy
from rollout.cluster.objects import Live, Pods
from rollout.cluster.surroundings import Surroundings
from rollout.git.record import Promotion, PromotionState, Record, message
from rollout.problem import Problem, RolloutError
from rollout.status import snapshot
from rollout.status.snapshot import gather
from tests.rollout.cluster.applications import well
from tests.rollout.repository import Repository, committed_project
from tests.rollout.stack_files import edit
from tests.rollout.status.statuses import envoys, route

app = typer.Typer()
app.command()(status)

WEIGHTS = {"v1": 90, "v2": 10}
Listed = Sequence[Mapping[str, Any]]


@dataclass
class Clusters:
    """What the clusters of the regions say."""

    revision: str
    weights: Mapping[str, dict[str, int]] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    interrupted: bool = False
    around: Surroundings = field(default_factory=Surroundings)
    argo_cd: bool = False

    def read_application(self, region: RegionAccess, name: str) -> Application:
        assert name == "argocd/echo"
        self._answer(region)
        document = well(self.revision)
        document["spec"]["source"]["path"] = f"deploy/overlays/{region.name}/echo"
        return parse_application(document)

    def read_live(
        self, region: RegionAccess, services: Sequence[ServiceAddress], pods: Callable[[], Listed], *, argo_cd: bool
    ) -> dict[str, Live]:
        pods()
        if self.interrupted:
            raise KeyboardInterrupt
        self.argo_cd = argo_cd
        live = Live(route(self._weights(region)), {"v1": Pods(3, 3), "v2": Pods(3, 3)}, around=self.around)
        return {service.name: live for service in services}

    def list_all_pods(self, region: RegionAccess, _api: RegionAccess) -> Listed:
        self._answer(region)
        return []

    def read_connections(self, _region: RegionAccess, _pods: Listed) -> Mapping[str, str] | None:
        return None

    def read_envoys(
        self, region: RegionAccess, services: Sequence[ServiceAddress], _pods: Listed
    ) -> dict[str, tuple[Envoy, ...]]:
        return {service.name: envoys(self._weights(region)) for service in services}

    def _weights(self, region: RegionAccess) -> dict[str, int]:
        return self.weights.get(region.name, WEIGHTS)

    def _answer(self, region: RegionAccess) -> None:
        if region.name in self.silent:
            raise RolloutError(Problem(f"{region.name} does not answer", "why it is needed", "how to mend it"))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A clone of the project as it is: two regions with weights 90 and 10."""
    made = committed_project(tmp_path / "clone")
    monkeypatch.chdir(made.directory)
    return made


@pytest.fixture
def clusters(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Clusters:
    made = Clusters(repository.git("rev-parse", "HEAD"))
    for name in ("read_application", "read_live", "read_envoys", "read_connections", "list_all_pods"):
        monkeypatch.setattr(snapshot, name, getattr(made, name))
    monkeypatch.setattr(snapshot, "api_client", lambda region: region)
    return made


def run(_clusters: Clusters, *arguments: str) -> Ran:
    return CliRunner().invoke(app, arguments)


def shown(clusters: Clusters, *arguments: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(run(clusters, "--json", *arguments).stdout)
    return parsed


def what(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["region"], each["what"]) for each in found["disagreements"]]


def weigh(repository: Repository, region: str, v1: int, v2: int) -> None:
    """Writes other weights into a region's stack file and its overlay."""
    stack_file = repository.directory / f"Pulumi.{region}.yaml"
    edit(stack_file, "weight: 90", f"weight: {v1}")
    edit(stack_file, "weight: 10", f"weight: {v2}")
    vs = repository.directory / "deploy/overlays" / region / "echo/vs.yaml"
    edit(vs, "weight: 90", f"weight: {v1}")
    edit(vs, "weight: 10", f"weight: {v2}")


class TestExitCode:
    def test_is_0_when_all_agree(self, clusters: Clusters) -> None:
        assert run(clusters).exit_code == 0

    def test_is_1_when_something_disagrees(self, clusters: Clusters) -> None:
        clusters.weights = {"region-b": {"v1": 85, "v2": 15}}

        assert run(clusters).exit_code == 1

    def test_is_2_when_a_region_does_not_answer(self, clusters: Clusters) -> None:
        clusters.silent = ("region-b",)

        assert run(clusters).exit_code == 2

    @pytest.mark.parametrize("arguments", [("--region", "moon"), ("--what",), ("--regions-file", "none.yaml")])
    def test_is_2_for_wrong_usage(self, clusters: Clusters, arguments: tuple[str, ...]) -> None:
        assert run(clusters, *arguments).exit_code == 2

    def test_is_2_outside_a_repository(self, clusters: Clusters, repository: Repository) -> None:
        shutil.rmtree(repository.directory / ".git")

        assert run(clusters).exit_code == 2

    def test_is_130_when_interrupted(self, clusters: Clusters) -> None:
        clusters.interrupted = True

        assert run(clusters).exit_code == 130


class TestRegions:
    def test_are_all_of_them(self, clusters: Clusters) -> None:
        assert [one["region"] for one in shown(clusters)["regions"]] == ["region-a", "region-b"]

    def test_are_those_that_are_named(self, clusters: Clusters) -> None:
        assert [one["region"] for one in shown(clusters, "--region", "region-b")["regions"]] == ["region-b"]

    def test_that_do_not_answer_do_not_hide_the_others(self, clusters: Clusters) -> None:
        clusters.silent = ("region-a",)
        first, second = shown(clusters)["regions"]

        assert [problem["what"] for problem in first["problems"]] == ["region-a does not answer"]
        assert first["weights"] == {"stack": WEIGHTS, "git": WEIGHTS, "synced": None, "cluster": None}
        assert second["weights"] == {"stack": WEIGHTS, "git": WEIGHTS, "synced": WEIGHTS, "cluster": WEIGHTS}


class TestGit:
    def test_is_the_overlay_at_head_and_the_stack_file_the_one_on_the_disk(
        self, clusters: Clusters, repository: Repository
    ) -> None:
        weigh(repository, "region-a", 75, 25)
        (found,) = shown(clusters, "--region", "region-a")["regions"]

        assert found["weights"] == {
            "stack": {"v1": 75, "v2": 25},
            "git": WEIGHTS,
            "synced": WEIGHTS,
            "cluster": WEIGHTS,
        }

    def test_ahead_of_argo_cd_disagrees_with_it_since_the_commit(
        self, clusters: Clusters, repository: Repository
    ) -> None:
        weigh(repository, "region-a", 75, 25)
        repository.git("commit", "--quiet", "--all", "--message", "Shift region-a")
        (found,) = shown(clusters)["disagreements"]

        assert found["what"] == (
            f"Argo CD last synced {clusters.revision[:7]} with v1 90, v2 10, and HEAD says v1 75, v2 25"
        )
        assert found["since"] == repository.git("log", "-1", "--format=%cI")

    def test_is_as_old_as_the_last_commit_of_the_region(self, clusters: Clusters, repository: Repository) -> None:
        weigh(repository, "region-b", 75, 25)
        earlier = "alias.earlier=!GIT_COMMITTER_DATE=2026-01-02T03:04:05Z git commit"
        repository.git("-c", earlier, "earlier", "--quiet", "--all", "--message", "Shift region-b")
        repository.git("commit", "--quiet", "--allow-empty", "--message", "Something else")
        (found,) = gather(repository.directory, [RegionAccess("region-b", "region-b", "b")]).regions

        assert found.declared.committed_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def test_behind_argo_cd_says_that_its_commit_is_not_here(self, clusters: Clusters) -> None:
        clusters.revision = "f" * 40
        clusters.weights = {"region-a": {"v1": 75, "v2": 25}}

        assert what(shown(clusters)) == [
            (
                "region-a",
                "the cluster has v1 75, v2 25, HEAD says v1 90, v2 10; fffffff, which Argo CD last synced, is not in this clone",
            )
        ]

    def test_is_not_said_with_direct_delivery(self, clusters: Clusters, repository: Repository) -> None:
        edit(
            repository.directory / "Pulumi.region-a.yaml",
            "  # echo-rollout:delivery: gitops",
            "  echo-rollout:delivery: direct",
        )
        repository.git("commit", "--quiet", "--all", "--message", "Deliver by Pulumi")
        (found,) = shown(clusters, "--region", "region-a")["regions"]

        assert (found["delivery"], found["weights"]["git"], found["application"]) == ("direct", None, None)

    def test_is_read_from_a_project_below_the_top(
        self, clusters: Clusters, repository: Repository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        below = repository.directory / "below"
        below.mkdir()
        for name in ("Pulumi.yaml", "Pulumi.region-a.yaml", "Pulumi.region-b.yaml", "deploy"):
            repository.git("mv", name, f"below/{name}")
        repository.git("commit", "--quiet", "--all", "--message", "Move")
        monkeypatch.chdir(below)

        assert shown(clusters)["agrees"]


class TestStackFile:
    def test_that_cannot_be_used_is_told_with_all_else(self, clusters: Clusters, repository: Repository) -> None:
        (repository.directory / ".regions.yaml").write_text("regions: {region-a: {context: a}, region-b: {context: b}}")
        edit(repository.directory / "Pulumi.region-a.yaml", "weight: 90", "weight: 95")
        ran = run(clusters)

        assert ran.exit_code == 2
        assert "the weights 95 + 10 make 105" in ran.stderr
        assert "region-b" in ran.stdout


class TestPromotion:
    def test_is_the_newest_in_the_history(self, clusters: Clusters, repository: Repository) -> None:
        promotion = Promotion("p1", "echo", "v2", (10, 100), ("region-a",), 120, clusters.revision)
        for weight in (10, 100):
            record = Record(promotion, PromotionState.IN_PROGRESS, "region-a", weight)
            repository.git("commit", "--quiet", "--allow-empty", "--message", message("Promote v2", record))
        repository.git("commit", "--quiet", "--allow-empty", "--message", "Something else")
        clusters.revision = repository.git("rev-parse", "HEAD")
        found = shown(clusters)

        assert (found["promotions"][0]["weight"], found["promotions"][0]["active"]) == (100, True)
        assert found["agrees"]

    def test_is_none_without_one(self, clusters: Clusters) -> None:
        assert shown(clusters)["promotions"] == []


def test_a_word_that_is_no_option_is_refused() -> None:
    """Not passed over: whoever forgot --region would read of all regions."""
    ran = CliRunner().invoke(rollout, ["status", "region-a"])
    assert ran.exit_code == 2
    assert "unexpected extra argument(s) (region-a)" in ran.stderr
