from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from rules.facts.region import Region
from rules.facts.workloads import Delivery, ObjectId
from tests.rules import altered, good

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
            "Application: Pulumi registers none although delivery is gitops, so nobody applies the overlay",
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
