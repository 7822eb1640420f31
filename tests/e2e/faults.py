"""What is done to pods while echo answers. To echo's own it is done on the machine itself: the cluster takes a second for each pod."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lab.machine import cgroups
from tests.e2e.laboratory import Laboratory

_LONGEST = "3600"
_PERIOD_MICROSECONDS = 100_000
"""In which a container's limit of processor time is counted, as the kubelet sets it."""


def processes(
    lab: Laboratory, region: str, *versions: str, service: str = "echo", program: bytes = b"/echo\0"
) -> list[int]:
    """The processes of a service in the pods of versions, on this machine: those whose command begins so."""
    selector = f"--selector=app={service},version in ({','.join(versions)})"
    uids = [pod["metadata"]["uid"] for pod in lab.get(region, "pods", f"--namespace={service}", selector)["items"]]
    found = []
    for directory in Path("/proc").iterdir():
        with suppress(OSError):
            if directory.name.isdigit() and (directory / "cmdline").read_bytes().startswith(program):
                groups = (directory / "cgroup").read_text().replace("_", "-")
                found += [int(directory.name)] * any(uid in groups for uid in uids)
    assert len(found) == len(uids) > 0, (found, uids)
    return found


def fault(servers: Sequence[int], *how: str) -> None:
    """Tell each process of echo from inside its pod how to fail, all of them at once."""
    commands = [["nsenter", f"--target={pid}", "--mount", "--net", "/echo", "fault", *how] for pid in servers]
    told = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    assert {each.wait() for each in told} == {0}


@contextmanager
def faulty(lab: Laboratory, region: str, *versions: str) -> Iterator[Callable[..., None]]:
    """Gives a block the hand to let pods of versions fail; makes them well again at its end."""
    servers = processes(lab, region, *versions)

    def fail(percent: int, pods: int = len(servers)) -> None:
        fault(servers[:pods], "--status=500", f"--percent={percent}")

    try:
        yield fail
    finally:
        fault(servers, "--off")


@contextmanager
def meanwhile(work: Callable[[threading.Event], None]) -> Iterator[Callable[[], None]]:
    """Gives a block the hand to begin something beside it, which the block's end tells to end, and waits for."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), daemon=True)
    try:
        yield thread.start
    finally:
        over.set()
        if thread.ident is not None:
            thread.join()


@contextmanager
def stalls(servers: Sequence[int], still: float = 0.6, moving: float = 0.05) -> Iterator[Callable[[], None]]:
    """Gives a block the hand to let processes stand still again and again, until its end.

    Args:
        servers: Which.
        still: For so many seconds.
        moving: So many seconds lie between.
    """

    def stall(over: threading.Event) -> None:
        while not over.is_set():
            for signal_, seconds in ((signal.SIGSTOP, still), (signal.SIGCONT, moving)):
                for process in servers:
                    os.kill(process, signal_)
                over.wait(seconds)

    try:
        with meanwhile(stall) as begin:
            yield begin
    finally:
        for process in servers:
            # one that has ended keeps no other one stopped
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


@contextmanager
def limited(servers: Sequence[int], millis: int) -> Iterator[Callable[[], None]]:
    """Gives a block the hand to limit the containers of processes to so many thousandths of a processor each, until its end."""
    quota = millis * _PERIOD_MICROSECONDS // 1000
    limits = [_limit(process, "cpu", "cpu.cfs_quota_us", "cpu.max") for process in servers]
    before = [limit.read_text() for limit in limits]

    def limit_all() -> None:
        for limit in limits:
            limit.write_text(f"{quota} {_PERIOD_MICROSECONDS}" if limit.name == "cpu.max" else str(quota))

    try:
        yield limit_all
    finally:
        for limit, was in zip(limits, before, strict=True):
            limit.write_text(was)


def run_out_of_memory(server: int) -> None:
    """Lower a container's limit to what it uses: the kernel ends it with one of the next requests, as one whose memory grows."""
    limit = _limit(server, "memory", "memory.limit_in_bytes", "memory.max")
    used = limit.with_name("memory.current" if limit.name == "memory.max" else "memory.usage_in_bytes")
    limit.write_text(used.read_text())


@contextmanager
def away(lab: Laboratory, region: str, workload: str, namespace: str) -> Iterator[None]:
    """A workload, such as `deployment/istiod`, has no pod for as long as a block lasts; after it, it has as many as before."""
    what = (workload, f"--namespace={namespace}")
    spec = lab.get(region, *what)["spec"]
    pods = f"--selector={','.join(f'{name}={value}' for name, value in spec['selector']['matchLabels'].items())}"
    try:
        lab.kubectl(region, "scale", *what, "--replicas=0")
        lab.kubectl(region, "wait", "pods", f"--namespace={namespace}", pods, "--for=delete", "--timeout=60s")
        yield
    finally:
        lab.kubectl(region, "scale", *what, f"--replicas={spec['replicas']}")
        lab.kubectl(region, "rollout", "status", *what, "--timeout=120s")


def evict(lab: Laboratory, region: str, namespace: str, pod: str, directory: Path) -> None:
    """Delete a pod as the drain of its node does; the request for it is written into a directory."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    file = directory / f"{region}.json"
    file.write_text(json.dumps(eviction))
    lab.kubectl(region, "create", "-f", str(file), f"--raw=/api/v1/namespaces/{namespace}/pods/{pod}/eviction")


@contextmanager
def busy() -> Iterator[None]:
    """Keep every processor of the machine busy beside the lab for as long as a block lasts, an hour at most."""
    command = ["nice", "--adjustment=5", "timeout", _LONGEST, sys.executable, "-c", "while True: pass"]
    with ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            child = stack.enter_context(subprocess.Popen(command))
            stack.callback(child.terminate)
        yield


def _limit(process: int, controller: str, of_version_1: str, of_version_2: str) -> Path:
    """The file with a limit of a process's container."""
    found = (line.split(":", 2) for line in Path(f"/proc/{process}/cgroup").read_text().splitlines())
    groups = {name: path.lstrip("/") for _, controllers, path in found for name in controllers.split(",")}
    if controller in groups:
        return cgroups.ROOT / controller / groups[controller] / of_version_1
    return cgroups.ROOT / groups[""] / of_version_2
