"""Waiting for a condition, never for a time."""

from __future__ import annotations

from collections.abc import Callable

from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until a condition is met.

    Raises:
        tenacity.RetryError: it is not within `seconds`.
    """
    waiting = retry(retry=retry_if_result(lambda met: not met), stop=stop_after_delay(seconds), wait=wait_fixed(0.1))
    waiting(condition)()
