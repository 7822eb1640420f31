"""The operator's command, and the same as a small library.

In a test, for example:

    weights = {"v1": 90, "v2": 10}
    measurement = rollout.measure(region, "http://echo.echo.svc.cluster.local/", 20_000)
    assert rollout.judge(measurement, weights).holds
"""

from typing import TYPE_CHECKING

from rollout.measurement import Measurement, Origin, Tally
from rollout.problem import Problem, RolloutError
from rollout.regions import Discovery, PulumiAccess, Region, discover
from rollout.verdict import Row, Verdict, judge

if TYPE_CHECKING:
    from rollout.probe import measure

__all__ = [
    "Discovery",
    "Measurement",
    "Origin",
    "Problem",
    "PulumiAccess",
    "Region",
    "RolloutError",
    "Row",
    "Tally",
    "Verdict",
    "discover",
    "judge",
    "measure",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import `measure` when it is asked for: the Kubernetes client comes with it, and not every command needs that."""
        if name != "measure":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from rollout.probe import measure  # noqa: PLC0415

        return measure
