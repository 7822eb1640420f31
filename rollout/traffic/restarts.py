"""How often the containers of a service end by themselves while a region is watched: killed for memory, crashed, not alive.

The kubelet starts such a container again in the same pod and counts that (`restartCount`). A pod that was evicted, moved or
replaced is another one and counts from 0. Not counted are sidecars, and containers of which the kubelet lost sight: their node
was started again. What ended and was not started again yet is counted when it is.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from components.names import ServiceAddress
from rollout.access import RegionAccess
from rollout.cluster.client import api_client, list_pods
from rollout.problem import RolloutError
from rollout.traffic.attack import LONGEST_SECONDS

WITHIN_SECONDS = 600.0
"""How long a restart is remembered: the kubelet forgets a container's crashes, too, once it has run for ten minutes."""

_EVERY_SECONDS = 5.0
_LOST = {"Unknown", "ContainerStatusUnknown"}
"""What the kubelet writes where it does not know how a container ended."""


class Container(NamedTuple):
    """A version's container in a pod: how often it was started again, and why it ended last."""

    version: str
    restarts: int
    reason: str


def containers_of(pods: Iterable[Mapping[str, Any]], service: str) -> dict[str, Container]:
    """The containers of a service, which have its name, by their pod's uid."""
    return {
        pod["metadata"]["uid"]: Container(
            (pod["metadata"].get("labels") or {}).get("version", ""), status["restartCount"], _last_reason(status)
        )
        for pod in pods
        for status in pod.get("status", {}).get("containerStatuses") or []
        if status["name"] == service
    }


def ended_between(before: Mapping[str, Container], now: Mapping[str, Container]) -> list[tuple[str, str]]:
    """Which containers ended between two looks: each time a version and the reason."""
    return [
        (found.version, found.reason)
        for uid, found in now.items()
        for _ in range(found.restarts - (before[uid].restarts if uid in before else 0))
        if found.reason not in _LOST
    ]


class RestartsWatch:
    """The containers of a service in a region, looked at every five seconds for as long as the block lasts.

    Args:
        region: The region.
        service: The service.
    """

    def __init__(self, region: RegionAccess, service: ServiceAddress) -> None:
        self._region, self._service = region, service
        self._stop = threading.Event()
        self._before: Mapping[str, Container] | None = None
        self._ended: list[tuple[float, str, str]] = []
        self._trouble = ""
        self._thread = threading.Thread(target=self._follow, name=f"restarts {region.name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def seen(self) -> Mapping[str, tuple[str, ...]]:
        """Why containers ended within the last ten minutes, by version; those of which none ended are missing."""
        reasons: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
        for at_seconds, version, reason in [*self._ended]:
            if at_seconds > time.monotonic() - WITHIN_SECONDS:
                reasons[version] += (reason,)
        return dict(reasons)

    def trouble(self) -> str:
        """Why the last look failed, a sentence; "" where it did not."""
        return self._trouble

    def _follow(self) -> None:
        ends = time.monotonic() + LONGEST_SECONDS
        while not self._stop.is_set() and time.monotonic() < ends:
            try:
                self._look()
            except RolloutError as error:
                self._trouble = "; ".join(problem.what for problem in error.problems)
            self._stop.wait(_EVERY_SECONDS)

    def _look(self) -> None:
        service = self._service
        pods = list_pods(self._region, api_client(self._region), service.namespace, f"app={service.name}")
        now, self._trouble = containers_of(pods, service.name), ""
        if self._before is not None:
            self._ended += [(time.monotonic(), *each) for each in ended_between(self._before, now)]
        self._before = now


def _last_reason(status: Mapping[str, Any]) -> str:
    return str((status.get("lastState", {}).get("terminated") or {}).get("reason", ""))
