"""A gateway as its chart makes it by itself cuts every request that takes longer than five seconds when one of its pods ends.

Whatever moves the gateway's pods, no request from outside the mesh fails.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.load import Entrance
from components.names import INGRESS, gateway_address
from tests.e2e.drills import Row, is_share, none_failed, under_load
from tests.e2e.faults import evict
from tests.e2e.laboratory import REGIONS, Laboratory
from tests.e2e.promoting import rollout
from tests.e2e.waiting import until

pytestmark = pytest.mark.drill

_NAMESPACE = INGRESS
_WHERE = f"--namespace={_NAMESPACE}"
_DEPLOYMENT = f"deployment/{INGRESS}"
_SLOW_SECONDS = 8
"""More than the five seconds after which Istio's proxy is killed by itself, less than the fifteen of the drain."""
_SLOW = [
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "slow", "namespace": _NAMESPACE},
        "spec": {
            "selector": {"app": INGRESS, "istio": "ingress"},
            "servers": [
                {"port": {"name": "http", "number": 80, "protocol": "HTTP"}, "hosts": ["echo-probe/slow.corp.local"]}
            ],
        },
    },
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "slow", "namespace": "echo-probe"},
        "spec": {
            "hosts": ["slow.corp.local"],
            "gateways": [f"{_NAMESPACE}/slow"],
            "http": [
                {
                    "fault": {"delay": {"fixedDelay": f"{_SLOW_SECONDS}s", "percentage": {"value": 100}}},
                    "route": [{"destination": {"host": "echo.echo.svc.cluster.local", "subset": "v1"}}],
                }
            ],
        },
    },
]


def _pods(lab: Laboratory, region: str) -> list[dict[str, Any]]:
    return list(lab.get(region, "pods", _WHERE)["items"])


def _are_ready(lab: Laboratory, region: str, number: int, but: str = "") -> bool:
    """Whether there are so many pods, all of them ready and none on its way out."""
    pods = _pods(lab, region)
    ready = [
        any((each["type"], each["status"]) == ("Ready", "True") for each in pod["status"].get("conditions", ()))
        for pod in pods
    ]
    return len(pods) == number and all(ready) and but not in [pod["metadata"]["name"] for pod in pods]


def _await_ready(lab: Laboratory, number: int) -> None:
    for region in REGIONS:
        until(partial(_are_ready, lab, region, number), seconds=180)


def test_requests_from_outside_are_split_and_none_is_lost_when_the_gateway_is_restarted(
    lab: Laboratory, drills: list[Row], entrance: Entrance
) -> None:
    drill = "gateway restarted, asked from outside"
    with under_load(lab, drill, drills, entrance) as load:
        for region in REGIONS:
            lab.kubectl(region, "rollout", "restart", _DEPLOYMENT, _WHERE)
        for region in REGIONS:
            lab.kubectl(region, "rollout", "status", _DEPLOYMENT, _WHERE, "--timeout=180s")
        _await_ready(lab, 2)
    assert none_failed(drills, drill)
    for each in load.loads.values():
        assert is_share(sum(answer.version == "v2" for answer in each.answers), each.sent, 0.1)


def test_the_gateway_is_scaled(lab: Laboratory, drills: list[Row], entrance: Entrance) -> None:
    drill = "gateway scaled from 2 pods to 4, 1 and 2, asked from outside"
    with under_load(lab, drill, drills, entrance):
        for number in (4, 1, 2):
            for region in REGIONS:
                lab.kubectl(region, "scale", _DEPLOYMENT, _WHERE, f"--replicas={number}")
            _await_ready(lab, number)
    assert none_failed(drills, drill)


def test_a_drain_of_nodes_evicts_a_pod_of_the_gateway(
    lab: Laboratory, drills: list[Row], entrance: Entrance, tmp_path: Path
) -> None:
    drill = "a pod of the gateway evicted, asked from outside"
    with under_load(lab, drill, drills, entrance):
        for region in REGIONS:
            name = str(_pods(lab, region)[0]["metadata"]["name"])
            evict(lab, region, INGRESS, name, tmp_path)
            until(partial(_are_ready, lab, region, 2, but=name), seconds=180)
    assert none_failed(drills, drill)


@pytest.fixture
def slow(lab: Laboratory, tmp_path: Path) -> Iterator[Entrance]:
    """A host of region-a's gateway for which every request takes eight seconds."""
    file = tmp_path / "slow.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": _SLOW}))
    lab.kubectl(REGIONS[0], "apply", "-f", str(file))
    yield Entrance(gateway_address(_NAMESPACE), "slow.corp.local")
    lab.kubectl(REGIONS[0], "delete", "-f", str(file))


