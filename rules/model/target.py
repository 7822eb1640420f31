"""What a revision asks for, as far as it decides whether a request is answered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


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
    """A revision, or what is on the cluster.

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
