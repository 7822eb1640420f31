from __future__ import annotations

import io

from rich.console import Console

from rollout.access import RegionAccess
from rollout.cli.output.progress import shown
from rollout.status.verification import Ready
from rollout.traffic.attack import Attack
from tests.rollout.answers import measured
from tests.rollout.traffic.sources import Given


def progress_of(requests: int, *, terminal: bool) -> str:
    """What is shown of a region that is looked at after every 10 of so many requests, of which v2 gets every tenth."""
    region = RegionAccess("region-a", "region-a", "a")
    weights = {"v1": 90, "v2": 10, "v3": 0}
    ready = Ready(
        region,
        "echo",
        "mesh",
        weights,
        source=Given(region, []),
        attack=Attack("http://echo/", requests, 500),
        changed=lambda _stop: None,
    )
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100)
    with shown(console, [ready]) as progress:
        for sent in range(10, requests + 1, 10):
            progress(ready, measured({"v1": sent * 9 // 10, "v2": sent // 10}))
    return stream.getvalue()


def test_without_a_terminal_there_is_a_line_each_time_the_requests_have_doubled() -> None:
    lines = progress_of(4_500, terminal=False).splitlines()

    assert [line.split(",  v1")[0].rsplit(" requests", 1)[0] for line in lines] == [
        "region-a echo: 500",
        "region-a echo: 1,000",
        "region-a echo: 2,000",
        "region-a echo: 4,000",
    ]


def test_a_line_says_where_each_share_can_be_by_now() -> None:
    first, second = progress_of(1_000, terminal=False).splitlines()

    assert first == "region-a echo: 500 requests, v1 84.0 - 94.4 %, v2 5.6 - 16.0 %"
    assert second != first


def test_on_a_terminal_there_is_a_line_that_changes() -> None:
    told = progress_of(1_000, terminal=True)

    assert "region-a echo: 1,000 requests, v1" in told
    assert told.endswith("\x1b[2K") or "\x1b[?25h" in told
