"""When a window is open and until when; how a schedule is read is told by the tests of Argo CD's windows, which share the reader."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.facts.windows import RecurringWindow, closed_from

WEEKEND = RecurringWindow("0 18 * * 5", "62h", reason="nobody is at work")


def utc(day: int, hour: int = 0, minute: int = 0, *, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "open_"),
    [
        (utc(27, 17, 59), False),
        (utc(27, 18), True),
        (utc(29, 12), True),
        (utc(30, 7, 59), True),
        (utc(30, 8), False),
    ],
)
def test_is_open_from_its_begin_until_before_its_end(now: datetime, open_: bool) -> None:
    assert WEEKEND.closes(now) == (utc(30, 8) if open_ else None)


def test_closes_by_the_newest_of_its_openings() -> None:
    assert RecurringWindow("0 * * * *", "90m").closes(utc(29, 12, 10)) == utc(29, 13, 30)


def test_closes_by_the_clock_of_its_time_zone() -> None:
    closes = RecurringWindow("0 18 * * 5", "62h", "Europe/Berlin").closes(utc(29))

    assert closes == utc(30, 7)
    assert f"{closes:%Y-%m-%d %H:%M %Z}" == "2026-11-30 08:00 CET"


def test_is_as_long_over_a_change_of_the_clock() -> None:
    # at 3 in the morning of 2026-10-25 clocks go back to 2
    nightly = RecurringWindow("0 22 * * *", "10h", "Europe/Berlin")

    assert nightly.closes(utc(24, 21, month=10)) == utc(25, 6, month=10)


@given(
    st.integers(0, 59),
    st.integers(0, 23),
    st.integers(1, 3000),
    st.datetimes(datetime(2026, 1, 2), datetime(2027, 1, 1)),
)
def test_a_daily_window_is_open_as_its_length_says(minute: int, hour: int, length: int, at: datetime) -> None:
    now = at.replace(tzinfo=UTC)
    openings = [
        now.replace(hour=hour, minute=minute, second=0, microsecond=0) - timedelta(days=day) for day in range(4)
    ]
    ends = [each + timedelta(minutes=length) for each in openings if each <= now < each + timedelta(minutes=length)]

    assert RecurringWindow(f"{minute} {hour} * * *", f"{length}m").closes(now) == max(ends, default=None)


class TestClosedFrom:
    def test_is_now_where_none_is_open(self) -> None:
        assert closed_from([WEEKEND], utc(30, 8)) == utc(30, 8)
        assert closed_from([], utc(30)) == utc(30)

    def test_goes_over_windows_that_follow_each_other(self) -> None:
        year_end = RecurringWindow("0 0 24-31 12 *", "24h")

        assert closed_from([year_end], utc(24, 12, month=12)) == datetime(2027, 1, 1, tzinfo=UTC)

    def test_goes_from_one_window_to_another(self) -> None:
        assert closed_from([RecurringWindow("0 7 30 11 *", "5h"), WEEKEND], utc(29)) == utc(30, 12)

    def test_ends_where_they_are_always_open(self) -> None:
        assert closed_from([RecurringWindow("0 0 * * *", "24h")], utc(29)) > utc(29) + timedelta(days=365)


def test_says_what_it_is() -> None:
    assert str(WEEKEND) == "0 18 * * 5 for 62h (nobody is at work)"
