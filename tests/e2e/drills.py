"""What is done to the regions while they are under load, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from bench.load import Entrance, Load
from tests.e2e.laboratory import REGIONS, Laboratory
from tests.e2e.waiting import until

RATE = 150
"""Requests a second in each region: two meshes and a load generator share two cores with whatever is being restarted."""
_BEFORE = 150
_AFTER = 450
_LAST = 150


@dataclass(frozen=True)
class Row:
    """What one drill cost one region."""

    drill: str
    region: str
    sent: int
    failures: Mapping[str, int]


@dataclass(frozen=True)
class UnderLoad:
    """The loads of all regions while a drill goes on."""

    loads: Mapping[str, Load]

    def until_shares(self, weights: Mapping[str, int]) -> None:
        """Wait until the last second's requests are split as asked, to 12 points: four standard deviations of 150."""
        until(lambda: all(self._splits(load, weights) for load in self.loads.values()), seconds=60)

    def until_sent(self, more: int) -> None:
        """Wait until each region has answered so many more requests."""
        wanted = {region: load.sent + more for region, load in self.loads.items()}
        until(lambda: all(load.sent >= wanted[region] for region, load in self.loads.items()), seconds=60)

    @staticmethod
    def _splits(load: Load, weights: Mapping[str, int]) -> bool:
        return all(abs(load.share(version, _LAST) - weight / 100) <= 0.12 for version, weight in weights.items())


def mostly_drills(cases: Iterable[Any], *kept: Any) -> list[Any]:
    """The cases of a parametrized test, of which `make e2e` runs only the ones that are kept."""
    return [case if case in kept else pytest.param(case, marks=pytest.mark.drill) for case in cases]


def none_failed(table: Sequence[Row], drill: str) -> bool:
    """Whether a drill was counted in every region, and no request failed in any."""
    rows = [row for row in table if row.drill == drill]
    return {row.region for row in rows} == set(REGIONS) and not any(row.failures for row in rows)


def is_share(count: int, total: int, share: float) -> bool:
    """Whether so many of a total are a share of it, to four standard deviations: of 16,000 that are, one seems not to be."""
    return abs(count - total * share) <= 4 * math.sqrt(total * share * (1 - share))


@contextmanager
def under_load(lab: Laboratory, drill: str, table: list[Row], entrance: Entrance | None = None) -> Iterator[UnderLoad]:
    """Send a steady load in every region before, through and after a block, and add what it cost to a table.

    With an entrance the load comes from outside the mesh.
    """
    with ExitStack() as stack:
        loads = {region.name: stack.enter_context(Load(region, RATE, entrance)) for region in lab.place.regions}
        steady = UnderLoad(loads)
        steady.until_sent(_BEFORE)
        yield steady
        steady.until_sent(_AFTER)
    table += [Row(drill, region, load.sent, load.failures(in_full=True)) for region, load in loads.items()]
