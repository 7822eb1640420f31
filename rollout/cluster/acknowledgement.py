"""Which of a thousand Envoys have taken a change, by what their istiods say of them and a few that are asked.

istiod numbers its push contexts, and says by number what each proxy acknowledged. That a number holds a certain change is shown
by a *witness*: an Envoy that was asked before the change and after it. Let it have been

1. by the cluster's weights, and without the change, when the cluster did not have it; and later with it,
2. connected to the same istiod process, to no other, and with a higher number,
3. with the same two nonces, both acknowledged and nothing sent since, before and after it was seen with the change.

By 3 it has what it acknowledged; by 1 and 2 the store of that process went from the cluster's state to the change in between. So
every push context from the witness' number on holds the change, as long as nobody commits another. Then another proxy has it

4. which acknowledged all that it was sent, with numbers of its routes and of its clusters that are not below the witness',
5. which has refused no routes and no clusters since before the cluster had the change, by istiod's counters: one more route
   that is acknowledged clears its `lastError`,
6. which one istiod alone has a connection of: of two, the older may be forgotten and its number say nothing.

All others are asked. One that was seen with the change, and had the same two nonces before and after, has it from that istiod
process. A connection gets nothing older than before, and a new one to the same process begins with its newest context. So it
has the change for as long as 5 and 6 hold since then and it acknowledged numbers of that process that are not below these.

The rules of istiod that this stands on, and what it does not cover, are in docs/decisions/0032-what-syncz-shows.md.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from rollout.cluster.pods import FEW
from rollout.cluster.syncz import Counters, Proxy, push_number
from rollout.weights import routed

_WITNESSES = 3  # of each istiod: one may go, or have no route to the service
_PATIENCE_SECONDS = 5.0  # istiod pushes to a thousand in two or three
_NOWHERE, _NOTHING = ("", Proxy()), Counters("")


class Seen(Protocol):
    """What an Envoy does itself, as `rollout.cluster.envoys.Envoy` has it."""

    @property
    def weights(self) -> Mapping[str, int] | None:
        """What it splits the requests by; None where it has no route."""

    @property
    def subsets(self) -> frozenset[str]:
        """Those that it has clusters for."""

    @property
    def error(self) -> str:
        """Why it could not be asked; "" where it could."""


_Envoy = TypeVar("_Envoy", bound=Seen)
_Asked_co = TypeVar("_Asked_co", bound=Seen, covariant=True)


class Mesh(Protocol[_Asked_co]):
    """A region as it is asked."""

    def weights(self) -> Mapping[str, int] | None:
        """What the cluster says; None where it says none."""

    def proxies(self) -> Mapping[str, Mapping[str, Proxy]]:
        """The proxies of each istiod that is ready, by its name and theirs."""

    def counters(self) -> Mapping[str, Counters]:
        """What each of these istiods has counted."""

    def ask(self, pods: Collection[str]) -> Mapping[str, _Asked_co]:
        """What these Envoys do themselves. One that is gone, or that cannot send to the service, is missing."""


@dataclass(frozen=True)
class _Floor:
    """The numbers from which on an istiod process' answers hold the change."""

    routes: int
    clusters: int

    def holds(self, proxy: Proxy) -> bool:
        """Whether a proxy acknowledged such answers."""
        return push_number(proxy.routes) >= self.routes and push_number(proxy.clusters) >= self.clusters


@dataclass(frozen=True)
class _Answer:
    """What an Envoy that was asked is remembered by.

    Attributes:
        taken: Whether it had the change; else it could not send.
        istiod: The one that it was connected to before and after; "" where none told of it.
        proxy: What it acknowledged to that.
        counted: What that had counted before.
    """

    taken: bool
    istiod: str
    proxy: Proxy
    counted: Counters

    def holds(self, pod: str, istiod: str, proxy: Proxy, counted: Counters) -> bool:
        """Whether it is still so, by what is told of the Envoy now."""
        if not self.taken:
            return True
        if istiod != self.istiod or counted.started != self.counted.started:
            return False
        if proxy == self.proxy:
            return True
        return (
            # what was not acknowledged has number 0
            push_number(proxy.routes) >= push_number(self.proxy.routes)
            and push_number(proxy.clusters) >= push_number(self.proxy.clusters)
            and _refused_nothing(pod, self.counted, counted)
        )


