"""A version that is well for the probe and not for real clients is taken back, by their Envoys' counters and by a Prometheus.

So is one whose pod is out for long, which no request tells. The requests of clients outside the mesh are counted as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from components.names import INGRESS, gateway_address
from tests.e2e.laboratory import Laboratory
from tests.e2e.promoting import Promoted, promote, rollout
from tests.e2e.waiting import until
from tests.e2e.web import not_ready, web_up

pytestmark = pytest.mark.drill

_REGION = "region-a"
_PROMETHEUS = ("deployment/prometheus", "--namespace=monitoring")
_METRICS = {"prometheus": {"service": "monitoring/prometheus:9090", "counters": "envoy"}, "latency": True}
_MANY = 500
_DECLARED = ("failureStatuses", "latencyBounds")
_FAILS = "v2 fails clients more often than v1, by more than 5 points"
_QUERY = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query?query=envoy_cluster_upstream_rq_time_bucket"


def _shopper(path: str, image: str) -> dict[str, Any]:
    """A client in the mesh that asks web for a path, fifty times a second."""
    labels = {"app": "shopper"}
    command = ["attack", f"--url=http://web.web.svc.cluster.local:8000{path}", "--ignore-stdin"]
    numbers = ["--rate=50", "--requests=1000000", "--workers=10"]
    container = {"name": "shopper", "image": image, "imagePullPolicy": "IfNotPresent", "args": [*command, *numbers]}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 5},
    }
    deployment = {"replicas": 1, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": labels}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shopper", "namespace": "clients"},
        "spec": {**deployment, "template": template},
    }


def _shops(lab: Laboratory, path: str) -> None:
    """Let the client ask for a path from now on."""
    probe = lab.get(_REGION, "deployment/probe", "--namespace=echo-probe")
    file = lab.place.directory / "shopper.json"
    file.write_text(json.dumps(_shopper(path, probe["spec"]["template"]["spec"]["containers"][0]["image"])))
    lab.kubectl(_REGION, "apply", f"--filename={file}")
    lab.kubectl(_REGION, "rollout", "status", "deployment/shopper", "--namespace=clients", "--timeout=120s")


@pytest.fixture(scope="module")
def shop(lab: Laboratory) -> Iterator[None]:
    """Web, which testers cannot ask for a version, so that clients' counters are judged; and its client's namespace."""
    with web_up(lab, testers=None):
        lab.kubectl(_REGION, "create", "namespace", "clients")
        lab.kubectl(_REGION, "label", "namespace", "clients", "istio-injection=enabled")
        lab.kubectl(_REGION, "create", "service", "clusterip", "proxies", "--clusterip=None", "--namespace=clients")
        lab.kubectl(_REGION, "set", "selector", "service/proxies", "app=shopper", "--namespace=clients")
        yield
        lab.kubectl(_REGION, "delete", "namespace", "clients")


@pytest.fixture(scope="module")
def scraped(lab: Laboratory, shop: None) -> Iterator[None]:
    """A Prometheus in the region, which its stack file names."""
    _declare(lab, _METRICS)
    yield
    lab.kubectl(_REGION, "delete", "namespace", "monitoring")


def _answered(lab: Laboratory) -> int:
    """How many answers of v1 the client's Envoy has kept in its histogram."""
    asked = ("pilot-agent", "request", "GET", "stats?filter=v1.web.web.*upstream_rq_2xx")
    told = lab.kubectl(
        _REGION, "exec", "--namespace=clients", "deployment/shopper", "--container=istio-proxy", "--", *asked
    )
    return int(told.rpartition(":")[2] or 0)


def _await_scraped(lab: Laboratory) -> None:
    until(lambda: "|web.web.svc" in lab.kubectl(_REGION, "get", f"--raw={_QUERY}"), seconds=120)


