"""Results and measurements for tests."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace

from rollout.measurement import Measurement, Origin, Result, Tally

REGION = "region-a"
AT_NS = 1_700_000_000_000_000_000


def ok(version: str = "v1", region: str = REGION, *, sequence: int = 0) -> Result:
    return Result(200, f"ok region={region} version={version}", "", sequence, AT_NS)


def fault(version: str = "v1", region: str = REGION, *, sequence: int = 0) -> Result:
    """A 500 of echo's own."""
    return Result(500, f"fault region={region} version={version}", "500 Internal Server Error", sequence, AT_NS)


def page(subset: str = "v1", code: int = 200, *, upstream: bool = True, request: int = 0) -> Result:
    """An answer to a request that a subset was chosen for, by a service that does not name itself; else by the proxy."""
    return Result(code, "<html>", "", 0, AT_NS, request, subset, upstream)


def other(code: int, body: str = "", error: str = "", *, sequence: int = 0) -> Result:
    """What did not come from echo; code 0 for no answer."""
    return Result(code, body, error, sequence, AT_NS)


def numbered(*results: Result) -> list[Result]:
    """The results as of requests sent in this order."""
    return [replace(result, sequence=sequence) for sequence, result in enumerate(results)]


def drawn(counts: Mapping[str, int], region: str = REGION) -> list[Result]:
    """So many answers of each version in an order by lot, always the same one."""
    versions = [version for version, count in counts.items() for _ in range(count)]
    random.Random(1).shuffle(versions)
    return [ok(version, region, sequence=sequence) for sequence, version in enumerate(versions)]


def line(result: Result) -> bytes:
    """The result as the probe writes it."""
    fields = {"seq": result.sequence, "code": result.code, "body": result.body, "error": result.error}
    seldom = {"request": result.request, "subset": result.subset, "upstream": result.upstream}
    there = {name: value for name, value in seldom.items() if value}
    return json.dumps({**fields, "latency_ns": result.latency_ns, "at_ns": result.at_ns, **there}).encode() + b"\n"


def measured(counts: Mapping[str, int], *, region: str = REGION, planned: int | None = None) -> Measurement:
    """A measurement without failures, in which the versions of the region answered so many requests."""
    return Measurement(
        region=region,
        planned=sum(counts.values()) if planned is None else planned,
        answered={Origin(region, version): Tally(count, 0) for version, count in counts.items() if count},
        seconds=6.0,
    )
