from __future__ import annotations

import pytest

from rules.facts.region import Region
from rules.facts.workloads import ObjectId
from rules.finding import Severity
from tests.rules import altered, good

BUDGET = "PodDisruptionBudget echo/echo-v1"


def region(replicas: int = 3, **limits: int | str | None) -> Region:
    """A region whose v1 has so many pods and a budget with this limit."""
    found = good.region(wanted={"v1": good.Wanted(100, replicas)})
    return limited(found, **limits) if limits else found


def shared(replicas: int, **limits: int | str | None) -> Region:
    """Two versions with one budget for both."""
    found = good.region(wanted={"v1": good.Wanted(50, replicas), "v2": good.Wanted(50, replicas)})
    found = altered.without(found, "budgets", "echo-v2")
    return limited(altered.each(found, "budgets", selector={"app": "echo"}), **limits)


def limited(
    found: Region, *, max_unavailable: int | str | None = None, min_available: int | str | None = None
) -> Region:
    return altered.each(found, "budgets", max_unavailable=max_unavailable, min_available=min_available)


class TestOneBudget:
    def test_pods_without_one_are_refused(self) -> None:
        bad = altered.without(good.region(), "budgets", "echo-v2")

        assert altered.texts("one-budget-for-pods", bad) == [
            "Deployment echo/echo-v2: its pods have no PodDisruptionBudget"
        ]

    @pytest.mark.parametrize(
        "change", [{"selector": {"version": "v3"}}, {"id": ObjectId("PodDisruptionBudget", "elsewhere", "echo-v1")}]
    )
    def test_one_of_other_pods_does_not_count(self, change: dict[str, object]) -> None:
        assert altered.texts("one-budget-for-pods", altered.each(good.region(), "budgets", "echo-v1", **change)) == [
            "Deployment echo/echo-v1: its pods have no PodDisruptionBudget"
        ]

    def test_pods_with_two_are_refused(self) -> None:
        assert altered.texts("one-budget-for-pods", altered.twice(good.region(), "budgets", "echo-v1")) == [
            "Deployment echo/echo-v1: its pods have 2 budgets: "
            "PodDisruptionBudget echo/echo-v1, PodDisruptionBudget echo/echo-v1-again"
        ]

    def test_an_empty_selector_is_of_all_pods(self) -> None:
        bad = altered.each(good.region(), "budgets", "echo-v1", selector={})

        assert [each.where for each in altered.violations("one-budget-for-pods", bad)] == ["Deployment echo/echo-v2"]

    @pytest.mark.parametrize("idle", [good.Wanted(0), good.Wanted(10, replicas=0)])
    def test_a_version_without_requests_or_pods_needs_none(self, idle: good.Wanted) -> None:
        region = good.region(wanted={"v1": good.Wanted(100 - idle.weight), "v2": idle})

        assert altered.texts("one-budget-for-pods", altered.without(region, "budgets", "echo-v2")) == []

    def test_the_least_weight_needs_one(self) -> None:
        region = good.region(wanted=good.versions(v1=99, v2=1))

        assert altered.texts("one-budget-for-pods", altered.without(region, "budgets", "echo-v2"))

    def test_nothing_is_said_of_one_that_may_be_in_what_could_not_be_read(self) -> None:
        bad = altered.without(good.region(), "budgets", "echo-v2")

        assert altered.texts("one-budget-for-pods", altered.unread(bad, "PodDisruptionBudget")) == []


