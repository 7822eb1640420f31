"""A look at a cluster that is played: what it asks, how often, and what it makes of the answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rollout.cluster.application import OUT_OF_SYNC
from rollout.status.disagreements import Status
from rollout.status.preflight import troubles
from rollout.status.snapshot import gather
from tests.rollout.cluster.fake_cluster import FakeCluster
from tests.rollout.repository import OVERLAY, Repository, committed_project
from tests.rollout.status.clusters import ARGO_CD, NETWORKING, cluster_of, region


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return committed_project(tmp_path / "clone")


@pytest.fixture
def cluster(repository: Repository) -> FakeCluster:
    return cluster_of(repository.git("rev-parse", "HEAD"))


def look(cluster: FakeCluster, repository: Repository, tmp_path: Path, at: str | None = None) -> Status:
    with region(cluster, "region-a", tmp_path) as access:
        return gather(repository.directory, [access], at=at)


def stopping(found: Status) -> list[str]:
    return [each.problem.what for each in troubles(found) if each.stops]


def test_asks_for_each_thing_once(cluster: FakeCluster, repository: Repository, tmp_path: Path) -> None:
    found = look(cluster, repository, tmp_path)

    assert (found.regions[0].problems, found.regions[0].unseen) == ((), ())
    asked = [path for path in cluster.paths if not path.endswith("/exec")]
    assert sorted(asked) == sorted(
        [
            f"{ARGO_CD}/applications/echo",
            "/api/v1/pods",
            "/api/v1/namespaces/echo",
            *cluster.lists,
        ]
    )
    execs = sorted(path.split("/")[-2] for path in cluster.paths if path.endswith("/exec"))
    assert execs == ["echo-v1", "echo-v1", "echo-v2", "echo-v2", "istiod-x"], "two pages of each sidecar, one of istiod"


def test_finds_nothing_in_the_way_where_all_is_well(
    cluster: FakeCluster, repository: Repository, tmp_path: Path
) -> None:
    assert not stopping(look(cluster, repository, tmp_path))


def test_finds_all_that_is_in_the_way_at_once(cluster: FakeCluster, repository: Repository, tmp_path: Path) -> None:
    del cluster.applications["argocd/echo"]["spec"]["syncPolicy"]["automated"]
    cluster.applications["argocd/echo"]["spec"]["source"] |= {"targetRevision": "other", "path": "elsewhere"}
    cluster.lists[f"{NETWORKING}/virtualservices"].append(
        {"metadata": {"namespace": "shop", "name": "echo"}, "spec": {"hosts": ["echo.echo.svc.cluster.local"]}}
    )
    cluster.refused = {"/api/v1/namespaces/echo/pods/echo-v1/exec"}
    cluster.refusal = "policy no-exec: not here"
    cluster.pods.pop()

    assert stopping(look(cluster, repository, tmp_path)) == [
        "argocd-repo-server has no ready pod",
        "automatic sync of Application argocd/echo is off",
        "Application argocd/echo follows other, and Pulumi.region-a.yaml says main",
        "Application argocd/echo reads elsewhere, and the overlay is deploy/overlays/region-a/echo",
        "VirtualService shop/echo is of the host of echo too",
        "1 of 2 Envoys may not be asked: echo/echo-v1 (exec was refused: 403 policy no-exec: not here)",
    ]


def test_looks_at_what_a_commit_declares(cluster: FakeCluster, repository: Repository, tmp_path: Path) -> None:
    before = repository.git("rev-parse", "HEAD")
    stack_file = repository.directory / "Pulumi.region-a.yaml"
    stack_file.write_text(stack_file.read_text().replace("# revision: main", "revision: next"))
    repository.git("commit", "--quiet", "--all", "--message", "Follow another branch")

    assert stopping(look(cluster, repository, tmp_path)) == [
        "Application argocd/echo follows main, and Pulumi.region-a.yaml says next"
    ]
    assert not stopping(look(cluster, repository, tmp_path, before))


class TestUnapplied:
    """Argo CD says Synced at a commit, and the last sync was of the one before."""

    @pytest.fixture
    def applied(self, repository: Repository) -> str:
        return repository.git("rev-parse", "HEAD")

    def commit(self, cluster: FakeCluster, repository: Repository, file: str, old: str, new: str) -> None:
        """Changes a file, and lets Argo CD say Synced there."""
        path = repository.directory / OVERLAY / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        repository.git("commit", "--quiet", "--all", "--message", "Change a file")
        cluster.applications["argocd/echo"]["status"]["sync"]["revision"] = repository.git("rev-parse", "HEAD")

    def test_are_the_objects_that_differ(
        self, cluster: FakeCluster, repository: Repository, applied: str, tmp_path: Path
    ) -> None:
        self.commit(cluster, repository, "deployment-v2.yaml", "cpu: 20m", "cpu: 30m")

        found = look(cluster, repository, tmp_path)

        assert found.regions[0].unapplied == ("Deployment echo/echo-v2",)
        assert applied[:7] in "".join(each.problem.what for each in troubles(found))

    def test_are_none_where_only_the_text_differs(
        self, cluster: FakeCluster, repository: Repository, tmp_path: Path
    ) -> None:
        self.commit(cluster, repository, "deployment-v2.yaml", "# Rendered", "# Once more rendered")

        assert look(cluster, repository, tmp_path).regions[0].unapplied == ()

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("cpu: 20m", "cpu: 30m"),
            ("      enableServiceLinks: false\n", "      enableServiceLinks: false\n      hostNetwork: true\n"),
            ("      enableServiceLinks: false\n", ""),
            ("              cpu: '1'\n", ""),
        ],
    )
    def test_are_none_where_the_cluster_has_what_the_commit_says(
        self, cluster: FakeCluster, repository: Repository, tmp_path: Path, old: str, new: str
    ) -> None:
        path = repository.directory / OVERLAY / "deployment-v2.yaml"
        before = path.read_text()
        self.commit(cluster, repository, path.name, old, new)

        def unapplied(live: str) -> tuple[str, ...]:
            document = yaml.safe_load(live)
            # a list's items have neither
            del document["apiVersion"], document["kind"]
            pod = document["spec"]["template"]["spec"]
            pod.update({"dnsPolicy": "ClusterFirst", "enableServiceLinks": pod.get("enableServiceLinks", True)})
            cluster.lists["/apis/apps/v1/namespaces/echo/deployments"][1] = document
            return look(cluster, repository, tmp_path).regions[0].unapplied

        assert unapplied(before) == ("Deployment echo/echo-v2",)
        assert unapplied(path.read_text()) == ()

    @pytest.mark.parametrize("file", ["vs.yaml", "deployment-v2.yaml"])
    def test_are_those_that_the_commit_removes_and_the_cluster_may_still_have(
        self, cluster: FakeCluster, repository: Repository, tmp_path: Path, file: str
    ) -> None:
        of = yaml.safe_load((repository.directory / OVERLAY / file).read_text())
        repository.git("rm", "--quiet", f"{OVERLAY}/{file}")
        self.commit(cluster, repository, "kustomization.yaml", f"  - {file}\n", "")

        named = f"{of['kind']} echo/{of['metadata']['name']}"
        assert look(cluster, repository, tmp_path).regions[0].unapplied == (named,)

    @pytest.mark.parametrize("lacking", ["history", "clone"])
    def test_are_not_known_where_nothing_tells_what_was_applied(
        self, cluster: FakeCluster, repository: Repository, tmp_path: Path, lacking: str
    ) -> None:
        self.commit(cluster, repository, "deployment-v2.yaml", "cpu: 20m", "cpu: 30m")
        said = cluster.applications["argocd/echo"]["status"]
        said["operationState"], said["history"] = {}, [{"revision": "1" * 40}] if lacking == "clone" else []

        assert look(cluster, repository, tmp_path).regions[0].unapplied == ()

    @pytest.mark.parametrize("moving", ["OutOfSync", "asked", "syncing"])
    def test_are_not_told_before_argo_cd_has_done_its_work(
        self, cluster: FakeCluster, repository: Repository, tmp_path: Path, moving: str
    ) -> None:
        self.commit(cluster, repository, "deployment-v2.yaml", "cpu: 20m", "cpu: 30m")
        document = cluster.applications["argocd/echo"]
        if moving == "OutOfSync":
            document["status"]["sync"]["status"] = OUT_OF_SYNC
        elif moving == "asked":
            document["metadata"]["annotations"] = {"argocd.argoproj.io/refresh": "normal"}
        else:
            document["status"]["operationState"]["phase"] = "Running"

        assert look(cluster, repository, tmp_path).regions[0].unapplied == ()
