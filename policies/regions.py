"""The region that a stack brings up: what Pulumi itself is about to apply there, or what Argo CD will find to apply."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from policies.graph import Graph
from policies.stack import Stack
from rules.facts.manifests import read
from rules.facts.overlay import objects
from rules.facts.region import Region
from rules.facts.workloads import Workloads


def regions(graph: Graph, stack: Stack, project: Path) -> tuple[Region, ...]:
    """The region once for each who applies its workloads: during a hand-over these are two, and neither must do harm.

    Args:
        graph: What the stack registers.
        stack: What the stack file says.
        project: The folder of the project, in which Argo CD's overlays are.
    """
    registered = frozenset(graph.ids.values())
    found = []
    if stack.delivery != "gitops":
        # during a hand-over both own them, and of this side neither waves nor owners say anything
        owned = registered if stack.delivery == "direct" else None
        found.append(Region(stack.region, "direct", read(graph.workloads), stack.limits, pulumi=owned))
    if stack.delivery != "direct":
        # without an Application nothing is delivered, which a rule finds
        overlays = [_overlay(application, project) for application in graph.applications] or [Workloads()]
        found += [Region(stack.region, stack.delivery, each, stack.limits, pulumi=registered) for each in overlays]
    return tuple(found)


def _overlay(application: Mapping[str, Any], project: Path) -> Workloads:
    """What an Application delivers, as its overlay is in the project's folder now, committed or not."""
    path = str(application["spec"]["source"]["path"])
    folder = project / path
    files = [each for each in folder.rglob("*") if each.is_file()]
    return objects({str(each.relative_to(folder)): each.read_bytes() for each in files}, path)
