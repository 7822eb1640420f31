"""Commands that prepare the lab, side by side: they end when the lab's own command does, however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event, Lock
from typing import Protocol

from lab.report import Report

_TAIL_LINES = 15
_REPORT_EVERY_SECONDS = 10


class CommandFailedError(Exception):
    """A command ended with another code than 0.

    Attributes:
        tail: its last lines, indented.
    """

    def __init__(self, command: Sequence[str], code: int, tail: Sequence[str]) -> None:
        super().__init__(f"`{' '.join(command)}` ended with code {code}")
        self.tail = "\n".join(f"  {line}" for line in tail)


class Children:
    """Running commands, each in a process group of its own, so that all can be ended together.

    Args:
        ending: the signal that ends them.
    """

    def __init__(self, ending: signal.Signals = signal.SIGKILL) -> None:
        self.stopped = Event()
        self._ending = ending
        self._groups: set[int] = set()
        self._lock = Lock()

    def run(
        self,
        command: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str],
        progress: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Run `command` to its end.

        Args:
            command: what to run.
            directory: where.
            environment: the whole of its environment.
            progress: gets each line of its output; true if the line says no more than how far it is.

        Raises:
            CommandFailedError: it ended with another code than 0.
            InterruptedError: `stop` was called.
        """
        tail: deque[str] = deque(maxlen=_TAIL_LINES)
        with self._started(command, directory, environment) as child:
            assert child.stdout is not None  # it is a pipe
            for line in child.stdout:
                if not progress(line.rstrip("\n")):
                    tail.append(line.rstrip("\n"))
        if self.stopped.is_set():
            raise InterruptedError
        if child.returncode:
            raise CommandFailedError(command, child.returncode, tail)

    def stop(self) -> None:
        """End every command that runs, with its children, and let no other start."""
        with self._lock:
            self.stopped.set()
            for group in self._groups:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, self._ending)

    @contextlib.contextmanager
    def _started(
        self, command: Sequence[str], directory: Path, environment: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[str]]:
        with self._lock:
            if self.stopped.is_set():
                raise InterruptedError
            child = subprocess.Popen(
                # should the lab's command be killed, the kernel kills this one too
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
                cwd=directory,
                env=environment,
            )
            self._groups.add(child.pid)
        try:
            with child:
                yield child
        finally:
            with self._lock:
                self._groups.discard(child.pid)


class Work(Protocol):
    """One of several things that are made side by side."""

    @property
    def name(self) -> str:
        """As people are told of it."""

    def make(self, children: Children) -> None:
        """Make it, running every command through `children`."""

    def progress(self) -> str:
        """How far it is, in a few words."""


def make_all(works: Sequence[Work], report: Report, jobs: int) -> None:
    """Make everything, `jobs` at a time, the first first.

    If one fails, or this command is interrupted, the others are ended too.

    Args:
        works: what to make.
        report: gets a line whenever one is done, and every ten seconds meanwhile.
        jobs: how many are made at a time.
    """
    children = Children()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            _follow({pool.submit(_timed, work, children): work for work in works}, report)
        except BaseException:
            children.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _follow(running: dict[Future[float], Work], report: Report) -> None:
    begun, count = time.monotonic(), len(running)
    while running:
        done, _ = wait(running, timeout=_REPORT_EVERY_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            work, seconds = running[future], future.result()
            del running[future]
            report(f"made {work.name} in {seconds:.0f} s ({count - len(running)} of {count})")
        if not done:
            at_work = ", ".join(
                f"{work.name}: {work.progress()}" for future, work in running.items() if future.running()
            )
            report(f"{time.monotonic() - begun:.0f} s; {at_work}")


def _timed(work: Work, children: Children) -> float:
    begun = time.monotonic()
    work.make(children)
    return time.monotonic() - begun
