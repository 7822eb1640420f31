"""Windows as Argo CD reads them; the expected values are what its own `CanSync(false, nil)` says at these times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from rollout.cluster.sync_windows import SyncWindow, in_the_way, parse_windows

# a Sunday
NOW = datetime(2026, 11, 29, 13, 30, tzinfo=UTC)
SERVER = "https://kubernetes.default.svc"


def window(schedule: str, duration: str = "1h", *, kind: str = "deny", **more: Any) -> SyncWindow:
    spec = {"kind": kind, "schedule": schedule, "duration": duration, "applications": ["*"], **more}
    (found,) = parse_windows({"spec": {"syncWindows": [spec]}})
    return found


def blocked(*windows: SyncWindow, now: datetime = NOW) -> tuple[SyncWindow, ...]:
    return in_the_way(windows, "echo", (SERVER,), "echo", now)


@pytest.mark.parametrize(
    ("schedule", "duration"),
    [
        ("0 13 * * *", "1h"),
        ("0 13 * * 0", "31m"),
        ("0 13 * * sun", "1h"),
        ("0 13 29 NOV ?", "1h"),
        ("0 13 29 11 1", "1h"),
        ("0 13 1 11 SUN", "1h"),
        # a step is not every day, so one of the two suffices
        ("0 13 */2 11 1", "1h"),
        ("*/15 * * * *", "1m30s"),
        ("5-25/10 13 * * *", "16m"),
        ("0 1/4 * * *", "31m"),
        ("30 13 28 11 *", "24h1m"),
        ("0 0 1 11 *", "696h"),
        ("0,59 12-13 * * 0-2,6", "0.6h"),
    ],
)
def test_that_is_open_denies(schedule: str, duration: str) -> None:
    found = window(schedule, duration)
    now = NOW.replace(second=20)

    assert blocked(found, now=now) == (found,)


@pytest.mark.parametrize(
    ("schedule", "duration"),
    [
        ("0 12 * * *", "1h"),
        ("31 13 * * *", "1h"),
        ("0 13 * * 1-5", "1h"),
        ("0 13 30 11 *", "1h"),
        ("0 13 28 11 1", "1h"),
        ("0 13 */1 11 1", "1h"),
        ("0 13 * 12 *", "1h"),
        ("30 13 28 11 *", "24h"),
    ],
)
def test_that_is_not_open_denies_nothing(schedule: str, duration: str) -> None:
    assert not blocked(window(schedule, duration))


def test_is_open_by_the_clock_of_its_time_zone() -> None:
    assert blocked(window("0 22 * * *", timeZone="Asia/Tokyo"))
    assert not blocked(window("0 13 * * *", timeZone="Asia/Tokyo"))
    assert blocked(window("0 13 * * *", timeZone="Nowhere/Else")), "Argo CD takes UTC then"


def test_that_allows_denies_while_it_is_not_open() -> None:
    early, now = window("0 1 * * *", kind="allow"), window("0 13 * * *", kind="allow")

    assert blocked(early) == (early,)
    assert not blocked(now)
    assert not blocked(early, now)


def test_that_denies_goes_before_one_that_allows() -> None:
    denies, allows = window("0 13 * * *"), window("0 13 * * *", kind="allow")

    assert blocked(allows, denies) == (denies,)


@pytest.mark.parametrize(("schedule", "duration"), [("0 13 * *", "1h"), ("0 24 * * *", "1h"), ("0 1 * * *", "an hour")])
def test_that_cannot_be_read_denies(schedule: str, duration: str) -> None:
    assert blocked(window(schedule, duration))


@pytest.mark.parametrize(
    ("named", "ours"),
    [
        ({"applications": ["ec*"]}, True),
        ({"applications": ["shop"]}, False),
        ({"applications": [], "namespaces": ["echo"]}, True),
        ({"applications": [], "clusters": ["https://*"]}, True),
        ({"applications": []}, False),
        ({"applications": [], "andOperator": True}, False),
        ({"applications": ["shop"], "namespaces": ["echo"]}, True),
        ({"applications": ["shop"], "namespaces": ["echo"], "andOperator": True}, False),
        ({"applications": ["echo"], "namespaces": ["echo"], "andOperator": True}, True),
    ],
)
def test_is_of_what_it_names(named: dict[str, Any], ours: bool) -> None:
    assert bool(blocked(window("0 13 * * *", **named))) is ours


def test_says_what_it_is() -> None:
    assert str(window("0 13 * * *", timeZone="Asia/Tokyo", description="CHG-7")) == (
        "deny window 0 13 * * * Asia/Tokyo for 1h (CHG-7)"
    )
