"""Processes of a lab that outlive the command that started them.

Nothing is written down about them. A process is ours if it is in the region's cgroup, and it is the one that was asked for if its
command line is, word for word: so a reused process id is never taken for ours, and no crash can leave a record that lies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.machine import cgroups
from lab.machine.waiting import comes_true


def command_line(pid: int) -> list[str]:
    """The words of a running process's command line; empty if it is gone or only its corpse is left."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except (OSError, UnicodeDecodeError):
        return []


def find(cgroup: str, command: Sequence[str]) -> int | None:
    """The id of the process in `cgroup` that runs exactly `command`."""
    return next((pid for pid in cgroups.members(cgroup) if command_line(pid) == list(command)), None)


def namesakes(cgroup: str, command: Sequence[str]) -> list[int]:
    """Ids of the processes in `cgroup` that run the same program, with whatever arguments."""
    program = Path(command[0]).name
    return [pid for pid in cgroups.members(cgroup) if Path((command_line(pid) or [""])[0]).name == program]


def start(
    command: Sequence[str], *, cgroup: str, log: Path, through: Sequence[str] = (), directory: Path = Path("/")
) -> subprocess.Popen[bytes]:
    """Start `command` in `cgroup`, in a session of its own, its output added to `log`.

    Args:
        command: what to run.
        cgroup: the cgroup that it joins before it runs, so that no child of its can escape.
        log: the file that gets its output.
        through: a prefix that executes the rest in its own place, such as nsenter.
        directory: where it starts.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    files = cgroups.process_files(cgroup)
    join = ["sh", "-c", 'n=$1; shift; while [ $n -gt 0 ]; do echo $$ > "$1"; shift; n=$((n-1)); done; exec "$@"', "sh"]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*join, str(len(files)), *map(str, files), *through, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=directory,
        )


def stop(pid: int, grace_seconds: float = 10.0) -> None:
    """Ask a process to end; kill it when the time of grace is over."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        if comes_true(lambda: _has_ended(pid), grace_seconds, 0.05):
            return


def _has_ended(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # ours, if this very command started it: then it must be reaped
    return not command_line(pid)
