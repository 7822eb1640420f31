"""A region in which all agree, to be changed by a test."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rollout.cluster.application import parse_application
from rollout.cluster.envoys import Envoy
from rollout.cluster.objects import LastChange, Live, Pods, Route
from rollout.status.disagreements import Declaration, RegionStatus, Status
from tests.rollout.cluster.applications import NEW, well

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EDITED, COMMITTED, SYNCED, CHANGED = (NOW - timedelta(minutes=minutes) for minutes in (5, 30, 31, 29))
WEIGHTS = {"v1": 90, "v2": 10}
OTHER = {"v1": 85, "v2": 15}
PODS = ("echo-probe/probe", "echo/v1-a", "echo/v2-a")

DECLARED = Declaration(
    stack_file="Pulumi.region-a.yaml",
    delivery="gitops",
    stack=WEIGHTS,
    edited=EDITED,
    committed=WEIGHTS,
    git=WEIGHTS,
    committed_at=COMMITTED,
)


def route(weights: dict[str, int], manager: str = "argocd-controller") -> Route:
    return Route(weights, LastChange(manager, CHANGED))


def envoys(weights: dict[str, int] | None = None, **changes: Any) -> tuple[Envoy, ...]:
    """All of them with the same weights."""
    shown = WEIGHTS if weights is None else weights
    return tuple(replace(Envoy(pod, shown, frozenset({"v1", "v2"})), **changes) for pod in PODS)


AGREED = RegionStatus(
    name="region-a",
    service="echo",
    context="ctx-a",
    declared=DECLARED,
    application=parse_application(well(NEW)),
    synced=WEIGHTS,
    synced_at=SYNCED,
    live=Live(route(WEIGHTS), {"v1": Pods(3, 3), "v2": Pods(3, 3)}),
    envoys=envoys(),
)


def region(**changes: Any) -> RegionStatus:
    """The region with some of it as given; keys of its declaration go there."""
    declared = {key: changes.pop(key) for key in list(changes) if hasattr(DECLARED, key)}
    return replace(AGREED, declared=replace(DECLARED, **declared), **changes)


def live(found: Route | None) -> Live:
    assert AGREED.live is not None
    return replace(AGREED.live, route=found)


def status(*regions: RegionStatus) -> Status:
    return Status(NOW, NEW, regions, ())
