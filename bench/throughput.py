"""Throughput of one service by each of the ways to it, and what its connection pool does when it is full.

Run as root with a lab up: `.venv/bin/python -m bench.throughput`. It brings two pods of echo and a client into namespaces of its own in
one region, with the objects that the project renders, and removes them at the end. The load generator has a processor of its own, and
all of the lab shares the others, so that the ratios count and not the figures. All ways are measured in turn, several times over, each
until nothing more gets through and then at half of that; the table has the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.load import pod_of
from bench.pods import apply, idle_clients, kubectl, namespace_object, processor_seconds
from components.names import HTTP_PORT, INGRESS, address, gateway_address
from components.service import ServiceDeploymentsArgs, deployment_objects
from components.traffic import TrafficPolicyArgs, traffic_objects
from lab.machine import cgroups, processes
from lab.place import CHECKOUT, Lab, Region
from rollout.traffic.attack import HIGHEST_RATE, MOST_REQUESTS
from stackfile.model import ConnectionPoolConfig, RegionConfig, ServiceConfig, TestersConfig
from stackfile.reader import load_stack_file

MESH, PLAIN = "bench-mesh", "bench-plain"
"""The namespaces with and without sidecars."""
HOST = "throughput.bench.example"
"""By which clients outside the mesh ask for it."""
HEADER = "x-bench-version"
PODS = 2
WORKERS = 64
"""Requests that the generator has under way at most."""
GENERATOR = min(os.sched_getaffinity(0))
"""The processor of the generator."""
SETTLE_SECONDS, WARM_UP_SECONDS, STOP_SECONDS = 10.0, 3.0, 30.0
"""Until all proxies have what was applied; for connections to open; and for what is under way to be answered."""
_ISTIO = "networking.istio.io"
_STOPPED = 3
"""How the probe ends when it is told to, before all was sent."""
SMALL_POOLS = (
    ConnectionPoolConfig(max_connections=8),
    ConnectionPoolConfig(max_connections=8, http1_max_pending_requests=1),
)
"""Less than what the generator has under way: with room for those that wait, and without."""


@dataclass(frozen=True)
class Way:
    """A way to the service.

    Attributes:
        name: for the table.
        service: as the stack file would have it; None without a split: neither DestinationRule nor VirtualService.
        namespace: of the client, and of the pods that it asks.
        through_gateway: the client is outside the mesh, and asks the gateway.
        headers: of each request.
    """

    name: str
    service: ServiceConfig | None
    namespace: str = MESH
    through_gateway: bool = False
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Attack:
    """What came of a load, in the seconds after the warm-up.

    Attributes:
        rate: answers 200 a second.
        p50, p99: percentiles of the latencies of these, in milliseconds.
        failed: requests with no answer or another one, as a part of all, 0..1.
        overflowed: those of them that a proxy refused because its pool was full, as a part of all, 0..1.
        processor: seconds of a processor for a thousand answers, by who used them.
        connections: new ones to the pods for a thousand requests; None where no proxy counts them.
        busy: the part of its processor that the generator used, 0..1.
    """

    rate: float
    p50: float
    p99: float
    failed: float
    overflowed: float
    processor: Mapping[str, float]
    connections: float | None
    busy: float


@dataclass(frozen=True, slots=True)
class Result:
    """A request: when it ended in Unix time, how long it took, its status, and whether a proxy refused it because its pool was full."""

    at_seconds: float
    milliseconds: float
    code: int
    overflowed: bool

    @classmethod
    def read(cls, line: str) -> Result:
        """What a line of the generator says."""
        told = json.loads(line)
        code, ended = told["code"], told["at_ns"] + told["latency_ns"]
        return cls(ended / 1e9, told["latency_ns"] / 1e6, code, code == 503 and "overflow" in told["body"])


class Bench:
    """The pods of the bench in a region, from their coming to their removal.

    Args:
        lab: which lab, up.
        region: one of its regions.
        config: what the region's stack file says.
        seconds: for how long each load is counted.
    """

    def __init__(self, lab: Lab, region: Region, config: RegionConfig, seconds: float) -> None:
        self._lab, self._region, self._config, self._seconds = lab, region, config, seconds
        assert config.gateway is not None, "the shipped stack files have one"
        self._gateway = config.gateway.namespace

    @contextmanager
    def up(self) -> Iterator[None]:
        """Bring the pods up, keep the lab off the generator's processor, and remove it all at the end."""
        every = os.sched_getaffinity(0)
        if every <= {GENERATOR}:
            raise SystemExit("there is one processor, which the generator would share with all that is measured")
        try:
            apply(
                self._region,
                [
                    namespace_object(MESH, {"istio-injection": "enabled"}),
                    namespace_object(PLAIN, {}),
                    *self._pods(MESH),
                    *self._pods(PLAIN),
                    self._entrance(),
                ],
            )
            for namespace in (MESH, PLAIN):
                kubectl(
                    self._region,
                    "wait",
                    "--for=condition=Available",
                    "deployment",
                    "--all",
                    f"--namespace={namespace}",
                    "--timeout=180s",
                )
            _pin(self._lab.cgroup, every - {GENERATOR})
            yield
        finally:
            _pin(self._lab.cgroup, every)
            kubectl(self._region, "delete", "namespace", MESH, PLAIN, "--ignore-not-found", check=False)

    def bring(self, way: Way) -> None:
        """Have the proxies go by a way."""
        kinds = f"virtualservices.{_ISTIO},destinationrules.{_ISTIO}"
        kubectl(self._region, "delete", kinds, "--all", f"--namespace={MESH}")
        if way.service:
            args = TrafficPolicyArgs(way.service, f"{MESH}/gateway" if way.through_gateway else None)
            apply(self._region, [each.rendered() for each in traffic_objects(args)])
        time.sleep(SETTLE_SECONDS)

    def attack(self, way: Way, rate: int) -> Attack:
        """Send requests by a way at a rate, as many as get through."""
        client, proxies = self._client(way), self._proxies(way)
        users = {name: [self._process(pod) for pod in self._names(*where)] for name, where in self._users(way).items()}
        connections = self._connections(proxies, way)
        with tempfile.TemporaryFile("w+") as lines, tempfile.TemporaryFile("w+") as complaints:
            spent = _children_seconds()
            child = subprocess.Popen(
                [*_generator(client), *_target(way, self._gateway), f"--rate={rate}"],
                stdin=subprocess.PIPE,
                stdout=lines,
                stderr=complaints,
            )
            began = time.time()
            time.sleep(WARM_UP_SECONDS)
            before, counted_from = {name: _processor_seconds(found) for name, found in users.items()}, time.time()
            time.sleep(self._seconds)
            after, counted_to = {name: _processor_seconds(found) for name, found in users.items()}, time.time()
            assert child.stdin is not None, "it is a pipe"
            child.stdin.close()  # this ends the attack
            child.wait(STOP_SECONDS)
            spent, lasted = _children_seconds() - spent, time.time() - began
            complaints.seek(0)
            if child.returncode not in (0, _STOPPED):
                raise SystemExit(f"{way.name}: the generator failed: {complaints.read()}")
            lines.seek(0)
            results = [Result.read(line) for line in lines]
        if connections is not None:
            connections = ((self._connections(proxies, way) or 0.0) - connections) / max(1, len(results)) * 1000
        used = {name: after[name] - seconds for name, seconds in before.items()}
        return _summed(results, (counted_from, counted_to), used, connections, spent / lasted)

    def _pods(self, namespace: str) -> list[Mapping[str, Any]]:
        """The Service, its pods, and a client that does nothing by itself."""
        service = shipped(self._config, namespace)
        args = ServiceDeploymentsArgs(self._region.name, service)
        client = idle_clients(namespace, self._config.probe.image)
        return [*(each.rendered() for each in deployment_objects(args)), client]

    def _entrance(self) -> Mapping[str, Any]:
        """What the gateway's pods listen for besides the region's own hosts."""
        port = {"name": "http", "number": HTTP_PORT, "protocol": "HTTP"}
        return {
            "apiVersion": f"{_ISTIO}/v1",
            "kind": "Gateway",
            "metadata": {"name": "gateway", "namespace": MESH},
            "spec": {"selector": {"app": INGRESS}, "servers": [{"port": port, "hosts": [HOST]}]},
        }

    def _client(self, way: Way) -> int:
        """The process of the client; that of a client outside the mesh is the one without a sidecar."""
        (pod,) = self._names(PLAIN if way.through_gateway else way.namespace, "app=client")
        return self._process(pod)

    def _proxies(self, way: Way) -> list[tuple[str, str]]:
        """Whose Envoys connect to the pods, each as namespace and pod."""
        if way.namespace == PLAIN:
            return []
        namespace, selector = (self._gateway, f"app={INGRESS}") if way.through_gateway else (MESH, "app=client")
        return [(namespace, pod) for pod in self._names(namespace, selector)]

    def _users(self, way: Way) -> Mapping[str, tuple[str, str]]:
        """Whose time of a processor is counted: a namespace and a selector of pods. The generator is not in its pod's cgroup."""
        between = {"gateway": (self._gateway, f"app={INGRESS}")} if way.through_gateway else {}
        client = {} if way.through_gateway else {"client": (way.namespace, "app=client")}
        return {**client, **between, "pods": (way.namespace, "app=echo")}

    def _connections(self, proxies: Sequence[tuple[str, str]], way: Way) -> float | None:
        """How many connections these Envoys have opened to the pods so far; None where there are none."""
        if not proxies:
            return None
        host = address(shipped(self._config, way.namespace)).host
        total = 0
        for namespace, pod in proxies:
            where = (f"--namespace={namespace}", pod, "--container=istio-proxy")
            page = f"clusters?format=json&filter=.*{host}.*"
            answer = kubectl(self._region, "exec", *where, "--", "pilot-agent", "request", "GET", page)
            total += sum(
                int(stat.get("value", 0))
                for cluster in json.loads(answer).get("cluster_statuses", ())
                for one in cluster.get("host_statuses", ())
                for stat in one.get("stats", ())
                if stat["name"] == "cx_total"
            )
        return float(total)

    def _names(self, namespace: str, selector: str) -> list[str]:
        where = (f"--namespace={namespace}", f"--selector={selector}", "--field-selector=status.phase=Running")
        items = json.loads(kubectl(self._region, "get", "pods", *where, "--output=json"))["items"]
        return [str(each["metadata"]["name"]) for each in items if "deletionTimestamp" not in each["metadata"]]

    def _process(self, pod: str) -> int:
        """A process of a pod; of a client the one of its own image and not the sidecar's."""
        found = [pid for pid in sorted(cgroups.members(self._region.cgroup)) if pod_of(pid) == pod]
        idle = [pid for pid in found if processes.command_line(pid) == ["/probe", "idle"]]
        if not found:
            raise SystemExit(f"{self._region.name}: the pod {pod} has no process on this machine")
        return [*idle, *found][0]


