"""A region on its way from one revision to the next: what it gains, what it loses, and the words for doing so in steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from rules.facts.region import Change, Region
from rules.facts.versions import versions
from rules.facts.workloads import DestinationRule, Version, VirtualService, Workloads
from rules.finding import Violation
from rules.region.capacity import stable_version


@dataclass(frozen=True)
class Rise:
    """A version that is to get more requests than it had; the weights are percents."""

    version: str
    before: int
    after: int

    @property
    def points(self) -> int:
        """By how much the weight rises."""
        return self.after - self.before

    def __str__(self) -> str:
        return f"{self.version} {self.before} % → {self.after} %"


@dataclass(frozen=True)
class Transition:
    """A service of a region that was there before a change and is there after it."""

    before: Region
    after: Region
    proven: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, change: Change) -> Transition | None:
        """The transition that a change makes; None where a region comes or goes, since it has no requests yet, or no more."""
        if change.before is None or change.after is None:
            return None
        return cls(change.before, change.after, change.proven)

    @property
    def name(self) -> str:
        """The region's name."""
        return self.after.name

    @property
    def service(self) -> str:
        """The service's name."""
        return self.after.service

    @cached_property
    def old(self) -> Mapping[str, Version]:
        """The versions before."""
        return versions(self.before.workloads)

    @cached_property
    def new(self) -> Mapping[str, Version]:
        """The versions after."""
        return versions(self.after.workloads)

    @cached_property
    def moved_images(self) -> tuple[str, ...]:
        """Versions that have requests and whose pods are to run an image that never had all requests here."""
        return tuple(
            name
            for name, old in self.old.items()
            if old.weight > 0 and (new := self.new.get(name))
            if old.images and set(new.images) - {*old.images, *self.proven.get(name, ())}
        )

    @cached_property
    def rises(self) -> tuple[Rise, ...]:
        """The canaries whose weight rises: not the stable version with its image, nor one that had all requests with it."""
        rises = (Rise(name, self.weight_before(name), new.weight) for name, new in self.new.items())
        return tuple(rise for rise in rises if rise.points > 0 and not self._has_carried_all(rise.version))

    @cached_property
    def starts(self) -> tuple[str, ...]:
        """The canaries that get their first requests by this change."""
        return tuple(rise.version for rise in self.rises if rise.before == 0)

    @cached_property
    def shrunk(self) -> tuple[tuple[Version, Version], ...]:
        """The versions that stay with fewer pods, as they were and as they will be; not those without their Deployment."""
        both = ((self.old[name], new) for name, new in self.new.items() if name in self.old and new.deployments)
        return tuple((old, new) for old, new in both if new.replicas < old.replicas)

    def weight_before(self, name: str) -> int:
        """The weight that a version had; 0 where it was not there."""
        return self.old[name].weight if name in self.old else 0

    def _has_carried_all(self, name: str) -> bool:
        images = set(self.new[name].images)
        if images and images <= self.proven.get(name, frozenset()):
            return True
        return name == stable_version(self.before) and name in self.old and images <= set(self.old[name].images)


def between_revisions(check: Callable[[Transition], Iterable[Violation]]) -> Callable[[Change], Iterable[Violation]]:
    """Make a check of transitions one of changes; a region that comes or goes passes it."""

    def checked(change: Change) -> Iterable[Violation]:
        transition = Transition.of(change)
        return () if transition is None else check(transition)

    return checked


def rules_of(workloads: Workloads, version: str) -> tuple[DestinationRule, ...]:
    """The DestinationRules in which a version has its subset."""
    return tuple(rule for rule in workloads.destination_rules if any(subset.name == version for subset in rule.subsets))


def routes_of(workloads: Workloads, version: str) -> tuple[VirtualService, ...]:
    """The VirtualServices that name a version."""
    return tuple(
        each
        for each in workloads.virtual_services
        if any(destination.subset == version for route in each.routes for destination in route)
    )


def delivered(region: Region) -> str:
    """What carries an edit of the stack file to the cluster, as the end of a step."""
    if region.delivery == "direct":
        return f"commit, pulumi up -s {region.name}"
    if region.delivery == "handover":
        return f"rollout render, commit, push, pulumi up -s {region.name}"
    return "rollout render, commit, push"


def acknowledged(region: Region) -> str:
    """How to know that the step before is done, as a step."""
    return f"wait until that is delivered and measured: rollout verify --region {region.name} holds"


def weights_text(weights: Mapping[str, int]) -> str:
    """Weights in one phrase, such as `v1 75, v2 25`."""
    return ", ".join(f"{name} {weight}" for name, weight in weights.items())
