"""A canary that gets no traffic looks healthy: what the weights say is worth what was measured, and no more."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from lab.machine import cgroups, processes
from tests.e2e.laboratory import REGIONS, Laboratory
from tests.e2e.waiting import until

_PROBE = ("--namespace=echo-probe", "deployment/probe")
_ECHO = "echo.echo.svc.cluster.local"
_URL = f"http://{_ECHO}/"


def _attack(lab: Laboratory, region: str, requests: int, rate: int = 500) -> list[dict[str, Any]]:
    command = ["/probe", "attack", "--ignore-stdin", f"--url={_URL}", f"--rate={rate}", f"--requests={requests}"]
    output = lab.kubectl(region, "exec", *_PROBE, "--container=probe", "--", *command, "--workers=20")
    return [json.loads(line) for line in output.splitlines()]


def _failures(results: list[dict[str, Any]]) -> int:
    return sum(result["code"] != 200 for result in results)


def _envoy(lab: Laboratory, region: str, page: str) -> str:
    command = ["pilot-agent", "request", "GET", page]
    return lab.kubectl(region, "exec", *_PROBE, "--container=istio-proxy", "--", *command)


@pytest.fixture(scope="module")
def clusters_of_probe(lab: Laboratory) -> dict[str, Any]:
    dump = json.loads(_envoy(lab, "region-a", "config_dump?resource=dynamic_active_clusters"))
    return {config["cluster"]["name"]: config["cluster"] for config in dump["configs"]}


@pytest.mark.drill
def test_both_regions_hold_90_to_10(lab: Laboratory) -> None:
    verified = lab.verify("--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("region", REGIONS)
def test_every_pod_of_echo_has_a_sidecar(lab: Laboratory, region: str) -> None:
    pods = lab.get(region, "pods", "--namespace=echo", "--selector=app=echo")["items"]
    sidecars = [
        {container["name"] for kind in ("containers", "initContainers") for container in pod["spec"].get(kind, [])}
        for pod in pods
    ]
    assert len(pods) == 6
    assert all("istio-proxy" in names for names in sidecars)


def test_mutual_tls_is_strict(lab: Laboratory) -> None:
    """A request without the mesh's certificate is cut off by the sidecar; the same port of the same pod answers the mesh."""
    pod = lab.get("region-a", "pods", "--namespace=echo", "--selector=version=v1")["items"][0]
    address, port = pod["status"]["podIP"], _http_port(pod)
    url = f"http://{address}:{port}/"
    # a pod in a namespace without injection is a client outside the mesh
    outside = ["/probe", "attack", "--ignore-stdin", f"--url={url}", "--rate=20", "--requests=20", "--workers=1"]
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "outsider", "namespace": "default"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "probe", "image": _probe_image(lab), "args": outside[1:], "command": outside[:1]}],
        },
    }
    lab.kubectl("region-a", "delete", "pod", "outsider", "--namespace=default", "--ignore-not-found")
    overrides = json.dumps(manifest)
    lab.kubectl(
        "region-a", "run", "outsider", f"--image={_probe_image(lab)}", "--restart=Never", f"--overrides={overrides}"
    )
    try:
        lab.kubectl("region-a", "wait", "pod/outsider", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
        results = [json.loads(line) for line in lab.kubectl("region-a", "logs", "outsider").splitlines()]
        assert len(results) == 20
        # the connection is taken and then cut: a port on which nobody listens refuses it, and another host does not answer
        assert [each["error"] for each in results if not re.search("EOF|connection reset", each["error"])] == []
        assert _failures(_attack(lab, "region-a", 100)) == 0
        assert _answered(lab, address, port) > 0
    finally:
        lab.kubectl("region-a", "delete", "pod", "outsider", "--now")


def _http_port(pod: dict[str, Any]) -> int:
    """The port that the rendered Deployment gives echo's container."""
    (port,) = [
        port["containerPort"]
        for container in pod["spec"]["containers"]
        if container["name"] == "echo"
        for port in container["ports"]
        if port["name"] == "http"
    ]
    return int(port)


def _answered(lab: Laboratory, address: str, port: int) -> int:
    """The requests that this port of this pod has answered to the probe through the mesh, as the probe's Envoy counts them."""
    clusters = json.loads(_envoy(lab, "region-a", "clusters?format=json"))["cluster_statuses"]
    hosts = [host for each in clusters if each["name"].endswith(f"|{_ECHO}") for host in each.get("host_statuses", [])]
    at = {"address": address, "port_value": port}
    return sum(
        int(stat.get("value", 0))
        for host in hosts
        if host["address"].get("socket_address", {}).items() >= at.items()
        for stat in host["stats"]
        if stat["name"] == "rq_success"
    )


def _probe_image(lab: Laboratory) -> str:
    deployment = lab.get("region-a", "deployment", "probe", "--namespace=echo-probe")
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.mark.parametrize("subset", ["v1", "v2"])
def test_pools_and_ejection_are_in_the_envoys_own_configuration(clusters_of_probe: dict[str, Any], subset: str) -> None:
    cluster = clusters_of_probe[f"outbound|80|{subset}|{_ECHO}"]
    thresholds = cluster["circuit_breakers"]["thresholds"][0]
    ejection = cluster["outlier_detection"]
    options = cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
    assert thresholds["max_connections"] == 1000
    assert thresholds["max_pending_requests"] == 1000
    assert options["common_http_protocol_options"]["max_requests_per_connection"] == 100
    assert ejection["consecutive_5xx"] == 10
    assert ejection["interval"] == "5s"
    assert ejection["base_ejection_time"] == "30s"
    assert ejection["max_ejection_percent"] == 34


def test_each_subset_has_its_own_three_pods(lab: Laboratory) -> None:
    endpoints = json.loads(_envoy(lab, "region-a", "clusters?format=json"))["cluster_statuses"]
    found = {
        cluster["name"].split("|")[2]: {
            host["address"]["socket_address"]["address"] for host in cluster["host_statuses"]
        }
        for cluster in endpoints
        if cluster["name"].startswith("outbound|80|v") and "echo.echo" in cluster["name"]
    }
    wanted = {
        version: {
            pod["status"]["podIP"]
            for pod in lab.get("region-a", "pods", "--namespace=echo", f"--selector=version={version}")["items"]
        }
        for version in ("v1", "v2")
    }
    assert found == wanted
    assert {len(addresses) for addresses in found.values()} == {3}


@pytest.fixture
def bad_pod(lab: Laboratory) -> Iterator[str]:
    """A pod of v1 that answers every request 500."""
    name = lab.get("region-b", "pods", "--namespace=echo", "--selector=version=v1")["items"][0]["metadata"]["name"]
    echo = ("exec", "--namespace=echo", name, "--container=echo", "--", "/echo", "fault")
    lab.kubectl("region-b", *echo, "--status=500", "--percent=100")
    yield str(name)
    lab.kubectl("region-b", *echo, "--off")


@pytest.mark.usefixtures("bad_pod")
def test_one_bad_pod_of_three_is_ejected(lab: Laboratory) -> None:
    """Istio's default limit of 10 % would let it fail a third of the requests of v1 for ever."""
    first = _failures(_attack(lab, "region-b", 1500))
    then = _failures(_attack(lab, "region-b", 1000))
    print(f"failed: {first} of the first 1,500, then {then} of 1,000")
    assert 10 <= first <= 40  # ten in a row eject it; some are under way meanwhile
    assert then == 0


@pytest.mark.drill
@pytest.mark.usefixtures("bad_pod")
def test_without_the_limit_on_ejection_a_bad_pod_fails_a_third_for_ever(lab: Laboratory) -> None:
    """The lab text's own DestinationRule, word for word: Envoy's limit stays at 10 %, and one of three pods is more."""
    with lab.restored():
        lab.edit("region-b", lambda config: config["echo-rollout:services"]["echo"].pop("maxEjectionPercent"))
        lab.render()
        lab.push("Leave the limit on ejection at Envoy's own")
        until(lambda: '"max_ejection_percent"' not in _envoy_clusters(lab, "region-b"))
        first, then = (_failures(_attack(lab, "region-b", requests)) for requests in (1500, 1000))
    until(lambda: '"max_ejection_percent": 34' in _envoy_clusters(lab, "region-b"))
    print(f"failed without maxEjectionPercent: {first} of the first 1,500, then {then} of 1,000")
    assert then > 200  # v1 gets 900 of them, and its bad pod a third


def _envoy_clusters(lab: Laboratory, region: str) -> str:
    """The subsets of echo in the Envoy of the region's probe."""
    dump = json.loads(_envoy(lab, region, "config_dump?resource=dynamic_active_clusters"))
    return json.dumps([config for config in dump["configs"] if "|v" in config["cluster"]["name"]])


def _attacks(lab: Laboratory, region: int) -> list[int]:
    """Processes of the load generator that run in a region, found as the kernel knows them."""
    members = cgroups.members(lab.place.regions[region].cgroup)
    return [pid for pid in members if processes.command_line(pid)[:2] == ["/probe", "attack"]]


@pytest.mark.drill
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_verification_that_is_ended_leaves_no_load_behind(lab: Laboratory, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "rollout", "verify", "--rate=50"]  # at least some seconds
    with subprocess.Popen(command, cwd=lab.place.checkout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as verify:
        until(lambda: bool(_attacks(lab, 0) and _attacks(lab, 1)))
        verify.send_signal(number)
    assert verify.returncode == (130 if number is signal.SIGINT else -signal.SIGKILL)
    until(lambda: not _attacks(lab, 0) and not _attacks(lab, 1))


@pytest.mark.drill
def test_a_rolling_restart_loses_no_request(lab: Laboratory) -> None:
    """A server that stops at once on SIGTERM lost 3 of 10,559 requests here."""
    lab.kubectl("region-a", "rollout", "restart", "deployment/echo-v1", "--namespace=echo")
    results: list[dict[str, Any]] = []
    for _ in range(40):
        results += _attack(lab, "region-a", 1000, rate=300)
        if "successfully" in lab.kubectl(
            "region-a", "rollout", "status", "deployment/echo-v1", "--namespace=echo", "--timeout=1s", check=False
        ):
            break
    results += _attack(lab, "region-a", 3000, rate=300)  # the last pods drain after the new ones are ready
    assert "successfully" in lab.kubectl("region-a", "rollout", "status", "deployment/echo-v1", "--namespace=echo")
    print(f"{len(results)} requests through the restart")
    assert _failures(results) == 0
