"""In which order Argo CD and Pulumi write."""

from __future__ import annotations

from rules.model.orders import (
    ApplyPods,
    ApplyRoutes,
    ApplySubsets,
    ArgoCd,
    DeletePods,
    Order,
    Pods,
    PulumiOrder,
    Step,
    Target,
    Write,
)
from tests.rules.model.lives import ABSENT, IDLE, NO_PODS, ROUTED, target

V1, V2 = Pods("echo-v1", "v1"), Pods("echo-v2", "v2")
RETIRED_AND_INTRODUCED = target(ROUTED, ABSENT), target(ABSENT, ROUTED)


def test_argo_cd_applies_by_waves_and_prunes_last() -> None:
    assert _orders(ArgoCd(), *RETIRED_AND_INTRODUCED) == [
        {ApplyPods(V2)},
        {ApplySubsets(frozenset({"v2"}))},
        {ApplyRoutes(frozenset({"v2"}))},
        {DeletePods(V1)},
    ]


def test_argo_cd_without_prune_last_begins_a_wave_with_its_prunes() -> None:
    assert _orders(ArgoCd(prune_last=False), *RETIRED_AND_INTRODUCED)[:2] == [{DeletePods(V1)}, {ApplyPods(V2)}]


def test_argo_cd_applies_what_it_does_not_rank_in_any_order_after_the_deployments_of_its_wave() -> None:
    one_wave = ArgoCd(destination_rule=0, virtual_service=0)
    assert _orders(one_wave, target(ABSENT), target(ROUTED)) == [
        {ApplyPods(V1)},
        {ApplySubsets(frozenset({"v1"})), ApplyRoutes(frozenset({"v1"}))},
    ]


def test_argo_cd_writes_only_what_is_out_of_sync() -> None:
    assert ArgoCd().plan(target(IDLE), target(ROUTED)) == (Step(ApplyRoutes(frozenset({"v1"}))),)


def test_argo_cd_waits_for_the_pods_of_earlier_waves_that_it_applied() -> None:
    waits = {type(step.write): step.ready for step in ArgoCd().plan(target(IDLE, ABSENT), target(IDLE, ROUTED))}
    assert waits == {ApplyPods: frozenset(), ApplySubsets: {"echo-v2"}, ApplyRoutes: {"echo-v2"}}


def test_argo_cd_that_applies_everything_waits_for_everything() -> None:
    (step,) = ArgoCd(skips_unchanged=False).plan(target(IDLE, IDLE), target(IDLE, ROUTED))
    assert step.ready == {"echo-v1", "echo-v2"}


def test_nobody_waits_for_pods_that_are_not_wanted() -> None:
    for order in (ArgoCd(), PulumiOrder()):
        assert all(not step.ready for step in order.plan(target(ROUTED), Target(target(NO_PODS).pods)))


def test_pulumi_deletes_after_all_else() -> None:
    assert _orders(PulumiOrder(), *RETIRED_AND_INTRODUCED) == [
        {ApplyPods(V2)},
        {ApplySubsets(frozenset({"v2"}))},
        {ApplyRoutes(frozenset({"v2"}))},
        {DeletePods(V1)},
    ]


def test_pulumi_waits_for_every_deployment_that_the_traffic_depends_on() -> None:
    plan = PulumiOrder().plan(target(IDLE, ABSENT), target(IDLE, ROUTED))
    waits = {type(step.write): step.ready for step in plan}
    every = {"echo-v1", "echo-v2"}
    assert waits == {ApplyPods: frozenset(), ApplySubsets: every, ApplyRoutes: every}


def _orders(order: Order, live: Target, wanted: Target) -> list[set[Write]]:
    """The writes in groups: each group once the one before is done."""
    plan = order.plan(live, wanted)
    ranks = sorted({len(step.after) for step in plan})
    return [{step.write for step in plan if len(step.after) == rank} for rank in ranks]
