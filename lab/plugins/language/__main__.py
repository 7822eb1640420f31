"""Serve Pulumi's engine until it goes away: what the launcher `pulumi-language-python` runs."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # an interrupt while the imports below run ends the process at once, without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import grpc
from pulumi.runtime.proto import language_pb2_grpc

from lab.plugins.language.children import Children
from lab.plugins.language.host import LanguageHost

_MEBIBYTE = 1024 * 1024
_LARGEST_MESSAGE = 400 * _MEBIBYTE
"""Bytes; as in Pulumi's own gRPC settings."""


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _on_signals(action: Callable[[int, FrameType | None], NoReturn] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, action)


def _interrupt_own_group() -> None:
    """Reach what the program itself has started: Pulumi gives each plugin a process group of its own."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGINT)


def main() -> None:
    """Print the port on which the engine, whose address is the last word of the command line, is served; then serve."""
    if len(sys.argv) < 2:
        sys.exit(
            "the engine's address is missing from the command line, so there is nobody to serve: "
            "this program is not run by hand, the pulumi command starts it"
        )
    children = Children()
    server = grpc.server(ThreadPoolExecutor(), options=[("grpc.max_receive_message_length", _LARGEST_MESSAGE)])
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageHost(sys.argv[-1], children), server)
    port = server.add_insecure_port("127.0.0.1:0")
    _on_signals(_leave)
    with suppress(KeyboardInterrupt):
        server.start()
        print(port, flush=True)
        # the engine holds the other end of our standard input: it is closed when the engine ends, however that happens
        while os.read(sys.stdin.fileno(), _MEBIBYTE):
            pass
    _on_signals(signal.SIG_IGN)
    _interrupt_own_group()
    server.stop(grace=None)
    children.end()


if __name__ == "__main__":
    main()
