"""A terminal is left as it was found."""

from __future__ import annotations

import io

import pytest
import typer
from rich.console import Console
from rich.progress import Progress

from rollout.cli import terminal
from rollout.cli.terminal import told


def test_a_cursor_that_something_hid_and_hangs_is_shown_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(terminal, "messages_console", lambda: Console(file=stream, force_terminal=True))
    monkeypatch.setenv("TERM", "xterm")

    def interrupted() -> None:
        with told("stopped") as messages:
            Progress(console=messages, auto_refresh=False).start()
            raise KeyboardInterrupt

    with pytest.raises(typer.Exit):
        interrupted()

    assert stream.getvalue().rpartition("\x1b[?25l")[2].endswith("\x1b[?25h")
    assert "\x1b[?25l" in stream.getvalue()
