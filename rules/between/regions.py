"""What must hold between regions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from rules.facts.region import Region, istio_minor
from rules.facts.versions import by_number
from rules.finding import Rule, Severity, Violation

_VERSIONS = "echo.versions."
_NAMED = 3


def _differ(regions: tuple[Region, ...]) -> Iterator[Violation]:
    settings = {region.name: _with_versions(region.settings) for region in regions if region.settings}
    limits = {region.name: region.limits.may_differ for region in regions}
    for path in sorted({path for each in settings.values() for path in each}, key=by_number):
        values = {name: _shown(each.get(path)) for name, each in settings.items() if _has_version(path, each)}
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


def _with_versions(settings: Mapping[str, object]) -> dict[str, object]:
    """The settings, and each version as one of its own, so that a missing version is one difference and no more."""
    return {**settings, **{path: "there" for setting in settings if (path := _version_path(setting))}}


def _version_path(setting: str) -> str | None:
    """The path of the version that a setting belongs to."""
    version = setting.removeprefix(_VERSIONS).split(".")[0]
    return f"{_VERSIONS}{version}" if setting.startswith(_VERSIONS) else None


def _has_version(path: str, settings: Mapping[str, object]) -> bool:
    """Whether a region without this setting lacks only the setting, and not the whole version."""
    version = _version_path(path)
    return version in (None, path) or version in settings


def _fits_any(path: str, patterns: Iterable[str]) -> bool:
    return any(_matches(path.split("."), pattern.split(".")) for pattern in patterns)


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path fits a pattern, in which `*` is any one key and `**` at its end is whatever follows."""
    if pattern and pattern[-1] == "**":
        return _matches(path[: len(pattern) - 1], pattern[:-1])
    return len(path) == len(pattern) and all(wanted in ("*", key) for key, wanted in zip(path, pattern, strict=True))


def _share_a_place(regions: tuple[Region, ...]) -> Iterator[Violation]:
    for what, keys in (
        ("cluster", ("cluster.context", "cluster.kubeconfig")),
        ("overlay", ("repository.path",)),
    ):
        places = defaultdict(list)
        for region in regions:
            if (place := tuple(region.settings.get(key) for key in keys))[0] is not None:
                places[place].append(region.name)
        for place, names in places.items():
            for name in names[1:]:
                yield Violation(f"$.{keys[0]}", f"{place[0]} is also the {what} of {names[0]}", region=name)


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
    ),
    Rule(
        id="own-place",
        holds="Each region has a cluster of its own, and an overlay of its own where a stack file names one.",
        reason="two stacks in one place undo each other, and what is changed in one region changes in both at once",
        mend="give the region its own; a stack file that was copied still names the other's",
        check=_share_a_place,
    ),
)
