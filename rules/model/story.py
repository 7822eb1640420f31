"""How a request came to fail: events, and their telling in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from rules.model.orders import ApplyPods, ApplyRoutes, ApplySubsets, DeletePods, Write


class Failure(NamedTuple):
    """A request that is answered 503, and why."""

    version: str
    reason: Literal["cluster not found", "no healthy upstream"]


class Wrote(NamedTuple):
    """Argo CD or Pulumi changed an object: which versions the object has now and had not, and the reverse."""

    write: Write
    gained: frozenset[str]
    lost: frozenset[str]


class BecameReady(NamedTuple):
    """All pods of a Deployment are ready."""

    deployment: str


class Went(NamedTuple):
    """The last pod of a Deployment that is to have none is no endpoint any more."""

    deployment: str


class Heard(NamedTuple):
    """Istiod's watch of one kind came up to what was written."""

    kind: Literal["endpoints", "DestinationRule", "VirtualService"]


class Began(NamedTuple):
    """A sync, or an update, was ended where it was and another begun.

    Attributes:
        again: It is of the same revision.
        confirmed: The one before was done, and every proxy had all of it.
        not_waited_for: Deployments that are not ready, and for which nothing waits any more.
    """

    again: bool
    confirmed: bool
    not_waited_for: frozenset[str]


class Took(NamedTuple):
    """A proxy has a part of a push: which versions are in it now and were not, and the reverse."""

    part: Literal["clusters", "endpoints", "routes"]
    gained: frozenset[str]
    lost: frozenset[str]


class Warmed(NamedTuple):
    """A proxy has the first endpoints of a new cluster."""

    version: str


Event = Wrote | BecameReady | Went | Heard | Began | Took | Warmed


class Plot(NamedTuple):
    """The shortest way to a 503."""

    events: tuple[Event, ...]
    failure: Failure

    def told(
        self, by: str, old: int | None = None, new: int | None = None, kept: frozenset[str] = frozenset()
    ) -> tuple[str, ...]:
        """What happens, in plain words and in this order; the last one is the request that fails.

        Args:
            by: Who applies the objects.
            old: The weight of the version that fails in the routes before the change, in percent; None if it is not known.
            new: Its weight in the routes that the change brings.
            kept: Deployments that have pods after the change: what one of them leaves is a subset.
        """
        steps = [text for event in self.events for text in _told(event, by, kept)]
        return (*steps, self._ending(old, new))

    def _ending(self, old: int | None, new: int | None) -> str:
        """The request that fails, by routes that a proxy has still or has already."""
        taken = any(
            isinstance(event, Took) and event.part == "routes" and self.failure.version in event.gained
            for event in self.events
        )
        weight = new if taken else old
        share = "requests" if weight is None else f"{weight} % of its requests"
        return f"the proxy {'now' if taken else 'still'} sends {share} to {self.failure.version}: 503 {self.failure.reason}"


def _told(event: Event, by: str, kept: frozenset[str]) -> Iterator[str]:
    """An event's words; none where nothing is seen of it."""
    match event:
        case Wrote():
            yield _written(event, by, kept)
        case BecameReady(deployment):
            yield f"the pods of {deployment} are ready"
        case Went(deployment) if deployment in kept:
            yield f"the pods of {deployment} are no longer those of its subset"
        case Went(deployment):
            yield f"the pods of {deployment} are gone"
        case Heard(kind):
            yield f"istiod hears of the {kind}"
        case Began():
            yield _begun(event, by)
        case Took("clusters", gained, lost) if gained or lost:
            changes = _listed("{} is new, and asks for its endpoints", gained, "{} goes", lost)
            yield f"istiod pushes, and a proxy takes the clusters: {changes}"
        case Took("endpoints", gained, lost) if gained or lost:
            yield f"istiod pushes the endpoints: {_listed('{} has some', gained, '{} has none', lost)}"
        case Took("routes", gained, lost) if gained or lost:
            yield f"a proxy takes the routes: {_routes(gained, lost)}"
        case Warmed(version):
            yield f"the proxy has the endpoints of its new cluster {version}"
        case _:
            pass


def _begun(event: Began, by: str) -> str:
    unready = " and ".join(sorted(event.not_waited_for))
    ending = f"; {unready} is in sync, so nothing waits for its pods" if unready else ""
    if event.again:
        return f"this attempt fails or is stopped, and {by} tries again{ending}"
    if event.confirmed:
        return f"every proxy has all of this, and {by} begins with the next revision{ending}"
    return f"before every proxy has all of this, {by} begins with the next revision{ending}"


def _written(event: Wrote, by: str, kept: frozenset[str]) -> str:
    match event.write:
        case ApplyPods(pods) if pods.wanted:
            return f"{by} applies Deployment {pods.deployment}"
        case ApplyPods(pods):
            return f"{by} applies Deployment {pods.deployment} with 0 replicas"
        case DeletePods(pods) if pods.deployment in kept:
            return f"{by} applies what takes the pods of {pods.deployment} out of subset {pods.version}"
        case DeletePods(pods):
            return f"{by} {'prunes' if by == 'Argo CD' else 'deletes'} Deployment {pods.deployment}"
        case ApplySubsets():
            return f"{by} applies the DestinationRule: {_listed('subset {} comes', event.gained, 'subset {} goes', event.lost)}"
        case ApplyRoutes():
            return f"{by} applies the VirtualService: {_routes(event.gained, event.lost)}"


def _routes(gained: frozenset[str], lost: frozenset[str]) -> str:
    return _listed("{} gets requests", gained, "{} gets none any more", lost)


def _listed(gain: str, gained: frozenset[str], loss: str, lost: frozenset[str]) -> str:
    return ", ".join([*map(gain.format, sorted(gained)), *map(loss.format, sorted(lost))])
