"""What a person is told: each step as it is taken, and why the lab cannot go on. Standard library alone."""

from __future__ import annotations

import time
from collections.abc import Callable

Report = Callable[[str], None]


class LabError(Exception):
    """The lab cannot do what was asked for; the text says what failed, why it matters and what to do."""


class Clock:
    """Reports steps with the seconds since it was made."""

    def __init__(self, write: Report) -> None:
        self._write = write
        self._start = time.monotonic()

    def __call__(self, message: str) -> None:
        """Report a step."""
        self._write(f"{time.monotonic() - self._start:6.1f} s  {message}")
