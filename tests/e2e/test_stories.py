"""Orders that lose requests, and beside each the order that loses none: on two regions, of one commit where that can be.

What fails is what the story says: the share of one version, and nothing of the others.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.load import Answer, Load, probe_process
from lab.place import Region
from tests.e2e.drills import RATE, Row, UnderLoad, is_share, under_load
from tests.e2e.laboratory import REGIONS, Laboratory
from tests.e2e.waiting import until

pytestmark = pytest.mark.drill

_SERVICES = "echo-rollout:services"
_UNAVAILABLE = "503 503 Service Unavailable"
_WEIGHT = 10

Loads = Mapping[str, Load]


@contextmanager
def _told(lab: Laboratory, table: list[Row], in_a: str, in_b: str) -> Iterator[UnderLoad]:
    """A load on both regions while a block runs, and a row for the story of each."""
    rows: list[Row] = []
    with under_load(lab, "", rows) as load:
        yield load
    stories = dict(zip(REGIONS, (in_a, in_b), strict=True))
    table += [replace(row, drill=stories[row.region]) for row in rows]


def _loses(load: Load, version: str) -> bool:
    """Whether requests failed, and while they did, all of a version's share and nothing else."""
    print(f"failed: {dict(load.failures())}")
    if set(load.failures()) != {_UNAVAILABLE}:
        return False
    during = _during(load.answers)
    failed = sum(answer.failed for answer in during)
    print(f"{failed} of {len(during)} requests failed while {version} was out")
    answered = {answer.version for answer in during}
    return failed > 0 and version not in answered and is_share(failed, len(during), _WEIGHT / 100)


def _during(answers: Sequence[Answer]) -> list[Answer]:
    """What was sent while eight of ten of the failures were: at the edges Envoy's threads do not change at once."""
    failed = sorted(answer.at_seconds for answer in answers if answer.failed)
    edge = len(failed) // 10
    first, last = failed[edge], failed[-1 - edge]
    return [answer for answer in answers if first <= answer.at_seconds <= last]


def _weigh_0_and_confirm(lab: Laboratory, region: str) -> None:
    """Take the requests from v2, and wait until Argo CD has delivered it and the clients' Envoy has taken it."""
    lab.await_synced(lab.weigh({"v1": 100, "v2": 0}, region), region)
    until(lambda: lab.routed(region) == {"v1"})


@pytest.fixture(scope="module")
def retired(lab: Laboratory, drills: list[Row]) -> Loads:
    """One commit takes v2 from both regions: in region-b it has had no requests for a while."""

    def retire(config: Any) -> None:
        versions = config[_SERVICES]["echo"]["versions"]
        del versions["v2"]
        versions["v1"]["weight"] = 100

    stories = ("v2 retired with its weight", "v2 retired once weight 0 is acknowledged")
    with lab.restored(), _told(lab, drills, *stories) as load:
        _weigh_0_and_confirm(lab, "region-b")
        for region in REGIONS:
            lab.edit(region, retire)
        lab.render()
        lab.await_synced(lab.push("Retire v2"))
    return load.loads


def test_a_version_retired_with_its_weight_loses_its_share(retired: Loads) -> None:
    """The DestinationRule is of an earlier wave: its subset is gone while the routes still name it."""
    assert _loses(retired["region-a"], "v2")


def test_a_version_retired_once_weight_0_is_acknowledged_loses_nothing(retired: Loads) -> None:
    """Subset and Deployment may then go in one commit."""
    assert not retired["region-b"].failures()


@dataclass(frozen=True)
class ComingAndGoing:
    """The loads while v3 came, and those while it went."""

    coming: Loads
    going: Loads


