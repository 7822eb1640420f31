"""What counting clients' requests costs: looks at 14 and at 100 Envoys' counters, beside turns in which nothing is counted.

Run as root with a lab up: `.venv/bin/python -m bench.counting`. It brings idle clients with sidecars into a namespace of its own in one
region, as many as make the numbers together with the lab's own Envoys, and removes them at the end. A process of its own looks at the
counters of echo as a promotion does: in each Envoy by exec, with a promotion's pause after a look. Turns without and with looks
alternate, and what a look costs is their difference; a few requests a second go through the gateway in both. The judging of what was
counted is not measured, nor a Prometheus. With `--latency` Envoys are asked for statistics of subsets too, which the clients keep then.

While it runs, a user may have more inotify instances on this machine: all sidecars have one user, and each takes three of 128.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from threading import Event, Thread

from rich.console import Console
from rich.table import Table

from bench.load import Entrance, Load
from bench.pods import (
    anonymous_megabytes,
    apply,
    idle_clients,
    kubectl,
    namespace_object,
    pod_cgroups,
    processor_seconds,
)
from components.istio import STATISTICS
from components.names import ServiceAddress, address, gateway_address
from lab.machine.waiting import comes_true
from lab.place import CHECKOUT, Lab, Region
from rollout.access import RegionAccess
from rollout.cluster.client import api_client, list_all_pods
from rollout.measurement import Coverage
from rollout.regions import discover
from rollout.traffic import probe
from rollout.traffic.clients import rest_seconds
from rollout.traffic.proxies import Proxies, read_clients
from stackfile.model import RegionConfig
from stackfile.reader import load_stack_file

NUMBERS = (14, 100)
NAMESPACE = "bench-counting"
RATE = 10
"""Requests a second through the gateway."""
STEP = 10
"""Clients that start at the same time."""
STARTED_SECONDS, COUNTED_SECONDS = 300, 180.0
"""Until a step's clients are ready, and until all Envoys are counted."""
SETTLE_SECONDS = 2.0
"""After a turn's last look, at least: until what served it in the cluster has ended."""
SMALL = {"sidecar.istio.io/proxyCPU": "1m", "sidecar.istio.io/proxyMemory": "16Mi"}
"""What the scheduler keeps free for a sidecar, which may use more: of Istio's 100m a node has not a hundred."""
_SAMPLE_SECONDS = 0.1
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_INSTANCES = 3
"""Of a sidecar: two are pilot-agent's, one is Envoy's."""


@dataclass(frozen=True)
class Look:
    """A look at all Envoys' counters.

    Attributes:
        seconds: how long it took.
        processor: seconds of a processor that the process of `rollout` used.
        requests: how many ended since the look before.
        coverage: whose.
    """

    seconds: float
    processor: float
    requests: int
    coverage: Coverage


@dataclass(frozen=True)
class Turn:
    """Some time with looks, or without.

    Attributes:
        seconds: how long it was.
        used: seconds of a processor meanwhile, by who used them.
        megabytes: what a client's pod had allocated, at most.
        looks: those that were made.
    """

    seconds: float
    used: Mapping[str, float]
    megabytes: float
    looks: Sequence[Look] = ()


Looks = Callable[[], Look]


def look(access: RegionAccess, service: ServiceAddress, latency: bool) -> Look:
    """Look at the counters of all of a service's clients; the first look of a process counts nothing."""
    proxies = _proxies(access, service, latency)
    began, used = time.monotonic(), time.process_time()
    span, coverage = proxies.look()
    requests = sum(tally.requests for tally in span.versions.values()) if span else 0
    return Look(time.monotonic() - began, time.process_time() - used, requests, coverage)


@cache
def _proxies(access: RegionAccess, service: ServiceAddress, latency: bool) -> Proxies:
    return Proxies(access, service, latency=latency)