class Acknowledgements(Generic[_Envoy]):
    """What is known of many Envoys while a change is on its way to them.

    Args:
        mesh: Where they are.
        is_taken: Whether an Envoy has the change.
        clock: In seconds.
    """

    def __init__(
        self, mesh: Mesh[_Envoy], is_taken: Callable[[_Envoy], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._mesh, self._is_taken, self._clock = mesh, is_taken, clock
        self._counted: Mapping[str, Counters] = {}
        # by istiod: those that may become witnesses, as they were before
        self._candidates: dict[str, dict[str, tuple[Proxy, _Envoy]]] = {}
        self._floors: dict[str, _Floor] = {}
        # by uid: those that were asked and have the change, or cannot send
        self._answered: dict[str, _Answer] = {}
        self._last_asked: dict[str, float] = {}
        self._began: float | None = None

    def before(self, pods: Sequence[str]) -> None:
        """Looks for witnesses, before the cluster has the change.

        Args:
            pods: The Envoys, those first that most likely can send to the service.

        Raises:
            RolloutError: the cluster or an istiod cannot be asked.
        """
        # in this order: a refusal of the change is counted after the cluster has it
        self._counted = self._mesh.counters()
        weights = routed(self._mesh.weights() or {})
        proxies = _connected_once(self._mesh.proxies())
        chosen = {
            istiod: [pod for pod in pods if proxies[istiod].get(pod, Proxy()).routes][:_WITNESSES]
            for istiod in self._counted.keys() & proxies.keys()
        }
        envoys = self._mesh.ask([pod for names in chosen.values() for pod in names])
        for istiod, names in chosen.items():
            self._candidates[istiod] = {
                pod: (proxies[istiod][pod], envoys[pod])
                for pod in names
                if pod in envoys and envoys[pod].weights == weights and not self._is_taken(envoys[pod])
            }

    def look(self, pods: Mapping[str, str]) -> tuple[int, dict[str, str]]:
        """How many have the change; and which have not, as far as is known, each with why it could not be asked.

        Args:
            pods: All Envoys, with the uids of their pods. Those of which no istiod tells that they have it are asked, 50 of them in
                a look: those first that were not for longest, and none in the first seconds whose istiod is about to tell.

        Raises:
            RolloutError: as `before`.
        """
        now = self._clock()
        self._began = self._began if self._began is not None else now
        proxies, counted, proven = self._prove()
        homes = _homes(proxies)

        def holds(pod: str, answer: _Answer) -> bool:
            istiod, proxy = homes.get(pod, _NOWHERE)
            return answer.holds(pod, istiod, proxy, counted.get(istiod, _NOTHING))

        has_it = dict.fromkeys(proven, True) | {
            pod: answer.taken for pod, uid in pods.items() if (answer := self._answered.get(uid)) and holds(pod, answer)
        }
        unknown = [pod for pod in pods if pod not in has_it]
        hopeful = {pod for istiod, names in self._candidates.items() if names for pod in proxies.get(istiod, {})}
        if now - self._began > _PATIENCE_SECONDS:
            hopeful = set()
        asked = sorted((pod for pod in unknown if pod not in hopeful), key=lambda pod: self._last_asked.get(pod, 0))[
            :FEW
        ]
        answers = self._mesh.ask(asked) if asked else {}
        later = _homes(_connected_once(self._mesh.proxies())) if answers else homes
        missing = dict.fromkeys(unknown, "")
        for pod in asked:
            self._last_asked[pod] = now
            envoy = answers.get(pod)
            if envoy and not self._is_taken(envoy):
                missing[pod] = envoy.error
                continue
            del missing[pod]
            has_it[pod] = envoy is not None
            istiod, proxy = homes.get(pod, _NOWHERE)
            if envoy is None or (later.get(pod, _NOWHERE) == (istiod, proxy) and _is_from(istiod, proxy, envoy)):
                self._answered[pods[pod]] = _Answer(has_it[pod], istiod, proxy, counted.get(istiod, _NOTHING))
        return sum(has_it.get(pod, False) for pod in pods), missing

    def _prove(self) -> tuple[Mapping[str, Mapping[str, Proxy]], Mapping[str, Counters], set[str]]:
        """The proxies of all istiods, what these had counted after that, and which have the change by what these say."""
        proxies = first = _connected_once(self._mesh.proxies())
        waiting = [pod for istiod, found in self._candidates.items() if istiod not in self._floors for pod in found]
        envoys = self._mesh.ask(waiting) if waiting else {}
        if envoys:
            proxies = _connected_once(self._mesh.proxies())
        counted = self._mesh.counters()
        for istiod in [*self._candidates]:
            if istiod not in counted or counted[istiod].started != self._counted[istiod].started:
                # it is another process, which counts anew
                del self._candidates[istiod]
                self._floors.pop(istiod, None)
        for istiod, candidates in self._candidates.items():
            for pod in candidates.keys() & envoys.keys():
                before, without = candidates[pod]
                then, proxy = first.get(istiod, {}).get(pod), proxies.get(istiod, {}).get(pod)
                if (
                    then
                    and then == proxy
                    and _shows(before, without, then, envoys[pod])
                    and self._is_taken(envoys[pod])
                ):
                    self._floors[istiod] = _Floor(push_number(then.routes), push_number(then.clusters))
        proven = {
            pod
            for istiod, floor in self._floors.items()
            for pod, proxy in proxies.get(istiod, {}).items()
            if floor.holds(proxy) and _refused_nothing(pod, self._counted[istiod], counted[istiod])
        }
        return proxies, counted, proven


def _shows(before: Proxy, without: Seen, now: Proxy, envoy: Seen) -> bool:
    """Whether what a witness has now came by what it acknowledged."""
    return (
        push_number(now.routes) > push_number(before.routes)
        and bool(now.clusters)
        # a cluster that came is acknowledged before it is ready for requests
        and envoy.subsets <= without.subsets
    )


def _refused_nothing(pod: str, before: Counters, now: Counters) -> bool:
    """Whether a proxy refused nothing in between; not known where more was refused than the proxies are told to have."""
    named = sum(now.refused.values()) - sum(before.refused.values())
    return named == now.all_refused - before.all_refused and now.refused.get(pod, 0) == before.refused.get(pod, 0)


def _connected_once(proxies: Mapping[str, Mapping[str, Proxy]]) -> dict[str, dict[str, Proxy]]:
    """By istiod; of a proxy that several have a connection of, it is not known what it acknowledged."""
    times = Counter(pod for found in proxies.values() for pod in found)
    return {
        istiod: {pod: one if times[pod] == 1 else Proxy() for pod, one in found.items()}
        for istiod, found in proxies.items()
    }


def _homes(proxies: Mapping[str, Mapping[str, Proxy]]) -> dict[str, tuple[str, Proxy]]:
    """By proxy: its istiod, and what it acknowledged to that."""
    return {pod: (istiod, proxy) for istiod, found in proxies.items() for pod, proxy in found.items()}


def _is_from(istiod: str, proxy: Proxy, envoy: Seen) -> bool:
    """Whether what an Envoy has is what it acknowledged to its istiod, or none tells of it."""
    # where it has no route to the service, its clusters alone may be of the change
    return not istiod or (bool(proxy.clusters) and (bool(proxy.routes) or envoy.weights is None))
