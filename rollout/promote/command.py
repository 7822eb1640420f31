"""A command of a person's own that must succeed before a step."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from rollout.problem import RolloutError

WITHIN_SECONDS = 3600.0
"""A command that takes longer is ended; `timeout 5m ...` in the command sets a shorter time."""

_LOOK_EVERY_SECONDS = 0.5
_END_WITHIN_SECONDS = 5.0
_STDERR = 2


def run(command: str, variables: Mapping[str, str], stop: threading.Event) -> None:
    """Runs a command to its end, as `git rebase --exec` does: by `sh -c`, here, with nothing to read. What it prints goes to stderr.

    Args:
        command: For the shell.
        variables: Of its environment, beside our own.
        stop: Ends the command within half a second; none begins after it.

    Raises:
        RolloutError: it failed, was stopped, or was not done in an hour.
    """
    if stop.is_set():
        raise _failed(command, "was stopped")
    # a group of its own, which Ctrl-C does not reach by itself: it is ended as a whole, and with it what the shell started
    process = subprocess.Popen(
        ["sh", "-c", command],
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=_STDERR,
        start_new_session=True,
    )
    ends = time.monotonic() + WITHIN_SECONDS
    try:
        while (code := _ended(process)) is None:
            if stop.is_set():
                raise _failed(command, "was stopped")
            if time.monotonic() > ends:
                raise _failed(command, f"was not done within {WITHIN_SECONDS:.0f} s")
    finally:
        if process.poll() is None:
            _end(process)
    if code:
        raise _failed(command, f"failed with exit code {code}")


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """Its exit code, where it ends soon."""
    try:
        return process.wait(_LOOK_EVERY_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_WITHIN_SECONDS)


def _failed(command: str, how: str) -> RolloutError:
    return RolloutError.of(
        f"--before-step {command!r} {how}",
        "each of these commands must succeed before a step",
        "see what it printed; then begin again, or go on where something is committed (rollout promote --resume)",
    )
