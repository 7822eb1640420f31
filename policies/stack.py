"""Which stack is judged: what Pulumi's language host tells a policy pack at its start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from policies.graph import Graph
from rules.facts.region import Limits
from rules.facts.workloads import Delivery

_PROJECT = "echo-rollout"


@dataclass(frozen=True)
class Stack:
    """What a stack file says that the graph does not.

    Attributes:
        region: The region's name.
        delivery: Who is to apply the workloads.
        limits: What the stack file's `rules` allow.
    """

    region: str
    delivery: Delivery
    limits: Limits


def told(environment: Mapping[str, str]) -> Stack | None:
    """Read the stack from the variables that the host sets; None where it sets none, as in `pulumi policy publish`.

    The values have passed the program's own checks by the time that a policy looks at them: a graph is not judged before the
    program has made all of it.
    """
    if "PULUMI_STACK" not in environment or "PULUMI_CONFIG" not in environment:
        return None
    config = json.loads(environment["PULUMI_CONFIG"])
    delivery = config.get(f"{_PROJECT}:delivery")
    return Stack(
        region=config.get(f"{_PROJECT}:region") or environment["PULUMI_STACK"],
        delivery=delivery if delivery in get_args(Delivery) else "gitops",
        limits=Limits.of(_section(config, "rules"), _section(config, "echo")),
    )


def shown_by(graph: Graph) -> Stack:
    """The stack as far as what it registers shows it: by default limits, and without a waiver."""
    if not graph.applications:
        return Stack(graph.stack, "direct", Limits())
    return Stack(graph.stack, "handover" if graph.of_kind("VirtualService") else "gitops", Limits())


def _section(config: Mapping[str, str], name: str) -> Mapping[str, Any]:
    """A setting that has keys of its own; Pulumi passes it on as JSON."""
    text = config.get(f"{_PROJECT}:{name}")
    section = json.loads(text) if text else {}
    return section if isinstance(section, dict) else {}
