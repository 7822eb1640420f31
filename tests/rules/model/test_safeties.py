"""Each safety taken out: the model finds the failure, and tells it; put back, there is none."""

from __future__ import annotations

import pytest

from rules.model.mesh import AS_IT_IS, ORDERLY, Mesh
from rules.model.orders import ArgoCd, Order, Pods, PulumiOrder, Target
from tests.rules.model.lives import ABSENT, IDLE, NO_PODS, ROUTED, Life, find_outage, target, targets

BOTH = [ArgoCd(), PulumiOrder()]
INTRODUCED, RETIRED = (ABSENT, ROUTED), (ROUTED, ABSENT)


def _found(order: Order, *lives: Life, confirmed: bool = False, mesh: Mesh = ORDERLY) -> tuple[str, ...]:
    story = find_outage(targets(*lives), order, confirmed=confirmed, mesh=mesh)
    assert story
    return story


def _safe(order: Order, *lives: Life, confirmed: bool = False, mesh: Mesh = ORDERLY) -> bool:
    return find_outage(targets(*lives), order, confirmed=confirmed, mesh=mesh) == ()


@pytest.mark.parametrize("order", BOTH)
@pytest.mark.parametrize("lives", [(ABSENT, IDLE, ROUTED), (ROUTED, IDLE, ABSENT), (ROUTED, IDLE, NO_PODS, ABSENT)])
def test_what_the_rules_allow_loses_nothing_whatever_the_mesh_does(order: Order, lives: tuple[Life, ...]) -> None:
    assert _safe(order, *lives, confirmed=True, mesh=AS_IT_IS)


@pytest.mark.parametrize("order", BOTH)
def test_weights_may_be_shifted_to_and_fro_without_waiting(order: Order) -> None:
    assert _safe(order, IDLE, ROUTED, IDLE, ROUTED, mesh=AS_IT_IS)


@pytest.mark.parametrize("order", BOTH)
def test_an_idle_introduction_may_be_stopped_and_reverted_without_waiting(order: Order) -> None:
    assert _safe(order, ABSENT, IDLE, ABSENT, IDLE, mesh=AS_IT_IS)


@pytest.mark.parametrize("order", BOTH)
def test_an_introduction_in_one_change_is_safe_where_the_mesh_is_orderly_and_nothing_fails(order: Order) -> None:
    assert _safe(order, *INTRODUCED)


# the dependencies


def test_routes_that_do_not_depend_on_subsets_come_first() -> None:
    story = _found(PulumiOrder(routes_after_subsets=False), *INTRODUCED)
    assert story == (
        "Pulumi applies Deployment echo-v1",
        "the pods of echo-v1 are ready",
        "Pulumi applies the VirtualService: v1 gets requests",
        "a proxy takes the routes: v1 gets requests",
        "the proxy now sends requests to v1: 503 cluster not found",
    )


def test_traffic_that_does_not_depend_on_pods_comes_before_them() -> None:
    story = _found(PulumiOrder(traffic_after_pods=False), *INTRODUCED)
    assert story[-1].endswith("to v1: 503 no healthy upstream")
    assert "Pulumi applies Deployment echo-v1" not in story


# the waves


def test_a_virtual_service_in_the_wave_of_the_destination_rule_may_come_first() -> None:
    story = _found(ArgoCd(virtual_service=1), *INTRODUCED)
    assert story[-1].endswith("to v1: 503 cluster not found")
    assert not any("DestinationRule" in step for step in story)


def test_a_virtual_service_in_the_first_wave_does_not_wait_for_pods() -> None:
    story = _found(ArgoCd(destination_rule=0, virtual_service=0), *INTRODUCED)
    assert "the pods of echo-v1 are ready" not in story


def test_a_deployment_in_the_wave_of_the_virtual_service_is_not_waited_for() -> None:
    story = _found(ArgoCd(pods=(("echo-v1", 2),)), *INTRODUCED)
    assert story[-1].endswith("to v1: 503 no healthy upstream")
    assert "the pods of echo-v1 are ready" not in story


def test_a_destination_rule_in_the_wave_of_the_deployments_does_no_harm() -> None:
    assert _safe(ArgoCd(destination_rule=0), *INTRODUCED)


# the two steps


@pytest.mark.parametrize("order", BOTH)
def test_a_subset_that_goes_with_its_route_goes_first(order: Order) -> None:
    story = _found(order, *RETIRED)
    assert story == (
        f"{order.name} applies the DestinationRule: subset v1 goes",
        "istiod pushes, and a proxy takes the clusters: v1 goes",
        "the proxy still sends requests to v1: 503 cluster not found",
    )


@pytest.mark.parametrize("order", BOTH)
def test_pods_that_go_with_their_route_are_gone_before_a_late_proxy_knows(order: Order) -> None:
    story = _found(order, ROUTED, Life.ONLY_SUBSET)
    assert story[0] == f"{order.name} applies the VirtualService: v1 gets none any more"
    assert story[2:] == (
        "the pods of echo-v1 are gone",
        "istiod pushes the endpoints: v1 has none",
        "the proxy still sends requests to v1: 503 no healthy upstream",
    )


