from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rules.change.freeze import FREEZE
from rules.facts.region import Change, Limits, Region
from rules.facts.windows import RecurringWindow
from rules.finding import Violation
from tests.rules.edits import with_settings
from tests.rules.good import Wanted, region, versions

SERVICE, PLATFORM = (rule.id for rule in FREEZE)
BY_ID = {rule.id: rule for rule in FREEZE}
WINDOWS = (
    RecurringWindow("0 3 * * 1", "1h", reason="backups"),
    RecurringWindow("0 18 * * 5", "62h", reason="nobody is at work"),
)
OPEN = datetime(2026, 11, 29, 12, tzinfo=UTC)
CLOSED = datetime(2026, 11, 30, 8, tzinfo=UTC)
FROZEN = region(limits=Limits(freeze=WINDOWS))
MORE = versions(v1=75, v2=25)


def told(rule_id: str, before: Region | None, after: Region | None, at: datetime | None = OPEN) -> list[Violation]:
    return list(BY_ID[rule_id].check(Change(before, after, at=at)))


def test_says_until_when_and_why() -> None:
    (found,) = told(SERVICE, FROZEN, region(wanted=MORE))

    assert found == Violation("$.rules.freeze[1]", "frozen until 2026-11-30 08:00 UTC: nobody is at work")


@pytest.mark.parametrize("at", [CLOSED, None])
def test_is_silent_while_no_window_is_open(at: datetime | None) -> None:
    assert not told(SERVICE, FROZEN, region(wanted=MORE), at)
    assert not told(PLATFORM, FROZEN, with_settings(region(), istio__version="1.32.0"), at)


def test_goes_by_the_windows_before_the_change() -> None:
    assert told(SERVICE, FROZEN, region(wanted=MORE, limits=Limits()))
    assert not told(SERVICE, region(), region(wanted=MORE, limits=FROZEN.limits))


@pytest.mark.parametrize(
    "after",
    [
        region(wanted={**versions(v1=90, v2=10), "v3": Wanted(0)}),
        region(wanted={"v1": Wanted(100)}),
        region(wanted={"v1": Wanted(90), "v2": Wanted(10, replicas=5)}),
        None,
    ],
    ids=["a version comes", "a version goes", "more pods", "the service goes"],
)
def test_notices_whatever_else_changes(after: Region | None) -> None:
    assert told(SERVICE, FROZEN, after)


def test_is_silent_where_nothing_changes() -> None:
    assert not told(SERVICE, FROZEN, FROZEN)
    assert not told(SERVICE, None, FROZEN)
    assert not told(PLATFORM, FROZEN, None)


@pytest.mark.parametrize("wanted", [versions(v1=100, v2=0), versions(v1=95, v2=5)])
def test_lets_requests_return_to_the_stable_version(wanted: dict[str, Wanted]) -> None:
    assert not told(SERVICE, FROZEN, region(wanted=wanted))


def test_lets_requests_return_to_a_version_that_had_all_of_them() -> None:
    v1 = frozenset({"registry.corp.local/echo:1.0.0"})
    before = region(wanted=versions(v1=50, v2=50), limits=Limits(freeze=WINDOWS, stable="v2"))
    change = Change(before, region(wanted=versions(v1=100, v2=0)), at=OPEN)

    assert list(BY_ID[SERVICE].check(change))
    assert not list(BY_ID[SERVICE].check(replace(change, proven={"v1": v1})))


@pytest.mark.parametrize("setting", ["istio.version", "gateway.replicas", "probe.image"])
def test_notices_what_is_of_no_service(setting: str) -> None:
    before = with_settings(FROZEN, **{"istio__version": "1.31.1"})
    after = replace(before, settings={**before.settings, setting: "other"})

    assert told(PLATFORM, before, after)


@pytest.mark.parametrize("setting", ["rules.largestIncrease", "services.echo.stable"])
def test_leaves_limits_and_services_to_others(setting: str) -> None:
    before = with_settings(FROZEN, **{"istio__version": "1.31.1"})
    after = replace(before, settings={**before.settings, setting: "other"})

    assert not told(PLATFORM, before, after)
    assert not told(PLATFORM, before, replace(before, settings={})), "they are not known"
