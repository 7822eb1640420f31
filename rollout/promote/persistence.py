"""What is tried until it is through: the way back is given up by a person, and by nothing that did not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

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
    """

    say: Callable[[str], None]
    pause: Callable[[float], object]

    def until_through(self, attempt: Callable[[], _Value]) -> _Value:
        """What an attempt returns, once it does.

        Raises:
            RolloutError: an attempt failed for a reason that does not pass by itself.
        """
        for seconds in _pauses():
            try:
                return attempt()
            except TransientError as error:
                self.say(f"{'; '.join(each.what for each in error.problems)}; tries again in {seconds:g} s")
            self.pause(seconds)
        raise AssertionError("the pauses have no end")


def _pauses() -> Iterator[float]:
    seconds = FIRST_PAUSE_SECONDS
    while True:
        yield seconds
        seconds = min(2 * seconds, LONGEST_PAUSE_SECONDS)
