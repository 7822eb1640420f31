"""The probes of a region, clients in the mesh and outside it that send the requests, reached through the Kubernetes API's exec."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import websocket
from kubernetes import client

from rollout.access import RegionAccess
from rollout.cluster.client import api_client, list_pods
from rollout.cluster.exec import STATUS, STDERR, STDOUT, ExecStream, ending, open_exec, refusal
from rollout.cluster.pods import is_leaving, is_ready, waiting_reasons
from rollout.measurement import Count, Measurement, Result, ResultLines, UnreadableLineError, in_order
from rollout.problem import Problem, RolloutError, first_line
from rollout.traffic.attack import Attack

NAMESPACE = "echo-probe"
_INSIDE = "app=probe"
_OUTSIDE = "app=probe-outside"
_CONTAINER = "probe"
_UNKNOWN = "not defined"
"""What an older probe says of an option."""
_UNKNOWN_OPTION = (
    "its image is older than this program: build app/probe anew, push it, and raise probe.image in the stack file"
)
_KILLED = f"kubectl -n {NAMESPACE} describe pod says if it was killed; then start again"

_EXEC_TIMEOUT_SECONDS = 30.0
_CLOSE_TIMEOUT_SECONDS = 1.0
# How many requests are counted between two looks at them. A look costs a fraction of a millisecond.
LOOK_EVERY = 10

# How long a Ctrl-C may go unnoticed.
_POLL_SECONDS = 0.2

_STDERR_CHARACTERS = 500

_WHY_REACH = "the requests are sent from inside the region, by a pod of its cluster"
_WHY_WHOLE = "a part of the requests is no measurement of the split"


@dataclass(frozen=True)
class Probe:
    """A probe pod that is ready."""

    region: RegionAccess
    pod: str
    core: client.CoreV1Api

    def results(self, attack: Attack, stop: threading.Event) -> Iterator[Result]:
        """Sends the requests; gives each one's result as it comes. Leaving the iterator early ends the sending.

        Raises:
            RolloutError: the probe cannot be started, or ended before all was sent; what came before has been given.
        """
        yield from results(self._open(attack), attack, stop, f"{self.region.name}: probe pod {NAMESPACE}/{self.pod}")

    def _open(self, attack: Attack) -> ExecStream:
        try:
            # Nothing is ever written to its stdin. It is there to close when we go, however we go: that stops the probe.
            return open_exec(
                self.core,
                f"{NAMESPACE}/{self.pod}",
                _CONTAINER,
                attack.command,
                stdin=True,
                timeout_seconds=_EXEC_TIMEOUT_SECONDS,
            )
        except client.ApiException as error:
            raise RolloutError.of(
                f"{self.region.name}: exec in {NAMESPACE}/{self.pod} was refused: {refusal(error)[1]}",
                _WHY_REACH,
                f"see that context {self.region.context} may get and create pods/exec in {NAMESPACE}, "
                "and that the node's kubelet answers (kubectl exec uses the same way)",
            ) from error


def connect(region: RegionAccess, outside: bool = False) -> Probe:
    """Finds a probe pod that is ready. Takes at most 20 s.

    Args:
        region: Where.
        outside: The one outside the mesh, which reaches a service through the region's gateway.

    Raises:
        RolloutError: no such context, the cluster does not answer or refuses, or no probe is ready in it.
    """
    api = api_client(region)
    selector = _OUTSIDE if outside else _INSIDE
    pods = list_pods(region, api, NAMESPACE, selector)
    ready = sorted(pod["metadata"]["name"] for pod in pods if is_ready(pod))
    if not ready:
        raise RolloutError(_no_probe(region, selector, pods))
    return Probe(region, ready[0], client.CoreV1Api(api))


class Source(Protocol):
    """Something in a region that results come from."""

    @property
    def region(self) -> RegionAccess:
        """Where it is."""

    def results(self, attack: Attack, stop: threading.Event) -> Iterator[Result]:
        """As `Probe.results`."""


def count_results(
    source: Source, attack: Attack, stop: threading.Event, enough: Callable[[Measurement], bool]
) -> Measurement:
    """Counts an attack's results, in the order of sending, until it is enough.

    Args:
        source: Where they come from.
        attack: What to send at most.
        stop: Ends it at once, as an interruption.
        enough: Asked after every 10 requests, with what has been counted so far. Where it says so, sending ends; what
            was then under way is not counted, and that is no interruption.

    Raises:
        RolloutError: the attack ended before the first result.
    """
    count = Count(source.region.name, attack.expected)
    began = time.monotonic()

    def so_far(interruption: str = "") -> Measurement:
        return count.measurement(planned=attack.requests, seconds=time.monotonic() - began, interruption=interruption)

    try:
        for result in in_order(source.results(attack, stop)):
            count.add(result)
            if count.requests % LOOK_EVERY == 0 and enough(looked := so_far()):
                return looked
    except RolloutError as error:
        if count.requests == 0:
            raise
        return so_far("; ".join(problem.what for problem in error.problems))
    return so_far()


def results(stream: ExecStream, attack: Attack, stop: threading.Event, name: str) -> Iterator[Result]:
    """The results that an exec of `/probe attack` writes; closes the stream at the end, whatever ends it.

    Raises:
        RolloutError: it ended otherwise than with all requests sent: stopped, out of time, connection lost, a line
            that cannot be read, an exit code.
    """
    lines = ResultLines()
    complaints = b""
    given = 0
    deadline = time.monotonic() + attack.longest_seconds
    with ExitStack() as at_the_end:
        # without the bound, the client waits three seconds for the other side to agree
        at_the_end.callback(stream.close, timeout=_CLOSE_TIMEOUT_SECONDS)
        try:
            while True:
                more_may_come = _wait(stream)
                complaints = (complaints + _read(stream, STDERR))[-_STDERR_CHARACTERS:]
                for result in lines.feed(_read(stream, STDOUT)):
                    given += 1
                    yield result
                if not more_may_come:
                    break
                _refuse_to_go_on(attack, stop, deadline, name)
            lines.finish()
        except UnreadableLineError as error:
            raise _ended(
                name, f"wrote {error}", "see that probe.image in the stack file is the probe's image"
            ) from error
        ended = ending(_read(stream, STATUS))
    if ended or given < attack.requests:
        said = f"{ended or 'ended early'} after {given:,} of {attack.requests:,} results"
        words = " ".join(complaints.decode("utf-8", "replace").split())
        heard = f", and said: {first_line(words)}" if words else ""
        raise _ended(name, said + heard, _UNKNOWN_OPTION if _UNKNOWN in words else _KILLED)


def _refuse_to_go_on(attack: Attack, stop: threading.Event, deadline: float, name: str) -> None:
    if stop.is_set():
        raise _ended(name, "was stopped", "start again")
    if time.monotonic() > deadline:
        said = f"was not done after {attack.longest_seconds:.0f} s and was stopped"
        raise _ended(name, said, "lower --rate, or give the cluster's nodes more room")


def _wait(stream: ExecStream) -> bool:
    """Waits a moment for more; False when all that will ever come has arrived and can be read."""
    with _broken_is_closed(stream):
        stream.update(timeout=_POLL_SECONDS)
    return stream.is_open()


def _read(stream: ExecStream, channel: int) -> bytes:
    # where nothing has arrived on the channel, this too looks at the connection
    with _broken_is_closed(stream):
        return stream.read_channel(channel)
    return b""


@contextmanager
def _broken_is_closed(stream: ExecStream) -> Iterator[None]:
    """A connection that broke is one that is closed without a status; what came before can still be read."""
    try:
        yield
    except (websocket.WebSocketException, OSError):
        stream.close(timeout=_CLOSE_TIMEOUT_SECONDS)


def _ended(name: str, said: str, fix: str) -> RolloutError:
    return RolloutError.of(f"{name} {said}", _WHY_WHOLE, fix)


def _no_probe(region: RegionAccess, selector: str, pods: Sequence[Mapping[str, Any]]) -> Problem:
    where = f"{region.name}: no ready pod {selector} in namespace {NAMESPACE} of context {region.context}"
    if not pods:
        return Problem(
            f"{where}: there is none",
            _WHY_REACH,
            f"the stack's EchoProbe brings it up{' where the stack file has a gateway' * (selector == _OUTSIDE)}: "
            f"pulumi up -s {region.stack} (in the lab: make up)",
        )
    told = [f"{pod['metadata']['name']} is {_state(pod)}" for pod in pods]
    return Problem(
        f"{where}: {'; '.join(told)}",
        _WHY_REACH,
        f"kubectl --context {region.context} -n {NAMESPACE} describe pods says what it waits for",
    )


def _state(pod: Mapping[str, Any]) -> str:
    if is_leaving(pod):
        return "being deleted"
    waiting = ", ".join(f"{container}: {reason}" for container, reason in waiting_reasons(pod).items())
    return f"{pod['status']['phase']} ({waiting or 'not ready'})"
