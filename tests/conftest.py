"""What all tests have in common."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Let children be interrupted also where this runs in the background of a script, whose shell has SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