def _ask(lab: Laboratory, entrance: Entrance, requests: int, rate: int, *options: str) -> list[dict[str, Any]]:
    """Send requests from outside the mesh in region-a; the probe's lines."""
    target = [f"--url=http://{entrance.host}/", f"--connect-to={entrance.address}", "--timeout=30s", "--ignore-stdin"]
    command = [
        "/probe",
        "attack",
        *target,
        f"--rate={rate}",
        f"--requests={requests}",
        f"--workers={requests}",
        *options,
    ]
    output = lab.kubectl(REGIONS[0], "exec", "--namespace=echo-probe", "deployment/probe-outside", "--", *command)
    return [json.loads(line) for line in output.splitlines()]


def test_a_slow_request_is_not_cut_when_its_pod_ends(lab: Laboratory, slow: Entrance) -> None:
    region = REGIONS[0]
    _await_ready(lab, 2)
    until(lambda: _ask(lab, slow, 1, 1)[0]["code"] == 200, seconds=60)
    with ThreadPoolExecutor(1) as executor:
        asked = executor.submit(_ask, lab, slow, 150, 5)
        # requests come at a steady rate, so that after one's own time as many are under way as there ever are
        time.sleep(_SLOW_SECONDS + 2)
        restarted = time.time_ns()
        lab.kubectl(region, "rollout", "restart", _DEPLOYMENT, _WHERE)
        lines = asked.result()
    under_way = [line for line in lines if line["at_ns"] < restarted < line["at_ns"] + line["latency_ns"]]
    assert len(under_way) >= 5 * _SLOW_SECONDS - 5
    assert [line for line in lines if line["code"] != 200] == []
    # the client sends a request again whose connection was cut: it then takes twice as long
    assert max(line["latency_ns"] for line in lines) < 1.5 * _SLOW_SECONDS * 1e9


_SECRET = "0123456789abcdef"


@pytest.fixture
def asked(lab: Laboratory, entrance: Entrance) -> Iterator[Entrance]:
    """The gateway of region-a while v2 has no requests there, and testers outside may ask for it with a secret."""
    region = REGIONS[0]
    before = lab.git("rev-parse", "HEAD").strip()
    testers = {"header": "x-echo-version", "gatewaySecret": "echo-testers"}
    try:
        lab.edit(region, lambda config: config["echo-rollout:services"]["echo"].update(testers=testers))
        lab.await_synced(lab.weigh({"v1": 100, "v2": 0}, region), region)
        lab.kubectl(region, "create", "secret", "generic", "echo-testers", _WHERE, f"--from-literal=value={_SECRET}")
        lab.run("up", "--no-verify", f"--region={region}")
        yield entrance
    finally:
        lab.kubectl(region, "delete", "secret", "echo-testers", _WHERE, "--ignore-not-found")
        lab.back_to(before)
        lab.await_synced(lab.push("Go back"), region)
        lab.run("up", "--no-verify", f"--region={region}")


def _versions(lab: Laboratory, entrance: Entrance, **headers: str) -> set[str]:
    """The versions that twenty answers name to somebody outside who sends these headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    options = ("--version-header=x-rollout-version", f"--request={json.dumps({'headers': named})}")
    return {each.get("subset", "") for each in _ask(lab, entrance, 20, 50, *options)}


def test_a_tester_outside_gets_the_version_that_he_asks_for_if_he_has_the_secret(
    lab: Laboratory, asked: Entrance
) -> None:
    until(lambda: _versions(lab, asked, x_echo_version="v2", x_echo_version_secret=_SECRET) == {"v2"}, seconds=60)
    assert _versions(lab, asked, x_echo_version="v1", x_echo_version_secret=_SECRET) == {"v1"}
    assert _versions(lab, asked, x_echo_version="v2") == {"v1"}
    assert _versions(lab, asked, x_echo_version="v2", x_echo_version_secret="guessed") == {"v1"}
    assert _versions(lab, asked, x_echo_version_secret=_SECRET) == {"v1"}
    refused = rollout(lab, "retire", "v2", "--service=echo", f"--region={REGIONS[0]}")
    assert refused.returncode == 2, refused.stderr
    assert "testers outside the mesh can ask for v2, by the gateways" in refused.stderr
    # nothing disagrees, and the next update changes nothing
    assert (said := rollout(lab, "status")).returncode == 0, said.stdout
    lab.pulumi("preview", "--expect-no-changes", "--stack", REGIONS[0])
