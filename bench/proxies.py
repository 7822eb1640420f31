"""What it takes to know that 10, 100 and 1,000 proxies have taken a change of weights: time, calls and memory of `rollout`.

Run as root with a lab up: `.venv/bin/python -m bench.proxies`. The change is of a service of its own, which no Argo CD delivers. Beside
the lab's own Envoys there are proxies that are no Envoys: `bench/proxies.go` keeps their connections to the region's real istiod
by Istio's own client, and acknowledges as Envoys do. Each has a pod, as the API server tells it: an object without a node, a copy of a
real one. So nothing runs in it that could be asked: where it says "asked", these are the lab's own Envoys alone, and time that a node
takes to answer a thousand is not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kubernetes.client.rest
from kubernetes import client
from rich.console import Console
from rich.table import Table

from components.names import ServiceAddress
from lab.build.go import Go
from lab.build.versions import PLATFORM
from lab.place import CHECKOUT, Lab
from rollout.access import RegionAccess
from rollout.cluster import exec as exec_module
from rollout.cluster.client import api_client, list_all_pods
from rollout.cluster.envoys import read_envoys
from rollout.cluster.istiod import read_proxies
from rollout.cluster.pods import FEW, PROXY, container, is_ready
from rollout.promote.delivery import Envoys, takes
from rollout.regions import discover
from rollout.weights import ALL

NUMBERS = (10, 100, 1000)
NAMESPACE = "bench-proxies"
SERVICE = ServiceAddress("bench-proxies", "echo")
"""Among the lab's own pods, as a service's own are: the first that are asked."""
CONNECTED_SECONDS, LATE_SECONDS = 300.0, 120.0
_LOOK_EVERY_SECONDS = 0.5
_AT_ONCE = 8
_ISTIO = ("networking.istio.io", "v1")


def main() -> None:
    """Measure each number of proxies, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--region", default="region-a")
    parser.add_argument("--changes", type=int, default=5, help="for each number of proxies")
    parser.add_argument("--numbers", type=int, nargs="+", default=NUMBERS)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    (region,) = (each for each in discover(CHECKOUT).regions if each.name == options.region)
    if options.measure:
        print(json.dumps(measured(region, options.changes)))
        return
    table = Table("Envoys", "way", "taken after, s", "the longest", "execs", "requests", "MB, at most", "of it before")
    with objects(region), tempfile.TemporaryDirectory() as work:
        program = built(Path(work))
        for number in options.numbers:
            with proxies(region, program, number):
                command = [sys.executable, "-m", "bench.proxies", "--measure", f"--region={region.name}"]
                done = subprocess.run(
                    [*command, f"--changes={options.changes}"],
                    cwd=CHECKOUT,
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for row in json.loads(done.stdout):
                    table.add_row(*map(str, row))
                    print(*row, sep=" | ", flush=True)
    Console().print(table)


def measured(region: RegionAccess, changes: int) -> list[tuple[Any, ...]]:
    """Rows: through istiod, and the lab's own Envoys asked each; in a process whose memory is nobody else's."""
    base = _megabytes()
    calls = Counter[str]()
    _counted(exec_module, "open_exec", "execs", calls)
    _counted(kubernetes.client.rest.RESTClientObject, "request", "requests", calls)
    api = api_client(region)
    number = sum(1 for pod in list_all_pods(region, api) if is_ready(pod) and container(pod, PROXY))
    found: list[float] = []
    calls.clear()
    for change in range(changes):
        weights = {"v1": ALL - 10 - change, "v2": 10 + change}
        envoys = Envoys(region, SERVICE, takes(weights, ()), lambda line: print(line, file=sys.stderr))
        envoys.before()
        began = time.monotonic()
        _weigh(region, weights)
        calls["requests"] -= 1
        while (missing := envoys.look()[1]) and time.monotonic() - began < LATE_SECONDS:
            time.sleep(_LOOK_EVERY_SECONDS)
        found.append(time.monotonic() - began)
        if missing:
            print(f"not taken by {len(missing)}: {list(missing.items())[:5]}", file=sys.stderr)
    through = _row(number, "through istiod" if number > FEW else "asked each", found, calls, base)
    real = [pod for pod in list_all_pods(region, api) if pod["metadata"]["namespace"] != NAMESPACE]
    calls.clear()
    found.clear()
    for _ in range(changes):
        began = time.monotonic()
        asked = read_envoys(region, [SERVICE], real)[SERVICE.name]
        found.append(time.monotonic() - began)
    return [through, _row(len(asked), "the lab's own, asked once each", found, calls, base)]


def _row(number: int, way: str, seconds: Sequence[float], calls: Mapping[str, int], base: float) -> tuple[Any, ...]:
    middle, longest = f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}"
    each = [round(calls[kind] / len(seconds), 1) for kind in ("execs", "requests")]
    return number, way, middle, longest, *each, round(_megabytes()), round(base)


def _counted(where: Any, name: str, kind: str, calls: Counter[str]) -> None:
    original: Callable[..., Any] = getattr(where, name)

    def counting(*arguments: Any, **named: Any) -> Any:
        calls[kind] += 1
        return original(*arguments, **named)

    setattr(where, name, counting)


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _weigh(region: RegionAccess, weights: Mapping[str, int]) -> None:
    custom = client.CustomObjectsApi(api_client(region))
    custom.patch_namespaced_custom_object(
        *_ISTIO, SERVICE.namespace, "virtualservices", SERVICE.name, {"spec": {"http": _http(weights)}}
    )


