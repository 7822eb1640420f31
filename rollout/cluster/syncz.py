"""What an istiod answers of its proxies: `/debug/syncz`, and what it counts of them in `/metrics`."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rollout.problem import first_line

_UUID_LENGTH = 36
# `name{labels} value`; where a proxy is named, it is by `node`
_SAMPLE = re.compile(r'(\w+)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})? (\S+)')
_NODE = re.compile(r'\bnode="([^"]*)"')
_STARTED = "process_start_time_seconds"
_REFUSED = ("pilot_xds_rds_reject", "pilot_xds_cds_reject")
_ALL_REFUSED = "pilot_total_xds_rejects"
_ALL_REFUSED_TYPES = ('type="rds"', 'type="cds"')


@dataclass(frozen=True)
class Proxy:
    """A proxy as one istiod knows it.

    Attributes:
        routes: The nonce of the routes that it acknowledged; "" where it has not yet acknowledged the last that it was sent, or
            where this istiod has two connections of it.
        clusters: The same for its clusters.
        refused: What it refused last of each type, and why; "" for nothing.
    """

    routes: str = ""
    clusters: str = ""
    refused: str = ""


@dataclass(frozen=True)
class Counters:
    """What an istiod process has counted.

    Attributes:
        started: When the process did; the same for the same process alone.
        refused: How many answers with routes or clusters a proxy has refused. One that refused none is missing.
        all_refused: The same for all proxies, counted apart.
    """

    started: str
    refused: Mapping[str, float] = field(default_factory=dict)
    all_refused: float = 0


def push_number(nonce: str) -> int:
    """The number of the push context that an answer was made from: within one istiod process, a later one has a higher one.

    Args:
        nonce: As istiod makes it: `<time>/<number>`, and then a UUID; "" has number 0.
    """
    return int(nonce[:-_UUID_LENGTH].rpartition("/")[2]) if nonce else 0


def parse_syncz(text: str) -> dict[str, Proxy]:
    """The proxies from one istiod's answer."""
    found: dict[str, Proxy] = {}
    for proxy in json.loads(text):
        # a pod's name may have dots, a namespace none
        name, _, namespace = proxy["proxy"].rpartition(".")
        errors = (
            f"{kind.rpartition('.')[2]}: {first_line(said['lastError'])}"
            for kind, said in (proxy.get("resources") or {}).items()
            if said.get("lastError")
        )
        one = Proxy(_acknowledged(proxy, "route"), _acknowledged(proxy, "cluster"), "; ".join(errors))
        known = f"{namespace}/{name}" in found
        found[f"{namespace}/{name}"] = replace(one, routes="", clusters="") if known else one
    return found


def parse_metrics(text: str) -> Counters:
    """The counters from one istiod's answer, in Prometheus' text format."""
    started, refused, all_refused = "", defaultdict[str, float](float), 0.0
    for line in text.splitlines():
        if not line.startswith((_STARTED, _ALL_REFUSED, *_REFUSED)) or not (sample := _SAMPLE.match(line)):
            continue
        name, value = sample[1], sample[2]
        if name == _STARTED:
            started = value
        elif name == _ALL_REFUSED and any(one in line for one in _ALL_REFUSED_TYPES):
            all_refused += float(value)
        elif name in _REFUSED and (node := _NODE.search(line)):
            pod, _, namespace = node[1].rpartition(".")
            refused[f"{namespace}/{pod}"] += float(value)
    if not started:
        raise ValueError(f"it has no {_STARTED}")
    return Counters(started, refused, all_refused)


def _acknowledged(proxy: Mapping[str, Any], kind: str) -> str:
    sent, acknowledged = proxy.get(f"{kind}_sent", ""), proxy.get(f"{kind}_acked", "")
    return str(acknowledged) if sent == acknowledged else ""
