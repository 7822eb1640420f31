from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from lab.plugins.language import children
from lab.plugins.language.children import Children

STUBBORN = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print('ready', flush=True); signal.pause()"


def test_process_ends_with_its_block() -> None:
    with Children().running(["sleep", "60"], directory="/", environment=os.environ) as child:
        pass
    assert child.returncode == -signal.SIGINT


def test_process_that_ignores_the_interrupt_is_killed_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "GRACE_SECONDS", 0.05)
    running = Children()
    with running.running(
        [sys.executable, "-c", STUBBORN], directory="/", environment=os.environ, output=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        running.end()
        assert child.returncode == -signal.SIGKILL


def test_interrupt_reaches_every_process() -> None:
    running = Children()
    sleep = ["sleep", "60"]
    with (
        running.running(sleep, directory="/", environment=os.environ) as one,
        running.running(sleep, directory="/", environment=os.environ) as other,
    ):
        running.interrupt()
        assert (one.wait(), other.wait()) == (-signal.SIGINT, -signal.SIGINT)