def peak_megabytes() -> float:
    """The most memory that this process ever had. `ru_maxrss` would be its parent's, where that had more."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def turn(
    seconds: float, used: Callable[[], Mapping[str, float]], memory: Callable[[], float], looks: Looks | None = None
) -> Turn:
    """Measure for so long at least, until the last look is over; without `looks` nothing is counted.

    Args:
        seconds: how long.
        used: tells the seconds of a processor so far, by who used them.
        memory: tells what a client's pod has allocated, in MiB.
        looks: makes a look.
    """
    found: list[Look] = []
    with _samples(memory) as megabytes:
        before, began = used(), time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0:
            if looks:
                found.append(looks())
                left = began + seconds - time.monotonic()
                left = min(rest_seconds(found[-1].seconds), max(SETTLE_SECONDS, left))
            time.sleep(left)
        after, ended = used(), time.monotonic()
    return Turn(ended - began, {user: after[user] - spent for user, spent in before.items()}, max(megabytes), found)


@contextmanager
def _samples(read: Callable[[], float]) -> Iterator[list[float]]:
    """What is read ten times a second, while a block lasts."""
    found, stop = [read()], Event()

    def follow() -> None:
        while not stop.wait(_SAMPLE_SECONDS):
            found.append(read())

    thread = Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def added(alone: Turn, counted: Turn) -> dict[str, float]:
    """What a look costs in seconds of a processor, by who used them; below 0 where the two turns differ by more than that."""
    scale = counted.seconds / alone.seconds
    return {
        "rollout": statistics.mean(each.processor for each in counted.looks),
        **{user: (used - alone.used[user] * scale) / len(counted.looks) for user, used in counted.used.items()},
    }


def replicas(number: int, own: int, free: int) -> int:
    """How many clients make a number of Envoys with the lab's own, where the node is free for so many pods.

    Raises:
        SystemExit: none do, or more than that.
    """
    if not 0 < number - own <= free:
        raise SystemExit(
            f"{number} Envoys cannot be counted: the lab has {own} of its own and room for {free} pods. "
            f"Choose --numbers from {own + 1} to {own + free}."
        )
    return number - own


@contextmanager
def inotify_instances(sidecars: int) -> Iterator[None]:
    """Let so many more sidecars start on this machine."""
    before = int(_INOTIFY.read_text())
    _INOTIFY.write_text(str(before + _INSTANCES * sidecars))
    try:
        yield
    finally:
        _INOTIFY.write_text(str(before))


class Bench:
    """Clients in a region, as many as make a number of Envoys.

    Args:
        place: the region.
        access: how `rollout` reaches it.
        config: what its stack file says.
        latency: whether Envoys are asked for statistics of subsets too.
    """

    def __init__(self, place: Region, access: RegionAccess, config: RegionConfig, latency: bool) -> None:
        self._place, self._access, self._config = place, access, config
        self._service, self._latency = address(config.services["echo"]), latency
        self._replicas = 0

    @contextmanager
    def up(self) -> Iterator[None]:
        """Send requests through the gateway; remove all that was brought at the end."""
        assert self._config.gateway is not None, "the shipped stack files have one"
        entrance = Entrance(gateway_address(self._config.gateway.namespace), self._service.hosts[0])
        try:
            apply(self._place, [namespace_object(NAMESPACE, {"istio-injection": "enabled"})])
            with Load(self._place, RATE, entrance):
                yield
        finally:
            kubectl(self._place, "delete", "namespace", NAMESPACE, "--ignore-not-found", check=False)

    def bring(self, number: int) -> None:
        """Bring clients, a few at a time, until so many Envoys are there; or take some away.

        Raises:
            SystemExit: they do not fit, or are not ready in time.
        """
        own = len(read_clients(self._access, self._service, (probe.NAMESPACE, NAMESPACE)).counters)
        pods = list_all_pods(self._access, api_client(self._access))
        (node,) = json.loads(kubectl(self._place, "get", "nodes", "--output=json"))["items"]
        others = sum(pod["metadata"]["namespace"] != NAMESPACE for pod in pods)
        wanted = replicas(number, own, int(node["status"]["allocatable"]["pods"]) - others)
        annotations = dict(SMALL)
        if self._latency:
            statistics_kept = {"proxyStatsMatcher": {"inclusionRegexps": [STATISTICS]}}
            annotations["proxy.istio.io/config"] = json.dumps(statistics_kept)
        for some in [*range(self._replicas + STEP, wanted, STEP), wanted]:
            apply(self._place, [idle_clients(NAMESPACE, self._config.probe.image, some, annotations)])
            where = (f"--namespace={NAMESPACE}", f"--timeout={STARTED_SECONDS}s")
            kubectl(self._place, "rollout", "status", "deployment/client", *where)
            print(f"{time.strftime('%X')} {some} of {wanted} clients are ready", file=sys.stderr)
        self._replicas = wanted

    def row(self, number: int, looks: int, seconds: float) -> list[str]:
        """Count so many Envoys, and not, until there are so many looks; a row of the table.

        Raises:
            SystemExit: not all of them are counted, or none of their requests.
        """
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:

            def one_look() -> Look:
                return process.submit(look, self._access, self._service, self._latency).result()

            megabytes = [process.submit(peak_megabytes).result()]
            last = Coverage()

            def all_are_counted() -> bool:
                nonlocal last
                last = one_look().coverage
                return len(last.counted) == number

            if not comes_true(all_are_counted, COUNTED_SECONDS):
                raise SystemExit(f"{number} Envoys are there, but {last}")
            used, memory = self._watched(last.counted)
            pairs: list[tuple[Turn, Turn]] = []
            while (made := sum(len(counted.looks) for _, counted in pairs)) < looks:
                print(f"{time.strftime('%X')} {number} Envoys: {made} of {looks} looks", file=sys.stderr)
                pairs.append((turn(seconds, used, memory), turn(seconds, used, memory, one_look)))
            megabytes.append(process.submit(peak_megabytes).result())
        return cells(number, pairs, megabytes)

    def _watched(self, counted: frozenset[str]) -> tuple[Callable[[], Mapping[str, float]], Callable[[], float]]:
        """What tells the use of processors, of the cluster's own processes and of these pods, and the memory of a client's."""
        pods, known = list_all_pods(self._access, api_client(self._access)), pod_cgroups(self._place)
        names = {f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": pod["metadata"]["uid"] for pod in pods}
        groups = {pod: known[names[pod]] for pod in counted}
        client = min(pod for pod in groups if pod.startswith(f"{NAMESPACE}/"))

        def used() -> Mapping[str, float]:
            cluster = processor_seconds(self._place.processes_cgroup)
            return {"cluster": cluster, "Envoys": sum(map(processor_seconds, groups.values()))}

        return used, partial(anonymous_megabytes, groups[client])


COLUMNS = (
    "Envoys|looks|a look, s|the longest|one every, s|CPU s a look: rollout|cluster|Envoys' pods|of a processor"
    "|without: cluster|Envoys' pods|MB: rollout|before it looks|a client's pod|without|silent, at most"
)


def cells(number: int, pairs: Sequence[tuple[Turn, Turn]], megabytes: Sequence[float]) -> list[str]:
    """A row: medians, with the least and the most of the pairs; `megabytes` are those of `rollout`, before and after.

    Raises:
        SystemExit: no request was counted.
    """
    looks = [each for _, counted in pairs for each in counted.looks]
    if not any(each.requests for each in looks):
        raise SystemExit(f"none of {number} Envoys counted a request, so their pages are shorter than clients' are")
    costs = [added(*pair) for pair in pairs]
    by_user = {user: [each[user] for each in costs] for user in costs[0]}
    took = statistics.median(each.seconds for each in looks)
    every = took + rest_seconds(took)
    return [
        str(number),
        str(len(looks)),
        f"{took:.2f}",
        f"{max(each.seconds for each in looks):.2f}",
        f"{every:.0f}",
        *(f"{statistics.median(found):.2f} ({min(found):.2f} - {max(found):.2f})" for found in by_user.values()),
        f"{sum(map(statistics.median, by_user.values())) / every:.1%}",
        *(f"{statistics.median(one.used[user] / one.seconds for one, _ in pairs):.1%}" for user in pairs[0][0].used),
        f"{megabytes[-1]:.0f}",
        f"{megabytes[0]:.0f}",
        f"{max(counted.megabytes for _, counted in pairs):.1f}",
        f"{max(alone.megabytes for alone, _ in pairs):.1f}",
        str(max(len(each.coverage.silent) for each in looks)),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--region", default="region-a", help="where (default: region-a)")
    parser.add_argument("--numbers", type=int, nargs="+", default=NUMBERS, help="of Envoys (default: 14 100)")
    parser.add_argument("--looks", type=int, default=10, help="at each number, at least (default: 10)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of a turn, at least (default: 30)")
    parser.add_argument("--latency", action="store_true", help="ask for statistics of subsets too")
    options = parser.parse_args()
    (place,) = (each for each in Lab.of_environment().regions if each.name == options.region)
    (access,) = (each for each in discover(CHECKOUT).regions if each.name == options.region)
    bench = Bench(place, access, load_stack_file(CHECKOUT / f"Pulumi.{place.name}.yaml"), options.latency)
    table = Table(*COLUMNS.split("|"), title=f"counters{' and statistics of subsets' * options.latency}, at each look")
    with inotify_instances(max(options.numbers)), bench.up():
        for number in options.numbers:
            bench.bring(number)
            row = bench.row(number, options.looks, options.seconds)
            print(*row, sep=" | ", flush=True)
            table.add_row(*row)
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
