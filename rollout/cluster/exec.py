"""A command in a container of a pod, by the Kubernetes API's exec."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import websocket
from kubernetes import client
from kubernetes.stream import stream

from rollout.answers import stop_of_this_work
from rollout.problem import first_line

STDOUT, STDERR, STATUS = 1, 2, 3
"""The channels of an exec; on the last one the API server says how the command ended."""

_TIMEOUT_SECONDS = 10.0
# How long a stop may go unnoticed.
_POLL_SECONDS = 0.2
_STOPPED = "was stopped"
# the pod is gone; the API server has too much to do
_PASSING = (404, 429)


@dataclass(frozen=True)
class Page:
    """What an exec gave: a text, or why there is none, and whether that is the API server's refusal."""

    text: str = ""
    error: str = ""
    refused: bool = False


class ExecStream(Protocol):
    """What is used of the Kubernetes client's WSClient, opened in its binary mode."""

    def is_open(self) -> bool:
        """Whether more may come."""

    def update(self, timeout: float = 0) -> None:
        """Takes in what has arrived, waiting at most `timeout` seconds for the first of it."""

    def read_channel(self, channel: int, timeout: float = 0) -> bytes:
        """What has arrived on a channel since the last call."""

    def close(self, *, timeout: float) -> None:
        """Ends the exec; the container's process then finds its stdin closed."""


def open_exec(
    core: client.CoreV1Api, pod: str, container: str, command: Sequence[str], *, stdin: bool, timeout_seconds: float
) -> ExecStream:
    """Starts a command.

    Args:
        core: A client of its own for each exec that is opened at the same time: the Kubernetes client changes it meanwhile.
        pod: As `namespace/name`.
        container: Its name there.
        command: The command with its arguments.
        stdin: Whether the command has a stdin, which is closed when the exec is.
        timeout_seconds: How long each answer on the connection may take. It holds for the whole process, not for this exec alone.

    Raises:
        kubernetes.client.ApiException: the API server refuses it, or does not answer.
    """
    # the client opens its websocket without a timeout of its own and takes none, except this one
    websocket.setdefaulttimeout(timeout_seconds)
    namespace, name = pod.split("/")
    opened = stream(
        core.connect_get_namespaced_pod_exec,
        name,
        namespace,
        container=container,
        command=command,
        stdin=stdin,
        stdout=True,
        stderr=True,
        tty=False,
        binary=True,
        _preload_content=False,
    )
    # it reads on for as long as frames are there: a reader that falls behind once, of a sender that never pauses, would not come back
    opened._frames_immediately_available = lambda: False
    # and it keeps a copy of all that ever came: gigabytes, in a promotion of hours
    opened._all = _Nowhere()
    return cast("ExecStream", opened)


class _Nowhere:
    """Keeps nothing of what is written."""

    def write(self, _data: bytes) -> None:
        """Forgets it."""


def refusal(error: client.ApiException) -> tuple[bool, str]:
    """Whether the API server will refuse such an exec again, by its permissions or its policies; and what it says."""
    answer = error.__context__
    if not isinstance(answer, websocket.WebSocketBadStatusException):
        return False, first_line(error.reason)
    try:
        said = str(json.loads(answer.resp_body or b"")["message"])
    except (ValueError, KeyError, TypeError):
        said = answer.status_message or ""
    lasts = 400 <= answer.status_code < 500 and answer.status_code not in _PASSING
    return lasts, f"{answer.status_code} {first_line(said)}"


def ending(status: bytes) -> str:
    """How an exec ended, from what the API server says last; "" for exit code 0."""
    if not status:
        return "lost its connection"
    try:
        parsed: dict[str, Any] = json.loads(status)
        if parsed["status"] == "Success":
            return ""
        causes = (parsed.get("details") or {}).get("causes") or []
        codes = [str(cause["message"]) for cause in causes if cause.get("reason") == "ExitCode"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"ended with a status that cannot be read ({first_line(status.decode('utf-8', 'replace'))})"
    return f"ended with code {codes[0]}" if codes else f"failed ({first_line(str(parsed.get('message', '')))})"


def run(api: client.ApiClient, pod: str, container: str, command: Sequence[str]) -> Page:
    """Runs a command to its end, for ten seconds at most or until this work is stopped, and gives what it printed.

    Args:
        api: The region's; each exec makes a client of its own from it.
        pod: As `namespace/name`.
        container: Its name there.
        command: The command with its arguments.
    """
    stop = stop_of_this_work()
    if stop.is_set():
        return Page(error=_STOPPED)
    core = client.CoreV1Api(client.ApiClient(api.configuration))
    try:
        opened = open_exec(core, pod, container, command, stdin=False, timeout_seconds=_TIMEOUT_SECONDS)
        try:
            ends = time.monotonic() + _TIMEOUT_SECONDS
            while opened.is_open() and time.monotonic() < ends and not stop.is_set():
                opened.update(timeout=_POLL_SECONDS)
            ended = not opened.is_open()
            text, complaint, status = (opened.read_channel(channel) for channel in (STDOUT, STDERR, STATUS))
        finally:
            opened.close(timeout=1)
    except client.ApiException as error:
        refused, why = refusal(error)
        return Page(error=f"exec {'was refused' if refused else 'failed'}: {why}", refused=refused)
    except (websocket.WebSocketException, OSError) as error:
        return Page(error=f"exec lost its connection: {first_line(str(error))}")
    if not ended:
        return Page(error=_STOPPED if stop.is_set() else f"gave no answer within {_TIMEOUT_SECONDS:.0f} s")
    if failed := ending(status):
        said = f"{command[0]} failed: {first_line(complaint.decode('utf-8', 'replace'))}"
        return Page(error=said if status else f"exec {failed}")
    return Page(text.decode("utf-8", "replace"))