def shipped(config: RegionConfig, namespace: str) -> ServiceConfig:
    """The service echo as the stack file has it, with one version, in a namespace of the bench; without headers and testers."""
    echo = config.services["echo"]
    version = next(iter(echo.versions.values())).model_copy(update={"replicas": PODS, "weight": 100})
    changed = {
        "own_namespace": namespace,
        "versions": {"v1": version},
        "hosts": (HOST,),
        "version_header": "",
        "testers": None,
        "connection_pool": ConnectionPoolConfig(),
    }
    return echo.model_copy(update=changed)


def ways(config: RegionConfig) -> tuple[Way, ...]:
    """All ways, the plainest first."""
    pools = shipped(config, MESH)
    headed = pools.model_copy(update={"version_header": "x-rollout-version"})
    tested = headed.model_copy(update={"testers": TestersConfig(header=HEADER)})
    return (
        Way("plain Service, no sidecars", None, PLAIN),
        Way("mesh, default pools", None),
        Way("mesh, pools of the lab text", pools),
        Way("the same, with a response header", headed),
        Way("the same, by the header route", tested, headers=((HEADER, "v1"),)),
        Way("the same, through the gateway", headed, through_gateway=True),
    )


def _generator(client: int) -> list[str]:
    return [
        "taskset",
        "-c",
        str(GENERATOR),
        "nsenter",
        f"--target={client}",
        "--mount",
        "--net",
        "/probe",
        "attack",
    ]


