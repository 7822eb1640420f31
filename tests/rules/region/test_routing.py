from __future__ import annotations

import pytest

from rules.facts.region import Region
from rules.facts.workloads import Destination
from rules.finding import Severity
from tests.rules import altered, good

ROUTE = "VirtualService echo/echo: spec.http[0].route"
HOST = good.HOST


def weights(*values: int) -> Region:
    names = [f"v{number}" for number in range(1, len(values) + 1)]
    return good.region(wanted=good.versions(**dict(zip(names, values, strict=True))))


class TestWeights:
    @pytest.mark.parametrize(
        ("bad", "texts"),
        [
            (weights(90, 20), [f"{ROUTE}: the weights 90 + 20 make 110, not 100"]),
            (weights(90, 0, 9), [f"{ROUTE}: the weights 90 + 0 + 9 make 99, not 100"]),
            (weights(50), [f"{ROUTE}: the weights 50 make 50, not 100"]),
            (
                weights(110, -10),
                [f"{ROUTE}[0].weight: 110 is not in 0..100", f"{ROUTE}[1].weight: -10 is not in 0..100"],
            ),
        ],
    )
    def test_that_are_no_split_are_refused(self, bad: Region, texts: list[str]) -> None:
        assert altered.texts("weights-sum-100", bad) == texts

    @pytest.mark.parametrize("safe", [weights(100), weights(100, 0), weights(33, 33, 34)])
    def test_that_make_100_are_fine(self, safe: Region) -> None:
        assert altered.texts("weights-sum-100", safe) == []


class TestOneSplit:
    def test_a_second_route_is_never_reached(self) -> None:
        (route,) = good.region().workloads.virtual_services[0].routes

        assert altered.texts("one-split-for-all-requests", altered.routes(good.region(), route, route)) == [
            "VirtualService echo/echo: spec.http[1]: the route before it takes every request"
        ]

    def test_no_route_is_refused(self) -> None:
        assert altered.texts("one-split-for-all-requests", altered.routes(good.region())) == [
            "VirtualService echo/echo: spec.http: there is no route"
        ]

    def test_a_route_to_nowhere_is_refused(self) -> None:
        assert altered.texts("one-split-for-all-requests", altered.routes(good.region(), ())) == [
            f"{ROUTE}: there is no destination"
        ]


class TestPodsOfWeightedVersions:
    def test_no_replicas_are_refused(self) -> None:
        bad = altered.each(good.region(), "deployments", "echo-v2", replicas=0)

        assert altered.texts("weighted-version-has-pods", bad) == [
            f"{ROUTE}[1].weight: 10 % of the requests go to v2: its Deployment echo-v2 has 0 replicas"
        ]

    def test_no_deployment_is_refused(self) -> None:
        bad = altered.without(good.region(), "deployments", "echo-v2")

        assert altered.texts("weighted-version-has-pods", bad) == [
            f"{ROUTE}[1].weight: 10 % of the requests go to v2: no Deployment is of this version"
        ]

    def test_a_subset_of_nobodys_pods_is_refused(self) -> None:
        assert altered.texts("weighted-version-has-pods", altered.subset(good.region(), 1, labels={"version": "v3"}))

    def test_a_version_without_requests_needs_none(self) -> None:
        assert (
            altered.texts(
                "weighted-version-has-pods", altered.each(weights(100, 0), "deployments", "echo-v2", replicas=0)
            )
            == []
        )

    def test_nothing_is_said_of_pods_that_may_be_in_what_could_not_be_read(self) -> None:
        bad = altered.without(good.region(), "deployments", "echo-v2")

        assert altered.texts("weighted-version-has-pods", altered.unread(bad, "Deployment")) == []


class TestRoutedSubsets:
    def test_a_subset_that_is_gone_is_refused(self) -> None:
        subsets = good.region().workloads.destination_rules[0].subsets[:1]

        (found,) = altered.violations(
            "routed-subset-exists", altered.each(good.region(), "destination_rules", subsets=subsets)
        )

        assert (found.where, found.what) == (
            f"{ROUTE}[1].destination.subset",
            f"v2 is not among the subsets of {HOST}: v1",
        )
        assert found.severity is None

    def test_a_route_to_a_subset_that_never_was_is_refused(self) -> None:
        assert altered.violations("routed-subset-exists", altered.destination(good.region(), 1, subset="v3"))

    def test_a_host_without_a_destination_rule_has_no_subset(self) -> None:
        bad = altered.without(good.region(), "destination_rules", "echo")

        assert altered.texts("routed-subset-exists", bad) == [
            f"{ROUTE}[0].destination.subset: v1 is not among the subsets of {HOST}: it has none",
            f"{ROUTE}[1].destination.subset: v2 is not among the subsets of {HOST}: it has none",
        ]

    def test_subsets_of_another_host_do_not_count(self) -> None:
        assert altered.violations(
            "routed-subset-exists",
            altered.each(good.region(), "destination_rules", host="other.echo.svc.cluster.local"),
        )

    def test_without_weight_it_is_a_warning(self) -> None:
        (found,) = altered.violations("routed-subset-exists", altered.destination(weights(100, 0), 1, subset="v3"))

        assert found.severity is Severity.WARNING

    def test_a_destination_without_a_subset_is_refused(self) -> None:
        assert altered.texts("routed-subset-exists", altered.destination(good.region(), 0, subset=None)) == [
            f"{ROUTE}[0].destination: without a subset its 90 % go to the pods of all versions"
        ]

    def test_a_destination_without_a_subset_of_a_host_that_has_none_is_fine(self) -> None:
        plain = altered.routes(good.region(), (Destination(HOST, None, 80, 100),))

        assert altered.texts("routed-subset-exists", altered.each(plain, "destination_rules", subsets=())) == []

    def test_nothing_is_said_of_subsets_that_may_be_in_what_could_not_be_read(self) -> None:
        bad = altered.without(good.region(), "destination_rules", "echo")

        assert altered.texts("routed-subset-exists", altered.unread(bad, "DestinationRule")) == []


class TestOneRuleAndRoutes:
    @pytest.mark.parametrize(
        ("field", "kind"), [("destination_rules", "DestinationRule"), ("virtual_services", "VirtualService")]
    )
    def test_two_for_a_host_are_refused(self, field: str, kind: str) -> None:
        assert altered.texts("one-rule-and-routes-for-host", altered.twice(good.region(), field, "echo")) == [
            f"{kind} echo/echo-again: it is for the host of Service echo/echo as {kind} echo/echo is, and nobody says which holds"
        ]

    @pytest.mark.parametrize(
        ("field", "kind"), [("destination_rules", "DestinationRule"), ("virtual_services", "VirtualService")]
    )
    def test_none_for_a_host_is_refused_unless_it_could_not_be_read(self, field: str, kind: str) -> None:
        bad = altered.without(good.region(), field, "echo")

        assert altered.texts("one-rule-and-routes-for-host", bad) == [
            f"Service echo/echo: there is no {kind} for its host"
        ]
        assert altered.texts("one-rule-and-routes-for-host", altered.unread(bad, kind)) == []

    def test_a_short_name_is_the_same_host(self) -> None:
        second = altered.twice(good.region(), "virtual_services", "echo")

        assert altered.texts(
            "one-rule-and-routes-for-host", altered.each(second, "virtual_services", "echo-again", hosts=("echo",))
        )