def _http(weights: Mapping[str, int]) -> list[Mapping[str, Any]]:
    return [
        {
            "route": [
                {"destination": {"host": SERVICE.host, "subset": name}, "weight": weight}
                for name, weight in weights.items()
            ]
        }
    ]


@contextmanager
def objects(region: RegionAccess) -> Iterator[None]:
    """The service that is changed, without pods, and the namespace of the proxies."""
    api = api_client(region)
    # its types would have objects for what are plain values here
    core: Any = client.CoreV1Api(api)
    custom = client.CustomObjectsApi(api)
    metadata = {"name": SERVICE.name, "namespace": SERVICE.namespace}
    subsets = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")]
    try:
        core.create_namespace({"metadata": {"name": NAMESPACE}})
        ports = [{"name": "http", "port": SERVICE.port}]
        core.create_namespaced_service(
            SERVICE.namespace, {"metadata": metadata, "spec": {"selector": {"app": SERVICE.name}, "ports": ports}}
        )
        for kind, plural, spec in (
            ("DestinationRule", "destinationrules", {"host": SERVICE.host, "subsets": subsets}),
            ("VirtualService", "virtualservices", {"hosts": [SERVICE.host], "http": _http({"v1": 95, "v2": 5})}),
        ):
            body = {"apiVersion": "/".join(_ISTIO), "kind": kind, "metadata": metadata, "spec": spec}
            custom.create_namespaced_custom_object(*_ISTIO, SERVICE.namespace, plural, body)
        time.sleep(5)
        yield
    finally:
        for plural in ("virtualservices", "destinationrules"):
            custom.delete_namespaced_custom_object(*_ISTIO, SERVICE.namespace, plural, SERVICE.name)
        core.delete_namespaced_service(SERVICE.name, SERVICE.namespace)
        core.delete_namespace(NAMESPACE)


@contextmanager
def proxies(region: RegionAccess, program: Path, number: int) -> Iterator[None]:
    """Pods and connections, so that there are so many with the lab's own."""
    api = api_client(region)
    core: Any = client.CoreV1Api(api)
    real = [pod for pod in list_all_pods(region, api) if is_ready(pod) and container(pod, PROXY)]
    template = next(pod for pod in real if pod["metadata"]["namespace"] == SERVICE.namespace)
    # few are all asked, and there is nobody to ask in a pod that no node has
    more = number - len(real) if number > FEW else 0
    (place,) = (each for each in Lab.of_environment().regions if each.name == region.name)
    address = core.read_namespaced_service("istiod", "istio-system").spec.cluster_ip
    command = ["nsenter", f"--net=/run/netns/{place.namespace}", str(program), f"-address={address}:15010"]
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        list(pool.map(lambda index: _pod(core, template, index), range(more)))
    if not more:
        yield
        return
    child = subprocess.Popen([*command, f"-namespace={NAMESPACE}", f"-number={more}"], stdout=subprocess.PIPE)
    try:
        ends = time.monotonic() + CONNECTED_SECONDS
        while _connected(region) < more:
            if time.monotonic() > ends or child.poll() is not None:
                raise SystemExit(f"{_connected(region)} of {more} proxies are connected")
            time.sleep(1)
        yield
    finally:
        child.send_signal(signal.SIGINT)
        child.wait()
        core.delete_collection_namespaced_pod(NAMESPACE, grace_period_seconds=0)


def _connected(region: RegionAccess) -> int:
    return sum(
        bool(proxy.routes and proxy.clusters)
        for found in read_proxies(region).values()
        for name, proxy in found.items()
        if name.startswith(f"{NAMESPACE}/")
    )


def _pod(core: Any, template: Mapping[str, Any], index: int) -> None:
    """A pod that no node has, and that is said to be ready."""
    name = f"proxy-{index}"
    spec = {key: value for key, value in template["spec"].items() if key not in ("nodeName", "serviceAccount")}
    spec |= {"serviceAccountName": "default", "schedulerName": "none"}
    metadata = {"name": name, "labels": {"app": "proxy"}, "annotations": template["metadata"].get("annotations")}
    core.create_namespaced_pod(NAMESPACE, {"metadata": metadata, "spec": spec})
    core.patch_namespaced_pod_status(name, NAMESPACE, {"status": {**template["status"], "podIPs": None, "podIP": None}})


def built(work: Path) -> Path:
    """The program that keeps the connections, of the lab's own modules."""
    overlay, program = work / "overlay.json", work / "proxies"
    overlay.write_text(
        json.dumps({"Replace": {str(PLATFORM / "proxies" / "main.go"): str(CHECKOUT / "bench" / "proxies.go")}})
    )
    go = str(Go.find(Lab.of_environment().cache, print).program)
    # as the lab builds its own, so that what is compiled for these is there
    flags = [
        "-trimpath",
        "-buildvcs=false",
        "-mod=readonly",
        "-tags=disable_pgv,vtprotobuf",
        f"-overlay={overlay}",
        "-o",
        str(program),
    ]
    environment = os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    subprocess.run([go, "build", *flags, "./proxies"], cwd=PLATFORM, env=environment, check=True)
    return program


if __name__ == "__main__":
    main()