class TestDrain:
    @pytest.mark.parametrize(
        ("bad", "text"),
        [
            (region(min_available=3), "spec.minAvailable: 3 lets none of the 3 pods of echo-v1 go"),
            (region(max_unavailable=0), "spec.maxUnavailable: 0 lets none of the 3 pods of echo-v1 go"),
            (region(1, min_available=1), "spec.minAvailable: 1 lets none of the 1 pod of echo-v1 go"),
            # 2.01 pods are rounded up to all three
            (region(min_available="67%"), "spec.minAvailable: 67% lets none of the 3 pods of echo-v1 go"),
            (region(max_unavailable="0%"), "spec.maxUnavailable: 0% lets none of the 3 pods of echo-v1 go"),
            (region(min_available=None), "spec.minAvailable: no limit lets none of the 3 pods of echo-v1 go"),
            (shared(1, min_available=2), "spec.minAvailable: 2 lets none of the 2 pods of echo-v1 and echo-v2 go"),
        ],
    )
    def test_a_budget_that_lets_none_go_is_refused(self, bad: Region, text: str) -> None:
        assert altered.texts("budget-allows-drain", bad) == [f"{BUDGET}: {text}"]

    @pytest.mark.parametrize(
        "safe",
        [
            region(min_available=2),
            region(min_available="66%"),
            region(1),
            region(max_unavailable="1%"),
        ],
    )
    def test_one_that_lets_one_go_is_fine(self, safe: Region) -> None:
        assert altered.texts("budget-allows-drain", safe) == []


class TestProtection:
    @pytest.mark.parametrize(
        ("bad", "text"),
        [
            (
                region(max_unavailable=3),
                "spec.maxUnavailable: 3 lets 3 of the 3 pods of echo-v1 go at a time, all of echo-v1",
            ),
            (
                region(min_available=0),
                "spec.minAvailable: 0 lets 3 of the 3 pods of echo-v1 go at a time, all of echo-v1",
            ),
            # 1.02 pods are rounded up to both
            (
                region(2, max_unavailable="51%"),
                "spec.maxUnavailable: 51% lets 2 of the 2 pods of echo-v1 go at a time, all of echo-v1",
            ),
        ],
    )
    def test_a_budget_that_lets_all_go_is_refused(self, bad: Region, text: str) -> None:
        assert altered.texts("budget-protects", bad) == [f"{BUDGET}: {text}"]

    def test_one_for_several_versions_must_not_let_all_of_one_go(self) -> None:
        assert len(altered.texts("budget-protects", shared(2, max_unavailable=2))) == 2

    def test_one_pod_cannot_be_protected_which_is_a_warning(self) -> None:
        (found,) = altered.violations("budget-protects", region(1))

        assert (found.where, found.what) == ("Deployment echo/echo-v1: spec.replicas", "no budget can protect one pod")
        assert found.severity is Severity.WARNING

    @pytest.mark.parametrize("safe", [region(max_unavailable=2), region(min_available=1), shared(3, max_unavailable=2)])
    def test_one_that_keeps_one_is_fine(self, safe: Region) -> None:
        assert altered.texts("budget-protects", safe) == []


class TestUpdate:
    STRATEGY = "Deployment echo/echo-v1: spec.strategy"

    @pytest.mark.parametrize(
        ("replicas", "unavailable", "missing", "severity"),
        [
            (3, 1, 1, None),
            (4, "25%", 1, None),
            (3, 3, 3, Severity.REFUSED),
            (3, 5, 3, Severity.REFUSED),
            (3, "100%", 3, Severity.REFUSED),
        ],
    )
    def test_pods_that_may_be_missing_are_told(
        self, replicas: int, unavailable: int | str, missing: int, severity: Severity | None
    ) -> None:
        (found,) = altered.violations(
            "update-keeps-pods", altered.each(region(replicas), "deployments", unavailable=unavailable)
        )

        assert found.where == self.STRATEGY
        assert found.what == f"{missing} of its {replicas} pods may be missing during an update ({unavailable})"
        assert found.severity is severity

    def test_a_percent_is_rounded_down(self) -> None:
        assert altered.texts("update-keeps-pods", altered.each(region(3), "deployments", unavailable="25%")) == []

    def test_a_version_without_requests_may_lose_them(self) -> None:
        idle = good.region(wanted=good.versions(v1=100, v2=0))

        assert altered.texts("update-keeps-pods", altered.each(idle, "deployments", "echo-v2", unavailable=1)) == []
