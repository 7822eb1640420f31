"""Waiting for what takes its time."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed


def comes_true(
    condition: Callable[[], bool], seconds: float, every_seconds: float = 0.1, stopped: Event | None = None
) -> bool:
    """Whether a condition, which is asked at least once, holds within so many seconds. What it raises ends the wait.

    Raises:
        InterruptedError: `stopped` was set.
    """

    def holds() -> bool:
        if stopped is not None and stopped.is_set():
            raise InterruptedError
        return condition()

    asking = retry(
        retry=retry_if_result(lambda held: not held),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(every_seconds),
        retry_error_callback=lambda _: False,
    )
    return asking(holds)()