@pytest.fixture(scope="module")
def v3(lab: Laboratory, drills: list[Row]) -> ComingAndGoing:
    """One commit brings v3 to both regions, to region-a without waves; one push takes it back.

    From region-a by a revert, from region-b by two commits that are right one after the other.
    """
    before = lab.git("rev-parse", "HEAD").strip()
    with lab.restored():
        _add_v3(lab, dict.fromkeys(REGIONS, _WEIGHT))
        for name in ("dr.yaml", "vs.yaml"):
            lab.edit_overlay("region-a", name, _without_wave)
        with _told(lab, drills, "v3 introduced without waves", "v3 introduced wave by wave") as load:
            lab.await_synced(lab.push("Introduce v3"))
            load.until_shares({"v3": _WEIGHT})
        coming = load.loads
        with _told(lab, drills, "v3 taken back by a revert", "v3 taken back by two commits in one push") as load:
            lab.commit_weights({"v1": 90, "v3": 0}, "region-b")
            lab.back_to(before)
            lab.await_synced(lab.push("Take v3 back"))
    return ComingAndGoing(coming, load.loads)


def _add_v3(lab: Laboratory, weights: Mapping[str, int], image: str | None = None) -> None:
    """Render a v3 with each region's weight, which v1 gives; its image is that of v2 unless one is named."""

    def add(weight: int, config: Any) -> None:
        versions = config[_SERVICES]["echo"]["versions"]
        versions["v3"] = {**versions["v2"], "image": image or versions["v2"]["image"], "weight": weight}
        versions["v1"]["weight"] -= weight

    for region, weight in weights.items():
        lab.edit(region, partial(add, weight))
    lab.render()


