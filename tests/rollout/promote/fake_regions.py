"""Clusters that follow a remote's main, and requests to a service that are answered by the weights that it declares, by lot."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from subprocess import CalledProcessError
from typing import Self

import numpy as np

from rollout.access import RegionAccess
from rollout.judge.shares import RISK
from rollout.judge.step import nearly_all_answered
from rollout.measurement import Answers, Count, Measurement, Result, Span, Tally
from rollout.problem import Problem, TransientError
from rollout.promote.clusters import FIRST_REQUESTS, Clusters
from rollout.promote.delivery import DeliveryTime
from rollout.status.overlay import parse_split
from rollout.status.verification import Measurable, Outcome, measure_and_judge
from rollout.traffic.clients import ClientsWatch, Window
from rollout.traffic.restarts import RestartsWatch
from rollout.traffic.watch import Watch
from stackfile.reader import read_stack_file
from tests.rollout.answers import AT_NS, ok
from tests.rollout.planned import REGIONS
from tests.rollout.promote.draws import RATE, Draws
from tests.rollout.repository import Repository
from tests.rollout.stack_files import lasting_directory

ENVOYS = 7
SYNCED_SECONDS = 0.5
ACKNOWLEDGED_SECONDS = 0.8
# with it no proof of a latency at a small share takes minutes of requests
_SEED = 3
_MOST = 50_000
_REACHED: dict[str, Path] = {}


@dataclass(frozen=True)
class Moment:
    """Something that a promotion is about to do with a region.

    Attributes:
        what: `certify`, `ask`, `watch`, `deliver` or `look`.
        region: Where.
        weight: What v2 has there: with a delivery what it is to get, else what the cluster has.
    """

    what: str
    region: str
    weight: int


def never_fails(_region: str, _version: str, _weight: int) -> float:
    return 0.0


class FakeRegions(Clusters):
    """The clusters of a promotion, and of a retirement.

    Attributes:
        service: The one that is asked.
        failure_rate: How often a version fails, 0..1, by region, version and the version's weight there.
        silent: Regions whose cluster does not answer.
        unhealthy: Regions in which Argo CD finds that something is not well, whatever is synced.
        unanswered_rate: How often nobody answers, 0..1, by region.
        clients_away: Whether no other client can be asked.
        clients_failure_rate: How often it fails other clients than the probe, by region and version.
        clients_answers: What part of its answers to other clients a version gives with which 4xx, by region and version.
        untold: What of that is declared and not told of them.
        at_weight_0: What answers a request that asks for v2 by a header, by its number and its region.
        ended: Why containers ended, by version, in a region.
        not_ready: For how many seconds containers that were ready are not, by version, in a region.
        slower: How many times as long a version takes, by region.
        arrives: Whether a region can be brought to such weights.
        in_the_way: What the verbs find that would keep a change from arriving.
        say: Told what goes on, where nobody else is to be told.
        changed: Called with a region after each of its measurements.
        moments: All that was done, in order.
    """

    def __init__(self, remote: Repository, service: str = "echo", regions: Sequence[str] = REGIONS) -> None:
        self.service = service
        self.failure_rate: Callable[[str, str, int], float] = never_fails
        self.unanswered_rate: Callable[[str], float] = lambda _region: 0.0
        self.arrives: Callable[[str, Mapping[str, int]], bool] = lambda _region, _weights: True
        # what is wrong once a region has the weights that it is waited for with
        self.arrived: Callable[[str], Problem | None] = lambda _region: None
        self.clients_away = False
        self.clients_failure_rate: Callable[[str, str], float] = lambda _region, _version: 0.0
        self.clients_answers: Callable[[str, str], Mapping[int, float]] = lambda _region, _version: {}
        self.untold = ""
        self.at_weight_0: Callable[[int, str], Result] = lambda _number, region: ok("v2", region)
        self.ended: Callable[[str], Mapping[str, tuple[str, ...]]] = lambda _region: {}
        self.not_ready: Callable[[str], Mapping[str, tuple[float, ...]]] = lambda _region: {}
        self.slower: Callable[[str, str], float] = lambda _region, _version: 1.0
        self.silent: set[str] = set()
        self.say: Callable[[str], None] = lambda _line: None
        self.changed: Callable[[str], None] = lambda _region: None
        self.unhealthy: set[str] = set()
        self.in_the_way: list[Problem] = []
        self.moments: list[Moment] = []
        self.asked_outside: Mapping[str, Sequence[str]] = {}
        self._planned: list[tuple[Moment, Callable[[], object]]] = []
        self._lock = threading.Lock()
        self._remote = remote
        self._random = {region: np.random.default_rng([_SEED, *region.encode()]) for region in regions}
        self._seconds = Counter[str]()
        self._weights = {region: self._declared(region) for region in regions}

    def fail(self, version: str) -> None:
        """Lets a version fail each request from now on, everywhere."""
        self.failure_rate = lambda _region, asked, _weight: float(asked == version)

    def once(self, what: str, region: str, weight: int, action: Callable[[], object]) -> None:
        """Does something the first time that it comes to this."""
        self._planned.append((Moment(what, region, weight), action))

    def reach(self, name: str, by: Callable[[], object]) -> None:
        """Brings the repositories to where something brings them, and the clusters to what main says then.

        It is done once in a process; after that a copy is taken. Nothing else may have been done before.

        Args:
            name: What this is called.
            by: Brings them there.
        """
        directory = self._remote.directory.parent
        if name in _REACHED:
            shutil.copytree(_REACHED[name], directory, dirs_exist_ok=True)
            self._weights = {region: self._declared(region) for region in self._weights}
        else:
            by()
            _REACHED[name] = shutil.copytree(directory, lasting_directory() / name)

    def in_force(self, region: str) -> Mapping[str, int]:
        """The weights by which a region splits its requests now."""
        return self._weights[region]

    @property
    def rate(self) -> int:
        return RATE

    def certify(
        self,
        regions: Sequence[str],
        risk: float = RISK,
        stop: threading.Event | None = None,
        say: Callable[[str], None] | None = None,
        *,
        shown: bool = False,
    ) -> Sequence[Outcome]:
        (say or self.say)("measures")
        for region in regions:
            self._sync(region)
            self._comes_to("certify", region, self._weights[region])
        ready = [
            _Asked(
                RegionAccess(region, stack=region, context=region),
                self.service,
                "mesh",
                self._weights[region],
                changed=partial(self._after, region),
                watch=FakeWatch(self, region),
            )
            for region in regions
        ]
        answered = partial(nearly_all_answered, risk=risk)
        return measure_and_judge(ready, lambda _ready, _so_far: None, lambda _line: None, answered, risk)

    def asked_for(self, region: str, header: str, version: str) -> Measurement:
        assert (header, version) == ("x-web-version", "v2")
        self._comes_to("ask", region, self._weights[region])
        count = Count(region)
        for number in range(FIRST_REQUESTS):
            count.add(
                replace(self.at_weight_0(number, region), at_ns=AT_NS + number, latency_ns=1_000_000 + 30_000 * number)
            )
        return count.measurement(planned=FIRST_REQUESTS, seconds=2.0)

    def clients(self, region: str) -> FakeClients:
        return FakeClients(self, region)

    def restarts(self, region: str) -> FakeRestarts:
        return FakeRestarts(self, region)

    def watched(self, region: str, bounds_ms: Sequence[float] = ()) -> FakeWatch:
        self._comes_to("watch", region, self._weights[region])
        return FakeWatch(self, region, bounds_ms)

    def deliver(
        self,
        region: str,
        commit: str,
        weights: Mapping[str, int],
        meanwhile: Callable[[], Problem | None],
        *,
        healthy: bool = True,
        without: str | None = None,
        say: Callable[[str], None] | None = None,
    ) -> DeliveryTime | Problem:
        assert without not in weights
        (say or self.say)("delivers")
        if region in self.silent:
            raise TransientError.of(f"{region}: the cluster does not answer")
        if healthy and region in self.unhealthy:
            return Problem(f"{region}: not synced within 10 min: Degraded")
        self._comes_to("deliver", region, weights)
        if found := meanwhile():
            return found
        self._sync(region)
        if found := meanwhile():
            return found
        if not self._has(commit) or self._weights[region] != weights:
            return Problem(
                f"{region}: not synced within 10 min", "what is not delivered cannot be measured", "see Argo CD"
            )
        return self.arrived(region) or DeliveryTime(SYNCED_SECONDS, ACKNOWLEDGED_SECONDS, ENVOYS)

    def drawn(self, region: str) -> Draws:
        """What becomes of the region's next second of requests."""
        with self._lock:
            self._seconds[region] += 1
            return Draws.of_a_second(
                region,
                self._seconds[region],
                self._weights[region],
                self._random[region],
                unanswered=self.unanswered_rate(region),
                failing=partial(self.failure_rate, region),
                slower=partial(self.slower, region),
            )

    def failure_statuses(self, region: str) -> Sequence[int]:
        """What main declares."""
        name = f"Pulumi.{region}.yaml"
        return read_stack_file(self._file(name).encode(), name).services[self.service].failure_statuses

    def look(self, region: str) -> None:
        self._comes_to("look", region, self._weights[region])

    def asked_at_gateways(self, region: str, version: str) -> Sequence[str]:
        return self.asked_outside.get(version, ())

    def _comes_to(self, what: str, region: str, weights: Mapping[str, int]) -> None:
        moment = Moment(what, region, weights.get("v2", 0))
        with self._lock:
            self.moments.append(moment)
            planned = next((each for each in self._planned if each[0] == moment), None)
            if planned:
                self._planned.remove(planned)
        if planned:
            planned[1]()

    def _after(self, region: str, _stop: threading.Event) -> None:
        self.changed(region)

    def _sync(self, region: str) -> None:
        """Brings the cluster to what main says, as Argo CD does."""
        declared = self._declared(region)
        if self.arrives(region, declared):
            self._weights[region] = declared

    def _declared(self, region: str) -> Mapping[str, int]:
        return _weights_of(self._file(f"deploy/overlays/{region}/{self.service}/vs.yaml"))

    def _file(self, path: str) -> str:
        """A file of main."""
        return _read(self._remote, self._remote.pushed("main"), path)

    def _has(self, commit: str) -> bool:
        tip = self._remote.pushed("main")
        try:
            return commit == tip or not self._remote.git("merge-base", "--is-ancestor", commit, tip)
        except CalledProcessError:
            return False


