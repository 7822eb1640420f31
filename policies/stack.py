"""Which region is judged: what Pulumi's language host tells a policy pack at its start, and what Pulumi, or Argo CD, applies there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from policies.graph import Graph
from rules.facts.manifests import read
from rules.facts.overlay import objects
from rules.facts.region import Limits, Region
from rules.facts.workloads import Delivery, Workloads

_PROJECT = "echo-rollout"


def told(environment: Mapping[str, str]) -> Region | None:
    """Read the region, without workloads, from the variables that the host sets; None where it sets none, as in `pulumi policy publish`.

    The values have passed the program's own checks by the time that a policy looks at them: a graph is not judged before the
    program has made all of it.
    """
    if "PULUMI_STACK" not in environment or "PULUMI_CONFIG" not in environment:
        return None
    config = json.loads(environment["PULUMI_CONFIG"])
    delivery = config.get(f"{_PROJECT}:delivery")
    return Region(
        config.get(f"{_PROJECT}:region") or environment["PULUMI_STACK"],
        delivery if delivery in get_args(Delivery) else "gitops",
        Workloads(),
        Limits.of(_section(config, "rules"), _section(config, "echo")),
    )


def regions(graph: Graph, stack: Region | None, project: Path) -> tuple[Region, ...]:
    """The region once for each who applies its workloads: during a hand-over these are two, and neither must do harm.

    Args:
        graph: What the stack registers.
        stack: What the stack file says; None to go by what the graph shows.
        project: The folder of the project, in which Argo CD's overlays are.
    """
    stack = stack or _shown_by(graph)
    registered = frozenset(graph.ids.values())
    found = []
    if stack.delivery != "gitops":
        # during a hand-over both own them, and of this side neither waves nor owners say anything
        owned = registered if stack.delivery == "direct" else None
        found.append(replace(stack, delivery="direct", workloads=read(graph.workloads), pulumi=owned))
    if stack.delivery != "direct":
        # without an Application nothing is delivered, which a rule finds
        overlays = [_overlay(application, project) for application in graph.applications] or [Workloads()]
        found += [replace(stack, workloads=each, pulumi=registered) for each in overlays]
    return tuple(found)


def _shown_by(graph: Graph) -> Region:
    """The stack as far as what it registers shows it: by default limits, and without a waiver."""
    if not graph.applications:
        return Region(graph.stack, "direct", Workloads())
    return Region(graph.stack, "handover" if graph.of_kind("VirtualService") else "gitops", Workloads())


def _overlay(application: Mapping[str, Any], project: Path) -> Workloads:
    """What an Application delivers, as its overlay is in the project's folder now, committed or not."""
    path = str(application["spec"]["source"]["path"])
    folder = project / path
    files = [each for each in folder.rglob("*") if each.is_file()]
    return objects({str(each.relative_to(folder)): each.read_bytes() for each in files}, path)


def _section(config: Mapping[str, str], name: str) -> Mapping[str, Any]:
    """A setting that has keys of its own; Pulumi passes it on as JSON."""
    text = config.get(f"{_PROJECT}:{name}")
    section = json.loads(text) if text else {}
    return section if isinstance(section, dict) else {}