def _declare(lab: Laboratory, metrics: dict[str, Any], **of_web: Any) -> None:
    """Bring the region to it. Proxies that start from then on keep what it asks for, and so does the client's at its next path.

    Args:
        lab: Where.
        metrics: How clients are counted.
        of_web: What of web's requests counts as failed or slow.
    """

    def declare(config: Any) -> None:
        config["echo-rollout:metrics"] = metrics
        web = config["echo-rollout:services"]["web"]
        for name in _DECLARED:
            web.pop(name, None)
        web.update(of_web)

    lab.git("pull", "--quiet", "--ff-only", "lab", "main")
    lab.edit(_REGION, declare)
    lab.push("Read what clients get")
    lab.run("up", "--no-verify", f"--region={_REGION}")


def _promoted(lab: Laboratory, bake: str = "60s", longest: str = "8m", **options: Any) -> Promoted:
    steps = ("--steps=10,50,100", f"--bake={bake}", f"--longest={longest}")
    return promote(lab, "v2", "--service=web", f"--regions={_REGION}", *steps, rate=200, **options)


def _assert_reason(done: Promoted, notes: list[str], what: str, reason: str) -> None:
    """A version is taken back, for a reason that has a regular expression in it."""
    assert done.code == 1, str(done)
    assert re.search(reason, done.result["reason"]), str(done)
    notes.append(f"{what}: {done.result['reason']}")


def _assert_slow(done: Promoted, notes: list[str], by: str) -> None:
    what = f"/catalogue of v2 is slow for real clients, by the histograms of {by}"
    _assert_reason(done, notes, what, "v2 is slower than [0-9.]+ ms for clients more than 10 times as often as v1")


def _assert_taken_back(done: Promoted, notes: list[str], by: str) -> None:
    _assert_reason(done, notes, f"/checkout of v2 fails real clients, counted by {by}", _FAILS)
    _assert_probe_is_well(done)


def _assert_probe_is_well(done: Promoted) -> None:
    assert not [row for row in done.result["undone"]["cost"] if row["failures"]], "the probe's own path is well"


@pytest.mark.usefixtures("shop")
def test_a_version_that_fails_only_real_clients_is_taken_back_by_their_envoys(
    lab: Laboratory, notes: list[str]
) -> None:
    _shops(lab, "/checkout")

    _assert_taken_back(_promoted(lab), notes, "Envoys")


@pytest.mark.usefixtures("shop")
def test_a_version_that_is_slow_only_for_real_clients_is_taken_back(lab: Laboratory, notes: list[str]) -> None:
    """By their Envoys' histograms: v2 takes a second for each page of the catalogue."""
    _declare(lab, {"latency": True})
    _shops(lab, "/catalogue")
    # what is slow is known from what the old version did before
    until(lambda: _answered(lab) > _MANY, seconds=120)

    # it takes nineteen looks, between which a busy machine pauses for half a minute
    _assert_slow(_promoted(lab, bake="15m", longest="20m"), notes, "Envoys")


@pytest.mark.usefixtures("shop")
def test_a_status_that_is_declared_a_failure_takes_it_back(lab: Laboratory, notes: list[str]) -> None:
    """v2 answers 429 to real clients."""
    _declare(lab, {"latency": True}, failureStatuses=[429], latencyBounds=["500ms"])
    _shops(lab, "/limited")

    _assert_reason(_promoted(lab), notes, "v2 answers 429, which is declared a failure", _FAILS)


@pytest.mark.usefixtures("shop")
def test_a_latency_that_is_declared_slow_takes_it_back(lab: Laboratory, notes: list[str]) -> None:
    """By the bound of the test before."""
    _shops(lab, "/catalogue")

    done, reason = _promoted(lab, bake="15m", longest="20m"), "v2 is slower than 500 ms for clients more than 10 times"
    _assert_reason(done, notes, "/catalogue of v2 takes longer than is declared", f"{reason} as often as v1")


