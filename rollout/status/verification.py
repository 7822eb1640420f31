"""One verification: every region made ready, measured and judged, side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Self, TypeVar

from components.names import ServiceAddress
from rollout.access import PulumiAccess, RegionAccess
from rollout.answers import ask_all, await_all
from rollout.cluster.application import Application, settled_application, synced_commit
from rollout.cluster.client import api_client, list_all_pods
from rollout.cluster.envoys import Envoy, acknowledges, read_envoys, sample
from rollout.cluster.objects import Route, read_route
from rollout.cluster.stack_outputs import ServiceOutputs, StackOutputs, read_outputs
from rollout.judge.checks import WHATEVER_THE_WEIGHTS, Check, no_failures
from rollout.judge.shares import DEFAULT_MOST, RISK
from rollout.judge.verdict import Verdict, is_decided, verdict_of
from rollout.measurement import Measurement
from rollout.problem import Problem, RolloutError, TransientError, or_problems, refuse
from rollout.status.overlay import is_here, overlay_split
from rollout.traffic.attack import DEFAULT_RATE, Attack
from rollout.traffic.probe import Source, connect, count_results
from rollout.weights import percents, routed

_TAKEN_WITHIN_SECONDS = 30.0
"""How long Envoys are waited for. They take a change within seconds; one that has not by then is cut off, or istiod is away."""

_LOOK_EVERY_SECONDS = 0.5

_MOST_TIMES = 5
"""The most measurements of one whose weights change in each. A promotion stays at a step for longer than a measurement takes."""

_MOST_READS = 5
_READ_AGAIN_SECONDS = 2.0

_SHOWN = 5

Way = Literal["mesh", "gateway", "clients"]
"""Whence requests come: from a probe inside the mesh, from one outside it through the ingress gateway, or from all other clients."""

_OF_WAY: Mapping[Way, str] = {"mesh": "", "gateway": " through the gateway", "clients": " for its clients"}

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")
_Measurable = TypeVar("_Measurable", bound="Measurable")


@dataclass(frozen=True)
class Target:
    """A service of a region that is measured in one way.

    Attributes:
        region: The region.
        service: The service's name.
        way: Whence the requests come.
        weights: What its shares are held against, whole percents by version.
        application: Argo CD's Application, at whose last synced commit the weights are; None where they are the stack's.
        behind: Who does not have the weights, with what it has instead: the VirtualService, and Envoys that can send to the service;
            or why an Envoy could not be asked.
        unasked: How many Envoys of the cluster were not asked: of more than 50 a sample is.
    """

    region: RegionAccess
    service: str
    way: Way
    weights: Mapping[str, int]
    application: Application | None = None
    behind: tuple[str, ...] = ()
    unasked: int = 0

    @property
    def title(self) -> str:
        """What it is called among others."""
        return f"{self.region.name} {self.service}{_OF_WAY[self.way]}"


@dataclass(frozen=True, kw_only=True)
class Measurable(Target):
    """One that can be measured.

    Attributes:
        changed: Gives what is delivered now, where that changed since; None where it did not. Waits until it has arrived, or the event
            is set.
        testers: The versions that a header asks for, whatever their weights.
    """

    changed: Callable[[threading.Event], Delivered | None]
    testers: frozenset[str] = frozenset()

    @property
    def plan(self) -> str:
        """How it is measured, for people."""
        raise NotImplementedError

    def count(self, stop: threading.Event, enough: Callable[[Measurement], bool]) -> Measurement:
        """Counts requests until it is enough, or the event is set.

        Raises:
            RolloutError: there is nothing to count, and why.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Ready(Measurable):
    """One that is measured by requests from a probe, so many at most.

    Attributes:
        source: Where they come from.
        attack: The requests.
    """

    source: Source
    attack: Attack

    @property
    def plan(self) -> str:
        """The requests that are sent."""
        return f"at most {self.attack.requests:,} requests at {self.attack.rate:,} a second to {self.attack.url}"

    def count(self, stop: threading.Event, enough: Callable[[Measurement], bool]) -> Measurement:
        """As `count_results`."""
        return count_results(self.source, self.attack, stop, enough)


@dataclass(frozen=True)
class Point:
    """A look: how many requests had been sent, and how many of them each version had answered."""

    requests: int
    counts: Mapping[str, int]

    @classmethod
    def of(cls, so_far: Measurement) -> Self:
        """What was counted until then."""
        return cls(so_far.requests, {version: tally.requests for version, tally in so_far.versions.items()})


