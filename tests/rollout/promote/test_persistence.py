"""What is tried until it is through waits longer each time, says so, and ends only for what cannot succeed."""

from __future__ import annotations

import os
import signal
import threading
from itertools import count

import pytest

from rollout.problem import RolloutError, TransientError
from rollout.promote.persistence import Persistence, held


class Attempts:
    """Fail so many times, and then return how many there were."""

    def __init__(self, failures: int, error: type[RolloutError] = TransientError) -> None:
        self.numbers, self.failures, self.error = count(1), failures, error

    def __call__(self) -> int:
        if (number := next(self.numbers)) <= self.failures:
            raise self.error.of(f"the remote does not answer ({number})", "why", "fix")
        return number


def test_waits_longer_each_time_and_says_what_failed() -> None:
    said: list[str] = []
    paused: list[float] = []

    number = Persistence(said.append, paused.append).until_through(Attempts(8))

    assert number == 9
    assert paused == [0.5, 1, 2, 4, 8, 15, 15, 15]
    assert said[:2] == [
        "the remote does not answer (1); tries again in 0.5 s",
        "the remote does not answer (2); tries again in 1 s",
    ]
    assert len(said) == 8


def test_what_cannot_succeed_ends_it_at_once() -> None:
    paused: list[float] = []

    with pytest.raises(RolloutError, match="does not answer"):
        Persistence(lambda _line: None, paused.append).until_through(Attempts(1, RolloutError))

    assert paused == []


def test_a_held_signal_ends_nothing_and_is_told_and_noted() -> None:
    said: list[str] = []
    told = threading.Event()
    before = signal.getsignal(signal.SIGTERM)

    def say(line: str) -> None:
        said.append(line)
        told.set()

    with held(signal.SIGTERM, say) as came:
        os.kill(os.getpid(), signal.SIGTERM)

    assert told.wait(60)
    assert said == ["SIGTERM: the way back goes on; Ctrl-C ends it"]
    assert came == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is before
