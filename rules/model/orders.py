"""What a revision asks for, and in which order Argo CD and Pulumi make a cluster that; each safety can be taken out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, order=True)
class Pods:
    """A Deployment.

    Attributes:
        deployment: Its name.
        version: The version that its pods answer as.
        wanted: It has one replica or more.
    """

    deployment: str
    version: str
    wanted: bool = True


@dataclass(frozen=True)
class Target:
    """A revision, or what is on the cluster, as far as it decides whether a request is answered.

    Attributes:
        pods: The Deployments that are there, be it with no replicas.
        subsets: The versions of which the DestinationRule has a subset.
        routed: The versions to which the VirtualService sends requests, which is with a weight over 0.
    """

    pods: frozenset[Pods] = frozenset()
    subsets: frozenset[str] = frozenset()
    routed: frozenset[str] = frozenset()

    @property
    def versions(self) -> frozenset[str]:
        """Every version of which there is anything."""
        return frozenset(each.version for each in self.pods) | self.subsets | self.routed

    def only(self, versions: Collection[str]) -> Target:
        """The same without any other version."""
        return Target(
            frozenset(each for each in self.pods if each.version in versions),
            self.subsets.intersection(versions),
            self.routed.intersection(versions),
        )


@dataclass(frozen=True)
class ApplyPods:
    """Makes a Deployment, or gives it more or no replicas."""

    pods: Pods


@dataclass(frozen=True)
class DeletePods:
    """Deletes a Deployment."""

    pods: Pods


@dataclass(frozen=True)
class ApplySubsets:
    """Makes or updates the DestinationRule."""

    subsets: frozenset[str]


@dataclass(frozen=True)
class ApplyRoutes:
    """Makes or updates the VirtualService."""

    routed: frozenset[str]


Write = ApplyPods | DeletePods | ApplySubsets | ApplyRoutes


class Step(NamedTuple):
    """A write, which may be done once others are.

    Attributes:
        after: The places of these others in the same plan.
        ready: The Deployments whose pods must be ready as well.
    """

    write: Write
    after: frozenset[int] = frozenset()
    ready: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ArgoCd:
    """Argo CD's sync: waves, each begun when what the sync applied in those before is healthy.

    It waits for no proxy. The defaults are what this program renders (`WAVES`) and its Application asks for.

    Attributes:
        destination_rule: The wave of the DestinationRule.
        virtual_service: The wave of the VirtualService.
        pods: The waves of Deployments, by name, that are not in wave 0.
        prune_last: `PruneLast`: what is to go, goes after all else. Without it a wave begins with its prunes (of
            several waves Argo CD also exchanges them, which the model does not).
        skips_unchanged: `ApplyOutOfSyncOnly`: a Deployment that is as the revision has it is not applied, and then not waited for.
    """

    destination_rule: int = 1
    virtual_service: int = 2
    pods: tuple[tuple[str, int], ...] = ()
    prune_last: bool = True
    skips_unchanged: bool = True

    name = "Argo CD"

    def plan(self, live: Target, target: Target) -> tuple[Step, ...]:
        """Waves ascend; in a wave prunes come first, then Deployments, then kinds that Argo CD does not rank, in any order."""
        changed = _changed(live, target)
        ranks: list[tuple[tuple[int, int], Write]] = [
            *(((self._prune_wave(each, live.pods | target.pods), 0), DeletePods(each)) for each in _gone(live, target)),
            *(((self._wave(each), 1), ApplyPods(each)) for each in changed),
        ]
        if live.subsets != target.subsets:
            ranks.append(((self.destination_rule, 2), ApplySubsets(target.subsets)))
        if live.routed != target.routed:
            ranks.append(((self.virtual_service, 2), ApplyRoutes(target.routed)))
        awaited = changed if self.skips_unchanged else target.pods
        return tuple(
            Step(
                write,
                frozenset(place for place, (other, _) in enumerate(ranks) if other < rank),
                frozenset(each.deployment for each in awaited if each.wanted and self._wave(each) < rank[0]),
            )
            for rank, write in ranks
        )

    def _wave(self, pods: Pods) -> int:
        return dict(self.pods).get(pods.deployment, 0)

    def _prune_wave(self, gone: Pods, pods: Iterable[Pods]) -> int:
        waves = (0, self.destination_rule, self.virtual_service, *map(self._wave, pods))
        return 1 + max(waves) if self.prune_last else self._wave(gone)


@dataclass(frozen=True)
class PulumiOrder:
    """Pulumi's update: a resource when those that it depends on are done, deletions after all else.

    Attributes:
        traffic_after_pods: DestinationRule and VirtualService depend on the Deployments, which are done when ready.
        routes_after_subsets: The VirtualService depends on the DestinationRule.
    """

    traffic_after_pods: bool = True
    routes_after_subsets: bool = True

    name = "Pulumi"

    def plan(self, live: Target, target: Target) -> tuple[Step, ...]:
        """Deployments in any order, DestinationRule, VirtualService, then what goes; nothing goes if any of it failed."""
        applied: list[Write] = [ApplyPods(each) for each in _changed(live, target)]
        pods = frozenset(range(len(applied))) if self.traffic_after_pods else frozenset[int]()
        every = frozenset(each.deployment for each in target.pods if each.wanted)
        ready = every if self.traffic_after_pods else frozenset[str]()
        steps = [Step(write) for write in applied]
        subsets = frozenset[int]()
        if live.subsets != target.subsets:
            subsets = frozenset({len(steps)}) if self.routes_after_subsets else subsets
            steps.append(Step(ApplySubsets(target.subsets), pods, ready))
        if live.routed != target.routed:
            steps.append(Step(ApplyRoutes(target.routed), pods | subsets, ready))
        done = frozenset(range(len(steps)))
        return (*steps, *(Step(DeletePods(each), done, every) for each in _gone(live, target)))


Order = ArgoCd | PulumiOrder
"""Somebody who makes a cluster what a revision asks for; writes of a plan that do not name each other come in any order."""


def _changed(live: Target, target: Target) -> list[Pods]:
    return sorted(target.pods - live.pods)


def _gone(live: Target, target: Target) -> list[Pods]:
    kept = {each.deployment for each in target.pods}
    return sorted(each for each in live.pods if each.deployment not in kept)
