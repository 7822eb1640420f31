from __future__ import annotations

import pytest

from rules.facts.region import Limits, Region
from rules.facts.workloads import VirtualService
from rules.region.capacity import capacity_percent, stable_version
from tests.rules import altered, good


def region(stable: int = 3, canary: int = 3, *, weight: int = 10, limits: Limits | None = None) -> Region:
    wanted = {"v1": good.Wanted(100 - weight, stable), "v2": good.Wanted(weight, canary)}
    return good.region(wanted=wanted, limits=limits or Limits())


class TestCapacity:
    @pytest.mark.parametrize(("replicas", "percent"), [(0, 0), (1, 33), (2, 66), (3, 100), (4, 100)])
    def test_is_counted_against_the_largest_version_and_rounded_down(self, replicas: int, percent: int) -> None:
        assert capacity_percent(region(3, replicas, weight=0), "v2") == percent

    def test_is_counted_against_what_the_stack_file_says(self) -> None:
        assert capacity_percent(region(limits=Limits(pods_for_all_traffic=6)), "v1") == 50

    def test_of_an_unknown_version_is_none(self) -> None:
        assert capacity_percent(region(), "v3") == 0

    def test_is_none_where_there_are_no_pods(self) -> None:
        assert capacity_percent(region(0, 0), "v1") == 0


class TestStable:
    def test_is_the_oldest_version_with_requests(self) -> None:
        assert stable_version(good.region(wanted=good.versions(v2=50, v10=50, v1=0))) == "v2"

    def test_is_the_one_that_the_stack_file_names(self) -> None:
        assert stable_version(region(limits=Limits(stable="v2"))) == "v2"

    def test_is_nothing_without_requests(self) -> None:
        nobody: tuple[VirtualService, ...] = ()

        assert stable_version(altered.workloads(region(), virtual_services=nobody)) is None


class TestRollbackCapacity:
    @pytest.mark.parametrize(
        ("bad", "text"),
        [
            (
                region(2, 3),
                "Deployment echo/echo-v1: spec.replicas: v1 has capacity for 66 % (2 of 3 pods) while v2 has 10 % of the requests",
            ),
            (
                region(limits=Limits(pods_for_all_traffic=4)),
                "Deployment echo/echo-v1: spec.replicas: v1 has capacity for 75 % (3 of 4 pods) while v2 has 10 % of the requests",
            ),
            (
                region(3, 2, limits=Limits(stable="v2")),
                "Deployment echo/echo-v2: spec.replicas: v2 has capacity for 66 % (2 of 3 pods) while v1 has 90 % of the requests",
            ),
            (
                region(limits=Limits(stable="v0")),
                "$.services.echo.stable: v0 has capacity for 0 % (0 of 3 pods) while v1 has 90 % and v2 has 10 % of the requests",
            ),
        ],
    )
    def test_too_small_a_stable_version_is_refused(self, bad: Region, text: str) -> None:
        assert altered.texts("rollback-capacity", bad) == [text]

    @pytest.mark.parametrize("safe", [region(3, 1), region(2, 3, weight=0), region(0, 3, weight=100), region(4, 3)])
    def test_a_stable_version_that_can_take_all_or_has_all_is_enough(self, safe: Region) -> None:
        assert altered.texts("rollback-capacity", safe) == []

    def test_nothing_is_said_of_pods_that_may_be_in_what_could_not_be_read(self) -> None:
        bad = altered.without(region(), "deployments", "echo-v1")

        assert altered.texts("rollback-capacity", bad)
        assert altered.texts("rollback-capacity", altered.unread(bad, "Deployment")) == []


class TestVersionCapacity:
    def test_more_requests_than_pods_are_told_with_the_numbers(self) -> None:
        assert altered.texts("version-capacity", region(3, 1, weight=50)) == [
            "Deployment echo/echo-v2: spec.replicas: v2 has capacity for 33 % (1 of 3 pods) and gets 50 % of the requests"
        ]

    def test_as_many_requests_as_pods_are_fine(self) -> None:
        assert altered.texts("version-capacity", region(2, 1, weight=50)) == []

    def test_a_version_without_pods_is_another_rules_affair(self) -> None:
        assert altered.texts("version-capacity", region(3, 0)) == []