@pytest.mark.usefixtures("shop")
def test_a_version_with_a_pod_that_is_not_ready_is_taken_back(lab: Laboratory, notes: list[str]) -> None:
    """No request tells: the other pods answer them."""
    _shops(lab, "/shop")
    with not_ready(lab, _REGION, "v2") as hand:
        done = _promoted(lab, bake="5m", when={"v2 10 %: synced": hand})

    reason = "pods of v2 that were ready are not ready: 1, for "
    _assert_reason(done, notes, "a pod of v2 says that it is not ready", reason)
    _assert_probe_is_well(done)


def _ask_outside(lab: Laboratory) -> None:
    """Ask the gateway for web, 200 times a second for 100 s: of a hundred proofs of 99/1 one takes 11,460 or more."""
    where = (f"--connect-to={gateway_address(INGRESS)}", "--url=http://web.corp.local/shop")
    numbers = ("--rate=200", "--requests=20000", "--workers=20", "--ignore-stdin")
    pod = ("--namespace=echo-probe", "deployment/probe-outside")
    lab.kubectl(_REGION, "exec", *pod, "--", "/probe", "attack", *where, *numbers)


def _weigh(config: Any) -> None:
    """Give web's v2 what few requests prove."""
    versions = config["echo-rollout:services"]["web"]["versions"]
    versions["v1"]["weight"], versions["v2"]["weight"] = 99, 1


@pytest.mark.usefixtures("shop")
def test_a_split_is_proven_by_what_the_gateways_send(lab: Laboratory) -> None:
    """Nobody else asks for web."""
    lab.kubectl(_REGION, "delete", "deployment/shopper", "--namespace=clients", "--ignore-not-found")
    with lab.restored(), ThreadPoolExecutor(1) as pool:
        lab.edit(_REGION, _weigh)
        lab.render()
        lab.await_synced(lab.push("Weigh web"), _REGION, service="web")
        asked = pool.submit(_ask_outside, lab)
        done = rollout(lab, "verify", "--clients", "--service=web", f"--region={_REGION}", "--json")
        asked.result()

    assert done.returncode == 0, done.stderr
    (region,) = json.loads(done.stdout)["regions"]
    gateways = region["clients"]["gateways"]
    assert len(gateways) == 2
    assert {*gateways} <= {*region["clients"]["counted"]}


@pytest.mark.usefixtures("scraped")
def test_it_is_taken_back_by_a_prometheus(lab: Laboratory, notes: list[str]) -> None:
    _shops(lab, "/checkout")
    _await_scraped(lab)

    _assert_taken_back(_promoted(lab), notes, "Prometheus")


@pytest.mark.usefixtures("scraped")
def test_a_slow_one_is_taken_back_by_a_prometheus(lab: Laboratory, notes: list[str]) -> None:
    """It scrapes every five seconds, so a look counts as often as one at Envoys."""
    _shops(lab, "/catalogue")
    until(lambda: _answered(lab) > _MANY, seconds=120)
    _await_scraped(lab)

    _assert_slow(_promoted(lab, bake="15m", longest="20m"), notes, "Prometheus")


@pytest.mark.usefixtures("scraped")
def test_a_promotion_goes_on_when_prometheus_goes_away(lab: Laboratory) -> None:
    """It says so, and judges the probe's requests."""
    _shops(lab, "/shop")
    _await_scraped(lab)
    away = partial(lab.kubectl, _REGION, "scale", *_PROMETHEUS, "--replicas=0")

    done = _promoted(lab, when={"v2 50 %: committed": away})

    assert done.code == 0, str(done)
    told = [line for line in done.said if "the probe's requests" in line]
    # the client's last pod is there for as long as its samples are
    assert re.search("beside the probe's requests, ([12]) of \\1 clients .*are counted", told[0]), told
    assert "Prometheus monitoring/prometheus:9090 answers 503" in told[1], told
    assert "no endpoints available" in told[-1], told
