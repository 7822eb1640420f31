"""Windows of time that open by a cron schedule, read as Argo CD reads those of its AppProjects (github.com/robfig/cron/v3). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Self
from zoneinfo import ZoneInfo

from rules.facts.values import seconds

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAY = timedelta(days=1)
_MOST_IN_A_ROW = 1_000
"""Windows of which each opens before the one before it closes; a year of days, and far fewer than of minutes."""


@dataclass(frozen=True)
class Schedule:
    """When something begins, by the clock of some place.

    Attributes:
        minutes: Of an hour.
        hours: Of a day.
        days: Of a month.
        months: Of a year.
        weekdays: Of a week, Sunday as 0.
        either_day: Whether a day of the month or one of the week suffices; else it must be both.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    @classmethod
    def read(cls, text: str) -> Self:
        """Reads the five fields of a cron schedule.

        Raises:
            ValueError: it is none.
        """
        fields = text.split()
        if len(fields) != 5:
            raise ValueError(text)
        return cls(
            _values(fields[0], 0, 59),
            _values(fields[1], 0, 23),
            _values(fields[2], 1, 31),
            _values(fields[3], 1, 12, _MONTHS, first=1),
            _values(fields[4], 0, 6, _WEEKDAYS),
            # where one of the two says nothing, the other decides; else either does
            either_day=not (_is_star(fields[2]) or _is_star(fields[4])),
        )

    def latest_on(self, day: date) -> Iterator[datetime]:
        """The times of a day at which it begins, the last one first."""
        named = day.day in self.days, (day.weekday() + 1) % 7 in self.weekdays
        if day.month in self.months and (any(named) if self.either_day else all(named)):
            for hour in sorted(self.hours, reverse=True):
                for minute in sorted(self.minutes, reverse=True):
                    yield datetime.combine(day, time(hour, minute))


@dataclass(frozen=True)
class RecurringWindow:
    """A time that comes again and again.

    Attributes:
        schedule: When it opens, as cron has it.
        duration: How long it is open, as Go has it.
        time_zone: The schedule's; "" for UTC, and so is one that is not known.
        reason: What somebody wrote to it.
    """

    schedule: str
    duration: str
    time_zone: str = ""
    reason: str = ""

    @classmethod
    def of(cls, freeze: Mapping[str, Any]) -> Self:
        """The window of an entry of a stack file's `rules.freeze`, by the file's own keys."""
        return cls(freeze["cron"], freeze["length"], freeze.get("timeZone") or "", freeze["reason"])

    def __str__(self) -> str:
        zone = f" {self.time_zone}" if self.time_zone else ""
        described = f" ({self.reason})" if self.reason else ""
        return f"{self.schedule}{zone} for {self.duration}{described}"

    def closes(self, now: datetime) -> datetime | None:
        """When it closes, if it is open; None if it is not.

        Raises:
            ValueError: it cannot be read.
        """
        schedule, duration = Schedule.read(self.schedule), timedelta(seconds=seconds(self.duration))
        zone = self._zone()
        local, first = now.astimezone(zone), (now - duration).astimezone(zone).date()
        day = local.date()
        while day >= first:
            for opens in schedule.latest_on(day):
                opened = opens.replace(tzinfo=zone).astimezone(UTC)
                if opened <= now:
                    return (opened + duration).astimezone(zone) if now < opened + duration else None
            day -= _DAY
        return None

    def _zone(self) -> tzinfo:
        try:
            return time_zone(self.time_zone) if self.time_zone else UTC
        except ValueError:
            return UTC


def time_zone(name: str) -> tzinfo:
    """The time zone of a name such as Europe/Berlin.

    Raises:
        ValueError: this machine knows none of that name.
    """
    try:
        return ZoneInfo(name)
    except (LookupError, OSError) as error:
        raise ValueError(name) from error


def closed_from(windows: Sequence[RecurringWindow], now: datetime) -> datetime:
    """When none of some windows is open any more: `now` if none is open.

    Where they open without an end, it is a time at which they are still open.
    """
    until = now
    for _ in range(_MOST_IN_A_ROW):
        closing = [closes for window in windows if (closes := window.closes(until))]
        if not closing:
            break
        until = max(closing)
    return until


def _is_star(text: str) -> bool:
    return any(part in ("*", "?", "*/1", "?/1") for part in text.split(","))


def _values(text: str, low: int, high: int, names: Sequence[str] = (), *, first: int = 0) -> frozenset[int]:
    return frozenset(value for part in text.split(",") for value in _part(part, low, high, names, first))


def _part(text: str, low: int, high: int, names: Sequence[str], first: int) -> Iterator[int]:
    def number(word: str) -> int:
        return names.index(word.lower()) + first if word.lower() in names else int(word)

    span, _, step = text.partition("/")
    begin, _, end = span.partition("-")
    if begin in ("*", "?"):
        begins, ends = low, high
    else:
        begins = number(begin)
        ends = number(end) if end else high if step else begins
    if not low <= begins <= ends <= high or (step and int(step) < 1):
        raise ValueError(text)
    return iter(range(begins, ends + 1, int(step) if step else 1))
