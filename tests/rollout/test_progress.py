from __future__ import annotations

import io

import pytest
from rich.console import Console

from rollout.progress import shown


def progress_of(requests: int, *, terminal: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=80)
    with shown(console, {"region-a": requests}) as progress:
        for sent in range(1, requests + 1):
            progress.sent("region-a", sent)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("requests", "told"),
    [(3_000, ["750", "1,500", "2,250", "3,000"]), (1, ["1"]), (3, ["1", "2", "3"])],
)
def test_without_a_terminal_each_quarter_is_a_line(requests: int, told: list[str]) -> None:
    assert progress_of(requests, terminal=False).splitlines() == [
        f"region-a: {sent} of {requests:,} requests" for sent in told
    ]


def test_on_a_terminal_there_is_a_bar_that_gets_full() -> None:
    assert "3000/3000" in progress_of(3_000, terminal=True)