def _without_wave(manifest: Any) -> None:
    del manifest["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]


def test_a_version_introduced_without_waves_loses_its_share(v3: ComingAndGoing) -> None:
    """Its subset and its route are there before its pods are."""
    assert _loses(v3.coming["region-a"], "v3")


def test_a_version_introduced_wave_by_wave_loses_nothing(v3: ComingAndGoing) -> None:
    assert not v3.coming["region-b"].failures()


def test_a_reverted_introduction_loses_the_share_of_what_it_brought(v3: ComingAndGoing) -> None:
    """It is a removal like any other."""
    assert _loses(v3.going["region-a"], "v3")


def test_two_right_commits_that_arrive_together_lose_what_one_does(v3: ComingAndGoing) -> None:
    """Argo CD syncs the newest alone: the weight 0 before it is never delivered."""
    assert _loses(v3.going["region-b"], "v3")


@pytest.fixture(scope="module")
def scaled_to_0(lab: Laboratory, drills: list[Row]) -> Loads:
    """One commit takes all pods from v2 in both regions: in region-b it has had no requests for a while."""

    def scale(deployment: Any) -> None:
        deployment["spec"]["replicas"] = 0

    stories = ("v2 scaled to 0 with its weight", "v2 scaled to 0 once weight 0 is acknowledged")
    with lab.restored(), _told(lab, drills, *stories) as load:
        _weigh_0_and_confirm(lab, "region-b")
        lab.commit_weights({"v1": 100, "v2": 0}, "region-a")
        for region in REGIONS:
            lab.edit_overlay(region, "deployment-v2.yaml", scale)
        lab.await_synced(lab.push("Scale v2 to 0"))
    return load.loads


def test_a_version_scaled_to_0_with_its_weight_loses_its_share(scaled_to_0: Loads) -> None:
    """The Deployment is of an earlier wave: its pods are gone while the route still names them."""
    assert _loses(scaled_to_0["region-a"], "v2")


def test_a_version_scaled_to_0_once_weight_0_is_acknowledged_loses_nothing(scaled_to_0: Loads) -> None:
    assert not scaled_to_0["region-b"].failures()


def test_what_argocd_calls_synced_a_client_may_not_have_heard_of(lab: Laboratory) -> None:
    """Argo CD asks the API server, and the API server asks no Envoy: here istiod cannot reach it."""
    region = lab.place.regions[0]
    with lab.restored(), Load(region, RATE) as load:
        with _cut_off_from_istiod(region):
            lab.await_synced(lab.weigh({"v1": 100, "v2": 0}, "region-a"), "region-a")
            before = load.sent
            until(partial(_has_sent, load, before + 3 * RATE))
            since = load.answers[before:]
        until(lambda: lab.routed("region-a") == {"v1"}, seconds=90)
    assert is_share(sum(answer.version == "v2" for answer in since), len(since), _WEIGHT / 100)


@contextmanager
def _cut_off_from_istiod(region: Region) -> Iterator[None]:
    """Let nothing that istiod sends reach the probe's pod."""
    probe = probe_process(region)
    assert probe is not None
    firewall = ["nsenter", f"--target={probe}", "--net", "iptables"]
    answers = ["INPUT", "--protocol", "tcp", "--source-port", "15012", "--jump", "DROP"]
    subprocess.run([*firewall, "--insert", *answers], check=True)
    try:
        yield
    finally:
        subprocess.run([*firewall, "--delete", *answers], check=True)


def _has_sent(load: Load, requests: int) -> bool:
    return load.sent >= requests


@pytest.fixture(scope="module")
def never_ready(lab: Laboratory, drills: list[Row]) -> Loads:
    """One commit brings to both regions a v3 whose image is nowhere: with requests to region-a, without to region-b."""

    def give_up_early(deployment: Any) -> None:
        deployment["spec"]["progressDeadlineSeconds"] = 3

    stories = ("v3 that never gets ready, with weight", "v3 that never gets ready, with weight 0")
    with lab.restored():
        _add_v3(lab, {"region-a": _WEIGHT, "region-b": 0}, "registry.corp.local/echo:0.0.0")
        for region in REGIONS:
            lab.edit_overlay(region, "deployment-v3.yaml", give_up_early)
        with _told(lab, drills, *stories) as load:
            lab.push("Introduce a v3 that never gets ready")
            for region in REGIONS:
                until(partial(_knows_v3, lab, region), seconds=90)
            until(lambda: bool(load.loads["region-a"].failures()))
    return load.loads


def _knows_v3(lab: Laboratory, region: str) -> bool:
    return "v3" in lab.known(region)


def test_waves_do_not_hold_a_version_back_whose_sync_is_tried_again(never_ready: Loads) -> None:
    """The second attempt finds the Deployment as committed, passes over it and over its health, and goes on to the routes."""
    assert _loses(never_ready["region-a"], "v3")


def test_a_version_that_never_gets_ready_loses_nothing_with_weight_0(never_ready: Loads) -> None:
    assert not never_ready["region-b"].failures()


_ROUNDS = 20
_SAFE_ROUNDS = 3
_FULL_RATE = 1000


@dataclass(frozen=True)
class ByHand:
    """Routes and subsets of region-a, applied as Argo CD would, but at a moment of a test's choosing.

    Attributes:
        rule: the DestinationRule as delivered.
        service: the VirtualService as delivered.
        file: where to put what is applied.
    """

    lab: Laboratory
    rule: Mapping[str, Any]
    service: Mapping[str, Any]
    file: Path

    def subsets(self, *versions: str) -> dict[str, Any]:
        """The DestinationRule with these subsets alone."""
        spec = self.rule["spec"]
        kept = [subset for subset in spec["subsets"] if subset["name"] in versions]
        return {**self.rule, "spec": {**spec, "subsets": kept}}

    def weights(self, **weights: int) -> dict[str, Any]:
        """The VirtualService with these routes alone."""
        spec = self.service["spec"]
        (http,) = spec["http"]
        to = http["route"][0]["destination"]
        route = [{"destination": {**to, "subset": version}, "weight": weight} for version, weight in weights.items()]
        return {**self.service, "spec": {**spec, "http": [{**http, "route": route}]}}

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects at once, in the name of Argo CD, so that nothing stays behind that it does not own."""
        self.file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        flags = ("--server-side", "--force-conflicts", "--field-manager=argocd-controller")
        self.lab.kubectl("region-a", "apply", *flags, f"--filename={self.file}")

    def send_all_to_v2(self) -> None:
        """Bring v2 back, the subset first, and give it almost every request."""
        self.apply(self.subsets("v1", "v2"))
        until(lambda: "v2" in self.lab.known("region-a"))
        self.apply(self.weights(v1=1, v2=99))
        until(lambda: "v2" in self.lab.routed("region-a"))


@pytest.fixture
def by_hand(lab: Laboratory) -> Iterator[ByHand]:
    file = lab.place.directory / "applied-by-hand.json"
    hand = ByHand(lab, _delivered(lab, "destinationrule"), _delivered(lab, "virtualservice"), file)
    _let_argocd_sync(lab, False)
    try:
        yield hand
    finally:
        hand.apply(hand.rule)
        until(lambda: "v2" in lab.known("region-a"))
        hand.apply(hand.service)
        _let_argocd_sync(lab, None)
        lab.await_synced(lab.git("rev-parse", "HEAD").strip(), "region-a")


def _delivered(lab: Laboratory, kind: str) -> dict[str, Any]:
    live = lab.get("region-a", f"{kind}/echo", "--namespace=echo")
    kept = ("name", "namespace", "labels", "annotations")
    return {
        **{key: live[key] for key in ("apiVersion", "kind", "spec")},
        "metadata": {key: live["metadata"][key] for key in kept},
    }


def _let_argocd_sync(lab: Laboratory, enabled: bool | None) -> None:
    """Whether Argo CD syncs by itself; None for what it does when nothing is said."""
    patch = json.dumps({"spec": {"syncPolicy": {"automated": {"enabled": enabled}}}})
    where = ("application.argoproj.io/echo", "--namespace=argocd")
    lab.kubectl("region-a", "patch", *where, "--type=merge", f"--patch={patch}")


def test_a_route_and_its_subset_that_go_at_the_same_moment_lose_requests(
    lab: Laboratory, by_hand: ByHand, drills: list[Row]
) -> None:
    """Though the route is applied first: istiod merges both into one push, and Envoy takes clusters before routes.

    It lasts for milliseconds and does not show each time.
    """
    sent, failed = 0, 0
    for _ in range(_ROUNDS):
        by_hand.send_all_to_v2()
        with Load(lab.place.regions[0], _FULL_RATE) as load:
            until(partial(_has_sent, load, _FULL_RATE))
            by_hand.apply(by_hand.weights(v1=100), by_hand.subsets("v1"))
            until(partial(_goes_to_v1, load))
        sent, failed = sent + load.sent, failed + load.failures().get(_UNAVAILABLE, 0)
        if failed:
            break
    drills.append(Row("route, then subset at the same moment", "region-a", sent, {_UNAVAILABLE: failed}))
    assert failed > 0


def _goes_to_v1(load: Load) -> bool:
    return load.share("v1", _FULL_RATE) == 1


def test_a_subset_that_goes_once_its_route_is_known_to_be_gone_loses_nothing(
    lab: Laboratory, by_hand: ByHand, drills: list[Row]
) -> None:
    sent, failures = 0, Counter[str]()
    for _ in range(_SAFE_ROUNDS):
        by_hand.send_all_to_v2()
        with Load(lab.place.regions[0], _FULL_RATE) as load:
            until(partial(_has_sent, load, _FULL_RATE))
            by_hand.apply(by_hand.weights(v1=100))
            until(lambda: lab.routed("region-a") == {"v1"})
            by_hand.apply(by_hand.subsets("v1"))
            until(lambda: "v2" not in lab.known("region-a"))
        sent, failures = sent + load.sent, failures + Counter(load.failures())
    drills.append(Row("route, then subset once that is acknowledged", "region-a", sent, failures))
    assert not failures
