from __future__ import annotations

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


def test_a_credential_that_hangs_keeps_no_other_region_from_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_LOADED_WITHIN_SECONDS", 0)
    region = RegionAccess("region-a", "a", "ctx", FakeCluster().kubeconfig(tmp_path / "kubeconfig", "ctx", 1))

    with client._LOADING:
        assert api_client(region)
