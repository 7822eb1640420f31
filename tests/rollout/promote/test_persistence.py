"""What is tried again waits longer each time, says so, and ends for what cannot succeed, or when its time is over."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from functools import partial
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

    number = Persistence(said.append, paused.append, math.inf).until_through(Attempts(8))

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
        Persistence(lambda _line: None, paused.append, math.inf).until_through(Attempts(1, RolloutError))

    assert paused == []


@pytest.mark.parametrize(("longest", "number"), [(0.0, 1), (60.0, 9)])
def test_is_given_up_after_its_time(longest: float, number: int) -> None:
    paused: list[float] = []

    with pytest.raises(TransientError, match=rf"does not answer \({number}\)"):
        Persistence(lambda _line: None, paused.append, longest).until_through(Attempts(100))

    assert sum(paused) >= longest
    assert len(paused) == number - 1


def test_the_time_that_attempts_take_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", partial(next, count(0, 59)))

    with pytest.raises(TransientError, match=r"does not answer \(3\)"):
        Persistence(lambda _line: None, lambda _seconds: None, 60.0).until_through(Attempts(100))


@pytest.mark.parametrize("gone", [BrokenPipeError, SystemExit])
def test_goes_on_where_nobody_reads(gone: type[BaseException]) -> None:
    def nobody_reads(_line: str) -> None:
        raise gone

    assert Persistence(nobody_reads, lambda _seconds: None, math.inf).until_through(Attempts(1)) == 2


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
