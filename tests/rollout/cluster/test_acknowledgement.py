"""What is concluded from numbers is so, in whatever order things happen; each rule left out shows a proxy that is concluded wrongly.

And the wait ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from rollout.cluster import acknowledgement
from rollout.cluster.acknowledgement import Acknowledgements
from rollout.cluster.envoys import Envoy
from tests.rollout.cluster.simulated_mesh import WEIGHTS, Context, PushedMesh, SimulatedMesh

RUNS = 400
HISTORIES = (("wanted", "before", "wanted"), ("other", "before", "wanted"), ("other", "wanted", "before", "wanted"))


def is_taken(envoy: Envoy) -> bool:
    return envoy.weights == WEIGHTS["wanted"]


def concluded(seed: int, history: tuple[str, ...], rule: str = "") -> Iterator[bool]:
    """Whether it is right, each time that an Envoy is said to have the change; without one of the rules."""
    mesh = SimulatedMesh(seed, history, rule)
    ticks = count(step=0.3 if seed % 4 == 0 else 0)
    found = Acknowledgements(mesh, is_taken, lambda: next(ticks))
    pods = [*mesh.has]
    found.before(pods)
    for _ in range(6):
        mesh.begin_look()
        _number, missing = found.look(dict(zip(pods, pods, strict=True)))
        for pod in pods:
            # one that was asked tells its weights alone, and may have them from before
            if pod not in missing and not (pod in mesh.asked and "wanted" in mesh.history[: mesh.change]):
                yield mesh.truth[pod] == mesh.change


def test_no_proxy_is_concluded_wrongly() -> None:
    found = Counter(right for seed in range(RUNS) for right in concluded(seed, HISTORIES[seed % 3]))

    assert found[True] > RUNS
    assert not found[False]


# the seeds before it are known to show nothing
@pytest.mark.parametrize(
    ("rule", "first"),
    [
        ("refusals", 0),
        ("restarts", 139),
        ("twice", 513),
        ("unacknowledged", 0),
        ("acknowledged late", 0),
        ("clusters", 178),
    ],
)
def test_without_a_rule_one_is_concluded_wrongly(rule: str, first: int) -> None:
    seeds = range(first, first + 10 * RUNS)

    assert any(not right for seed in seeds for right in concluded(seed, HISTORIES[seed % 3], rule))


def test_a_witness_that_lags_by_two_changes_is_none() -> None:
    assert any(not right for seed in range(10 * RUNS) for right in concluded(seed, HISTORIES[2], "weights"))


ALL = [f"echo/{name}" for name in "abcdefghij"]


@pytest.mark.parametrize(
    ("without_routes", "unknown"),
    [
        pytest.param([], [], id="pushes to all"),
        pytest.param(ALL, [], id="none has routes"),
        pytest.param([], ALL, id="no istiod tells of any"),
        pytest.param(ALL[:4], ALL[4:8], id="some of each"),
        pytest.param(ALL, ALL, id="none has routes, and no istiod tells of any"),
    ],
)
def test_ends_after_each_was_asked_once(
    monkeypatch: pytest.MonkeyPatch, without_routes: list[str], unknown: list[str]
) -> None:
    monkeypatch.setattr(acknowledgement, "FEW", 3)
    mesh = PushedMesh(without_routes, unknown)
    # all have it before: there is no witness
    mesh.push_to_all(mesh.change)
    found = Acknowledgements(mesh, is_taken, lambda: 0)
    found.before(ALL)
    mesh.times.clear()

    for _ in range(-(-len(ALL) // 3)):
        mesh.push_to_all(mesh.change)
        number, missing = found.look(dict(zip(ALL, ALL, strict=True)))

    assert not missing
    assert number == len({*ALL} - {*without_routes})
    assert mesh.times == Counter(ALL)


def test_a_pod_that_came_anew_under_its_old_name_is_asked() -> None:
    mesh = PushedMesh(ALL, [])
    found = Acknowledgements(mesh, is_taken, lambda: 0)
    found.before(ALL)

    found.look(dict.fromkeys(ALL, "one"))
    found.look(dict.fromkeys(ALL, "another"))

    assert mesh.times == Counter(ALL * 2)


def _moves(mesh: PushedMesh) -> None:
    here, there = mesh.istiods.values()
    here.links, there.links = there.links, here.links


def _restarts(mesh: PushedMesh) -> None:
    for istiod in mesh.istiods.values():
        istiod.started += 1000


def _begins_anew_with_old_numbers(mesh: PushedMesh) -> None:
    for istiod in mesh.istiods.values():
        istiod.context = Context(0, 0)
    mesh.push_to_all(mesh.change)


def _refuses(mesh: PushedMesh) -> None:
    for istiod in mesh.istiods.values():
        istiod.refusals.update(ALL)


def _is_connected_twice(mesh: PushedMesh) -> None:
    for istiod in mesh.istiods.values():
        istiod.links = [*mesh.links.values()]


@pytest.mark.parametrize(
    "happens",
    [_moves, _restarts, _begins_anew_with_old_numbers, _refuses, _is_connected_twice],
    ids=lambda it: it.__name__,
)
def test_one_that_may_have_lost_the_change_is_asked_again(happens: Callable[[PushedMesh], None]) -> None:
    mesh = PushedMesh([], [])
    mesh.push_to_all(mesh.change)
    pods = dict(zip(ALL, ALL, strict=True))
    found = Acknowledgements(mesh, is_taken, lambda: 0)
    found.look(pods)
    assert mesh.times == Counter(ALL)

    # nothing that was acknowledged before is told any more
    mesh.push_to_all(mesh.change)
    happens(mesh)
    found.look(pods)

    assert mesh.times == Counter(ALL * 2)


def test_one_that_was_pushed_something_while_it_was_asked_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = PushedMesh([], [])
    mesh.push_to_all(mesh.change)
    pods = dict(zip(ALL, ALL, strict=True))
    found = Acknowledgements(mesh, is_taken, lambda: 0)
    with monkeypatch.context() as patch:
        patch.setattr(mesh, "_go_on", lambda: mesh.push_to_all(mesh.change))
        found.look(pods)

    found.look(pods)

    assert mesh.times == Counter(ALL * 2)
