"""What is tried again: the way back is given up by a person, and by nothing that did not answer; a step forward after a minute."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

from rollout.answers import stop_of_this_work
from rollout.problem import TransientError

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Persistence:
    """Tries again what may go through the next time, with growing pauses.

    Attributes:
        say: Told in a line what failed, and when it is tried again.
        pause: Waits for so many seconds.
        longest_seconds: After which it is given up, from the first failure on.
    """

    say: Callable[[str], None]
    pause: Callable[[float], object]
    longest_seconds: float

    def until_through(self, attempt: Callable[[], _Value]) -> _Value:
        """What an attempt returns, once it does.

        Raises:
            TransientError: it was given up, or nobody waits for it any more.
            RolloutError: an attempt failed for a reason that does not pass by itself.
        """
        first, waited = None, 0.0
        for seconds in _pauses():
            try:
                return attempt()
            except TransientError as error:
                now = time.monotonic()
                first = now if first is None else first
                # an attempt may take long as well
                if stop_of_this_work().is_set() or max(waited, now - first) >= self.longest_seconds:
                    raise
                # rich ends the program where nobody reads any more
                with suppress(OSError, SystemExit):
                    self.say(f"{'; '.join(each.what for each in error.problems)}; tries again in {seconds:g} s")
            self.pause(seconds)
            waited += seconds
        raise AssertionError("the pauses have no end")


@contextmanager
def held(number: signal.Signals, say: Callable[[str], None]) -> Iterator[list[int]]:
    """Keeps a signal from ending a block: a terminal is lost (SIGHUP), a machine shuts down (SIGTERM).

    Args:
        number: Which.
        say: Told in a line that it came, and that Ctrl-C is the one that ends the block.

    Returns:
        Gets an entry each time that it comes.
    """
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        # a handler comes between any two steps, also while something is printed
        line = f"{signal.Signals(number).name}: the way back goes on; Ctrl-C ends it"
        threading.Thread(target=say, args=(line,), daemon=True).start()

    # only the main thread gets signals
    is_ours = threading.current_thread() is threading.main_thread()
    before = signal.signal(number, note) if is_ours else None
    try:
        yield came
    finally:
        if is_ours:
            signal.signal(number, before)


def _pauses() -> Iterator[float]:
    seconds = FIRST_PAUSE_SECONDS
    while True:
        yield seconds
        seconds = min(2 * seconds, LONGEST_PAUSE_SECONDS)
