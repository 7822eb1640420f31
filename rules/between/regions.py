"""What must hold between regions."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from rules.facts.region import Region, istio_minor
from rules.facts.versions import by_number
from rules.finding import Rule, Severity, Violation

_NAMED_PART = re.compile(r"services\.[^.]+(\.versions\.[^.]+)?")
"""What has a name of its own in a stack file: a service, and a version of one."""
_NAMED = 3


def _differ(regions: tuple[Region, ...]) -> Iterator[Violation]:
    settings: dict[str, dict[str, object]] = {}
    for region in regions:
        if region.settings:
            settings.setdefault(region.name, {}).update(_with_parts(region.settings))
    limits = {region.name: region.limits.may_differ for region in regions}
    for path in sorted({path for each in settings.values() for path in each}, key=by_number):
        values = {name: _shown(each.get(path)) for name, each in settings.items() if _has_part(path, each)}
        if len(set(values.values())) > 1 and not (path == "istio.version" and _is_upgrade(settings.values())):
            yield from _deviations(path, values, limits)


def _is_upgrade(settings: Collection[Mapping[str, object]]) -> bool:
    """Whether Istio is at most one minor version apart, as it is while one region after the other gets a new one."""
    found = sorted(minor for each in settings if (minor := istio_minor(each)))
    return len(found) == len(settings) and found[0][0] == found[-1][0] and found[-1][1] - found[0][1] <= 1


def _deviations(path: str, values: Mapping[str, str], may_differ: Mapping[str, Sequence[str]]) -> Iterator[Violation]:
    """One violation for each value that is not most regions' and that not all who have it may have."""
    usual = Counter(values.values()).most_common(1)[0][0]
    regions = defaultdict(list)
    for name, value in values.items():
        regions[value].append(name)
    if _fits_any(path, may_differ[regions[usual][0]]):
        return
    for value, names in regions.items():
        refused = [name for name in names if not _fits_any(path, may_differ[name])]
        if value != usual and refused:
            also = f" and in {listed(refused[1:])}" if refused[1:] else ""
            yield Violation(f"$.{path}", f"{value} here{also}, {usual} in {listed(regions[usual])}", region=refused[0])


def _with_parts(settings: Mapping[str, object]) -> dict[str, object]:
    """The settings, and each service and version as one of its own, so that one that is missing is one difference and no more."""
    return {**settings, **{part: "there" for setting in settings for part in _parts(setting)}}


def _parts(setting: str) -> list[str]:
    """The paths of the service, and of the version, that a setting belongs to."""
    found = _NAMED_PART.match(setting)
    return [] if found is None else [found[0].removesuffix(found[1] or ""), *([found[0]] if found[1] else [])]


def _has_part(path: str, settings: Mapping[str, object]) -> bool:
    """Whether a region without this setting lacks only the setting, and not the whole service or version."""
    return all(part in settings for part in _parts(path) if part != path)


def _fits_any(path: str, patterns: Iterable[str]) -> bool:
    return any(_matches(path.split("."), pattern.split(".")) for pattern in patterns)


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path fits a pattern, in which `*` is any one key and `**` at its end is whatever follows."""
    if pattern and pattern[-1] == "**":
        return _matches(path[: len(pattern) - 1], pattern[:-1])
    return len(path) == len(pattern) and all(wanted in ("*", key) for key, wanted in zip(path, pattern, strict=True))


def _share_a_place(regions: tuple[Region, ...]) -> Iterator[Violation]:
    clusters: dict[tuple[object, ...], str] = {}
    for name, settings in {region.name: region.settings for region in regions}.items():
        context = settings.get("cluster.context")
        cluster = context, settings.get("cluster.kubeconfig")
        if context is not None and (other := clusters.setdefault(cluster, name)) != name:
            yield Violation("$.cluster.context", f"{context} is also the cluster of {other}", region=name)
    overlays: dict[object, str] = {}
    for region in regions:
        path, mine = f"services.{region.service}.path", f"{region.service} in {region.name}"
        if (place := region.settings.get(path)) is not None and (other := overlays.setdefault(place, mine)) != mine:
            yield Violation(f"$.{path}", f"{place} is also the overlay of {other}", region=region.name)


def listed(names: Sequence[str]) -> str:
    """Names in a line: all of a few, of many the first and how many more."""
    if len(names) <= _NAMED:
        return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"{', '.join(names[: _NAMED - 1])} and {len(names) - _NAMED + 1} more"


def _shown(value: object) -> str:
    return "not set" if value is None else str(value)


BETWEEN_REGIONS: tuple[Rule[tuple[Region, ...]], ...] = (
    Rule(
        id="differ-only-where-allowed",
        holds="Regions differ only in the settings that rules.mayDiffer names, in either of them.",
        reason="what one region shows then says nothing about the other, and who moves there meets another service",
        mend="make them equal, or name the setting in rules.mayDiffer",
        severity=Severity.WARNING,
        check=_differ,
        of_service=False,
    ),
    Rule(
        id="own-place",
        holds="Each region has a cluster of its own, and each service there an overlay of its own.",
        reason="two stacks in one place undo each other, and what is changed in one region changes in both at once",
        mend="give the region its own; a stack file that was copied still names the other's",
        check=_share_a_place,
        of_service=False,
    ),
)
