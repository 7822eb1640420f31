"""Each request of a watch is in one window, and what was sent before a turn is in none after it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from rollout.access import RegionAccess
from rollout.measurement import Measurement, Result
from rollout.problem import Problem, RolloutError
from rollout.traffic import watch as watch_module
from rollout.traffic.attack import Attack
from rollout.traffic.watch import Watch
from stackfile.model import RequestConfig
from tests.rollout.answers import fault, ok, page

RATE = 10
ATTACK = Attack("http://echo", 1_000_000, RATE, (RequestConfig(expected_status=(200, 404)),), "x-rollout-version")
PATIENCE_SECONDS = 60.0


@dataclass
class Scripted:
    """A probe that says what a test lets it say."""

    region: RegionAccess = field(default_factory=lambda: RegionAccess("region-a", "region-a", "region-a"))
    attacks: list[Attack] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    script: queue.Queue[Result | RolloutError | None] = field(default_factory=queue.Queue)
    taken: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def results(self, attack: Attack, stop: threading.Event) -> Iterator[Result]:
        self.attacks.append(attack)
        while True:
            try:
                said = self.script.get(timeout=0.01)
            except queue.Empty:
                if stop.is_set():
                    self.stopped.set()
                    raise RolloutError(Problem("was stopped")) from None
                continue
            if said is None:
                self.taken.release()
                return
            if isinstance(said, RolloutError):
                self.taken.release()
                raise said
            yield said
            self.taken.release()

    def say(self, *results: Result | RolloutError | None) -> None:
        """Says all of it; returns when it was taken, but for a last one that ends an attack."""
        for result in results:
            self.script.put(result)
        for _ in results:
            assert self.taken.acquire(timeout=PATIENCE_SECONDS)


def answers(first: int, count: int, version: str = "v1") -> list[Result]:
    return [ok(version, sequence=first + number) for number in range(count)]


def counts(measurement: Measurement) -> dict[str, int]:
    return {version: tally.requests for version, tally in measurement.versions.items()}


def turned(watch: Watch, probe: Scripted, *batches: list[Result]) -> Measurement:
    """A turn during which the probe says these results, batch after batch, and which ends with the last of them."""
    ended: list[Measurement] = []
    turning = threading.Thread(target=lambda: ended.append(watch.turn()))
    turning.start()
    for batch in batches:
        await_waiting(watch, turning)
        assert turning.is_alive(), "the turn ended too early"
        probe.say(*batch)
    turning.join(PATIENCE_SECONDS)
    assert ended, "the turn waits for more"
    return ended[0]


def await_waiting(watch: Watch, turning: threading.Thread) -> None:
    """Until the turn has seen all that was said, and waits for more or has ended."""
    while turning.is_alive() and not watch._news._waiters:  # type: ignore[attr-defined]
        time.sleep(0)


@pytest.fixture
def probe() -> Scripted:
    return Scripted()


@pytest.fixture
def watch(probe: Scripted) -> Iterator[Watch]:
    with Watch(probe, ATTACK) as watch:
        yield watch


def test_what_came_is_seen(probe: Scripted, watch: Watch) -> None:
    probe.say(*answers(0, 3), fault("v2", sequence=3))

    seen = watch.seen()

    assert counts(seen) == {"v1": 3, "v2": 1}
    assert (seen.requests, seen.failures, seen.planned) == (4, 1, 4)


def test_a_request_under_way_holds_back_those_after_it(probe: Scripted, watch: Watch) -> None:
    probe.say(*answers(1, 3, "v2"))
    assert watch.seen().requests == 0

    probe.say(*answers(0, 1, "v1"))
    assert counts(watch.seen()) == {"v1": 1, "v2": 3}


def test_a_turn_ends_the_window_a_second_later(probe: Scripted, watch: Watch) -> None:
    probe.say(*answers(0, 3))

    ended = turned(watch, probe, answers(3, RATE - 1, "v2"), answers(2 + RATE, 1, "v2"))
    probe.say(*answers(3 + RATE, 1, "v3"))

    assert counts(ended) == {"v1": 3, "v2": RATE}
    assert counts(watch.seen()) == {"v3": 1}


def test_what_was_sent_before_a_turn_and_is_held_back_is_in_the_window_that_ends(probe: Scripted, watch: Watch) -> None:
    sent_before = answers(1, 3 * RATE, "v2")
    probe.say(*sent_before)

    ended = turned(watch, probe, answers(0, 1, "v1"), answers(1 + 3 * RATE, RATE, "v2"))
    probe.say(*answers(1 + 4 * RATE, 1, "v3"))

    assert counts(ended) == {"v1": 1, "v2": 4 * RATE}
    assert counts(watch.seen()) == {"v3": 1}


def test_an_attack_that_is_over_is_followed_by_the_next(probe: Scripted, watch: Watch) -> None:
    probe.say(*answers(0, 2), None, *answers(0, 2))

    assert counts(watch.seen()) == {"v1": 4}
    assert len(probe.attacks) == 2


def test_a_turn_counts_over_the_end_of_an_attack(probe: Scripted, watch: Watch) -> None:
    probe.say(*answers(0, 5), None, *answers(0, 5))

    ended = turned(watch, probe, answers(5, RATE - 1), answers(4 + RATE, 1))

    assert ended.requests == 10 + RATE


def test_a_probe_that_dies_is_told(probe: Scripted, watch: Watch) -> None:
    probe.say(*answers(0, 2), RolloutError(Problem("the probe died")))
    watch._thread.join(PATIENCE_SECONDS)

    with pytest.raises(RolloutError, match="the probe died"):
        watch.seen()
    with pytest.raises(RolloutError, match="the probe died"):
        watch.turn()


def test_a_probe_that_falls_silent_is_told(probe: Scripted, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    probe.say(*answers(0, 2))
    monkeypatch.setattr(watch_module, "_QUIET_SECONDS", 0.0)

    with pytest.raises(RolloutError, match="no request was answered for 0 s"):
        watch.seen()
    with pytest.raises(RolloutError, match="no request was answered for 0 s"):
        watch.turn()


def test_the_sending_ends_with_the_block(probe: Scripted) -> None:
    with Watch(probe, ATTACK) as watch:
        probe.say(*answers(0, 1))

    assert probe.stopped.is_set()
    assert not watch._thread.is_alive()


def test_it_sends_what_it_is_told_for_two_days_at_most(probe: Scripted, watch: Watch) -> None:
    probe.say(*answers(0, 1))

    assert probe.attacks == [replace(ATTACK, requests=1_000_000)]
    assert Watch(probe, replace(ATTACK, rate=1_000))._attack.requests == 1_000_000


def test_every_window_is_counted_as_the_attack_expects(probe: Scripted, watch: Watch) -> None:
    probe.say(replace(page("v1", 404), sequence=0))
    ended = turned(watch, probe, answers(1, RATE))
    probe.say(replace(page("v2", 404), sequence=1 + RATE))

    assert (counts(ended), ended.failures) == ({"v1": 1 + RATE}, 0)
    assert (counts(watch.seen()), watch.seen().failures) == ({"v2": 1}, 0)
