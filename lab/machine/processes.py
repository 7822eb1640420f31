"""Processes of a lab that outlive the command that started them.

Nothing is written down about them. A process is ours if it is in the region's cgroup, and it is the one that was asked for if its
command line is, word for word: so a reused process id is never taken for ours, and no crash can leave a record that lies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from lab.machine import cgroups
from lab.machine.waiting import comes_true
from lab.report import LabError


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


@dataclass(frozen=True)
class Daemon:
    """A process of a lab, which is recognised by its command line.

    Attributes:
        region: where it runs, as people are told; `hub` if it serves both regions.
        name: as people are told of it, and its log is named.
        command: its command line.
        cgroup: the cgroup that it joins before it runs, so that no child of its can escape.
        logs: the folder of its log.
        answers: asks it once whether it is well.
        through: a prefix that executes the rest in its own place, such as nsenter.
        directory: where it starts.
    """

    region: str
    name: str
    command: Sequence[str]
    cgroup: str
    logs: Path
    answers: Callable[[], bool]
    through: Sequence[str] = ()
    directory: Path = Path("/")

    @property
    def log(self) -> Path:
        """The file that gets its output."""
        return self.logs / f"{self.name}.log"

    def is_running(self) -> bool:
        """Whether it is there, with just this command line."""
        return find(self.cgroup, self.command) is not None

    def start(self) -> subprocess.Popen[bytes]:
        """Start it in a session of its own, in place of one with other arguments."""
        for pid in namesakes(self.cgroup, self.command):
            stop(pid)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        files = cgroups.process_files(self.cgroup)
        join = 'n=$1; shift; while [ $n -gt 0 ]; do echo $$ > "$1"; shift; n=$((n-1)); done; exec "$@"'
        with self.log.open("ab") as output:
            return subprocess.Popen(
                ["sh", "-c", join, "sh", str(len(files)), *map(str, files), *self.through, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.directory,
            )

    def await_well(self, seconds: float, process: subprocess.Popen[bytes] | None, stopped: Event | None = None) -> None:
        """Wait until it answers.

        Args:
            seconds: how long at most.
            process: as `start` returned it, if this command started it: the wait ends when it does.
            stopped: ends the wait as well.

        Raises:
            LabError: it is not well in time, or has ended; with the end of its log.
            InterruptedError: `stopped` was set.
        """

        def has_ended() -> bool:
            return process is not None and process.poll() is not None

        over = comes_true(lambda: self.answers() or has_ended(), seconds, stopped=stopped)
        if over and not has_ended():
            return
        what = (
            f"ended at once with code {process.returncode}"
            if process and over
            else f"is not well after {seconds:.0f} s"
        )
        raise LabError(f"{self.region}: {self.name} {what}. The end of its log, {self.log}:\n{tail(self.log)}")


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log."""
    if not log.exists():
        return "  (it wrote none)"
    return "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-lines:])


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
