"""One verification: every region made ready, measured and judged, side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Self, TypeVar

from rollout.access import PulumiAccess, RegionAccess
from rollout.cluster.application import Application, settled_application, synced_commit
from rollout.cluster.stack_outputs import ServiceOutputs, read_outputs
from rollout.judge.checks import Check, no_failures
from rollout.judge.shares import DEFAULT_MOST, RISK
from rollout.judge.verdict import Verdict, is_decided, verdict_of
from rollout.measurement import Measurement
from rollout.problem import Problem, RolloutError, refuse
from rollout.status.answers import await_all, or_problems
from rollout.status.overlay import overlay_split
from rollout.traffic.attack import DEFAULT_RATE, Attack
from rollout.traffic.probe import Source, connect, count_results

Way = Literal["mesh", "gateway"]
"""Whence requests come: from a client inside the mesh, or from one outside it through the ingress gateway."""

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Target:
    """A service of a region that is measured in one way.

    Attributes:
        region: The region.
        service: The service's name.
        way: Whence the requests come: inside the mesh, or outside it through the gateway.
        weights: What its shares are held against, whole percents by version.
        application: Argo CD's Application, at whose last synced commit the weights are; None where they are the stack's.
    """

    region: RegionAccess
    service: str
    way: Way
    weights: Mapping[str, int]
    application: Application | None = None

    @property
    def title(self) -> str:
        """What it is called among others."""
        return f"{self.region.name} {self.service}" + " through the gateway" * (self.way == "gateway")


@dataclass(frozen=True, kw_only=True)
class Ready(Target):
    """One that can be measured: by requests from a probe, so many at most."""

    source: Source
    attack: Attack


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


Progress = Callable[[Ready, Measurement], None]
"""Told how far it is: called from each one's thread, after each look at what has been counted there."""


def prepare(
    regions: Sequence[RegionAccess],
    pulumi: PulumiAccess,
    *,
    services: Sequence[str] = (),
    ways: Sequence[Way] = ("mesh",),
    url: str | None = None,
    requests: int = DEFAULT_MOST,
    rate: int = DEFAULT_RATE,
) -> tuple[Ready, ...]:
    """Reads each region's weights and finds its probe. No request is sent yet.

    Args:
        regions: The regions.
        pulumi: How to ask for their stacks' outputs.
        services: Which services, by name; all that a region has where none is named.
        ways: Whence to send the requests; through the gateway only to services that have a host there.
        url: Where to send requests; None for the stack's output `url`.
        requests: How many in each region at most.
        rate: Requests per second in each region, which its services share.

    Raises:
        RolloutError: some region is not ready; the problems of all regions together.
    """

    def make_ready(region: RegionAccess) -> Sequence[Ready]:
        problems: list[Problem] = []
        outputs = or_problems(lambda: read_outputs(pulumi, region), problems)
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
        delivered = {name: _delivered(region, each, pulumi.project, name) for name, each in found.items()}
        share = max(1, rate // max(1, len(measured)))
        return [
            Ready(region, name, way, weights, application, source=sources[way], attack=attack)
            for name, way in measured
            for weights, application in [delivered[name]]
            for attack in [attack_on(found[name], requests, share, url, gateway=outside if way == "gateway" else None)]
        ]

    prepared = _side_by_side(make_ready, regions, threading.Event())
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


def _delivered(
    region: RegionAccess, outputs: ServiceOutputs, project: Path, service: str
) -> tuple[Mapping[str, int], Application | None]:
    """The weights that hold in the region, and the Application that brought them, if one did."""
    if outputs.application is None:
        return outputs.weights, None
    application = settled_application(region, outputs.application)
    return overlay_split(project, synced_commit(application), application.path, service).weights, application


def measure_and_judge(
    ready: Sequence[Ready], progress: Progress, failures: Check = no_failures, risk: float = RISK
) -> tuple[Outcome, ...]:
    """Measures the regions at the same time, each until it is decided or has had its requests.

    A KeyboardInterrupt stops all their probes before it goes on.

    Args:
        ready: The regions.
        progress: Told how far it is.
        failures: Which failed requests are held against a region.
        risk: How often what is said of shares may be wrong, at most, and how often independence may be denied wrongly.
    """
    stop = threading.Event()

    def outcome_of(one: Ready) -> Outcome:
        trail: list[Point] = []

        def enough(so_far: Measurement) -> bool:
            trail.append(Point.of(so_far))
            progress(one, so_far)
            return is_decided(so_far, one.weights, failures=failures, risk=risk)

        measurement = count_results(one.source, one.attack, stop, enough)
        # where it was enough, the last look is the end
        if trail[-1:] != [Point.of(measurement)]:
            trail.append(Point.of(measurement))
        verdict = verdict_of(measurement, one.weights, failures=failures, risk=risk)
        return Outcome(
            one.region, one.service, one.way, one.weights, one.application, verdict=verdict, trail=tuple(trail)
        )

    outcomes = _side_by_side(outcome_of, ready, stop)
    return tuple(
        Outcome(one.region, one.service, one.way, one.weights, one.application, problems=outcome.problems)
        if isinstance(outcome, RolloutError)
        else outcome
        for one, outcome in zip(ready, outcomes, strict=True)
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

    with ThreadPoolExecutor(max_workers=max(1, len(items))) as pool:
        try:
            futures = [pool.submit(attempt, item) for item in items]
            await_all(futures)
        finally:
            # the pool waits for its threads, so they must know; those that are done do not care
            stop.set()
    return [future.result() for future in futures]