def _target(way: Way, gateway: str) -> list[str]:
    url = f"http://{HOST}/" if way.through_gateway else f"http://echo.{way.namespace}.svc.cluster.local/"
    entrance = [f"--connect-to={gateway_address(gateway)}"] if way.through_gateway else []
    request = [f"--request={json.dumps({'headers': dict(way.headers)})}"] if way.headers else []
    return [f"--url={url}", f"--requests={MOST_REQUESTS}", f"--workers={WORKERS}", *entrance, *request]


def _summed(
    results: Sequence[Result],
    between: tuple[float, float],
    used: Mapping[str, float],
    connections: float | None,
    busy: float,
) -> Attack:
    """What came of the requests that ended between two moments of Unix time; `used` are seconds of a processor meanwhile."""
    since, until = between
    counted = [each for each in results if since <= each.at_seconds < until]
    answered = [each for each in counted if each.code == 200]
    if len(answered) < 2:
        raise SystemExit(
            f"of {len(counted)} requests, {len(answered)} were answered with 200: {[*counted, *results][:1]}"
        )
    percentiles = statistics.quantiles((each.milliseconds for each in answered), n=100)
    return Attack(
        rate=len(answered) / (until - since),
        p50=percentiles[49],
        p99=percentiles[98],
        failed=1 - len(answered) / len(counted),
        overflowed=sum(each.overflowed for each in counted) / len(counted),
        processor={name: seconds / len(answered) * 1000 for name, seconds in used.items()},
        connections=connections,
        busy=busy,
    )


