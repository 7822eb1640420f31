"""Serve Pulumi's engine until it goes away: what the launcher `pulumi-language-python` runs."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # an interrupt while the imports below run ends the process at once, without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import grpc
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import language_pb2_grpc

from lab.language_host.host import LanguageHost

_GRACE_SECONDS = 2
"""How long an interrupted process may clean up. Less than the 5 s after which Pulumi kills the host's process group."""


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _end_children() -> None:
    """Interrupt what was started here, and kill it after the grace: Pulumi gives each plugin a process group of its own."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(0, signal.SIGKILL))
    os.killpg(0, signal.SIGINT)
    signal.alarm(_GRACE_SECONDS)


def main() -> None:
    """Print the port on which the engine, whose address is the last word of the command line, is served; then serve."""
    if len(sys.argv) < 2:
        sys.exit(
            "the language host has no engine to serve, because the command line names no address: "
            "run the pulumi command, which starts the host"
        )
    # set by the launcher, for the host alone: a program finds its modules as it does under Pulumi's own host
    os.environ.pop("PYTHONPATH", None)
    server = grpc.server(ThreadPoolExecutor(), options=_GRPC_CHANNEL_OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageHost(sys.argv[-1]), server)
    port = server.add_insecure_port("127.0.0.1:0")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    with suppress(KeyboardInterrupt):
        server.start()
        print(port, flush=True)
        # the engine holds the other end: it is closed when the engine ends, however that happens
        sys.stdin.read()
    # Python itself then waits for the threads that serve calls, and each of these for its process
    _end_children()
    server.stop(grace=None)


if __name__ == "__main__":
    main()