def test_pods_that_are_pruned_first_are_gone_before_the_route() -> None:
    story = _found(ArgoCd(prune_last=False), ROUTED, Life.ONLY_SUBSET)
    assert story == (
        "Argo CD prunes Deployment echo-v1",
        "the pods of echo-v1 are gone",
        "istiod pushes the endpoints: v1 has none",
        "the proxy still sends requests to v1: 503 no healthy upstream",
    )


@pytest.mark.parametrize("order", BOTH)
def test_pods_that_are_scaled_to_none_with_their_route_are_gone_first(order: Order) -> None:
    story = _found(order, ROUTED, NO_PODS)
    assert story[0] == f"{order.name} applies Deployment echo-v1 with 0 replicas"


def test_one_push_of_both_removals_is_no_remedy() -> None:
    """Clusters come before routes in every push: merging the two takes the window from istiod, not from the proxy."""
    story = _found(PulumiOrder(), ROUTED, Life.NO_SUBSET)
    assert story[-1].endswith("503 cluster not found")
    reverse = PulumiOrder(routes_after_subsets=False)
    assert _found(reverse, ROUTED, Life.NO_SUBSET)[-1].endswith("503 cluster not found")


# the confirmation between them


@pytest.mark.parametrize("order", BOTH)
def test_a_retirement_in_two_steps_without_confirmation_is_one_in_one_step(order: Order) -> None:
    story = _found(order, ROUTED, IDLE, ABSENT)
    assert story[0] == f"before every proxy has all of this, {order.name} begins with the next revision"
    assert story[-1].endswith("to v1: 503 cluster not found")


def test_weight_that_comes_before_the_pods_are_ready_does_not_wait_for_them() -> None:
    story = _found(ArgoCd(), ABSENT, IDLE, ROUTED)
    assert (
        "before every proxy has all of this, Argo CD begins with the next revision; echo-v1 is in sync, "
        "so nothing waits for its pods"
    ) in story


@pytest.mark.parametrize("order", BOTH)
def test_a_reverted_introduction_is_a_removal_like_any_other(order: Order) -> None:
    assert _safe(order, *INTRODUCED)
    story = _found(order, *INTRODUCED, ABSENT, confirmed=True)
    assert story[-1].endswith("to v1: 503 cluster not found")


# what an enforced order does not cover


def test_a_second_attempt_of_argo_cd_does_not_wait_for_pods_that_the_first_one_applied() -> None:
    story = _found(ArgoCd(), *INTRODUCED, ROUTED)
    assert story == (
        "Argo CD applies Deployment echo-v1",
        "this attempt fails or is stopped, and Argo CD tries again; echo-v1 is in sync, so nothing waits for its pods",
        "Argo CD applies the DestinationRule: subset v1 comes",
        "Argo CD applies the VirtualService: v1 gets requests",
        "istiod pushes, and a proxy takes the clusters: v1 is new, and asks for its endpoints",
        "a proxy takes the routes: v1 gets requests",
        "the proxy now sends requests to v1: 503 no healthy upstream",
    )


@pytest.mark.parametrize("order", [ArgoCd(skips_unchanged=False), PulumiOrder()])
def test_an_attempt_that_waits_for_all_pods_may_be_repeated(order: Order) -> None:
    assert _safe(order, *INTRODUCED, ROUTED)


@pytest.mark.parametrize("order", BOTH)
def test_a_route_comes_in_the_push_of_its_cluster_and_before_the_endpoints_of_that(order: Order) -> None:
    story = _found(order, *INTRODUCED, mesh=Mesh(hears_in_order=True, warm_before_routes=False))
    assert story[-3:] == (
        "istiod pushes, and a proxy takes the clusters: v1 is new, and asks for its endpoints",
        "a proxy takes the routes: v1 gets requests",
        "the proxy now sends requests to v1: 503 cluster not found",
    )


@pytest.mark.parametrize("order", BOTH)
def test_istiod_may_hear_of_a_route_before_it_hears_of_the_subset(order: Order) -> None:
    story = _found(order, *INTRODUCED, mesh=Mesh(hears_in_order=False, warm_before_routes=True))
    assert story.index("istiod hears of the VirtualService") > story.index(
        f"{order.name} applies the DestinationRule: subset v1 comes"
    )
    assert "istiod hears of the DestinationRule" not in story


def test_a_deployment_of_another_name_must_be_ready_before_the_old_one_goes() -> None:
    old = target(ROUTED)
    new = Target(frozenset({Pods("echo-v1-b", "v1")}), old.subsets, old.routed)
    assert find_outage((old, new), ArgoCd(), confirmed=False, mesh=AS_IT_IS) == ()
    story = find_outage((old, new), ArgoCd(prune_last=False), confirmed=False)
    assert story[0] == "Argo CD prunes Deployment echo-v1"
