from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from rules.facts.region import Region
from rules.facts.workloads import Delivery, ObjectId
from tests.rules import altered, good

WAVE = 'metadata.annotations["argocd.argoproj.io/sync-wave"]'


@pytest.mark.parametrize(
    ("bad", "texts"),
    [
        (
            altered.each(good.region(), "deployments", "echo-v2", wave=1),
            [f"DestinationRule echo/echo: {WAVE}: wave 1 is not after wave 1 of Deployment echo/echo-v2"],
        ),
        (
            altered.each(good.region(), "destination_rules", wave=2),
            [f"VirtualService echo/echo: {WAVE}: wave 2 is not after wave 2 of DestinationRule echo/echo"],
        ),
        (
            altered.each(good.region(), "virtual_services", wave=0),
            [f"VirtualService echo/echo: {WAVE}: wave 0 is not after wave 1 of DestinationRule echo/echo"],
        ),
        (
            altered.each(good.region(), "services", wave=2),
            [f"DestinationRule echo/echo: {WAVE}: wave 1 is before wave 2 of Service echo/echo"],
        ),
    ],
)
def test_another_order_is_refused(bad: Region, texts: list[str]) -> None:
    assert altered.texts("waves-in-order", bad) == texts


def test_the_service_may_come_with_the_destination_rule() -> None:
    assert altered.texts("waves-in-order", altered.each(good.region(), "services", wave=1)) == []


@pytest.mark.parametrize(("delivery", "refused"), [("gitops", True), ("handover", True), ("direct", False)])
def test_waves_matter_where_argo_cd_applies(delivery: Delivery, refused: bool) -> None:
    bad = altered.each(good.region(delivery=delivery), "virtual_services", wave=0)

    assert bool(altered.texts("waves-in-order", bad)) is refused


APPLICATION = ObjectId("Application", "argocd", "echo")
NAMESPACE = ObjectId("Namespace", "", "echo")
WEIGHTS = ObjectId("VirtualService", "echo", "echo")


def region(delivery: Delivery, pulumi: Iterable[ObjectId] | None) -> Region:
    return replace(good.region(delivery=delivery), pulumi=None if pulumi is None else frozenset({NAMESPACE, *pulumi}))


WORKLOADS = good.region().workloads.ids


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (region("gitops", {APPLICATION, WEIGHTS}), f"{WEIGHTS}: Pulumi registers it and Argo CD syncs it"),
        (
            region("gitops", ()),
            "Application echo: Pulumi registers none although delivery is gitops, so nobody applies the overlay",
        ),
        (
            region("direct", {APPLICATION, *WORKLOADS}),
            f"{APPLICATION}: Pulumi registers it although delivery is direct",
        ),
        (
            region("direct", WORKLOADS - {WEIGHTS}),
            f"{WEIGHTS}: Pulumi does not register it although delivery is direct, so nobody applies it",
        ),
    ],
)
def test_two_owners_and_none_are_refused(bad: Region, text: str) -> None:
    assert altered.texts("one-owner", bad) == [text]


@pytest.mark.parametrize(
    "safe",
    [
        region("gitops", {APPLICATION}),
        region("direct", WORKLOADS),
        region("handover", {APPLICATION, *WORKLOADS}),
        region("gitops", None),
        region("direct", None),
    ],
)
def test_one_owner_is_fine_and_so_are_both_in_a_handover(safe: Region) -> None:
    assert altered.texts("one-owner", safe) == []
