"""Results and measurements for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rollout.measurement import Measurement, Origin, Result, Tally

REGION = "region-a"


def ok(version: str = "v1", region: str = REGION) -> Result:
    return Result(200, f"ok region={region} version={version}", "")


def line(result: Result, seq: int = 0) -> bytes:
    """The result as the probe writes it."""
    fields = {"seq": seq, "code": result.code, "body": result.body, "error": result.error}
    return json.dumps({**fields, "latency_ns": 1_000_000, "at_ns": 1_700_000_000_000_000_000}).encode() + b"\n"


def measured(counts: Mapping[str, int], *, region: str = REGION, planned: int | None = None) -> Measurement:
    """A measurement without failures, in which the versions of the region answered so many requests."""
    return Measurement(
        region=region,
        planned=sum(counts.values()) if planned is None else planned,
        answered={Origin(region, version): Tally(count, 0) for version, count in counts.items() if count},
        seconds=6.0,
    )
