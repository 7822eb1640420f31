from __future__ import annotations

import pytest

from rules.facts.region import Region
from rules.facts.workloads import Delivery
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