@dataclass(frozen=True, kw_only=True)
class Outcome(Target):
    """What became of one: a verdict, or the problems that kept it from one.

    Attributes:
        verdict: What was measured, judged.
        trail: How the counts came to be what they are: each look, the last one the end.
        problems: What kept it from a verdict.
    """

    verdict: Verdict | None = None
    trail: tuple[Point, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether it was measured and nothing was found wrong."""
        return self.verdict is not None and self.verdict.holds

    @property
    def is_lost(self) -> bool:
        """Whether something was found wrong with the requests that is so by any weights."""
        findings = self.verdict.findings if self.verdict else ()
        return any(finding.kind in WHATEVER_THE_WEIGHTS for finding in findings)


Progress = Callable[[Target, Measurement], None]
"""Told how far it is: called from each one's thread, after each look at what has been counted there."""


@dataclass(frozen=True)
class Delivered:
    """What a service's requests are to be split by, and who is behind; attributes as of `Target` and `Measurable`."""

    weights: Mapping[str, int]
    application: Application | None
    behind: tuple[str, ...]
    changed: Callable[[threading.Event], Delivered | None]
    testers: frozenset[str]
    unasked: int


@dataclass(frozen=True)
class Deliveries:
    """Sees what regions have been brought to.

    Attributes:
        pulumi: How to ask for their stacks' outputs.
        say: Told in a line what is waited for.
        fetch: Brings a branch into the clone, where Argo CD has synced a commit that is not there.
    """

    pulumi: PulumiAccess
    say: Callable[[str], None]
    fetch: Callable[[str], object]

    def arrived(
        self, region: RegionAccess, outputs: StackOutputs, names: Sequence[str], stop: threading.Event
    ) -> Mapping[str, Delivered]:
        """What services have been brought to, by name, once each Envoy has taken it, or half a minute is over.

        An Envoy that cannot be asked is not waited for. Of more than 50 Envoys, 50 are asked, the same ones at each look.

        Args:
            region: The region.
            outputs: What is up there.
            names: The services.
            stop: Ends the wait.

        Raises:
            RolloutError: a service is not up, or what is delivered cannot be read.
        """
        ends, told = time.monotonic() + _TAKEN_WITHIN_SECONDS, ""
        left_out: set[str] = set()
        while True:
            found, late = self._seen(region, {name: outputs.service(name, region) for name in names}, left_out)
            if not late or time.monotonic() > ends or stop.is_set():
                return found
            wanted = "; ".join(f"{name} {percents(found[name].weights)}" for name in late)
            if wanted != told:
                self.say(
                    f"{region.name}: waits until all have {wanted}: {listed([who for each in late.values() for who in each])}"
                )
            told = wanted
            stop.wait(_LOOK_EVERY_SECONDS)
            if any(each.application is None for each in found.values()):
                outputs = read_outputs(self.pulumi, region)

    def _seen(
        self, region: RegionAccess, services: Mapping[str, ServiceOutputs], left_out: set[str]
    ) -> tuple[dict[str, Delivered], dict[str, list[str]]]:
        """What is delivered by service, and who has yet to take it.

        Args:
            region: The region.
            services: What is up of each service.
            left_out: The UIDs of pods that are not asked; those of which there are too many are added.
        """
        declared = {name: self._declared(region, name, each) for name, each in services.items()}
        addresses = {name: each.address(name) for name, each in services.items()}
        # where something is delivered in between, the route has other weights than are declared
        routes = {name: read_route(region, each) for name, each in addresses.items()}
        pods = list_all_pods(region, api_client(region))
        chosen, others = sample([pod for pod in pods if pod["metadata"]["uid"] not in left_out])
        left_out.update(envoy.uid for envoy in others)
        envoys = read_envoys(region, [*addresses.values()], chosen)
        found: dict[str, Delivered] = {}
        late: dict[str, list[str]] = {}
        for name, (weights, application) in declared.items():
            missing = [*_without(weights, addresses[name], routes[name], envoys[name])]
            silent = [f"{envoy.pod} ({envoy.error})" for envoy in envoys[name] if envoy.error]
            route = routes[name]
            changed = partial(self._changed, region, addresses[name], route)
            testers = route.testers if route else frozenset()
            found[name] = Delivered(weights, application, (*missing, *silent), changed, testers, len(left_out))
            late |= {name: missing} if missing else {}
        return found, late

    def _declared(
        self, region: RegionAccess, name: str, outputs: ServiceOutputs
    ) -> tuple[Mapping[str, int], Application | None]:
        """The weights that are to hold in the region, and the Application that brings them, if one does."""
        if outputs.application is None:
            return outputs.weights, None
        application = settled_application(region, outputs.application)
        commit, branch = synced_commit(application), application.target_revision
        if not is_here(self.pulumi.project, commit):
            self.say(f"{region.name} {name}: fetches {branch}: Argo CD synced {commit}, which is not in this clone")
            self.fetch(branch)
        return overlay_split(self.pulumi.project, commit, application.path, name).weights, application

    def _changed(
        self, region: RegionAccess, service: ServiceAddress, before: Route | None, stop: threading.Event
    ) -> Delivered | None:
        now = read_route(region, service)
        if (now and now.generation) == (before and before.generation):
            return None
        return self.arrived(region, read_outputs(self.pulumi, region), [service.name], stop)[service.name]


def _without(
    weights: Mapping[str, int], service: ServiceAddress, route: Route | None, envoys: Sequence[Envoy]
) -> Iterator[str]:
    """Who answered, and does not have the weights; with what it has."""
    if route is None or routed(route.weights or {}) != routed(weights):
        has = percents(route.weights) if route and route.weights else route.problem if route else "it is not there"
        yield f"VirtualService {service.namespace}/{service.name} ({has})"
    for envoy in envoys:
        if not envoy.error and not acknowledges(envoy, weights, envoy.testers):
            yield f"{envoy.pod} ({percents(envoy.weights or {}) or 'no route'})"


def listed(behind: Sequence[str]) -> str:
    """Some of these for people, and how many more there are."""
    more = f" and {len(behind) - _SHOWN} more" if len(behind) > _SHOWN else ""
    return ", ".join(behind[:_SHOWN]) + more


def prepare(
    regions: Sequence[RegionAccess],
    deliveries: Deliveries,
    *,
    services: Sequence[str] = (),
    ways: Sequence[Way] = ("mesh",),
    url: str | None = None,
    requests: int = DEFAULT_MOST,
    rate: int = DEFAULT_RATE,
) -> tuple[Ready, ...]:
    """Reads each region's weights, waits until its Envoys have them, and finds its probe. No request is sent yet.

    Args:
        regions: The regions.
        deliveries: What they have been brought to.
        services: Which services, by name; all that a region has where none is named.
        ways: Whence to send the requests; through the gateway only to services that have a host there.
        url: Where to send requests; None for the stack's output `url`.
        requests: How many in each region at most.
        rate: Requests per second in each region, which its services share.

    Raises:
        RolloutError: some region is not ready; the problems of all regions together.
    """

    def make_ready(region: RegionAccess, stop: threading.Event) -> Sequence[Ready]:
        problems: list[Problem] = []
        outputs = or_problems(lambda: read_outputs(deliveries.pulumi, region), problems)
        outside = outputs.gateway if outputs and "gateway" in ways else None
        sources = {
            way: source
            for way in ways
            if (way == "mesh" or outside)
            and (source := or_problems(partial(connect, region, way == "gateway"), problems))
        }
        if outputs is None or problems:
            raise RolloutError(*problems)
        found = {name: outputs.service(name, region) for name in [*services] or outputs.services}
        measured = [(name, way) for name, each in found.items() for way in sources if way == "mesh" or each.hosts]
        delivered = deliveries.arrived(region, outputs, [*found], stop)
        share = max(1, rate // max(1, len(measured)))
        return [
            Ready(region, name, way, source=sources[way], attack=attack, **vars(delivered[name]))
            for name, way in measured
            for attack in [attack_on(found[name], requests, share, url, gateway=outside if way == "gateway" else None)]
        ]

    return all_ready(make_ready, regions)


def all_ready(
    make_ready: Callable[[RegionAccess, threading.Event], Sequence[_Measurable]], regions: Sequence[RegionAccess]
) -> tuple[_Measurable, ...]:
    """What is made ready in each region, side by side.

    Args:
        make_ready: Makes a region's ready; the event ends its waits.
        regions: The regions.

    Raises:
        RolloutError: some region is not ready; the problems of all regions together.
    """
    stop = threading.Event()
    prepared = _side_by_side(lambda region: make_ready(region, stop), regions, stop)
    refuse(problem for one in prepared if isinstance(one, RolloutError) for problem in one.problems)
    return tuple(each for one in prepared if not isinstance(one, RolloutError) for each in one)


def attack_on(
    service: ServiceOutputs, requests: int, rate: int, url: str | None = None, *, gateway: str | None = None
) -> Attack:
    """The requests that a service is measured with.

    Args:
        service: What is up of it.
        requests: How many at most.
        rate: How many a second.
        url: Where to send them; None for the service's own address.
        gateway: The gateway through which the service's first host is asked instead, as host:port; None for none.
    """
    asked = url or (f"http://{service.hosts[0]}/" if gateway else service.url)
    return Attack(asked, requests, rate, service.requests, service.version_header, gateway or "")


def measure_and_judge(
    ready: Sequence[Measurable],
    progress: Progress,
    say: Callable[[str], None],
    failures: Check = no_failures,
    risk: float = RISK,
) -> tuple[Outcome, ...]:
    """Measures the regions at the same time, each until it is decided or has had its requests.

    One whose route changed meanwhile is measured again, by the weights that it has then, unless it does not hold by any weights; where
    that goes on, that is its problem. A KeyboardInterrupt stops all their probes before it goes on.

    Args:
        ready: The regions.
        progress: Told how far it is.
        say: Told in a line what is measured again.
        failures: Which failed requests are held against a region.
        risk: How often what is said of shares may be wrong, at most, and how often independence may be denied wrongly.
    """
    stop = threading.Event()

    def outcome_of(one: Measurable) -> Outcome:
        change = ""
        for _ in range(_MOST_TIMES):
            if change:
                say(f"{one.title}: {change} meanwhile: measured again")
            outcome = measured(one)
            now = None if outcome.is_lost or stop.is_set() else _tried(partial(one.changed, stop), stop)
            if now is None:
                return outcome
            change = _change(one.weights, now.weights)
            one = replace(one, **vars(now))
        raise RolloutError.of(
            f"{one.title} could not be measured: {change} during the last of {_MOST_TIMES} measurements, and so in each before",
            "requests that were split by several weights prove none of them",
            "see who changes them (rollout status), and verify again when they stay; during a promotion, once it is done",
        )

    def measured(one: Measurable) -> Outcome:
        trail: list[Point] = []

        def enough(so_far: Measurement) -> bool:
            trail.append(Point.of(so_far))
            progress(one, so_far)
            return is_decided(so_far, one.weights, failures=failures, risk=risk)

        measurement = one.count(stop, enough)
        # where it was enough, the last look is the end
        if trail[-1:] != [Point.of(measurement)]:
            trail.append(Point.of(measurement))
        verdict = verdict_of(measurement, one.weights, failures=failures, risk=risk)
        return replace(_nothing_of(one), verdict=verdict, trail=tuple(trail))

    outcomes = _side_by_side(outcome_of, ready, stop)
    return tuple(
        replace(_nothing_of(one), problems=outcome.problems) if isinstance(outcome, RolloutError) else outcome
        for one, outcome in zip(ready, outcomes, strict=True)
    )


def _nothing_of(one: Measurable) -> Outcome:
    """What is known of one before it is measured."""
    return Outcome(one.region, one.service, one.way, one.weights, one.application, one.behind, one.unasked)


def _tried(read: Callable[[], _Value], stop: threading.Event) -> _Value:
    """What is read; a few times where nobody answers, since a measurement would be lost with it."""
    for _ in range(_MOST_READS - 1):
        try:
            return read()
        except TransientError:
            stop.wait(_READ_AGAIN_SECONDS)
    return read()


def _change(before: Mapping[str, int], now: Mapping[str, int]) -> str:
    moved = [
        f"{name} {before.get(name, 0)} → {now.get(name, 0)} %"
        for name in {**before, **now}
        if before.get(name, 0) != now.get(name, 0)
    ]
    return (
        f"the weights changed ({', '.join(moved)})"
        if moved
        else "the VirtualService changed, with the same weights now as before,"
    )


def _side_by_side(
    work: Callable[[_Item], _Value], items: Sequence[_Item], stop: threading.Event
) -> list[_Value | RolloutError]:
    """Each item's result or error, in order. An interruption sets `stop`, and waits for the threads to see it."""

    def attempt(item: _Item) -> _Value | RolloutError:
        try:
            return work(item)
        except RolloutError as error:
            return error

    futures: Sequence[Future[_Value | RolloutError]] = ()
    try:
        # also while they begin
        futures = ask_all(attempt, items)
        await_all(futures)
    finally:
        # those that are done do not care
        stop.set()
        await_all(futures)
    return [future.result() for future in futures]
