"""The operator's command, and the same as a small library.

In a test, for example:

    weights = {"v1": 90, "v2": 10}
    measurement = rollout.measure(region, "http://echo.echo.svc.cluster.local/", 20_000)
    assert rollout.verdict_of(measurement, weights).holds
"""

from typing import TYPE_CHECKING

from rollout.access import PulumiAccess, RegionAccess
from rollout.judge.verdict import Row, Verdict, verdict_of
from rollout.measurement import Measurement, Origin, Tally
from rollout.problem import Problem, RolloutError
from rollout.regions import Discovery, discover

if TYPE_CHECKING:
    from rollout.traffic.probe import measure

__all__ = [
    "Discovery",
    "Measurement",
    "Origin",
    "Problem",
    "PulumiAccess",
    "RegionAccess",
    "RolloutError",
    "Row",
    "Tally",
    "Verdict",
    "discover",
    "measure",
    "verdict_of",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import `measure` when it is asked for: the Kubernetes client comes with it, and not every command needs that."""
        if name != "measure":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from rollout.traffic.probe import measure  # noqa: PLC0415

        return measure
