"""Sources of results for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rollout.access import RegionAccess
from rollout.measurement import Result
from rollout.problem import RolloutError
from rollout.traffic.attack import Attack


@dataclass
class Given:
    """Gives these results, as many as are asked for at most, and notes what was asked and taken of it."""

    region: RegionAccess
    answers: Sequence[Result]
    dies: RolloutError | None = None
    attacks: list[Attack] = field(default_factory=list)
    taken: int = 0
    was_left: bool = False

    def results(self, attack: Attack, _stop: threading.Event) -> Iterator[Result]:
        self.attacks.append(attack)
        try:
            for answer in self.answers[: attack.requests]:
                self.taken += 1
                yield answer
            if self.dies:
                raise self.dies
        except GeneratorExit:
            self.was_left = True
            raise
