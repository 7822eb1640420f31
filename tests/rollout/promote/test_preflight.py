"""What stands in the way of a change is refused before its first commit, of all regions at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rollout.access import RegionAccess
from rollout.problem import RolloutError
from rollout.promote.preflight import refuse_troubles
from tests.rollout.cluster.applications import refused, unreadable
from tests.rollout.cluster.fake_cluster import FakeCluster
from tests.rollout.repository import OVERLAY, Repository, committed_project
from tests.rollout.status.clusters import ARGO_CD, cluster_of, region

REGIONS = ("region-a", "region-b")
LOOK = f"PATCH {ARGO_CD}/applications/echo"


@dataclass
class Looked:
    """Two regions, and what was said of them."""

    repository: Repository
    clusters: Mapping[str, FakeCluster]
    regions: list[RegionAccess] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def look(self) -> list[str]:
        """What is refused."""
        commit = self.repository.git("rev-parse", "HEAD")
        try:
            refuse_troubles(self.repository.directory, self.regions, "echo", commit, self.said.append)
        except RolloutError as error:
            return [problem.what for problem in error.problems]
        return []


@pytest.fixture
def looked(tmp_path: Path) -> Iterator[Looked]:
    repository = committed_project(tmp_path / "clone")
    commit = repository.git("rev-parse", "HEAD")
    found = Looked(repository, {name: cluster_of(commit, name) for name in REGIONS})
    with ExitStack() as stack:
        for name, cluster in found.clusters.items():
            found.regions.append(stack.enter_context(region(cluster, name, tmp_path)))
        yield found


def test_refuses_nothing_where_all_is_well_and_says_nothing(looked: Looked) -> None:
    assert (looked.look(), looked.said) == ([], [])
    assert not [path for cluster in looked.clusters.values() for path in cluster.paths if path.startswith("PATCH")]


def test_refuses_with_the_troubles_of_all_regions(looked: Looked) -> None:
    a, b = looked.clusters.values()
    del a.applications["argocd/echo"]["spec"]["syncPolicy"]["automated"]
    a.refused = {"/api/v1/namespaces/echo/pods/echo-v2/exec"}
    del b.applications["argocd/echo"]

    assert looked.look() == [
        "region-b: there is no Application argocd/echo in the cluster of context region-b",
        "region-a echo: automatic sync of Application argocd/echo is off",
        "region-a echo: 1 of 2 Envoys may not be asked: echo/echo-v2 (exec was refused: 403 not allowed)",
    ]


def test_says_what_is_only_worth_saying(looked: Looked) -> None:
    a, b = looked.clusters.values()
    a.objects["/api/v1/namespaces/echo"]["metadata"]["labels"] = {}
    b.refused = {f"{ARGO_CD}/appprojects"}

    assert not looked.look()
    assert looked.said == [
        "region-a echo: the namespace echo has no label by which Istio injects sidecars; give it back: "
        "kubectl --context region-a label namespace echo istio-injection=enabled --overwrite",
        "region-b: the cluster of context region-b refused to list appprojects in argocd: 403 Forbidden; "
        "see that the context's user may do it: kubectl --context region-b -n argocd get appprojects.argoproj.io",
    ]


@pytest.mark.parametrize("document", [unreadable, refused])
def test_lets_argo_cd_look_again_before_it_believes_what_it_found(
    looked: Looked, document: Callable[[], dict[str, Any]]
) -> None:
    cluster = looked.clusters["region-a"]
    now = cluster.applications["argocd/echo"]
    cluster.applications["argocd/echo"] = document()

    def mended() -> None:
        cluster.applications["argocd/echo"] = now

    cluster.on_patch = mended

    assert not looked.look()
    assert cluster.paths.count(LOOK) == 1
    assert LOOK not in looked.clusters["region-b"].paths


def test_refuses_what_argo_cd_finds_again(looked: Looked) -> None:
    cluster = looked.clusters["region-a"]
    cluster.applications["argocd/echo"] = unreadable()

    assert looked.look() == [
        "region-a echo: Application argocd/echo: ComparisonError: deploy/overlays/region-a/echo: app path does not exist"
    ]
    assert cluster.paths.count(LOOK) == 1


def test_does_not_look_again_where_something_else_is_in_the_way(looked: Looked) -> None:
    cluster = looked.clusters["region-a"]
    cluster.applications["argocd/echo"] = unreadable()
    del cluster.applications["argocd/echo"]["spec"]["syncPolicy"]

    assert len(looked.look()) == 2
    assert LOOK not in cluster.paths


class TestACommitThatMayNotHaveBeenApplied:
    @pytest.fixture
    def cluster(self, looked: Looked) -> FakeCluster:
        """Argo CD says Synced at a commit that changes a Deployment, and applied the one before."""
        file = looked.repository.directory / OVERLAY / "deployment-v2.yaml"
        file.write_text(file.read_text().replace("cpu: 20m", "cpu: 30m"))
        looked.repository.git("commit", "--quiet", "--all", "--message", "Ask for more")
        cluster = looked.clusters["region-a"]
        commit = looked.repository.git("rev-parse", "HEAD")
        cluster.applications["argocd/echo"]["status"]["sync"]["revision"] = commit
        return cluster

    def test_is_refused_where_argo_cd_says_so_once_it_was_asked(self, looked: Looked, cluster: FakeCluster) -> None:
        def compared() -> None:
            status = cluster.applications["argocd/echo"]["status"]
            status["sync"]["status"] = "Unknown"
            status["conditions"] = [{"type": "ComparisonError", "message": "denied the request"}]

        cluster.on_patch = compared

        assert looked.look() == ["region-a echo: Application argocd/echo: ComparisonError: denied the request"]

    def test_changes_nothing_in_the_cluster_where_argo_cd_finds_nothing(
        self, looked: Looked, cluster: FakeCluster
    ) -> None:
        assert (looked.look(), looked.said) == ([], [])
        assert cluster.paths.count(LOOK) == 1
