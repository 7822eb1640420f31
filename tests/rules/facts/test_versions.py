from __future__ import annotations

from dataclasses import replace

from rules.facts.versions import selects, versions
from tests.rules import altered, good
from tests.rules.edits import with_testers


def test_a_version_is_what_its_route_its_subset_and_its_deployment_say() -> None:
    region = good.region(wanted={"v1": good.Wanted(90, 3), "v2": good.Wanted(10, 2)})

    found = versions(region.workloads)["v2"]

    assert (found.name, found.weight, found.routed, found.subset, found.replicas) == ("v2", 10, True, True, 2)
    assert found.images == ("registry.corp.local/echo:2.0.0",)


def test_versions_come_as_people_count() -> None:
    region = good.region(wanted=good.versions(v10=0, v2=10, v1=90))

    assert list(versions(region.workloads)) == ["v1", "v2", "v10"]


def test_a_deployment_without_a_subset_is_a_version_by_its_label() -> None:
    region = altered.each(good.region(), "destination_rules", subsets=())
    region = altered.workloads(region, virtual_services=())

    found = versions(region.workloads)

    assert {name: (each.subset, each.routed, each.replicas) for name, each in found.items()} == {
        "v1": (False, False, 3),
        "v2": (False, False, 3),
    }


def test_a_route_to_nothing_is_a_version_without_pods() -> None:
    found = versions(altered.destination(good.region(), 1, subset="v3").workloads)["v3"]

    assert (found.weight, found.subset, found.replicas, found.deployments) == (10, False, 0, ())


def test_the_subset_decides_whose_pods_they_are() -> None:
    renamed = versions(altered.subset(good.region(), 0, name="stable").workloads)
    of_nobody = versions(altered.subset(good.region(), 0, labels={"version": "v3"}).workloads)

    assert (renamed["stable"].replicas, renamed["v1"].replicas) == (3, 0)
    assert of_nobody["v1"].replicas == 0


def test_pods_of_two_deployments_are_added_up() -> None:
    assert versions(altered.twice(good.region(), "deployments", "echo-v1").workloads)["v1"].replicas == 6


def test_of_several_routes_the_greatest_weight_counts() -> None:
    region = good.region()
    (route,) = region.workloads.virtual_services[0].routes

    found = versions(altered.routes(region, route, (route[1],)).workloads)

    assert (found["v1"].weight, found["v2"].weight) == (90, 10)


def test_a_selector_without_labels_selects_nothing() -> None:
    assert not selects({}, {"app": "echo"})


def test_a_version_that_only_testers_ask_for_has_no_weight() -> None:
    wanted = {"v1": good.Wanted(100), "v2": good.Wanted(0, testers=True)}

    found = versions(good.region(wanted=wanted).workloads)

    assert {name: (each.weight, each.routed, each.testers) for name, each in found.items()} == {
        "v1": (100, True, False),
        "v2": (0, True, True),
    }


def test_testers_who_are_sent_to_nothing_are_of_a_version_without_pods() -> None:
    region = good.region(wanted={"v1": good.Wanted(100, testers=True)})
    region = with_testers(region, lambda it: replace(it, destination=replace(it.destination, subset="")))

    found = versions(region.workloads)[""]

    assert (found.testers, found.routed, found.replicas) == (True, False, 0)
