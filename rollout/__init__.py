"""The operator's command, and the same as a small library.

In a test, for example:

    weights = {"v1": 90, "v2": 10}
    measurement = rollout.measure(region, "http://echo.echo.svc.cluster.local/", rollout.requests_needed(weights))
    assert rollout.judge(measurement, weights).holds
"""

from rollout.measurement import Measurement, Origin, Tally
from rollout.probe import measure
from rollout.problem import Problem, RolloutError
from rollout.regions import Discovery, PulumiAccess, Region, discover
from rollout.split import requests_needed
from rollout.verdict import Row, Verdict, judge

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
    "requests_needed",
]
