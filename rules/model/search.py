"""Every order of events, breadth first: the first failing request is at the end of a shortest way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from rules.model.mesh import Known, Mesh, Proxy, failure, moves, settled
from rules.model.orders import (
    ApplyPods,
    ApplyRoutes,
    ApplySubsets,
    DeletePods,
    Order,
    Pods,
    Step,
    Target,
    Write,
)
from rules.model.story import BecameReady, Began, Event, Heard, Plot, Went, Wrote


def each_plot(targets: tuple[Target, ...], order: Order, *, confirmed: bool, mesh: Mesh) -> Iterator[Plot]:
    """A shortest way to a 503, while a cluster goes from one target to the next, for each version that has one.

    Anybody may be late at any time and for ever: pods get ready or never do, a sync or update stops wherever it is, istiod
    and proxies learn of things at their own speed.

    A version's requests depend on other versions only in that a write may wait for theirs, and everything may wait anyway. So each is
    searched for itself.

    Args:
        targets: The first is on the cluster, ready, and known to every proxy. The same one twice is an attempt that is repeated.
        order: Who applies them.
        confirmed: Each of the next is begun only when the one before is, in the same way, done; otherwise at any moment.
        mesh: What is taken for granted of istiod and the proxies.
    """
    for version in sorted(frozenset[str]().union(*(each.versions for each in targets))):
        projected = tuple(each.only([version]) for each in targets)
        if plot := shortest_plot(projected, order, confirmed=confirmed, mesh=mesh):
            yield plot


@lru_cache(maxsize=4096)
def shortest_plot(
    targets: tuple[Target, ...], order: Order, *, confirmed: bool, mesh: Mesh, proxies: int = 1
) -> Plot | None:
    """Search all versions of these targets together, with this number of proxies."""
    cluster = _Cluster(targets, order, confirmed, mesh)
    start = cluster.start(proxies)
    came_from: dict[_State, tuple[_State, Event] | None] = {start: None}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        for proxy in state.proxies:
            if failed := failure(proxy):
                return Plot(_way_to(state, came_from), failed)
        for event, following in cluster.successors(state):
            if following not in came_from:
                came_from[following] = (state, event)
                queue.append(following)
    return None


def _way_to(state: _State, came_from: dict[_State, tuple[_State, Event] | None]) -> tuple[Event, ...]:
    events: list[Event] = []
    while step := came_from[state]:
        state, event = step
        events.append(event)
    return tuple(reversed(events))


_Versions = frozenset[str]
_Watched = tuple[_Versions, ...]
"""Values of one kind: first what istiod knows, last what is on the cluster, between them what it has yet to hear of."""


class _Life(NamedTuple):
    """A Deployment on the cluster.

    Attributes:
        there: It exists.
        wanted: It is to have pods.
        ready: It has them, and they are ready.
        doomed: Pods that it is not to have any more are endpoints still.
    """

    there: bool
    wanted: bool
    ready: bool
    doomed: bool


class _State(NamedTuple):
    """Everything at one moment.

    Attributes:
        target: The place of the target that is being applied.
        plan: The number of the plan by which it is.
        done: The places of that plan's steps that are done.
        lives: The Deployments, in the order of their names.
    """

    target: int
    plan: int
    done: frozenset[int]
    lives: tuple[_Life, ...]
    endpoints: _Watched
    subsets: _Watched
    routed: _Watched
    proxies: tuple[Proxy, ...]


class _Cluster:
    """What can happen to a cluster with these targets ahead of it."""

    def __init__(self, targets: tuple[Target, ...], order: Order, confirmed: bool, mesh: Mesh) -> None:
        self._targets = targets
        self._order = order
        self._confirmed = confirmed
        self._mesh = mesh
        self._names = tuple(sorted({(each.deployment, each.version) for target in targets for each in target.pods}))
        # by number: states are compared all the time, and a plan is long
        self._plans: list[tuple[Step, ...]] = []
        self._numbers: dict[tuple[Target, Target], int] = {}

    def start(self, proxies: int) -> _State:
        """The first target, ready and known to every proxy, with the second to come."""
        base = self._targets[0]
        wanted = {each.deployment: each.wanted for each in base.pods}
        lives = tuple(
            _Life(name in wanted, wanted.get(name, False), wanted.get(name, False), doomed=False)
            for name, _ in self._names
        )
        known = Known(self._endpoints(lives), base.subsets, base.routed)
        watched = (known.endpoints,), (known.subsets,), (known.routed,)
        place = min(1, len(self._targets) - 1)
        plan = self._plan(base, self._targets[place])
        return _State(place, plan, frozenset(), lives, *watched, (settled(known),) * proxies)

    def _plan(self, live: Target, target: Target) -> int:
        if (live, target) not in self._numbers:
            self._numbers[live, target] = len(self._plans)
            self._plans.append(self._order.plan(live, target))
        return self._numbers[live, target]

    def successors(self, state: _State) -> Iterator[tuple[Event, _State]]:
        """All that may happen next, each with what is then."""
        yield from self._writes(state)
        yield from self._pods_come_and_go(state)
        yield from _istiod_hears(state)
        yield from self._proxies_move(state)
        yield from self._next_target(state)

    def _writes(self, state: _State) -> Iterator[tuple[Event, _State]]:
        for place, step in enumerate(self._plans[state.plan]):
            if place not in state.done and step.after <= state.done and self._ready(state, step.ready):
                event, written = self._written(state, step.write)
                yield event, written._replace(done=state.done | {place})

    def _ready(self, state: _State, deployments: frozenset[str]) -> bool:
        return all(life.ready for (name, _), life in zip(self._names, state.lives, strict=True) if name in deployments)

    def _written(self, state: _State, write: Write) -> tuple[Wrote, _State]:
        none = frozenset[str]()
        match write:
            case ApplyPods(pods):
                return Wrote(write, none, none), self._given(state, pods, there=True, wanted=pods.wanted)
            case DeletePods(pods):
                return Wrote(write, none, none), self._given(state, pods, there=False, wanted=False)
            case ApplySubsets(subsets):
                had = state.subsets[-1]
                after = state._replace(subsets=self._watched(state.subsets, subsets))
                return Wrote(write, subsets - had, had - subsets), after
            case ApplyRoutes(routed):
                had = state.routed[-1]
                after = state._replace(routed=self._watched(state.routed, routed))
                return Wrote(write, routed - had, had - routed), after

    def _given(self, state: _State, pods: Pods, *, there: bool, wanted: bool) -> _State:
        """A Deployment that loses its pods has them as endpoints for a while; one that gets them anew gets new ones."""
        place = [name for name, _ in self._names].index(pods.deployment)
        life = state.lives[place]
        if wanted:
            return self._living(state, place, life._replace(there=there, wanted=True))
        return self._living(state, place, _Life(there, False, ready=False, doomed=life.doomed or life.ready))

    def _living(self, state: _State, place: int, life: _Life) -> _State:
        lives = (*state.lives[:place], life, *state.lives[place + 1 :])
        return state._replace(lives=lives, endpoints=self._watched(state.endpoints, self._endpoints(lives)))

    def _endpoints(self, lives: tuple[_Life, ...]) -> _Versions:
        return frozenset(
            version for (_, version), life in zip(self._names, lives, strict=True) if life.ready or life.doomed
        )

    def _watched(self, watched: _Watched, value: _Versions) -> _Watched:
        if value == watched[-1]:
            return watched
        return (value,) if self._mesh.hears_in_order else (*watched, value)

    def _pods_come_and_go(self, state: _State) -> Iterator[tuple[Event, _State]]:
        for place, ((name, _), life) in enumerate(zip(self._names, state.lives, strict=True)):
            if life.wanted and not life.ready:
                yield BecameReady(name), self._living(state, place, life._replace(ready=True))
            if life.doomed:
                yield Went(name), self._living(state, place, life._replace(doomed=False))

    def _proxies_move(self, state: _State) -> Iterator[tuple[Event, _State]]:
        known = Known(state.endpoints[0], state.subsets[0], state.routed[0])
        for place, proxy in enumerate(state.proxies):
            for event, moved in moves(proxy, known, self._mesh):
                yield event, state._replace(proxies=(*state.proxies[:place], moved, *state.proxies[place + 1 :]))

    def _next_target(self, state: _State) -> Iterator[tuple[Event, _State]]:
        place = state.target + 1
        if place == len(self._targets) or (self._confirmed and not self._delivered(state)):
            return
        target = self._targets[place]
        plan = self._plan(self._live(state), target)
        again = target == self._targets[state.target]
        event = Began(again, self._confirmed, self._not_waited_for(state, self._plans[plan]))
        yield event, state._replace(target=place, plan=plan, done=frozenset())

    def _not_waited_for(self, state: _State, plan: tuple[Step, ...]) -> frozenset[str]:
        """Deployments that are not ready, and need not be for anything that is now to be done."""
        unready = frozenset(
            name for (name, _), life in zip(self._names, state.lives, strict=True) if life.wanted and not life.ready
        )
        return unready.difference(*(step.ready for step in plan)) if plan else frozenset()

    def _delivered(self, state: _State) -> bool:
        """Written, ready, and known to every proxy."""
        known = Known(state.endpoints[-1], state.subsets[-1], state.routed[-1])
        return (
            len(state.done) == len(self._plans[state.plan])
            and all(life.ready for life in state.lives if life.wanted)
            and all(proxy == settled(known) for proxy in state.proxies)
        )

    def _live(self, state: _State) -> Target:
        pods = (
            Pods(name, version, life.wanted)
            for (name, version), life in zip(self._names, state.lives, strict=True)
            if life.there
        )
        return Target(frozenset(pods), state.subsets[-1], state.routed[-1])


def _istiod_hears(state: _State) -> Iterator[tuple[Event, _State]]:
    endpoints, subsets, routed = state.endpoints, state.subsets, state.routed
    if len(endpoints) > 1:
        yield Heard("endpoints"), state._replace(endpoints=endpoints[1:])
    if len(subsets) > 1:
        yield Heard("DestinationRule"), state._replace(subsets=subsets[1:])
    if len(routed) > 1:
        yield Heard("VirtualService"), state._replace(routed=routed[1:])
