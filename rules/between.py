"""What must hold between regions, and of changes to several of them at once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rules.finding import Rule, Severity, Violation
from rules.region import Change, Region
from rules.transition import Transition, acknowledged, delivered
from rules.versions import by_number

_STARTS = "starts-in-one-region"
_PLATFORM = ("istio.", "mesh.", "argocd.")
_VERSIONS = "echo.versions."
_NAMED = 3


def _starts_together(changes: tuple[Change, ...]) -> Iterator[Violation]:
    for version, starting in _starting(_transitions(changes)).items():
        if len(starting) < 2 or all(each.before.limits.introduce_together for each in starting):
            continue
        first, *others = starting
        waiting = _first_without_waiver(others)
        names = [first.name, *(each.name for each in others if each is not waiting)]
        yield Violation(
            waiting.name,
            f"version {version}",
            f"starts here in the change that starts it in {_listed(names)}",
            steps=_one_after_the_other(starting, f"the change of {version}"),
        )


def _raised_together(changes: tuple[Change, ...]) -> Iterator[Violation]:
    transitions = _transitions(changes)
    told = {version for version, starting in _starting(transitions).items() if len(starting) > 1}
    moving = [(each, moves) for each in transitions if (moves := _moves(each, told))]
    if len(moving) > 1:
        texts = [f"{each.name} ({', '.join(moves)})" for each, moves in moving]
        yield Violation(
            moving[1][0].name,
            "weights",
            f"more requests go to canaries in {_listed(texts)} at once",
            steps=_one_after_the_other([each for each, _ in moving], "the change"),
        )


def _moves(transition: Transition, told: set[str]) -> list[str]:
    """What a change does that may hurt the region's requests; without the versions of which another rule has told."""
    rises = [str(rise) for rise in transition.rises if rise.version not in told]
    return rises + [f"{name} by a new image" for name in transition.moved_images]


def _platform_together(changes: tuple[Change, ...]) -> Iterator[Violation]:
    touched = [(each, settings) for each in _transitions(changes) if (settings := _platform_changes(each))]
    if len(touched) > 1:
        settings = sorted({f"$.{setting}" for _, changed in touched for setting in changed})
        yield Violation(
            touched[1][0].name,
            _listed(settings),
            f"changes in {_listed([each.name for each, _ in touched])} at once",
            steps=_one_after_the_other([each for each, _ in touched], "the change"),
        )


def _platform_changes(transition: Transition) -> list[str]:
    before, after = transition.before.settings, transition.after.settings
    if not before or not after:
        return []
    return [
        setting
        for setting in before.keys() | after.keys()
        if setting.startswith(_PLATFORM) and before.get(setting) != after.get(setting)
    ]


def _differ(regions: tuple[Region, ...]) -> Iterator[Violation]:
    settings = {region.name: _with_versions(region.settings) for region in regions if region.settings}
    limits = {region.name: region.limits.may_differ for region in regions}
    for path in sorted({path for each in settings.values() for path in each}, key=by_number):
        values = {name: _shown(each.get(path)) for name, each in settings.items() if _has_version(path, each)}
        if len(set(values.values())) > 1:
            yield from _deviations(path, values, limits)


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
            also = f" and in {_listed(refused[1:])}" if refused[1:] else ""
            yield Violation(refused[0], f"$.{path}", f"{value} here{also}, {usual} in {_listed(regions[usual])}")


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
                yield Violation(name, f"$.{keys[0]}", f"{place[0]} is also the {what} of {names[0]}")


def _transitions(changes: Iterable[Change]) -> list[Transition]:
    return [transition for change in changes if (transition := Transition.of(change))]


def _starting(transitions: Iterable[Transition]) -> dict[str, list[Transition]]:
    """Where each version starts that does so anywhere."""
    starting = defaultdict(list)
    for transition in transitions:
        for version in transition.starts:
            starting[version].append(transition)
    return starting


def _first_without_waiver(transitions: Sequence[Transition]) -> Transition:
    """Whom to name for all: one waiver must not speak for the others."""
    return next((each for each in transitions if _STARTS not in each.before.limits.waived), transitions[0])


def _one_after_the_other(transitions: Sequence[Transition], what: str) -> tuple[str, ...]:
    first, second = transitions[0], transitions[1]
    return (
        f"make {what} in {first.name} alone; {delivered(first.after)}",
        acknowledged(first.after),
        f"then make those in {second.name}" + (", then the next region's" if len(transitions) > 2 else ""),
    )


def _listed(names: Sequence[str]) -> str:
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
        fact="docs/rules.md#differ-only-where-allowed",
        severity=Severity.WARNING,
        check=_differ,
    ),
    Rule(
        id="own-place",
        holds="Each region has a cluster of its own, and an overlay of its own where a stack file names one.",
        reason="two stacks in one place undo each other, and what is changed in one region changes in both at once",
        mend="give the region its own; a stack file that was copied still names the other's",
        fact="docs/rules.md#own-place",
        severity=Severity.REFUSED,
        check=_share_a_place,
    ),
)

BETWEEN_CHANGES: tuple[Rule[tuple[Change, ...]], ...] = (
    Rule(
        id=_STARTS,
        holds="A new version comes, and gets its first requests, in one region at a time, or all of them set rules.introduceTogether.",
        reason="a fault that only real requests show would be in every region before it is seen in one",
        mend="start it in one region, measure, then in the next",
        fact="https://sre.google/workbook/canarying-releases/",
        severity=Severity.REFUSED,
        check=_starts_together,
    ),
    Rule(
        id="raised-in-one-region",
        holds="More requests go to a canary, or to a new image, in one region at a time.",
        reason="no region is left as it was, to compare with and to go to",
        mend="change one region, measure, then the next",
        fact="https://sre.google/workbook/canarying-releases/",
        severity=Severity.WARNING,
        check=_raised_together,
    ),
    Rule(
        id="platform-in-one-region",
        holds="Istio, the mesh and Argo CD change in one region at a time.",
        reason="a fault of the platform takes every version of a region with it, and would take every region",
        mend="change one region, run pulumi up and rollout verify there, then the next",
        fact="docs/rules.md#platform-in-one-region",
        severity=Severity.WARNING,
        check=_platform_together,
    ),
)
