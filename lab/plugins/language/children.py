"""The processes that the host runs for the engine: each is ended when its call, or the host, ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

GRACE_SECONDS = 2.0
"""How long an interrupted process may clean up. Less than the 5 s after which Pulumi kills a plugin's whole process group."""


class Children:
    """Processes that were started here and have not ended yet. Safe to use from several threads."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()

    @contextmanager
    def running(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        directory: str,
        environment: Mapping[str, str],
        output: int | None = None,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start `command` in `directory`, in the host's own process group, and end it when the block is left.

        Args:
            command: what to run.
            directory: its working directory.
            environment: all of its variables.
            output: where its stdout and its stderr go, as for `subprocess`; None for the host's own.

        Raises:
            OSError: it cannot be started.
        """
        with subprocess.Popen(
            command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as child:
            self._running.add(child)
            try:
                yield child
            finally:
                _end([child])
                self._running.discard(child)

    def interrupt(self) -> None:
        """Ask every process to stop, as Ctrl-C does, and do not wait for it."""
        for child in tuple(self._running):
            child.send_signal(signal.SIGINT)

    def end(self) -> None:
        """Ask every process to stop and wait for it; kill what has not ended after `GRACE_SECONDS`."""
        _end(tuple(self._running))


def _end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        child.send_signal(signal.SIGINT)
    deadline = time.monotonic() + GRACE_SECONDS
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
