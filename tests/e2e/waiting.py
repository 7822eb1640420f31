"""Waiting for a condition, never for a time."""

from __future__ import annotations

from collections.abc import Callable

from lab.machine.waiting import comes_true


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until a condition is met.

    Raises:
        AssertionError: it is not within `seconds`.
    """
    assert comes_true(condition, seconds), f"not within {seconds:.0f} s"
