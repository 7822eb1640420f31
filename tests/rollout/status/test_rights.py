"""What `rollout` asks of a cluster is what the accounts that the program makes may ask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from components.access import PROMOTER, READER
from rollout.cluster.application import ask_to_look, settled_application
from rollout.problem import RolloutError
from rollout.status.snapshot import gather
from rollout.traffic.attack import Attack
from rollout.traffic.probe import connect
from tests.components.rights import accounts, rights
from tests.rollout.cluster.fake_cluster import SUCCESS
from tests.rollout.repository import committed_project
from tests.rollout.status.clusters import cluster_of, region

_PATH = re.compile(
    r"(?:(?P<verb>PATCH) )?/apis?/(?:(?P<group>[^/]+\.[^/]+|apps|autoscaling)/)?v[^/]+/"
    r"(?:namespaces/(?P<namespace>[^/]+)/)?(?P<resource>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?"
)


def asked(path: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Namespace, verb, group, resource and name that the API server asks its roles for."""
    found = _PATH.fullmatch(path)
    assert found, path
    group, resource, name = found["group"] or "", found["resource"], found["name"] or ""
    # a namespace is in itself
    namespace = name if resource == "namespaces" else found["namespace"] or ""
    if found["sub"]:
        # of a websocket both are checked
        yield from ((namespace, verb, group, f"{resource}/{found['sub']}", name) for verb in ("get", "create"))
    else:
        yield namespace, (found["verb"] or ("get" if name else "list")).lower(), group, resource, name


def refused(account: str, paths: list[str]) -> set[str]:
    """Those of the paths that the account may not ask for."""
    mine = rights(accounts(), account)
    return {path for path in paths if not all(any(right.allows(*each) for right in mine) for each in asked(path))}


def test_a_status_asks_only_for_what_the_reader_may(tmp_path: Path) -> None:
    repository = committed_project(tmp_path / "clone")
    cluster = cluster_of(repository.git("rev-parse", "HEAD"))
    with region(cluster, "region-a", tmp_path) as where:
        (found,) = gather(repository.directory, [where]).regions

    assert (found.problems, found.unseen) == ((), ())
    assert any(path.endswith("/exec") for path in cluster.paths)
    assert refused(READER, cluster.paths) == set()
    assert refused("somebody", cluster.paths) == {*cluster.paths}


def test_a_verification_asks_only_for_what_the_reader_may(tmp_path: Path) -> None:
    cluster = replace(cluster_of(""), script=lambda opened: opened.end(SUCCESS))
    with region(cluster, "region-a", tmp_path) as where:
        settled_application(where, "argocd/echo")
        with pytest.raises(RolloutError, match="ended early after 0 of 1 results"):
            list(connect(where).results(Attack("http://echo.echo/", 1, 1), Event()))

    assert [path for path in cluster.paths if path.startswith("/api/v1/namespaces/echo-probe/pods/")]
    assert refused(READER, cluster.paths) == set()


def test_only_the_promoter_may_ask_argo_cd_to_look(tmp_path: Path) -> None:
    cluster = cluster_of("")
    with region(cluster, "region-a", tmp_path) as where:
        ask_to_look(where, "argocd/echo")

    assert len(cluster.paths) == 1
    assert refused(PROMOTER, cluster.paths) == set()
    assert refused(READER, cluster.paths) == {*cluster.paths}
