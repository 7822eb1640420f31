"""The workloads change hands between Pulumi and Argo CD as docs/handover.md says, and no request notices."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.drills import Row, under_load
from tests.e2e.laboratory import Laboratory

_UP = ("up", "--stack", "region-b", "--yes", "--non-interactive")


def _deliver(lab: Laboratory, mode: str) -> None:
    def change(config: Any) -> None:
        config["echo-rollout:delivery"] = mode

    lab.edit("region-b", change)
    lab.push(f"Deliver region-b: {mode}")


def _uids(lab: Laboratory) -> set[str]:
    """Who the workloads are: an object that was deleted and made again is another."""
    kinds = "deployments,services,poddisruptionbudgets,destinationrules,virtualservices"
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


@pytest.mark.parametrize(("there", "name"), [("direct", "Argo CD to Pulumi"), ("gitops", "Pulumi to Argo CD")])
def test_a_hand_over_loses_no_request(lab: Laboratory, drills: list[Row], there: str, name: str) -> None:
    drill = f"hand-over from {name}, region-b"
    before = _uids(lab)
    with under_load(lab, drill, drills):
        for mode in ("handover", there):
            _deliver(lab, mode)
            lab.pulumi(*_UP)
    assert _uids(lab) == before
    assert _registered(lab) is (there == "direct")
    assert [row for row in drills if row.drill == drill and row.failures] == []


def test_after_the_hand_overs_a_commit_still_moves_the_traffic(lab: Laboratory) -> None:
    with lab.restored():
        lab.await_synced(lab.weigh({"v1": 80, "v2": 20}, "region-b"))
        verified = lab.verify("--region", "region-b")
    assert verified.returncode == 0, verified.stdout + verified.stderr
