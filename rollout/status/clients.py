"""The split that real clients get, by their own Envoys' counters: no request is sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from components.names import ServiceAddress
from rollout.access import RegionAccess
from rollout.cluster.stack_outputs import read_outputs
from rollout.measurement import Measurement, Origin
from rollout.problem import Problem, RolloutError, refuse
from rollout.status.verification import Deliveries, Measurable, Outcome, Progress, all_ready, measure_and_judge
from rollout.traffic.clients import ClientsWatch, Window
from rollout.traffic.proxies import Proxies

LONGEST_SECONDS = 600.0
"""How long requests are waited for: as long as at a step of a promotion, where nothing else is asked for."""

_LOOK_EVERY_SECONDS = 0.5

_MOST_FAILED = 3
"""So many looks in a row may fail before anything is counted, less one: a container that starts anew is no reason to end."""


@dataclass(frozen=True, kw_only=True)
class Counted(Measurable):
    """A service whose clients' requests are counted.

    Attributes:
        address: Where the clients find it.
    """

    address: ServiceAddress

    @property
    def plan(self) -> str:
        """What is counted."""
        return f"counts what its clients' Envoys count, {LONGEST_SECONDS / 60:.0f} min at most, and sends nothing"

    def count(self, stop: threading.Event, enough: Callable[[Measurement], bool]) -> Measurement:
        """Counts until it is enough, for ten minutes at most; asks after each reading.

        Raises:
            RolloutError: no client can be asked, three times in a row or at the end, and why.
        """
        began, looked = time.monotonic(), 0
        with ClientsWatch(Proxies(self.region, self.address)) as watch:
            while True:
                window, seconds = watch.seen(), time.monotonic() - began
                is_over = window.failed >= _MOST_FAILED or seconds > LONGEST_SECONDS
                if window.problems and not window.spans and is_over:
                    raise RolloutError(*window.problems)
                counted = _measurement(self.region.name, window, seconds)
                is_new, looked = len(window.spans) > looked, len(window.spans)
                if (is_new and enough(counted)) or seconds > LONGEST_SECONDS or stop.wait(_LOOK_EVERY_SECONDS):
                    return counted


def prepare_clients(
    regions: Sequence[RegionAccess], deliveries: Deliveries, services: Sequence[str] = ()
) -> tuple[Counted, ...]:
    """Reads each region's weights, and waits until its Envoys have them.

    Args:
        regions: The regions.
        deliveries: What they have been brought to.
        services: Which services, by name; all that a region has where none is named.

    Raises:
        RolloutError: some region is not ready, or testers can ask for a version; the problems of all regions together.
    """

    def ready(region: RegionAccess, stop: threading.Event) -> Sequence[Counted]:
        outputs = read_outputs(deliveries.pulumi, region)
        found = {name: outputs.service(name, region) for name in [*services] or outputs.services}
        arrived = deliveries.arrived(region, outputs, [*found], stop)
        refuse(_asked_for(region, name, each.testers) for name, each in arrived.items() if each.testers)
        return [
            Counted(region, name, "clients", address=each.address(name), **vars(arrived[name]))
            for name, each in found.items()
        ]

    return all_ready(ready, regions)


def measure_clients(ready: Sequence[Counted], progress: Progress, say: Callable[[str], None]) -> tuple[Outcome, ...]:
    """As `measure_and_judge`, by the shares alone: what usually fails of clients' requests is not known."""
    return measure_and_judge(ready, progress, say, lambda _measured: ())


def _measurement(region: str, window: Window, seconds: float) -> Measurement:
    answered = {Origin(region, version): tally for version, tally in sorted(window.versions.items())}
    failures = sum(tally.failures for tally in answered.values())
    return Measurement(
        region,
        planned=sum(tally.requests for tally in answered.values()),
        answered=answered,
        reasons={"as the Envoys count it": failures} if failures else {},
        seconds=seconds,
        interruption=window.trouble,
        coverage=window.coverage,
    )


def _asked_for(region: RegionAccess, service: str, versions: frozenset[str]) -> Problem:
    return Problem(
        f"{region.name} {service}: testers can ask for {', '.join(sorted(versions))} by a header",
        "the Envoys' counters do not tell their requests from those that the weights sent there",
        "measure by the probe's requests: rollout verify without --clients",
    )
