"""When an AppProject lets Argo CD sync by itself: its sync windows, read and judged as Argo CD does.

Nothing in an Application's status says that a window holds it back, so they are judged here
(`Matches` and `CanSync` in Argo CD's pkg/apis/application/v1alpha1/types.go).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from rules.facts.windows import RecurringWindow


@dataclass(frozen=True)
class SyncWindow:
    """A time in which Argo CD may sync, or may not.

    Attributes:
        allows: Whether it is of kind `allow`. Where there is one that is not open, nothing is synced.
        window: When it is open, and what somebody wrote to it.
        applications: Patterns of the names that it is of.
        clusters: Patterns of the clusters' addresses or names that it is of.
        namespaces: Patterns of the namespaces that it is of.
        all_must_match: Whether it is only of what all three name; else one suffices.
    """

    allows: bool
    window: RecurringWindow
    applications: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    all_must_match: bool = False

    def __str__(self) -> str:
        return f"{'allow' if self.allows else 'deny'} window {self.window}"


def parse_windows(project: Mapping[str, Any]) -> tuple[SyncWindow, ...]:
    """The windows of an AppProject from the API server's answer."""
    return tuple(
        SyncWindow(
            allows=each.get("kind") == "allow",
            window=RecurringWindow(
                each.get("schedule", ""),
                each.get("duration", ""),
                each.get("timeZone", ""),
                each.get("description", ""),
            ),
            applications=tuple(each.get("applications") or ()),
            clusters=tuple(each.get("clusters") or ()),
            namespaces=tuple(each.get("namespaces") or ()),
            all_must_match=each.get("andOperator", False),
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
            if window.window.closes(now):
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
