"""The requests that the fake regions draw are counted as real ones are."""

from __future__ import annotations

import numpy as np

from rollout.measurement import Count, Measurement
from tests.rollout.promote.draws import RATE, Draws

BOUNDS_MS = (1.0, 2.0, 4.0)


def test_arrays_add_up_to_what_the_products_own_count_makes_of_the_results() -> None:
    random, count = np.random.default_rng(1), Count("region-a", bounds_ms=BOUNDS_MS)
    counted: Measurement | None = None
    last = 0
    for second, weights in enumerate([{"v1": 90, "v2": 10}, {"v1": 60, "v2": 40}, {"v1": 0, "v2": 100}]):
        draws = Draws.of_a_second(
            "region-a",
            second,
            weights,
            random,
            unanswered=0.05,
            failing=lambda version, weight: 0.2 if (version, weight) == ("v2", 40) else 0.0,
            slower=lambda version: 3.0 if version == "v2" else 1.0,
        )
        for result in draws.results():
            count.add(result)
        counted, last = draws.added(counted, last, BOUNDS_MS), draws.last

    assert counted == count.measurement(planned=3 * RATE, seconds=3.0)
    assert counted is not None
    assert counted.versions["v2"].failures > 0
    assert counted.unanswered > 0
    assert len(counted.moments) == 6
