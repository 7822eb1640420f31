"""The regions of a promotion that have begun: what is wrong in one is found whatever else is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self, TypeVar

from rollout.answers import ask_all, stopped_by
from rollout.judge.step import Look, Observation, Step, doubt
from rollout.measurement import Measurement, Tally
from rollout.problem import Problem, RolloutError
from rollout.traffic.clients import ClientsWatch
from rollout.traffic.restarts import RestartsWatch
from rollout.traffic.watch import Watch

LOOK_EVERY_SECONDS = 0.2
"""The pause after a look, at least: after hours there is much to look at, and it takes longer."""

_REST = 4
"""How many times as long as a look took the pause after it is at least, while something else is waited for."""

STOPPED = Problem("stopped")

_END_SECONDS = 6.0
"""How long what nobody waits for any more may take to end: git gets five seconds."""

_Value = TypeVar("_Value")


class Doubt(NamedTuple):
    """Why a promotion is taken back.

    Attributes:
        reason: What is wrong, a sentence.
        region: The region that has begun where it was found; None where it says nothing of a step.
    """

    reason: str
    region: str | None = None


@dataclass(frozen=True)
class Watched:
    """A region that is watched since one of its steps.

    Attributes:
        step: The step.
        watch: The probe's requests.
        clients: The requests of all others.
        restarts: The containers of the service that end.
        coming: The probe's from before all Envoys had acknowledged it; None while they have not.
        before: Those of the step before, until then.
    """

    step: Step
    watch: Watch
    clients: ClientsWatch
    restarts: RestartsWatch
    coming: Measurement | None = None
    before: tuple[Measurement, ...] = ()

    def seen(self) -> Observation:
        """What was measured of the step so far.

        Raises:
            RolloutError: no more requests are sent, and why.
        """
        clients, window = self.clients.seen(), self.watch.seen()
        coming, proof = (self.coming, window) if self.coming else (window, None)
        return Observation(
            coming, proof, clients.spans, clients.before, self.restarts.seen(), self.restarts.not_ready()
        )

    @property
    def ended(self) -> tuple[Measurement, ...]:
        """The windows that came before the one that runs, as far as a way back now would count them."""
        return (*self.before, *((self.coming,) if self.coming else ()))

    def cost(self) -> dict[str, Tally]:
        """What became of all requests since the step began, by version; "" for those that none answered.

        Until all Envoys have acknowledged it, those of the step before are among them.
        """
        cost: dict[str, Tally] = {}
        windows = [*self.ended]
        # what is taken back is so, also where nothing more can be counted
        with suppress(RolloutError):
            windows.append(self.watch.seen())
        for window in windows:
            rows = [
                (origin.version if origin.region == self.step.region else str(origin), tally)
                for origin, tally in window.answered.items()
            ]
            nobody = window.unanswered + window.unreadable
            rows += [("", Tally(nobody, nobody))] if nobody else []
            for name, tally in rows:
                cost[name] = cost.get(name, Tally()) + tally
        return cost


class Lookout:
    """Looks at the regions that have begun, for as long as the block lasts that it is entered for.

    One thread looks and judges, the caller's. What may hang is done by another one (`during`), which changes what is watched;
    a look sees a step together with what was measured since it began.

    Attributes:
        stop: Set when nobody waits any more for what is done meanwhile.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._watched: dict[str, Watched] = {}
        # those of which nobody knows the step, and the last looks at which that was known and that are not judged
        self._unknown: set[str] = set()
        self._known: dict[str, Look] = {}
        self._watches = ExitStack()
        self._entering = threading.Lock()
        self._answer: Future[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop.set()
        # a git that outlived us could still push
        wait([self._answer] if self._answer else [], _END_SECONDS)
        with self._entering:
            self._watches.close()

    def __contains__(self, region: str) -> bool:
        return region in self._watched

    def __getitem__(self, region: str) -> Watched:
        return self._watched[region]

    def during(self, work: Callable[[], _Value]) -> _Value | Doubt:
        """What another thread comes to, with an eye on the regions; or what is wrong in one of them before. Then nobody waits for it.

        Raises:
            RolloutError: as of `doubt`.
            Exception: what the work raises.
        """

        with stopped_by(self.stop):
            (answer,) = ask_all(lambda one: one(), [work])
        self._answer = answer
        took = 0.0
        try:
            while not wait([answer], max(LOOK_EVERY_SECONDS, _REST * took)).done:
                began = time.monotonic()
                if doubt := self.doubt():
                    return doubt
                took = time.monotonic() - began
            return answer.result()
        finally:
            if not answer.done():
                self.stop.set()

    def begin(self, step: Step, watch: Callable[[Step], Watched]) -> None:
        """A region's requests that are sent from now on are of a step; takes about a second.

        Args:
            step: The step.
            watch: What tells of the region's requests, not entered; asked where that is not watched yet.

        Raises:
            RolloutError: no requests are sent, and why; or nobody waits for it any more.
        """
        known = self._watched.get(step.region)
        watched = known or self._entered(watch(step))

        def begins(ended: Measurement) -> None:
            watched.clients.turn()
            before = (*known.ended, ended) if known else ()
            self._watched[step.region] = replace(watched, step=step, coming=None, before=before)

        watched.watch.turn(begins)
        self._known.pop(step.region, None)
        self._unknown.discard(step.region)

    def hold(self, regions: Iterable[str]) -> None:
        """From now on, or since the last call, nobody knows by which step a region splits its requests; before that they were its own.

        It is judged by what was measured until then, whenever this is called, until its next step begins.

        Raises:
            RolloutError: one of them cannot be seen.
        """
        found = {region: self.look(region) for region in regions if region in self}
        self._known |= found
        self._unknown |= found.keys()

    def acknowledged(self, region: str) -> Measurement:
        """All Envoys have the region's step: those of its requests that were sent before; takes about a second.

        Raises:
            RolloutError: no more requests are sent, and why.
        """
        watched = self._watched[region]

        def goes_on(ended: Measurement) -> None:
            self._watched[region] = replace(watched, coming=ended, before=())

        return watched.watch.turn(goes_on)

    def look(self, region: str) -> Look:
        """The region's step, and what was measured of it so far.

        Raises:
            RolloutError: no more requests are sent, and why.
        """
        while True:
            watched = self._watched[region]
            look = Look(watched.step, watched.seen())
            # else what was measured may be of the next step
            if self._watched[region] is watched:
                return look

    def doubt(self, but: str | None = None) -> Doubt | None:
        """What is wrong in the first region in which something is; None while all are well.

        Raises:
            RolloutError: none is shown to be wrong, and one of them cannot be seen.
        """
        unseen: RolloutError | None = None
        # in one go: the other thread may add one meanwhile
        for region in [*self._watched]:
            if region == but:
                continue
            try:
                look = self._known.pop(region, None) if region in self._unknown else self.look(region)
                if look and (reason := doubt(look, proven=True)):
                    return Doubt(reason, region)
            except RolloutError as error:
                unseen = error
        if unseen:
            raise unseen
        return None

    def _entered(self, watched: Watched) -> Watched:
        with self._entering:
            if self.stop.is_set():
                raise RolloutError(STOPPED)
            self._watches.enter_context(watched.watch)
            self._watches.enter_context(watched.clients)
            self._watches.enter_context(watched.restarts)
        return watched
