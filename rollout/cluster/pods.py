"""What the API server tells of a pod, read from plain values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_leaving(pod: Mapping[str, Any]) -> bool:
    """Whether it is being deleted."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def ready_condition(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Its condition Ready; empty where the API server does not tell yet."""
    conditions = pod.get("status", {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == "Ready"), {})


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether it is ready and not being deleted."""
    return ready_condition(pod).get("status") == "True" and not is_leaving(pod)


def waiting_reasons(pod: Mapping[str, Any]) -> dict[str, str]:
    """What its containers wait for, such as CrashLoopBackOff, by container; only those that wait."""
    status = pod.get("status", {})
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    states = {one["name"]: one.get("state") or {} for one in containers}
    return {name: state["waiting"].get("reason", "") for name, state in states.items() if "waiting" in state}
