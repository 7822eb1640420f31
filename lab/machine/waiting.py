"""Waiting for what takes its time."""

from __future__ import annotations

from collections.abc import Callable

from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed


def comes_true(condition: Callable[[], bool], seconds: float, every_seconds: float = 0.1) -> bool:
    """Whether a condition, which is asked at least once, holds within so many seconds. What it raises ends the wait."""
    asking = retry(
        retry=retry_if_result(lambda holds: not holds),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(every_seconds),
        retry_error_callback=lambda _: False,
    )
    return asking(condition)()
