from __future__ import annotations

from dataclasses import replace

import pytest

from rules.facts.region import Region
from rules.facts.workloads import Destination
from rules.finding import Severity
from tests.rules import altered, good
from tests.rules.edits import with_testers

ROUTE = "VirtualService echo/echo: spec.http[0].route"
HOST = good.HOST


def weights(*values: int) -> Region:
    names = [f"v{number}" for number in range(1, len(values) + 1)]
    return good.region(wanted=good.versions(**dict(zip(names, values, strict=True))))


def asked_for(weight: int, replicas: int = 3) -> Region:
    """A region whose testers may ask for v2."""
    wanted = {"v1": good.Wanted(100 - weight), "v2": good.Wanted(weight, replicas, testers=True)}
    return good.region(wanted=wanted)


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

    def test_routes_for_testers_come_before_it(self) -> None:
        good = asked_for(0)

        assert altered.texts("one-split-for-all-requests", good) == []
        assert altered.texts("one-split-for-all-requests", with_testers(good, lambda it: replace(it, position=1))) == [
            "VirtualService echo/echo: spec.http[1]: the route before it takes every request"
        ]

    def test_the_split_has_its_place_after_those_of_testers(self) -> None:
        bad = altered.destination(asked_for(0), 0, weight=99)

        assert altered.texts("weights-sum-100", bad) == [
            "VirtualService echo/echo: spec.http[1].route: the weights 99 + 0 make 99, not 100"
        ]


class TestHeaders:
    ID = "header-names-its-version"

    @pytest.mark.parametrize("good", [good.region(), good.region(gateway=good.GATEWAY), asked_for(0), asked_for(10)])
    def test_that_are_rendered_are_fine(self, good: Region) -> None:
        assert altered.texts(self.ID, good) == []

    def test_without_them_nothing_is_wrong(self) -> None:
        assert altered.texts(self.ID, altered.destination(good.region(), 0, answers=())) == []

    def test_an_answer_that_names_another_version_is_refused(self) -> None:
        bad = altered.destination(good.region(), 1, answers=(("x-rollout-version", "v1"),))

        assert altered.texts(self.ID, bad) == [
            f"{ROUTE}[1].headers.response.set.x-rollout-version: v1 is not the subset, v2"
        ]

    def test_an_answer_to_testers_that_names_another_version_is_refused(self) -> None:
        bad = with_testers(
            asked_for(0), lambda it: replace(it, destination=replace(it.destination, answers=(("x-version", "v1"),)))
        )

        assert altered.texts(self.ID, bad) == [f"{ROUTE}[0].headers.response.set.x-version: v1 is not the subset, v2"]

    def test_testers_who_get_another_version_than_they_ask_for_are_refused(self) -> None:
        bad = with_testers(asked_for(0), lambda it: replace(it, value="v1"))

        assert altered.texts(self.ID, bad) == [
            f"VirtualService echo/echo: spec.http[0].match[0].headers.{good.HEADER}: v1 leads to v2"
        ]


class TestGateways:
    ID = "split-holds-in-mesh"

    def test_without_the_mesh_are_refused(self) -> None:
        bad = altered.each(good.region(), "virtual_services", gateways=(good.GATEWAY,))

        assert altered.texts(self.ID, bad) == [f"VirtualService echo/echo: spec.gateways: {good.GATEWAY} without mesh"]

    @pytest.mark.parametrize("gateways", [(), ("mesh",), ("mesh", good.GATEWAY)])
    def test_with_the_mesh_or_left_out_are_fine(self, gateways: tuple[str, ...]) -> None:
        service = replace(good.region().workloads.virtual_services[0], gateways=gateways)

        assert altered.texts(self.ID, altered.workloads(good.region(), virtual_services=(service,))) == []


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

    def test_a_version_without_requests_needs_none(self) -> None:
        assert (
            altered.texts(
                "weighted-version-has-pods", altered.each(weights(100, 0), "deployments", "echo-v2", replicas=0)
            )
            == []
        )

    def test_testers_of_a_version_that_rests_are_a_warning(self) -> None:
        (found,) = altered.violations("weighted-version-has-pods", asked_for(0, replicas=0))

        assert (found.where, found.what, found.severity) == (
            f"{ROUTE}[0]",
            "testers' requests go to v2: its Deployment echo-v2 has 0 replicas",
            Severity.WARNING,
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

    def test_a_host_without_a_destination_rule_has_no_subset(self) -> None:
        bad = altered.without(good.region(), "destination_rules", "echo")

        assert altered.texts("routed-subset-exists", bad) == [
            f"{ROUTE}[0].destination.subset: v1 is not among the subsets of {HOST}: it has none",
            f"{ROUTE}[1].destination.subset: v2 is not among the subsets of {HOST}: it has none",
        ]

    def test_testers_need_theirs_too(self) -> None:
        bad = altered.subset(asked_for(0), 1, name="v3")

        assert [each.severity for each in altered.violations("routed-subset-exists", bad)] == [Severity.WARNING, None]

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
