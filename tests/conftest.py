"""What all tests have in common."""

from __future__ import annotations

import signal

import hypothesis


def pytest_configure() -> None:
    """Let a machine be slow, and children be interrupted also in the background of a script, whose shell has SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("any machine", deadline=None, suppress_health_check=slow)
    hypothesis.settings.load_profile("any machine")
