"""What is concluded from numbers is so, in whatever order things happen; each rule left out shows a proxy that is concluded wrongly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest

from rollout.cluster.envoys import Envoy
from rollout.promote.acknowledgement import Acknowledgements
from tests.rollout.promote.simulated_mesh import WEIGHTS, SimulatedMesh

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
        mesh.truth.clear()
        _number, missing = found.look(pods)
        for pod in pods:
            # one that was asked tells its weights alone, and may have them from before
            if pod not in missing and not (pod in mesh.asked and "wanted" in mesh.history[: mesh.change]):
                yield mesh.truth[pod] == mesh.change


def test_no_proxy_is_concluded_wrongly() -> None:
    found = Counter(right for seed in range(RUNS) for right in concluded(seed, HISTORIES[seed % 3]))

    assert found[True] > RUNS
    assert not found[False]


@pytest.mark.parametrize("rule", ["refusals", "restarts", "twice", "unacknowledged", "acknowledged late", "clusters"])
def test_without_a_rule_one_is_concluded_wrongly(rule: str) -> None:
    assert any(not right for seed in range(10 * RUNS) for right in concluded(seed, HISTORIES[seed % 3], rule))


def test_a_witness_that_lags_by_two_changes_is_none() -> None:
    assert any(not right for seed in range(10 * RUNS) for right in concluded(seed, HISTORIES[2], "weights"))
