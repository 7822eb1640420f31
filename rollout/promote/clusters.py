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
        without: str | None = None,
    ) -> DeliveryTime | Problem:
        """Waits until a region has a commit, and each of its Envoys; what is missing, or found meanwhile.

        Args:
            region: By its name.
            commit: By its full hash.
            weights: What the commit says, whole percents by version.
            meanwhile: Called twice a second; a problem that it finds ends the waiting.
            healthy: Whether all that was committed must be healthy as well.
            without: An Envoy has it when it knows this version no more; None when it splits by the weights.
        """
