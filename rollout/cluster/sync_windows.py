"""When an AppProject lets Argo CD sync by itself: its sync windows, read and judged as Argo CD does.

Nothing in an Application's status says that a window holds it back, so they are judged here
(`Matches` and `CanSync` in Argo CD's pkg/apis/application/v1alpha1/types.go; schedules are those of github.com/robfig/cron/v3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_DURATION = re.compile(r"(\d+(?:\.\d*)?)(h|m|s|ms|us|µs|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class SyncWindow:
    """A time in which Argo CD may sync, or may not.

    Attributes:
        allows: Whether it is of kind `allow`. Where there is one that is not open, nothing is synced.
        schedule: When it opens, as cron has it.
        duration: How long it is open, as Go has it.
        time_zone: The schedule's; "" for UTC.
        applications: Patterns of the names that it is of.
        clusters: Patterns of the clusters' addresses or names that it is of.
        namespaces: Patterns of the namespaces that it is of.
        all_must_match: Whether it is only of what all three name; else one suffices.
        description: What somebody wrote to it.
    """

    allows: bool
    schedule: str
    duration: str
    time_zone: str = ""
    applications: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    all_must_match: bool = False
    description: str = ""

    def __str__(self) -> str:
        zone = f" {self.time_zone}" if self.time_zone else ""
        described = f" ({self.description})" if self.description else ""
        return f"{'allow' if self.allows else 'deny'} window {self.schedule}{zone} for {self.duration}{described}"


def parse_windows(project: Mapping[str, Any]) -> tuple[SyncWindow, ...]:
    """The windows of an AppProject from the API server's answer."""
    return tuple(
        SyncWindow(
            allows=each.get("kind") == "allow",
            schedule=each.get("schedule", ""),
            duration=each.get("duration", ""),
            time_zone=each.get("timeZone", ""),
            applications=tuple(each.get("applications") or ()),
            clusters=tuple(each.get("clusters") or ()),
            namespaces=tuple(each.get("namespaces") or ()),
            all_must_match=each.get("andOperator", False),
            description=each.get("description", ""),
        )
        for each in project["spec"].get("syncWindows") or []
    )


def in_the_way(
    windows: Sequence[SyncWindow], name: str, clusters: Sequence[str], namespace: str, now: datetime
) -> tuple[SyncWindow, ...]:
    """The windows because of which Argo CD does not sync an Application by itself now; none where it does.

    A window that cannot be read is one of them: Argo CD then syncs nothing.

    Args:
        windows: Those of its AppProject.
        name: The Application's, without its namespace.
        clusters: The cluster that it is applied to, by its address and by its name, as far as it gives them.
        namespace: Where it is applied.
        now: The time.
    """
    ours = [window for window in windows if _is_of(window, name, clusters, namespace)]
    open_now: list[SyncWindow] = []
    for window in ours:
        try:
            if _is_open(window, now):
                open_now.append(window)
        except ValueError:
            return (window,)
    if denying := tuple(window for window in open_now if not window.allows):
        return denying
    return () if open_now else tuple(window for window in ours if window.allows)


def _is_of(window: SyncWindow, name: str, clusters: Sequence[str], namespace: str) -> bool:
    named = [
        any(fnmatchcase(value, pattern) for pattern in patterns for value in values)
        for patterns, values in (
            (window.applications, (name,)),
            (window.clusters, clusters),
            (window.namespaces, (namespace,)),
        )
        if patterns
    ]
    return bool(named) and (all(named) if window.all_must_match else any(named))


def _is_open(window: SyncWindow, now: datetime) -> bool:
    """Whether it is; raises ValueError where it cannot be read."""
    fields = window.schedule.split()
    if len(fields) != 5:
        raise ValueError(window.schedule)
    minutes, hours = _values(fields[0], 0, 59), _values(fields[1], 0, 23)
    days, months = _values(fields[2], 1, 31), _values(fields[3], 1, 12, _MONTHS, first=1)
    weekdays = _values(fields[4], 0, 6, _WEEKDAYS)
    # where one of the two says nothing, the other decides; else either does
    any_day = _is_star(fields[2]) or _is_star(fields[4])
    ends = _local(now, window.time_zone)
    begins = ends - timedelta(seconds=_duration(window.duration))
    midnight = ends.replace(hour=0, minute=0, second=0, microsecond=0)
    while midnight > begins - _DAY:
        named = midnight.day in days, (midnight.weekday() + 1) % 7 in weekdays
        if midnight.month in months and (all(named) if any_day else any(named)):
            opens = (midnight + timedelta(hours=hour, minutes=minute) for hour in hours for minute in minutes)
            if any(begins < each < ends for each in opens):
                return True
        midnight -= _DAY
    return False


def _local(now: datetime, time_zone: str) -> datetime:
    try:
        zone = ZoneInfo(time_zone) if time_zone else UTC
    except (ZoneInfoNotFoundError, ValueError):
        zone = UTC
    return now.astimezone(zone).replace(tzinfo=None)


def _duration(text: str) -> float:
    parts = _DURATION.findall(text)
    if not parts or "".join(map("".join, parts)) != text:
        raise ValueError(text)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


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
