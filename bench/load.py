"""A steady load on echo from a region's probe pods, which goes on whatever becomes of the kubelet and the API server.

It runs the pod's own load generator in the pod's own namespaces, as `kubectl exec` does, but without any of the cluster's parts
between: so each of them may be restarted under it.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.machine import cgroups, processes
from lab.place import Region
from rollout.traffic.attack import MOST_REQUESTS

_URL = "http://echo.echo.svc.cluster.local/"
_WORKERS = 20
_STOP_SECONDS = 30.0
# how echo ends each of its answers
_ORIGIN = re.compile(r"^(ok|fault) region=\S+ version=(?P<version>\S+)\s*$")


class LoadError(Exception):
    """The load cannot be sent, or did not end as it should; the text says what the probe said."""


@dataclass(frozen=True)
class Answer:
    """One request.

    Attributes:
        at_seconds: when it was sent, Unix time.
        code: HTTP status, 0 when there was no answer.
        version: which version of echo answered, with success or with a failure of its own; empty if none did.
        error: what the client says of a request that failed.
        body: what came with a failure.
    """

    at_seconds: float
    code: int
    version: str
    error: str
    body: str = ""

    @property
    def failed(self) -> bool:
        """Whether the caller did not get what it asked for."""
        return self.code != 200 or not self.version


def probe_process(region: Region, *, outside: bool = False) -> int | None:
    """The process of a region's probe in the mesh, or of the one outside it."""
    idle = (pid for pid in cgroups.members(region.cgroup) if processes.command_line(pid) == ["/probe", "idle"])
    return next((pid for pid in idle if pod_of(pid).startswith("probe-outside-") is outside), None)


def pod_of(pid: int) -> str:
    """The name of the pod that a container's process is in; "" of another process, and of one that has ended."""
    with suppress(OSError):
        variables = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
        return next((each.partition("=")[2] for each in variables if each.startswith("HOSTNAME=")), "")
    return ""


@dataclass(frozen=True)
class Entrance:
    """How clients outside the mesh reach a service: the gateway's address as host:port, and the host that they ask it for."""

    address: str
    host: str


class Load:
    """Requests at a steady rate while a `with` block runs; at its end all that were sent are answered or have failed.

    Args:
        region: whose probe sends them.
        rate: requests a second.
        entrance: where they go in from outside the mesh; without it they are sent in the mesh.
        url: what is asked in the mesh, which must answer as echo does.

    Raises:
        LoadError: on entering, the region has no probe; on leaving, the generator had ended by itself.
    """

    def __init__(self, region: Region, rate: int, entrance: Entrance | None = None, url: str = _URL) -> None:
        self._region, self._rate, self._entrance, self._url = region, rate, entrance, url
        self._answers: list[Answer] = []

    def __enter__(self) -> Self:
        probe = probe_process(self._region, outside=self._entrance is not None)
        if probe is None:
            raise LoadError(
                f"{self._region.name}: no probe runs, so nothing can send requests. Bring it up with: make up"
            )
        target = [f"--url={self._url}"]
        if self._entrance:
            target = [f"--url=http://{self._entrance.host}/", f"--connect-to={self._entrance.address}"]
        numbers = [f"--rate={self._rate}", f"--requests={MOST_REQUESTS}", f"--workers={_WORKERS}"]
        self._child = subprocess.Popen(
            ["nsenter", f"--target={probe}", "--mount", "--net", "/probe", "attack", *target, *numbers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._child.stdin is not None  # they are pipes
        assert self._child.stderr is not None
        ended_early = self._child.poll() is not None
        self._child.stdin.close()  # this ends the attack
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            raise LoadError(
                f"{self._region.name}: the load did not end within {_STOP_SECONDS:.0f} s of being told"
            ) from error
        self._reader.join(_STOP_SECONDS)
        if ended_early and kind is None:
            raise LoadError(f"{self._region.name}: the load ended by itself: {self._child.stderr.read().strip()}")

    @property
    def answers(self) -> list[Answer]:
        """All that has come back so far, in the order of its coming."""
        return list(self._answers)

    @property
    def sent(self) -> int:
        """How many requests have been answered or have failed so far."""
        return len(self._answers)

    def failures(self, *, but_of: str | None = None, in_full: bool = False) -> Mapping[str, int]:
        """Failed requests by what was said of them.

        Args:
            but_of: leaves out those that this version answered.
            in_full: adds what came with the failure: Envoy's own words, which say why.
        """
        failed = (each for each in self.answers if each.failed and each.version != but_of)
        return Counter(f"{each.code} {each.error} {each.body * in_full}".strip() for each in failed)

    def share(self, version: str, last: int) -> float:
        """Which part of the `last` requests a version answered, 0..1."""
        recent = self._answers[-last:]
        return sum(answer.version == version for answer in recent) / max(len(recent), 1)

    def _read(self) -> None:
        assert self._child.stdout is not None  # it is a pipe
        for line in self._child.stdout:
            told = json.loads(line)
            origin = _ORIGIN.search(told["body"])
            version = origin["version"] if origin else ""
            body = told["body"] if told["error"] else ""
            self._answers.append(Answer(told["at_ns"] / 1e9, told["code"], version, told["error"], body))
