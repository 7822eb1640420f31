"""What a person is told: each step as it is taken, and why the lab cannot go on. Standard library alone."""

from __future__ import annotations

import time
from collections.abc import Callable

Report = Callable[[str], None]


class LabError(Exception):
    """The lab cannot do what was asked for; the text says what failed, why it matters and what to do."""


def clock(write: Report) -> Report:
    """Reports steps with the seconds since now."""
    start = time.monotonic()
    return lambda message: write(f"{time.monotonic() - start:6.1f} s  {message}")
