from __future__ import annotations

import itertools

import pytest

from rollout.traffic.trail import Trail
from tests.rollout.answers import measured


def trail_of(requests: range) -> list[int]:
    """How many requests each moment of a trail had, of looks that had so many."""
    trail = Trail()
    for number in requests:
        trail.add(measured({"v1": number}))
    return [point.requests for point in trail.points]


def test_a_few_looks_are_all_kept() -> None:
    assert trail_of(range(10, 100, 10)) == list(range(10, 100, 10))


@pytest.mark.parametrize("looks", [399, 400, 401, 3_000, 100_000])
def test_of_many_looks_a_few_hundred_are_kept(looks: int) -> None:
    assert 199 <= len(trail_of(range(10, 10 * looks + 1, 10))) <= 400


def test_those_that_are_kept_are_evenly_spaced_up_to_the_last() -> None:
    kept = trail_of(range(10, 30_010, 10))

    steps = {after - before for before, after in itertools.pairwise(kept[:-1])}
    assert len(steps) == 1
    assert (kept[0], kept[-1]) == (10, 30_000)


def test_the_end_that_is_the_last_look_too_is_kept_once() -> None:
    trail = Trail()
    trail.add(measured({"v1": 10}))
    trail.add(measured({"v1": 10}))

    assert [point.requests for point in trail.points] == [10]


def test_a_moment_has_the_counts_of_the_regions_versions() -> None:
    trail = Trail()
    trail.add(measured({"v1": 9, "v2": 1}))

    assert trail.points[0].counts == {"v1": 9, "v2": 1}


def test_without_a_look_there_is_no_moment() -> None:
    assert Trail().points == ()
