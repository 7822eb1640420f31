from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rollout.access import RegionAccess
from rollout.cluster.istiod import parse_syncz, read_connections
from rollout.problem import RolloutError
from tests.rollout.cluster.captured import syncz
from tests.rollout.cluster.fake_cluster import STDERR, STDOUT, SUCCESS, Exec, FakeCluster, exit_status, serving

ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


def istiod(name: str, *, ready: bool = True, namespace: str = "istio-system", app: str = "istiod") -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "name": name, "labels": {"app": app}},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


class TestParse:
    def test_tells_which_proxies_are_connected(self) -> None:
        assert parse_syncz(syncz()) == {
            "echo/echo-v1-f9485558d-j4ws7": "",
            "istio-ingress/istio-ingress-c7ffc7688-lnhk7": "",
            "echo-probe/probe-864b55b5dc-jjtcv": "",
        }

    def test_tells_what_one_refused(self) -> None:
        (proxy, *_) = found = syncz()
        proxy["resources"][ROUTES]["lastError"] = "duplicate domain"

        assert parse_syncz(found)["echo/echo-v1-f9485558d-j4ws7"] == "RouteConfiguration: duplicate domain"

    def test_takes_a_pod_with_dots_in_its_name(self) -> None:
        assert [*parse_syncz([{"proxy": "web.1.shop"}])] == ["shop/web.1"]


def read(tmp_path: Path, script: Callable[[Exec], None], *pods: dict[str, Any]) -> tuple[Any, list[str]]:
    cluster = FakeCluster(script=script)
    with serving(cluster) as port:
        region = RegionAccess("region-a", "a", "ctx", cluster.kubeconfig(tmp_path / "kubeconfig", "ctx", port))
        return read_connections(region, pods), cluster.paths


def answering(opened: Exec) -> None:
    assert [*opened.command] == ["pilot-discovery", "request", "GET", "/debug/syncz"]
    mine = [each for each in syncz() if ("-1/exec" in opened.path) == each["proxy"].endswith(".echo")]
    opened.send(STDERR, b"INFO GOMEMLIMIT is updated\n")
    opened.send(STDOUT, json.dumps(mine).encode())
    opened.end(SUCCESS)


class TestRead:
    def test_joins_what_each_istiod_that_is_ready_says(self, tmp_path: Path) -> None:
        others = (istiod("x-3", ready=False), istiod("x-4", namespace="echo"), istiod("x-5", app="echo"))
        found, paths = read(tmp_path, answering, istiod("x-1"), istiod("x-2"), *others)

        assert {*found} == {*parse_syncz(syncz())}
        assert sorted(paths) == [f"/api/v1/namespaces/istio-system/pods/x-{number}/exec" for number in (1, 2)]

    def test_knows_nothing_where_there_is_no_istiod(self, tmp_path: Path) -> None:
        assert read(tmp_path, answering, istiod("x-1", ready=False)) == (None, [])

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (lambda opened: opened.end(exit_status(1)), "pilot-discovery failed"),
            (lambda opened: (opened.send(STDOUT, b"404 page not found"), opened.end(SUCCESS)), "cannot be read"),
            (lambda opened: (opened.send(STDOUT, b'{"a": 1}'), opened.end(SUCCESS)), "cannot be read"),
        ],
    )
    def test_tells_why_one_does_not_say(self, answer: Callable[[Exec], None], said: str, tmp_path: Path) -> None:
        with pytest.raises(RolloutError, match=f"istio-system/x-1 cannot be asked for its proxies: .*{said}"):
            read(tmp_path, answer, istiod("x-1"))
