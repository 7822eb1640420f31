"""The regions' clusters as a promotion and a retirement see them: measured, watched, and waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Protocol

from components.names import address
from rollout.access import RegionAccess
from rollout.cluster.client import api_client, list_all_pods
from rollout.cluster.envoys import is_gateway, read_envoys
from rollout.cluster.stack_outputs import ServiceOutputs, read_outputs
from rollout.git.repository import Repository
from rollout.judge.step import nearly_all_answered
from rollout.measurement import Measurement
from rollout.problem import Problem, RolloutError
from rollout.promote.delivery import DeliveryTime, brings, deliver, lacks, takes
from rollout.regions import Discovery
from rollout.status.verification import (
    Deliveries,
    Outcome,
    Progress,
    Ready,
    Target,
    attack_on,
    measure_and_judge,
    prepare,
)
from rollout.traffic.attack import MOST_REQUESTS
from rollout.traffic.clients import ClientsWatch
from rollout.traffic.probe import connect, count_results
from rollout.traffic.prometheus import Prometheus
from rollout.traffic.proxies import Proxies
from rollout.traffic.restarts import RestartsWatch
from rollout.traffic.watch import Watch
from stackfile.model import RegionConfig, ServiceConfig

FIRST_REQUESTS = 100
"""To a version at weight 0. One that fails 5 % of its requests or more is found with 99.4 % at least: 1 - 0.95 ** 100."""

_FIRST_RATE = 50


class Changed(Protocol):
    """A service that is changed by commits."""

    @property
    def service(self) -> str:
        """Its name."""

    @property
    def say(self) -> Callable[[str], None]:
        """Told in a line what goes on."""

    @property
    def repository(self) -> Repository:
        """A clone of what is delivered."""

    def tip(self) -> str:
        """The newest commit that is to be delivered, fetched."""

    def contains(self, commit: str, tip: str) -> bool:
        """Whether a commit is another one or in its history."""

    def declared(self, commit: str, region: str) -> ServiceConfig:
        """What a commit declares of the service in a region."""

    def regions(self, commit: str) -> Mapping[str, RegionConfig]:
        """What a commit declares of the regions that have the service."""


class Clusters:
    """Regions that are up and that Argo CD delivers to.

    Args:
        upstream: The branch that is delivered, and the service that is changed by it.
        discovery: Where the regions are.
        names: Those that are meant. One that discovery does not know keeps none of the others from being asked.
        rate: Requests a second to send in a region that is measured or watched.
        shown: Shows how far the regions are, for as long as a block lasts that measures them.
    """

    def __init__(
        self,
        upstream: Changed,
        discovery: Discovery,
        names: Sequence[str],
        rate: int,
        shown: Callable[[Sequence[Ready]], AbstractContextManager[Progress]],
    ) -> None:
        self._upstream, self._rate, self._shown = upstream, rate, shown
        self._pulumi = discovery.pulumi
        self._regions = {region.name: region for region in discovery.regions if region.name in names}
        self._source = discovery.source
        self._read: dict[str, ServiceOutputs] = {}

    @property
    def rate(self) -> int:
        """Requests a second that are sent in a region."""
        return self._rate

    def certify(
        self,
        regions: Sequence[str],
        risk: float,
        stop: threading.Event,
        say: Callable[[str], None] | None = None,
        *,
        shown: bool = False,
    ) -> Sequence[Outcome]:
        """Measures the split of these regions side by side, each until it is decided; failures of its own versions are counted only.

        Args:
            regions: By their names.
            risk: How often each test may be wrong, at most.
            stop: Ends it when it is set.
            say: Told in a line what is waited for; None for who is told all else.
            shown: Whether how far it is is shown: not where others may be measured at the same time.

        Raises:
            RolloutError: one is not ready to be measured.
        """
        say = say or self._upstream.say
        deliveries = Deliveries(self._pulumi, say, lambda _branch: self._upstream.tip())
        ready = prepare(
            [self._at(name) for name in regions], deliveries, services=[self._upstream.service], rate=self._rate
        )
        answered = partial(nearly_all_answered, risk=risk)
        with self._shown(ready) if shown else nullcontext(lambda _one, _so_far: None) as progress:
            return measure_and_judge(ready, _until(stop, progress), say, answered, risk)

    def watched(self, region: str, bounds_ms: Sequence[float] = ()) -> Watch:
        """A region watched for as long as a block lasts.

        Args:
            region: By its name.
            bounds_ms: What takes longer is slow.

        Raises:
            RolloutError: it has no probe that is ready.
        """
        return Watch(connect(self._at(region)), attack_on(self._outputs(region), MOST_REQUESTS, self._rate), bounds_ms)

    def asked_for(self, region: str, header: str, version: str) -> Measurement:
        """What a region answers to a few requests that ask for a version at any weight, by the testers' header; two seconds.

        Raises:
            RolloutError: it has no probe that is ready.
        """
        attack = attack_on(self._outputs(region), FIRST_REQUESTS, min(self._rate, _FIRST_RATE))
        return count_results(
            connect(self._at(region)),
            attack.with_header(header, version),
            threading.Event(),
            lambda _so_far: False,
        )

    def clients(self, region: str) -> ClientsWatch:
        """What all other clients of a region get, for as long as a block lasts."""
        tip, where = self._upstream.tip(), self._at(region)
        declared, metrics = self._upstream.declared(tip, region), self._upstream.regions(tip)[region].metrics
        service, failures, bounds_ms = address(declared), declared.failure_statuses, declared.latency_bounds_ms
        if metrics.prometheus:
            latency = metrics.latency or bool(bounds_ms)
            return ClientsWatch(Prometheus(where, service, metrics.prometheus, latency=latency, failures=failures))
        return ClientsWatch(Proxies(where, service, latency=metrics.latency, failures=failures, bounds_ms=bounds_ms))

    def restarts(self, region: str) -> RestartsWatch:
        """How often containers of the service end in a region, for as long as a block lasts."""
        return RestartsWatch(self._at(region), self._outputs(region).address(self._upstream.service))

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
        """Waits until a region has a commit, and each of its Envoys; what is missing, or found meanwhile.

        Args:
            region: By its name.
            commit: By its full hash.
            weights: What the commit says, whole percents by version.
            meanwhile: Called twice a second; a problem that it finds ends the waiting.
            healthy: Whether all that was committed must be healthy as well.
            without: An Envoy has it when it knows this version no more; None when it splits by the weights.
            say: Told in a line of Envoys that may not be asked; None for who is told all else.

        Raises:
            RolloutError: nothing says where the region is, the region has no Application, or its cluster cannot be asked.
        """
        where = self._at(region)
        application = self._outputs(region).application
        if application is None:
            raise RolloutError.of(
                f"stack {where.stack}: it has no Application of {self._upstream.service}",
                "without one, a commit is delivered by nobody",
                f"bring it up with delivery gitops: pulumi up -s {where.stack} (docs/handover.md)",
            )
        history = self._upstream
        service = history.declared(commit, region)
        is_there = brings(
            where, address(service), history.repository.project, history.contains, commit=commit, weights=weights
        )
        is_taken = takes(weights, service.for_testers) if without is None else lacks(without)
        return deliver(
            where,
            address(service),
            application,
            is_there,
            is_taken,
            meanwhile=meanwhile,
            healthy=healthy,
            say=say or history.say,
        )

    def asked_at_gateways(self, region: str, version: str) -> Sequence[str]:
        """The pods of the gateways that send testers to a version of the service, each as `namespace/name`.

        Raises:
            RolloutError: nothing says where the region is, or its cluster cannot be asked.
        """
        where = self._at(region)
        service = address(self._upstream.declared(self._upstream.tip(), region))
        gateways = [pod for pod in list_all_pods(where, api_client(where)) if is_gateway(pod)]
        envoys = read_envoys(where, [service], gateways)[service.name]
        return [envoy.pod for envoy in envoys if version in envoy.testers]

    def _at(self, name: str) -> RegionAccess:
        if name not in self._regions:
            raise RolloutError.of(
                f"{name}: nothing in {self._source} says where this region is, so its cluster was not asked",
                "what a commit brings there is delivered, but nobody has seen it",
                "name its cluster there (with stack files: git pull, or mend the file); `rollout rollback` sees to it then",
            )
        return self._regions[name]

    def _outputs(self, name: str) -> ServiceOutputs:
        if name not in self._read:
            region = self._at(name)
            self._read[name] = read_outputs(self._pulumi, region).service(self._upstream.service, region)
        return self._read[name]


def _until(stop: threading.Event, progress: Progress) -> Progress:
    def looked(one: Target, so_far: Measurement) -> None:
        if stop.is_set():
            raise RolloutError.of("stopped")
        progress(one, so_far)

    return looked
