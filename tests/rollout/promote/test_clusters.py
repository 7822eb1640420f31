"""A measurement that nobody waits for any more ends; what is asked of a region, and where other clients are read."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import pytest

from rollout.access import PulumiAccess, RegionAccess
from rollout.cluster.stack_outputs import ServiceOutputs, StackOutputs
from rollout.judge.shares import RISK
from rollout.measurement import Result
from rollout.problem import RolloutError
from rollout.promote import clusters as clusters_module
from rollout.promote.clusters import FIRST_REQUESTS, Clusters
from rollout.regions import Discovery
from rollout.status.verification import Deliveries, Progress, Ready
from rollout.traffic.attack import Attack
from rollout.traffic.probe import LOOK_EVERY
from stackfile.model import RequestConfig
from tests.rollout.answers import ok
from tests.rollout.planned import Project
from tests.rollout.promote.two_clones import TwoClones
from tests.rollout.traffic.fake_prometheus import FakePrometheus, serving
from tests.rollout.traffic.test_proxies import until

REGION = RegionAccess("region-a", "region-a", "region-a")
# far fewer than decide that v1 gets all of them
ENOUGH = 40


@dataclass(frozen=True)
class Endless:
    """Answers without an end; after some of them nobody waits any more."""

    gone: threading.Event
    region: RegionAccess = REGION

    def results(self, attack: Attack, _stop: threading.Event) -> Iterator[Result]:
        for sequence in range(attack.requests):
            if sequence == ENOUGH:
                self.gone.set()
            yield replace(ok("v1", "region-a"), sequence=sequence)


def test_ends_at_the_next_look(clones: TwoClones, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = threading.Event()
    ready = Ready(
        REGION,
        "echo",
        "mesh",
        {"v1": 100, "v2": 0},
        source=Endless(gone),
        attack=Attack("http://echo", 50_000, 500),
        changed=lambda _stop: None,
    )
    monkeypatch.setattr(clusters_module, "prepare", lambda *_arguments, **_options: [ready])
    found = Discovery((REGION,), PulumiAccess(clones.operator.directory), "a test")
    regions = Clusters(clones.upstream(), found, ["region-a"], 500, _unshown)

    (outcome,) = regions.certify(["region-a"], RISK, stop=gone)

    assert outcome.verdict is not None
    measured = outcome.verdict.measurement
    assert (measured.interruption, measured.requests) == ("stopped", ENOUGH + LOOK_EVERY)
    assert not outcome.holds


def test_fetches_what_argo_cd_synced_and_the_clone_lacks(clones: TwoClones, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[Deliveries] = []

    def prepare(_regions: object, deliveries: Deliveries, **_options: object) -> tuple[Ready, ...]:
        prepared.append(deliveries)
        return ()

    monkeypatch.setattr(clusters_module, "prepare", prepare)
    upstream = clones.upstream()
    found = Discovery((REGION,), PulumiAccess(clones.operator.directory), "a test")
    said: list[str] = []
    regions = Clusters(upstream, found, ["region-a"], 500, _unshown)
    regions.certify(["region-a"], RISK, stop=threading.Event(), say=said.append)
    commit = clones.somebody_writes()
    assert upstream.repository.commit_of(commit) is None

    prepared[0].fetch("main")
    prepared[0].say("fetched")

    assert said == ["fetched"]
    assert upstream.repository.commit_of(commit) == commit


def _read_prometheus(project: Project, address: str) -> None:
    file = project.directory / "Pulumi.region-a.yaml"
    file.write_text(f'{file.read_text()}  echo-rollout:metrics: {{prometheus: {{address: "{address}"}}}}\n')


def test_clients_are_read_of_the_prometheus_that_a_region_declares(clones: TwoClones) -> None:
    found = Discovery((REGION,), PulumiAccess(clones.operator.directory), "a test")
    regions = Clusters(clones.upstream(), found, ["region-a"], 500, _unshown)
    prometheus = FakePrometheus(answer=(503, '{"status": "error", "error": "starting"}'))
    with serving(prometheus) as port:
        clones.somebody("Read Prometheus", lambda project: _read_prometheus(project, f"http://127.0.0.1:{port}"))
        with regions.clients("region-a") as watch:
            until(watch, lambda window: "answers 503: starting" in window.trouble)


def test_who_reads_clients_knows_what_the_service_declares(clones: TwoClones, monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, object] = {}
    for source in ("Proxies", "Prometheus"):
        monkeypatch.setattr(clusters_module, source, lambda *_where, **options: known.update(options))
    limit = "      maxEjectionPercent: 34"
    declared = f"      failureStatuses: [429]\n      latencyBounds: [1s]\n{limit}"
    clones.somebody("Declare it", lambda project: project.replace("region-a", limit, declared))
    found = Discovery((REGION,), PulumiAccess(clones.operator.directory), "a test")

    Clusters(clones.upstream(), found, ["region-a"], 500, _unshown).clients("region-a")

    assert known == {"latency": False, "failures": (429,), "bounds_ms": (1_000,)}
    known.clear()
    clones.somebody("Name a Prometheus", lambda project: _read_prometheus(project, "http://127.0.0.1:1"))

    Clusters(clones.upstream(), found, ["region-a"], 500, _unshown).clients("region-a")

    # what is declared to be slow takes histograms
    assert known == {"latency": True, "failures": (429,)}


@dataclass(frozen=True)
class Told:
    """Answers for v2, and keeps what it was told to send."""

    attacks: list[Attack]
    region: RegionAccess = REGION

    def results(self, attack: Attack, _stop: threading.Event) -> Iterator[Result]:
        self.attacks.append(attack)
        for sequence in range(attack.requests):
            yield replace(ok("v2", "region-a"), sequence=sequence)


def test_a_version_is_asked_with_the_usual_requests_and_the_header(
    clones: TwoClones, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = (RequestConfig(), RequestConfig(path="/orders", expected_status=(201,)))
    outputs = ServiceOutputs(
        weights={"v1": 100}, url="http://web.shop:8080/", namespace="shop", port=8080, requests=kinds
    )
    stack = StackOutputs(region="region-a", services={"echo": outputs})
    told = Told([])
    monkeypatch.setattr(clusters_module, "connect", lambda _region: told)
    monkeypatch.setattr(clusters_module, "read_outputs", lambda *_asked: stack)
    found = Discovery((REGION,), PulumiAccess(clones.operator.directory), "a test")

    asked = Clusters(clones.upstream(), found, ["region-a"], 500, _unshown).asked_for("region-a", "x-version", "v2")

    assert (asked.requests, asked.versions["v2"].requests) == (FIRST_REQUESTS, FIRST_REQUESTS)
    (attack,) = told.attacks
    assert (attack.url, attack.requests, attack.rate) == ("http://web.shop:8080/", FIRST_REQUESTS, 50)
    assert [(kind.path, kind.headers) for kind in attack.kinds] == [
        ("/", {"x-version": "v2"}),
        ("/orders", {"x-version": "v2"}),
    ]


def test_a_region_that_nobody_knows_the_place_of_is_named_and_stops_no_other(clones: TwoClones) -> None:
    found = Discovery((REGION,), PulumiAccess(clones.operator.directory), ".regions.yaml")
    regions = Clusters(clones.upstream(), found, ["region-a", "region-b"], 500, _unshown)

    with pytest.raises(RolloutError, match=r"^region-b: nothing in \.regions\.yaml says where this region is"):
        regions.deliver("region-b", clones.tip, {"v1": 100}, lambda: None)


def _unshown(_ready: Sequence[Ready]) -> AbstractContextManager[Progress]:
    raise AssertionError("several are measured at the same time")
