from __future__ import annotations

import pytest

from rules.facts.region import Region
from tests.rules import altered, good

GRACE = "Deployment echo/echo-v1: spec.template.spec.terminationGracePeriodSeconds"


def ending(grace_seconds: int, sleep_seconds: int = 0) -> Region:
    """A region in which the pods of v1 have this long to end, of which the kubelet lets them sleep."""
    return altered.each(
        good.region(), "deployments", "echo-v1", grace_seconds=grace_seconds, sleep_seconds=sleep_seconds
    )


@pytest.mark.parametrize(("grace", "sleep"), [(10, 0), (15, 5), (130, 120)])
def test_ten_seconds_beside_the_sleep_are_enough_to_end(grace: int, sleep: int) -> None:
    assert altered.texts("pods-end-in-peace", ending(grace, sleep)) == []


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (ending(9), f"{GRACE}: 9 s are less than 10"),
        (ending(30, 21), f"{GRACE}: 9 s after 21 s of sleep are less than 10"),
        (ending(30, 40), f"{GRACE}: -10 s after 40 s of sleep are less than 10"),
    ],
)
def test_less_is_refused(bad: Region, text: str) -> None:
    assert altered.texts("pods-end-in-peace", bad) == [text]


def test_what_a_stack_file_lets_the_kubelet_sleep_is_known() -> None:
    slept = good.region(sleep_seconds=21)

    assert {each.sleep_seconds for each in slept.workloads.deployments} == {21}
    assert len(altered.texts("pods-end-in-peace", slept)) == 2