class FakeWatch(Watch):
    """A region watched: at each look another second's requests have been answered."""

    def __init__(self, regions: FakeRegions, region: str, bounds_ms: Sequence[float] = ()) -> None:
        self._of, self._where, self._bounds_ms = regions, region, bounds_ms
        self._so_far: Measurement | None = None
        self._answered_last = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing was started."""

    def seen(self) -> Measurement:
        self._of.look(self._where)
        with self._lock:
            return self.after_a_second()

    def turn(self, then: Callable[[Measurement], object] = lambda _ended: None) -> Measurement:
        with self._lock:
            ended = self.after_a_second()
            self._so_far, self._answered_last = None, 0
            then(ended)
            return ended

    def after_a_second(self) -> Measurement:
        """What there is once another second's requests have been answered, which is no look."""
        drawn = self._of.drawn(self._where)
        self._so_far = drawn.added(self._so_far, self._answered_last, self._bounds_ms)
        self._answered_last = drawn.last or self._answered_last
        return self._so_far


class FakeClients(ClientsWatch):
    """The other clients of a region: of each look there is a span of 100 requests, by its weights."""

    def __init__(self, regions: FakeRegions, region: str) -> None:
        self._of, self._where = regions, region
        self._seen: list[Span] = []
        self._statuses = regions.failure_statuses(region)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing was started."""

    def seen(self) -> Window:
        if self._of.clients_away:
            return Window(trouble=f"{self._where}: no client of echo could be asked")
        weights = self._of.in_force(self._where)
        failures = {
            version: round(weight * self._of.clients_failure_rate(self._where, version))
            for version, weight in weights.items()
        }
        answers = {
            version: Answers(
                round(weight * sum(parts.values())),
                failures=round(weight * sum(parts.get(status, 0) for status in self._statuses)),
            )
            for version, weight in weights.items()
            if (parts := self._of.clients_answers(self._where, version))
        }
        tallies = {
            version: Tally(weight, failures[version] + answers.get(version, Answers()).failures)
            for version, weight in weights.items()
        }
        self._seen.append(Span(5.0, tallies, answers))
        return Window(tuple(self._seen), untold=self._of.untold)

    def turn(self) -> None:
        self._seen = []


class FakeRestarts(RestartsWatch):
    """The containers of a region."""

    def __init__(self, regions: FakeRegions, region: str) -> None:
        self._of, self._where = regions, region

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing was started."""

    def seen(self) -> Mapping[str, tuple[str, ...]]:
        return self._of.ended(self._where)

    def not_ready(self) -> Mapping[str, tuple[float, ...]]:
        return self._of.not_ready(self._where)

    def trouble(self) -> str:
        return ""


@dataclass(frozen=True, kw_only=True)
class _Asked(Measurable):
    """A region that is asked, a second's requests after the other."""

    watch: FakeWatch

    def count(self, stop: threading.Event, enough: Callable[[Measurement], bool]) -> Measurement:
        while True:
            so_far = self.watch.after_a_second()
            if enough(so_far) or stop.is_set() or so_far.requests >= _MOST:
                return so_far


@cache
def _read(repository: Repository, commit: str, path: str) -> str:
    return repository.git("show", f"{commit}:{path}")


@cache
def _weights_of(routes: str) -> Mapping[str, int]:
    return parse_split(routes, "vs.yaml").weights
