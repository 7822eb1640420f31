"""What a promotion and a retirement do to the clusters of the regions; `rollout.promote.live_clusters` does it to real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from rollout.measurement import Measurement
from rollout.problem import Problem
from rollout.promote.delivery import DeliveryTime
from rollout.status.verification import Outcome


class Watching(Protocol):
    """A region that is watched; see `rollout.traffic.watch.Watch`."""

    def seen(self) -> Measurement:
        """The window so far."""

    def turn(self) -> Measurement:
        """Ends the window, and begins the next."""


class Clusters(Protocol):
    """What is done to the regions' clusters: they are asked, and requests are sent in them."""

    def certify(self, regions: Sequence[str]) -> Sequence[Outcome]:
        """Measures the split of these regions until it is decided."""

    def watched(self, region: str) -> AbstractContextManager[Watching]:
        """A region watched for as long as a block lasts."""

    def deliver(
        self,
        region: str,
        commit: str,
        weights: Mapping[str, int],
        meanwhile: Callable[[], Problem | None],
        *,
        healthy: bool = True,
    ) -> DeliveryTime | Problem:
        """Waits until a region has a commit, and each of its Envoys these weights; what is missing, or found meanwhile."""

    def deliver_without(
        self,
        region: str,
        commit: str,
        weights: Mapping[str, int],
        version: str,
        meanwhile: Callable[[], Problem | None],
    ) -> DeliveryTime | Problem:
        """Waits until a region has a commit, and none of its Envoys knows a version any more; else as `deliver`."""
