from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rollout.access import RegionAccess
from rollout.cluster import client
from rollout.cluster.client import api_client, list_all_pods
from tests.rollout.cluster.fake_cluster import FakeCluster, serving
from tests.rollout.cluster.sidecars import sidecar


def test_pods_are_listed_page_by_page_without_what_is_long(tmp_path: Path) -> None:
    pods = [sidecar(f"web-{number}") for number in range(600)]
    for pod in pods:
        pod["metadata"]["managedFields"] = pod["spec"]["volumes"] = [{"long": "text"}]
        pod["spec"]["containers"][0]["env"] = [{"name": "LONG"}]
    cluster = FakeCluster(pods=pods)
    with serving(cluster) as port:
        region = RegionAccess("region-a", "a", "ctx", cluster.kubeconfig(tmp_path / "kubeconfig", "ctx", port))
        found = list_all_pods(region, api_client(region))

    assert found == [sidecar(f"web-{number}") for number in range(600)]
    assert [query.get("continue") for query in cluster.queries] == [None, ["250"], ["500"]]


class _Lock:
    """Of a thread whose credential hangs, or free; with how long others wait for it, in seconds each."""

    def __init__(self) -> None:
        self.hangs, self.waited = False, list[float]()

    def acquire(self, timeout: float) -> bool:
        self.waited.append(timeout)
        return not self.hangs

    def locked(self) -> bool:
        return self.hangs

    def release(self) -> None:
        assert not self.hangs


def test_another_region_waits_once_for_a_credential_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = _Lock()
    monkeypatch.setattr(client, "_LOADING", lock)
    monkeypatch.setattr(client, "_HANGS", threading.Event())
    region = RegionAccess("region-a", "a", "ctx", FakeCluster().kubeconfig(tmp_path / "kubeconfig", "ctx", 1))

    for hangs in (True, True, False, False, True):
        lock.hangs = hangs
        assert api_client(region)

    assert lock.waited == [5, 0, 0, 5, 5]
