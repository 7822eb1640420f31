from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from lab.plugins.kubernetes.connection import Cluster, RejectedError, UnreachableError, resolve
from tests.plugins.kubernetes.fake_cluster import FakeCluster


def kubeconfig(name: str, server: str = "https://one", **cluster: Any) -> dict[str, Any]:
    return {
        "clusters": [{"name": name, "cluster": {"server": server, **cluster}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "users": [{"name": name, "user": {"token": "t"}}],
    }


def test_a_kubeconfig_may_be_content() -> None:
    target = resolve({"kubeconfig": json.dumps(kubeconfig("a")), "context": "a"})

    assert (target.context, target.cluster["server"], target.namespace) == ("a", "https://one", "default")


def test_files_in_a_kubeconfig_are_relative_to_it(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config"
    path.write_text(json.dumps(kubeconfig("a", **{"certificate-authority": "ca.crt"})))

    assert resolve({"kubeconfig": str(path), "context": "a"}).cluster["certificate-authority"] == str(
        tmp_path / "ca.crt"
    )


def test_the_environment_may_name_several_kubeconfigs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        (tmp_path / name).write_text(json.dumps(kubeconfig(name, f"https://{name}")))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'a'}:{tmp_path / 'b'}")

    assert resolve({"context": "b"}).cluster["server"] == "https://b"


def test_the_cluster_and_namespace_settings_go_before_the_contexts() -> None:
    document = kubeconfig("a")
    document["clusters"].append({"name": "b", "cluster": {"server": "https://two"}})

    target = resolve({"kubeconfig": json.dumps(document), "context": "a", "cluster": "b", "namespace": "n"})

    assert (target.cluster["server"], target.namespace) == ("https://two", "n")
    assert target.document["contexts"][0]["context"]["cluster"] == "b"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"kubeconfig": "/nowhere/config"}, r"kubeconfig /nowhere/config: no such file, .*Set \$KUBECONFIG"),
        ({"kubeconfig": json.dumps(kubeconfig("a")), "context": "b"}, r"there is no context 'b' \(there are: a\)"),
        (
            {"kubeconfig": json.dumps(kubeconfig("a")), "context": "a", "cluster": "c"},
            "cluster 'c' of context 'a' is not there",
        ),
        ({"kubeconfig": "a\nb"}, "no kubeconfig"),
    ],
)
def test_what_is_wrong_with_a_kubeconfig_is_told(settings: dict[str, str], told: str) -> None:
    with pytest.raises(UnreachableError, match=told):
        resolve(settings)


def test_a_cluster_that_does_not_answer_is_named_with_its_address(cluster: FakeCluster) -> None:
    target = resolve({"kubeconfig": cluster.kubeconfig})
    target.document["clusters"][0]["cluster"]["server"] = target.cluster["server"] = "http://127.0.0.1:1"

    with pytest.raises(UnreachableError, match=r"at http://127.0.0.1:1 does not answer \(.*refused\)"):
        Cluster(target).request("GET", "/version")


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, "credentials are not accepted .* Renew them"), (403, "its user may not do this .* Grant the permission")],
)
def test_a_refusal_says_what_to_do(cluster: FakeCluster, status: int, told: str) -> None:
    cluster.answers["GET", "/version"] = (status, {"message": "no"})

    with pytest.raises(RejectedError, match=told):
        Cluster(resolve({"kubeconfig": cluster.kubeconfig})).request("GET", "/version")


def test_a_kind_is_looked_up_once_and_again_when_it_was_missing(cluster: FakeCluster) -> None:
    connected = Cluster(resolve({"kubeconfig": cluster.kubeconfig}))
    thing = {"apiVersion": "corp.local/v1", "kind": "Thing", "metadata": {"name": "t"}}
    with pytest.raises(Exception, match=r"serves no Thing in corp.local/v1"):
        connected.url(thing)
    cluster.kinds["/apis/corp.local/v1"] = {"Thing": ("things", True)}

    urls = [connected.url(thing) for _ in range(3)]

    assert urls == ["/apis/corp.local/v1/namespaces/default/things/t"] * 3
    assert [request.path for request in cluster.requests].count("/apis/corp.local/v1") == 2
