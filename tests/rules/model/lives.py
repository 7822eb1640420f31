"""Targets in short: what each version is in its life."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from rules.model.mesh import AS_IT_IS, Mesh
from rules.model.orders import Order, Pods, Target
from rules.model.search import each_plot


class Life(Enum):
    """Whether a version has pods (None: not even a Deployment), a subset, and requests."""

    ABSENT = (None, False, False)
    IDLE = (True, True, False)
    ROUTED = (True, True, True)
    NO_PODS = (False, True, False)
    NO_SUBSET = (True, False, False)
    ONLY_SUBSET = (None, True, False)
    ROUTED_WITHOUT_PODS = (False, True, True)
    ROUTED_WITHOUT_DEPLOYMENT = (None, True, True)
    ROUTED_WITHOUT_SUBSET = (True, False, True)
    ROUTED_WITHOUT_PODS_AND_SUBSET = (False, False, True)
    ONLY_DEPLOYMENT = (False, False, False)
    ONLY_ROUTED = (None, False, True)

    @property
    def carries(self) -> bool:
        """It has what a request needs."""
        pods, subset, _ = self.value
        return bool(pods and subset)

    @property
    def routed(self) -> bool:
        """It gets requests."""
        return bool(self.value[2])


ABSENT, IDLE, ROUTED, NO_PODS = Life.ABSENT, Life.IDLE, Life.ROUTED, Life.NO_PODS
WHOLE = (ABSENT, IDLE, ROUTED)
STEADY = tuple(life for life in Life if life.carries or not life.routed)
"""Without those in which every request fails."""


def target(*lives: Life) -> Target:
    """The first life is that of v1, the next of v2, ..."""
    named = [(f"v{number}", *life.value) for number, life in enumerate(lives, 1)]
    return Target(
        frozenset(Pods(f"echo-{name}", name, pods) for name, pods, _, _ in named if pods is not None),
        frozenset(name for name, _, subset, _ in named if subset),
        frozenset(name for name, _, _, routed in named if routed),
    )


def targets(*lives: Life) -> tuple[Target, ...]:
    """One version through these lives."""
    return tuple(target(life) for life in lives)


def find_outage(targets: Sequence[Target], order: Order, *, confirmed: bool, mesh: Mesh = AS_IT_IS) -> tuple[str, ...]:
    """The shortest way to a 503 of any version; nothing if there is none."""
    plots = tuple(each_plot(tuple(targets), order, confirmed=confirmed, mesh=mesh))
    return min(plots, key=lambda plot: len(plot.events)).told(order.name) if plots else ()
