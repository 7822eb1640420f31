"""How often the containers of a service end by themselves while a region is watched: killed for memory, crashed, not alive. And which
are not ready any more.

The kubelet starts such a container again in the same pod and counts that (`restartCount`). A pod that was evicted, moved or
replaced is another one and counts from 0. Not counted are sidecars, and containers of which the kubelet lost sight: their node
was started again. What ended and was not started again yet is counted when it is.

Whether a container is ready is the kubelet's word, by its readiness probe. A pod's condition Ready is not read: the control plane takes
it from all pods of a node that is not heard of (`MarkPodsNotReady`, Kubernetes 1.36), and gates and sidecars can.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import inf
from typing import Any, NamedTuple, Self

from components.names import ServiceAddress
from rollout.access import RegionAccess
from rollout.cluster.client import api_client, list_pods
from rollout.cluster.pods import is_leaving
from rollout.problem import RolloutError
from rollout.traffic.attack import END_SECONDS, LONGEST_SECONDS

WITHIN_SECONDS = 600.0
"""How long a restart is remembered: the kubelet forgets a container's crashes, too, once it has run for ten minutes."""

_EVERY_SECONDS = 5.0
_LOST = {"Unknown", "ContainerStatusUnknown"}
"""What the kubelet writes where it does not know how a container ended."""


class Container(NamedTuple):
    """A version's container in a pod: how often it was started again, why it ended last, and whether it is ready or need not be."""

    version: str
    restarts: int
    reason: str
    ready: bool


def containers_of(pods: Iterable[Mapping[str, Any]], service: str) -> dict[str, Container]:
    """The containers of a service, which have its name, by their pod's uid."""
    return {
        pod["metadata"]["uid"]: Container(
            (pod["metadata"].get("labels") or {}).get("version", ""),
            status["restartCount"],
            _last_reason(status),
            # an evicted pod stays, as Failed, until somebody deletes it
            status["ready"] or is_leaving(pod) or pod["status"].get("phase") != "Running",
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


def not_ready_since(
    since: Mapping[str, float], before: Mapping[str, Container], now: Mapping[str, Container], at: float
) -> dict[str, float]:
    """Since when containers that were ready are not, by their pod's uid: one that was started again is another one.

    Where more than one version has such containers, all begin anew: what versions share accuses none of them.

    Args:
        since: The same at the look before.
        before: The containers then.
        now: The containers at this look.
        at: When this look is.
    """
    found = {
        uid: min(since.get(uid, at), at)
        for uid, one in now.items()
        if not one.ready
        and uid in before
        and one.restarts == before[uid].restarts
        and (uid in since or before[uid].ready)
    }
    return dict.fromkeys(found, at) if len({now[uid].version for uid in found}) > 1 else found


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
        self._since: Mapping[str, float] = {}
        self._not_ready: Mapping[str, tuple[float, ...]] = {}
        self._trouble = ""
        self._thread = threading.Thread(target=self._follow, name=f"restarts {region.name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(END_SECONDS)

    def seen(self) -> Mapping[str, tuple[str, ...]]:
        """Why containers ended within the last ten minutes, by version; those of which none ended are missing."""
        reasons: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
        for at_seconds, version, reason in [*self._ended]:
            if at_seconds > time.monotonic() - WITHIN_SECONDS:
                reasons[version] += (reason,)
        return dict(reasons)

    def not_ready(self) -> Mapping[str, tuple[float, ...]]:
        """For how many seconds containers that were ready are not, at the last look, by version; nothing where that failed.

        These are seconds in which no container of another version was so.
        """
        return self._not_ready

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
                # meanwhile they, or others, may have been otherwise
                self._since, self._not_ready = dict.fromkeys(self._since, inf), {}
            self._stop.wait(_EVERY_SECONDS)

    def _look(self) -> None:
        service, at = self._service, time.monotonic()
        pods = list_pods(self._region, api_client(self._region), service.namespace, f"app={service.name}")
        now, self._trouble = containers_of(pods, service.name), ""
        if self._before is not None:
            self._ended += [(at, *each) for each in ended_between(self._before, now)]
            self._since = not_ready_since(self._since, self._before, now, at)
        seconds: defaultdict[str, tuple[float, ...]] = defaultdict(tuple)
        for uid, since in self._since.items():
            seconds[now[uid].version] += (at - since,)
        self._before, self._not_ready = now, dict(seconds)


def _last_reason(status: Mapping[str, Any]) -> str:
    return str((status.get("lastState", {}).get("terminated") or {}).get("reason", ""))
