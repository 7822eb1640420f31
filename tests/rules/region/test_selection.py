from __future__ import annotations

import pytest

from rules.facts.region import Region
from rules.facts.workloads import ObjectId
from tests.rules import altered, good

SUBSET = "DestinationRule echo/echo: spec.subsets[1]"


class TestSubsets:
    @pytest.mark.parametrize(
        ("bad", "text"),
        [
            (
                altered.subset(good.region(), 1, labels={"version": "v3"}),
                f"{SUBSET}.labels: version=v3 are on the pods of no Deployment behind the host",
            ),
            (
                altered.subset(good.region(), 1, labels={"version": "v1"}),
                f"{SUBSET}.labels: version=v1 are the pods of echo-v1, as those of v1 are",
            ),
            (
                altered.subset(good.region(), 1, labels={"app": "echo"}),
                f"{SUBSET}.labels: app=echo are on the pods of echo-v1 and echo-v2",
            ),
            (
                altered.subset(good.region(), 1, labels={}),
                f"{SUBSET}.labels: no label are on the pods of echo-v1 and echo-v2",
            ),
            (altered.subset(good.region(), 1, name="v1"), f"{SUBSET}.name: v1 is there twice"),
            (
                altered.twice(good.region(), "deployments", "echo-v2"),
                f"{SUBSET}.labels: version=v2 are on the pods of echo-v2 and echo-v2-again",
            ),
            (
                altered.each(good.region(), "deployments", "echo-v2", labels={"app": "other", "version": "v2"}),
                f"{SUBSET}.labels: version=v2 are on the pods of no Deployment behind the host",
            ),
        ],
    )
    def test_that_are_not_the_pods_of_one_deployment_of_their_own_are_refused(self, bad: Region, text: str) -> None:
        assert altered.texts("subset-matches-one-deployment", bad) == [text]

    def test_nothing_is_said_of_pods_that_may_be_in_what_could_not_be_read(self) -> None:
        bad = altered.without(good.region(), "deployments", "echo-v2")

        assert altered.texts("subset-matches-one-deployment", bad)
        assert altered.texts("subset-matches-one-deployment", altered.unread(bad, "Deployment")) == []


class TestService:
    SELECTOR = "Service echo/echo: spec.selector"

    @pytest.mark.parametrize(
        ("bad", "texts"),
        [
            (
                altered.each(good.region(), "services", selector={"app": "echo", "version": "v1"}),
                [f"{SELECTOR}: app=echo, version=v1 does not select the pods of v2 (Deployment echo/echo-v2)"],
            ),
            (
                altered.each(good.region(), "services", selector={}),
                [
                    f"{SELECTOR}: no label does not select the pods of v1 (Deployment echo/echo-v1)",
                    f"{SELECTOR}: no label does not select the pods of v2 (Deployment echo/echo-v2)",
                ],
            ),
            (
                altered.each(
                    good.region(), "deployments", "echo-v2", id=ObjectId("Deployment", "elsewhere", "echo-v2")
                ),
                [f"{SELECTOR}: app=echo does not select the pods of v2 (Deployment elsewhere/echo-v2)"],
            ),
            (
                altered.each(
                    altered.twice(good.region(), "deployments", "echo-v2"),
                    "deployments",
                    "echo-v2-again",
                    labels={"app": "echo"},
                ),
                [f"{SELECTOR}: app=echo selects the pods of Deployment echo/echo-v2-again, which are no version's"],
            ),
        ],
    )
    def test_that_selects_less_or_more_than_the_versions_is_refused(self, bad: Region, texts: list[str]) -> None:
        assert altered.texts("service-selects-versions", bad) == texts

    def test_that_selects_a_version_without_a_subset_is_fine(self) -> None:
        subsets = good.region().workloads.destination_rules[0].subsets[:1]

        safe = altered.each(good.region(), "destination_rules", subsets=subsets)

        assert altered.texts("service-selects-versions", safe) == []

    def test_that_is_not_routed_may_select_what_it_likes(self) -> None:
        other = altered.twice(good.region(), "services", "echo")

        safe = altered.each(other, "services", "echo-again", selector={"app": "other"})

        assert altered.texts("service-selects-versions", safe) == []


class TestDeployments:
    SELECTOR = "Deployment echo/echo-v1: spec.selector.matchLabels"

    @pytest.mark.parametrize(
        ("selector", "text"),
        [
            (
                {"version": "v3"},
                "version=v3 does not select its own pods, which have app=echo, version=v1, ",
            ),
            ({}, "no label does not select its own pods, which have app=echo, version=v1, "),
            ({"app": "echo"}, "app=echo selects the pods of Deployment echo/echo-v2 too"),
        ],
    )
    def test_that_select_other_pods_than_their_own_are_refused(self, selector: dict[str, str], text: str) -> None:
        bad = altered.each(good.region(), "deployments", "echo-v1", selector=selector)

        (told,) = altered.texts("deployment-selects-own-pods", bad)
        assert told.startswith(f"{self.SELECTOR}: {text}")

    def test_of_another_namespace_do_not_matter(self) -> None:
        elsewhere = ObjectId("Deployment", "elsewhere", "echo-v1")

        safe = altered.each(good.region(), "deployments", "echo-v1", id=elsewhere, selector={"app": "echo"})

        assert altered.texts("deployment-selects-own-pods", safe) == []
