"""The workloads change hands between Pulumi and Argo CD as docs/handover.md says, and no request notices."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.drills import Row, none_failed, under_load
from tests.e2e.laboratory import Laboratory

_UP = ("up", "--stack", "region-b", "--yes", "--non-interactive")
_WAYS = {
    "direct": "hand-over from Argo CD to Pulumi, region-b",
    "gitops": "hand-over from Pulumi to Argo CD, region-b",
}


def _deliver(lab: Laboratory, mode: str) -> None:
    def change(config: Any) -> None:
        config["echo-rollout:delivery"] = mode

    lab.edit("region-b", change)
    if lab.git("status", "--short"):
        lab.push(f"Deliver region-b: {mode}")


def _uids(lab: Laboratory) -> set[str]:
    """Who the workloads are: an object that was deleted and made again is another."""
    kinds = "deployments,services,serviceaccounts,poddisruptionbudgets,destinationrules,virtualservices"
    return {item["metadata"]["uid"] for item in lab.get("region-b", kinds, "--namespace=echo")["items"]}


def _registered(lab: Laboratory) -> bool:
    """Whether the stack has the workloads among its resources."""
    return "kubernetes:apps/v1:Deployment::echo-v1" in lab.pulumi("stack", "export", "--stack", "region-b").stdout


def test_a_plain_switch_is_refused_and_the_workloads_stay(lab: Laboratory) -> None:
    before = _uids(lab)
    with lab.restored():
        _deliver(lab, "direct")
        for verb in (("preview", "--stack", "region-b", "--non-interactive"), _UP):
            refused = lab.pulumi(*verb, check=False)
            assert refused.returncode != 0
            assert "docs/handover.md" in refused.stdout + refused.stderr
            assert "Traceback" not in refused.stdout + refused.stderr
    assert _uids(lab) == before


@pytest.mark.drill
def test_a_hand_over_there_and_back_loses_no_request(lab: Laboratory, drills: list[Row]) -> None:
    before = _uids(lab)
    try:
        for there, drill in _WAYS.items():
            with under_load(lab, drill, drills):
                for mode in ("handover", there):
                    _deliver(lab, mode)
                    lab.pulumi(*_UP)
                if there == "direct":
                    _weigh_by_update(lab, {"v1": 80, "v2": 20})
                    _weigh_by_update(lab, {"v1": 90, "v2": 10})
            assert _uids(lab) == before
            assert _registered(lab) is (there == "direct")
    finally:
        for mode in ("handover", "gitops") if _mode(lab) != "gitops" else ():
            _deliver(lab, mode)
            lab.pulumi(*_UP)
    assert all(none_failed(drills, drill) for drill in _WAYS.values())


def _weigh_by_update(lab: Laboratory, weights: dict[str, int]) -> None:
    """Change the weights where Pulumi delivers, and see that they are on the cluster."""

    def change(config: Any) -> None:
        for version, weight in weights.items():
            config["echo-rollout:services"]["echo"]["versions"][version]["weight"] = weight

    lab.edit("region-b", change)
    lab.pulumi(*_UP)
    (route,) = lab.get("region-b", "virtualservice/echo", "--namespace=echo")["spec"]["http"]
    assert {each["destination"]["subset"]: each["weight"] for each in route["route"]} == weights


def _mode(lab: Laboratory) -> str:
    """How the stack says that region-b is delivered."""
    return lab.pulumi("stack", "output", "delivery", "--stack", "region-b").stdout.strip()


@pytest.mark.drill
def test_after_the_hand_overs_a_commit_still_moves_the_traffic(lab: Laboratory) -> None:
    with lab.restored():
        lab.await_synced(lab.weigh({"v1": 80, "v2": 20}, "region-b"))
        verified = lab.verify("--region", "region-b")
    assert verified.returncode == 0, verified.stdout + verified.stderr
