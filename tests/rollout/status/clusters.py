"""Clusters that are played, each with a sidecar of each version and Argo CD."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rollout.access import RegionAccess
from tests.rollout.cluster.applications import well
from tests.rollout.cluster.captured import document, syncz
from tests.rollout.cluster.fake_cluster import STDOUT, SUCCESS, Exec, FakeCluster, serving
from tests.rollout.cluster.sidecars import answering, sidecar

NETWORKING = "/apis/networking.istio.io/v1"
ARGO_CD = "/apis/argoproj.io/v1alpha1/namespaces/argocd"


def pod(name: str, namespace: str, **labels: str) -> dict[str, Any]:
    found = sidecar(name)
    found["metadata"] |= {"namespace": namespace, "labels": labels}
    if namespace != "echo":
        found["spec"] = {"containers": []}
    return found


def cluster_of(commit: str, name: str = "region-a") -> FakeCluster:
    """A region in which all is well, synced to a commit."""
    application = well(commit)
    application["spec"]["source"]["path"] = f"deploy/overlays/{name}/echo"
    program = "app.kubernetes.io/name"
    deployments = [
        {
            "metadata": {"namespace": "echo", "name": f"echo-{name}", "labels": {"app": "echo", "version": name}},
            "spec": {"replicas": 1},
        }
        for name in ("v1", "v2")
    ]
    return FakeCluster(
        pods=[
            *(pod(f"echo-{name}", "echo", app="echo", version=name) for name in ("v1", "v2")),
            pod("istiod-x", "istio-system", app="istiod"),
            *(
                pod(name, "argocd", **{program: name})
                for name in ("argocd-application-controller", "argocd-repo-server")
            ),
        ],
        applications={"argocd/echo": application},
        lists={
            f"{NETWORKING}/virtualservices": [document("virtual-service")],
            f"{NETWORKING}/destinationrules": [],
            "/apis/apps/v1/namespaces/echo/deployments": deployments,
            "/apis/autoscaling/v2/namespaces/echo/horizontalpodautoscalers": [],
            f"{ARGO_CD}/appprojects": [{"metadata": {"name": "echo"}, "spec": {"sourceRepos": ["*"]}}],
        },
        objects={
            "/api/v1/namespaces/echo": {"metadata": {"name": "echo", "labels": {"istio-injection": "enabled"}}},
        },
        script=_answering,
    )


def _answering(opened: Exec) -> None:
    if opened.command[-1] != "/debug/syncz":
        answering(opened)
        return
    proxy, *_ = syncz()
    opened.send(STDOUT, json.dumps([{**proxy, "proxy": f"echo-{name}.echo"} for name in ("v1", "v2")]).encode())
    opened.end(SUCCESS)


@contextmanager
def region(cluster: FakeCluster, name: str, tmp_path: Path) -> Iterator[RegionAccess]:
    with serving(cluster) as port:
        yield RegionAccess(name, name, name, cluster.kubeconfig(tmp_path / name, name, port))
