"""Which region is judged: what Pulumi's language host tells a policy pack at its start, and what Pulumi, or Argo CD, applies there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from policies.graph import Graph
from rules.facts.manifests import read
from rules.facts.overlay import objects
from rules.facts.region import Limits, Region
from rules.facts.workloads import Delivery, ObjectId, Workloads

_PROJECT = "echo-rollout"
_ONLY_SERVICE = "echo"
"""The one that a stack file has as a setting by itself, where it is from before there were several."""


@dataclass(frozen=True)
class Stack:
    """A stack as far as the rules need to know it besides what it registers.

    Attributes:
        region: The region's name.
        delivery: Who applies the workloads.
        namespaces: The namespace of each service, by the service's name.
        limits: What the stack file allows each service; the defaults where a service is not there.
    """

    region: str
    delivery: Delivery
    namespaces: Mapping[str, str]
    limits: Mapping[str, Limits] = field(default_factory=dict)

    @classmethod
    def shown_by(cls, graph: Graph) -> Stack:
        """The stack as far as what it registers shows it: by default limits, and without a waiver."""
        registered = {name: each for each in graph.namespaces for name in graph.workloads(each).values()}
        delivery: Delivery = "direct" if not graph.applications else "handover" if registered else "gitops"
        return cls(graph.stack, delivery, {**registered, **dict([*graph.applications])})

    def workloads(self, graph: Graph, service: str) -> list[str]:
        """The URNs of what the stack registers of a service; an object that names no service of its namespace is each one's."""
        namespace = self.namespaces[service]
        others = {name for name, each in self.namespaces.items() if each == namespace} - {service}
        return [urn for urn, name in graph.workloads(namespace).items() if name not in others]


def told(environment: Mapping[str, str]) -> Stack | None:
    """Read the stack from the variables that the host sets; None where it sets none, as in `pulumi policy publish`.

    The values have passed the program's own checks by the time that a policy looks at them: a graph is not judged before the
    program has made all of it.
    """
    if "PULUMI_STACK" not in environment or "PULUMI_CONFIG" not in environment:
        return None
    config = json.loads(environment["PULUMI_CONFIG"])
    delivery = config.get(f"{_PROJECT}:delivery")
    rules = _section(config, "rules")
    services = _section(config, "services") or {_ONLY_SERVICE: _section(config, _ONLY_SERVICE)}
    said = {name: service if isinstance(service, dict) else {} for name, service in services.items()}
    return Stack(
        config.get(f"{_PROJECT}:region") or environment["PULUMI_STACK"],
        delivery if delivery in get_args(Delivery) else "gitops",
        {name: service.get("namespace") or name for name, service in said.items()},
        {name: Limits.of(rules, service) for name, service in said.items()},
    )


def regions(graph: Graph, stack: Stack, project: Path) -> tuple[tuple[Region, ...], ...]:
    """The region as each of its services sees it, once for each who applies them: two during a hand-over, and neither must do harm.

    Args:
        graph: What the stack registers.
        stack: What the stack file says, or the graph shows.
        project: The folder of the project, in which Argo CD's overlays are.
    """
    registered = frozenset(graph.ids.values())
    found = []
    if stack.delivery != "gitops":
        # during a hand-over both own them, and of this side neither waves nor owners say anything
        owned = registered if stack.delivery == "direct" else None
        direct = {name: read(map(graph.plain, stack.workloads(graph, name))) for name in stack.namespaces}
        found.append(_seen(replace(stack, delivery="direct"), direct, owned))
    if stack.delivery != "direct":
        delivered = {each[0]: _overlay(graph.applications.get(each), project) for each in stack.namespaces.items()}
        found.append(_seen(stack, delivered, registered))
    return tuple(found)


def _seen(stack: Stack, workloads: Mapping[str, Workloads], pulumi: frozenset[ObjectId] | None) -> tuple[Region, ...]:
    return tuple(
        Region(stack.region, name, stack.delivery, each, stack.limits.get(name, Limits()), pulumi=pulumi)
        for name, each in workloads.items()
    )


def _overlay(path: str | None, project: Path) -> Workloads:
    """What an Application delivers, as its overlay is in the project's folder now, committed or not."""
    if path is None:
        # without an Application nothing is delivered, which a rule finds
        return Workloads()
    folder = project / path
    files = [each for each in folder.rglob("*") if each.is_file()]
    return objects({str(each.relative_to(folder)): each.read_bytes() for each in files}, path)


def _section(config: Mapping[str, str], name: str) -> Mapping[str, Any]:
    """A setting that has keys of its own; Pulumi passes it on as JSON."""
    text = config.get(f"{_PROJECT}:{name}")
    section = json.loads(text) if text else {}
    return section if isinstance(section, dict) else {}
