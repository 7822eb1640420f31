"""All of it: every life of a version, every transition, every place where another target may come in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement, pairwise, product

import pytest

from rules.model.mesh import AS_IT_IS, ORDERLY, Mesh
from rules.model.orders import ArgoCd, Order, PulumiOrder, Target
from rules.model.search import each_plot, shortest_plot
from tests.rules.model.lives import STEADY, WHOLE, Life, find_outage, target, targets

BOTH = [ArgoCd(), PulumiOrder()]
TAKEN_OUT = [
    ArgoCd(virtual_service=1),
    ArgoCd(virtual_service=0),
    ArgoCd(prune_last=False),
    PulumiOrder(routes_after_subsets=False),
    PulumiOrder(traffic_after_pods=False),
]


@pytest.mark.parametrize("order", BOTH)
def test_superseded_at_will_a_version_is_safe_if_it_carries_all_the_way_or_is_never_routed(order: Order) -> None:
    """Whatever goes wrong, this is all that it takes, and nothing less will do."""
    for lives in product(STEADY, Life, Life):
        assert _fails(lives, order) == _may_fail(lives), lives


@pytest.mark.parametrize("order", TAKEN_OUT)
def test_where_anything_may_go_wrong_no_order_makes_another_change_safe_or_a_safe_one_unsafe(order: Order) -> None:
    for lives in product(STEADY, Life):
        assert _fails(lives, order) == _may_fail(lives), lives


@pytest.mark.parametrize("order", BOTH)
def test_confirmed_each_change_counts_for_itself(order: Order) -> None:
    for lives in product(STEADY, STEADY, STEADY):
        safe = all(find_outage(targets(*pair), order, confirmed=False, mesh=AS_IT_IS) == () for pair in pairwise(lives))
        assert (find_outage(targets(*lives), order, confirmed=True, mesh=AS_IT_IS) == ()) == safe, lives


@pytest.mark.parametrize("mesh", [ORDERLY, AS_IT_IS])
@pytest.mark.parametrize("order", [*BOTH, *TAKEN_OUT])
def test_three_versions_together_fail_where_one_of_them_fails_alone(order: Order, mesh: Mesh) -> None:
    """Every transition of three versions: which one is v1 makes no difference, so each set of three is looked at once."""
    for transitions in combinations_with_replacement(product(WHOLE, WHOLE), 3):
        before, after = (target(*lives) for lives in zip(*transitions, strict=True))
        assert _same_alone((before, after), order, mesh), transitions


@pytest.mark.parametrize("order", BOTH)
def test_two_versions_superseded_together_fail_where_one_of_them_fails_alone(order: Order) -> None:
    for ways in combinations_with_replacement(product(WHOLE, WHOLE, WHOLE), 2):
        assert _same_alone(tuple(target(*lives) for lives in zip(*ways, strict=True)), order, ORDERLY), ways


@pytest.mark.parametrize("mesh", [ORDERLY, AS_IT_IS])
@pytest.mark.parametrize("order", BOTH)
@pytest.mark.parametrize("confirmed", [True, False])
def test_two_proxies_fail_where_one_does(order: Order, mesh: Mesh, confirmed: bool) -> None:
    for way in _ways():
        one, two = (shortest_plot(way, order, confirmed=confirmed, mesh=mesh, proxies=number) for number in (1, 2))
        assert (one is None) == (two is None), way


def _fails(lives: Sequence[Life], order: Order) -> bool:
    return find_outage(targets(*lives), order, confirmed=False, mesh=AS_IT_IS) != ()


def _may_fail(lives: Sequence[Life]) -> bool:
    return any(life.routed for life in lives) and not all(life.carries for life in lives)


def _ways() -> Iterator[tuple[Target, ...]]:
    for lives in product(WHOLE, (*WHOLE, Life.NO_PODS), WHOLE):
        yield targets(*lives)


def _same_alone(way: tuple[Target, ...], order: Order, mesh: Mesh) -> bool:
    together = shortest_plot(way, order, confirmed=False, mesh=mesh)
    alone = any(True for _ in each_plot(way, order, confirmed=False, mesh=mesh))
    return (together is not None) == alone
