"""What the plan speaks against loses requests indeed, where it is applied all the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.drills import Row, under_load
from tests.e2e.laboratory import Laboratory
from tests.e2e.promoting import rollout
from tests.e2e.waiting import until

_ONE = {"tcp": {"maxConnections": 1}, "http": {"http1MaxPendingRequests": 1, "maxRequestsPerConnection": 1}}
_CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "clients without mutual TLS": ("tls", {"mode": "DISABLE"}, "objects-readable"),
    "a pool of one connection": ("connectionPool", _ONE, "pool-has-room"),
}


@pytest.mark.drill
@pytest.mark.parametrize("name", _CASES)
def test_what_the_plan_speaks_against_loses_requests(lab: Laboratory, drills: list[Row], name: str) -> None:
    key, value, rule = _CASES[name]
    with lab.restored(), under_load(lab, f"past the plan: {name}", drills) as load:
        lab.edit_overlay("region-a", "dr.yaml", _with(key, value))
        revision = lab.push(f"Apply {name}")
        planned = rollout(lab, "plan", "--base=HEAD~1", "--head=HEAD", "--json")
        assert rule in {finding["rule"] for finding in json.loads(planned.stdout)["findings"]}, planned.stdout
        lab.await_synced(revision, "region-a")
        until(lambda: bool(load.loads["region-a"].failures), seconds=60)
    lost = {row.region: sum(row.failures.values()) for row in drills if row.drill.endswith(name)}
    assert lost["region-a"] > 0
    assert lost["region-b"] == 0


def _with(key: str, value: dict[str, Any]) -> Callable[[Any], object]:
    def change(rule: Any) -> None:
        rule["spec"]["trafficPolicy"][key] = value

    return change
