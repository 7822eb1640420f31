"""Git's own command, run for one project: the same way by all that read or write its repository."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from rollout.answers import stop_of_this_work
from rollout.problem import TransientError

SHORT_HASH = 7
"""Characters of a commit in a line for people."""

_LOCAL_SECONDS = 30.0
# how long a stop may go unnoticed
_POLL_SECONDS = 0.2
_END_SECONDS = 5.0
# A hook or an alias sets these for the repository that it runs in; here it is the project's directory that says which is meant.
_OF_ANOTHER_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")


class KilledError(TransientError):
    """A signal ended git: it says nothing of the repository. A terminal that goes, or a machine, sends it to all our processes."""


def git(
    project: Path,
    *arguments: str,
    why: str,
    given: bytes = b"",
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = _LOCAL_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Runs git in a project's directory; whatever it ends with is for the caller to judge. It never asks for a password.

    Args:
        project: A directory in the repository.
        arguments: A git command.
        why: What it is needed for, for the message where git cannot be run.
        given: What it reads from its standard input.
        environment: Variables on top of ours.
        timeout_seconds: How long it may take.

    Raises:
        TransientError: git cannot be started, or it does not end in time.
        KilledError: a signal ended it, or this work is stopped.
    """
    try:
        done = _run(["git", "-C", str(project), *arguments], given, environment or {}, timeout_seconds)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise TransientError.of(
            f"git cannot be run: {error}", why, "install git, or see what keeps it waiting"
        ) from error
    if done.returncode < 0:
        raise KilledError.of(f"git was ended by signal {-done.returncode}", why, "run this again")
    # not as text, in which a carriage return would become the end of a line
    return subprocess.CompletedProcess(done.args, done.returncode, _text(done.stdout), _text(done.stderr))


def _run(
    command: Sequence[str], given: bytes, environment: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[bytes]:
    """As `subprocess.run`, until nobody waits for this work any more."""
    stop, ends = stop_of_this_work(), time.monotonic() + seconds
    stopped = subprocess.CompletedProcess(command, -signal.SIGTERM, b"", b"")
    if stop.is_set():
        return stopped
    pipe, environment = subprocess.PIPE, {**_quiet_environment(), **environment}
    # a file: what is given through a pipe is lost where `communicate` is called again
    with TemporaryFile() if given else Path(os.devnull).open("r+b") as file:
        file.write(given)
        file.seek(0)
        with subprocess.Popen(command, stdin=file, stdout=pipe, stderr=pipe, env=environment) as process:
            try:
                while not stop.is_set() and time.monotonic() < ends:
                    with suppress(subprocess.TimeoutExpired):
                        out, err = process.communicate(timeout=_POLL_SECONDS)
                        return subprocess.CompletedProcess(command, process.returncode, out, err)
                # not SIGKILL, after which Git's locks would stay
                process.terminate()
                process.wait(_END_SECONDS)
            except BaseException:
                process.kill()
                raise
    if not stop.is_set():
        raise subprocess.TimeoutExpired(command, seconds)
    return stopped


def _quiet_environment() -> dict[str, str]:
    """Our variables, so that git goes by the project's directory and asks nobody."""
    ours = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_REPOSITORY}
    # not what a partial clone would do to complete itself: that may ask for a password
    return {**ours, "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What git said of its failure, in one line."""
    told = done.stderr.encode(errors="surrogateescape").decode(errors="replace")
    return " ".join(told.split()) or f"git ended with code {done.returncode}"


def _text(output: bytes) -> str:
    return output.decode(errors="surrogateescape")