def _processor_seconds(pids: Sequence[int]) -> float:
    """What the pods of these processes have used of the processors so far, all their containers together."""
    return sum(_pod_seconds(pid) for pid in pids)


def _pod_seconds(pid: int) -> float:
    groups = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    # that of version 2 comes last
    path = next(path for _, controllers, path in groups if "cpuacct" in controllers.split(",") or not controllers)
    # the pod's is above the container's
    return processor_seconds(path[1:].rpartition("/")[0])


def _children_seconds() -> float:
    """What the children that have ended used of the processors."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _pin(cgroup: str, cpus: set[int]) -> None:
    """Let every thread in a cgroup run on these processors alone."""
    for pid in cgroups.members(cgroup):
        with suppress(OSError):  # it has ended
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), cpus)


def _row(name: str, most: Sequence[Attack], half: Sequence[Attack], plain: Sequence[Attack]) -> list[str]:
    rate = statistics.median(each.rate for each in most)
    ratio = statistics.median(one.rate / other.rate for one, other in zip(most, plain, strict=True))

    def processor(user: str) -> str:
        figures = [each.processor[user] for each in most if user in each.processor]
        return f"{statistics.median(figures) * 1000:.0f}" if figures else "-"

    new = [each.connections * each.rate / 1000 for each in most if each.connections is not None]
    return [
        name,
        f"{rate:,.0f}",
        f"{ratio:.2f}",
        f"{statistics.median(each.p50 for each in half):.1f}",
        f"{statistics.median(each.p99 for each in half):.1f}",
        *(processor(user) for user in ("client", "gateway", "pods")),
        f"{statistics.median(new):.0f}" if new else "-",
        f"{max(each.failed for each in (*most, *half)):.2%}",
        f"{statistics.median(each.busy for each in most):.0%}",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--region", default="region-a", help="where (default: region-a)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is measured (default: 3)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each load is counted (default: 10)")
    options = parser.parse_args()
    lab = Lab.of_environment()
    region = next(each for each in lab.regions if each.name == options.region)
    config = load_stack_file(CHECKOUT / f"Pulumi.{region.name}.yaml")
    bench = Bench(lab, region, config, options.seconds)
    every = ways(config)
    most: dict[str, list[Attack]] = {way.name: [] for way in every}
    half: dict[str, list[Attack]] = {way.name: [] for way in every}
    full: list[tuple[ConnectionPoolConfig, Attack]] = []
    with bench.up():
        for way in track([*every] * options.rounds, description="ways in turn"):
            bench.bring(way)
            most[way.name].append(bench.attack(way, HIGHEST_RATE))
            half[way.name].append(bench.attack(way, max(1, int(most[way.name][-1].rate / 2))))
        for pool in (ConnectionPoolConfig(), *SMALL_POOLS):
            way = Way("pools", shipped(config, MESH).model_copy(update={"connection_pool": pool}))
            bench.bring(way)
            full.append((pool, bench.attack(way, HIGHEST_RATE)))
    by_way = Table("way", "requests/s", "of plain", "p50 ms at half", "p99 ms at half", title=f"{WORKERS} at once")
    for heading in ("client", "gateway", "pods"):
        by_way.add_column(f"CPU ms / 1,000, {heading}")
    for heading in ("new connections/s", "failed at most", "generator busy"):
        by_way.add_column(heading)
    for name, found in most.items():
        by_way.add_row(*_row(name, found, half[name], most[every[0].name]))
    by_pool = Table(
        "maxConnections", "http1MaxPendingRequests", "answered/s", "p50 ms", "p99 ms", "503 UO", title="full pools"
    )
    for pool, one in full:
        limits = (pool.max_connections, pool.http1_max_pending_requests)
        figures = (f"{one.rate:,.0f}", f"{one.p50:.1f}", f"{one.p99:.1f}", f"{one.overflowed:.1%}")
        by_pool.add_row(*map(str, limits), *figures)
    console = Console(width=180)
    console.print(by_way)
    console.print(by_pool)


if __name__ == "__main__":
    main()
