from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from rules.between.services import BETWEEN_SERVICES
from rules.facts.region import Region
from rules.judgement import judge_region
from tests.rules import altered
from tests.rules.edits import with_service
from tests.rules.good import GATEWAY, OUTSIDE, Wanted, region

OF_SERVICES = {rule.id: rule for rule in BETWEEN_SERVICES}
IN_ONE_NAMESPACE = ("cart", "cart-api", "shop")


def told(rule_id: str, *services: Region) -> list[str]:
    return [f"{each.where}: {each.what}" for each in OF_SERVICES[rule_id].check(services)]


def shop(service: str, *versions: str, gateway: str | None = None) -> Region:
    """A service in a namespace that several share."""
    weights = dict.fromkeys(versions or ("v1",), Wanted(0))
    return region(
        wanted={**weights, next(iter(weights)): Wanted(100)}, service=service, namespace="shop", gateway=gateway
    )


@pytest.mark.parametrize("rule_id", OF_SERVICES)
@pytest.mark.parametrize("services", [*permutations(IN_ONE_NAMESPACE)], ids="-".join)
def test_services_of_one_namespace_with_versions_of_one_name_are_apart(rule_id: str, services: tuple[str, ...]) -> None:
    assert told(rule_id, *map(shop, services)) == []


class TestOwnObjects:
    ID = "own-objects"

    def test_names_that_run_together_are_refused_for_each_object(self) -> None:
        assert told(self.ID, shop("a", "b-c"), shop("a-b", "c")) == [
            f"{kind} shop/a-b-c: is of a and of a-b" for kind in ("Deployment", "PodDisruptionBudget")
        ]

    def test_a_third_service_is_held_against_both(self) -> None:
        third = altered.workloads(shop("shop"), services=shop("cart").workloads.services)

        assert told(self.ID, shop("cart"), shop("cart-api"), third) == ["Service shop/cart: is of cart and of shop"]

    def test_the_same_name_in_another_namespace_is_another_object(self) -> None:
        first = region(wanted={"b-c": Wanted(100)}, service="a")

        assert told(self.ID, first, region(wanted={"c": Wanted(100)}, service="a-b")) == []


class TestOwnHosts:
    ID = "own-hosts"

    def test_one_name_for_two_services_is_refused(self) -> None:
        assert told(self.ID, region(gateway=GATEWAY), region(service="web", gateway=GATEWAY)) == [
            f"VirtualService web/web: spec.hosts: {OUTSIDE} is a host of echo too"
        ]

    def test_a_service_may_not_take_the_name_of_another_in_the_mesh(self) -> None:
        taken = altered.each(region(service="web"), "virtual_services", hosts=("echo.echo.svc.cluster.local",))

        assert len(told(self.ID, region(), taken)) == 1


class TestOwnPods:
    ID = "own-pods"

    def wide(self, of: Region) -> Region:
        return with_service(of, lambda it: replace(it, selector={"app.kubernetes.io/part-of": "echo-rollout"}))

    def test_a_selector_that_finds_pods_of_another_is_refused(self) -> None:
        assert told(self.ID, shop("cart", "v1", "v2"), self.wide(shop("shop"))) == [
            f"Service shop/shop: spec.selector: selects the pods of Deployment shop/cart-{version}, of cart"
            for version in ("v1", "v2")
        ]

    def test_pods_of_another_namespace_are_out_of_its_reach(self) -> None:
        assert told(self.ID, region(), self.wide(region(service="web"))) == []


def test_trouble_is_of_the_one_that_has_to_change_so_that_others_may_go_on() -> None:
    wide = with_service(shop("shop"), lambda it: replace(it, selector={"app.kubernetes.io/part-of": "echo-rollout"}))
    found = judge_region(
        [shop("a", "b-c"), shop("a-b", "c"), region(gateway=GATEWAY), region(service="web", gateway=GATEWAY), wide]
    )
    told_of = {(each.rule_id, each.service) for each in found if each.rule_id in OF_SERVICES}
    assert told_of == {("own-objects", "a-b"), ("own-hosts", "web"), ("own-pods", "shop")}
