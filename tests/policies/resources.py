"""What the whole program registers, as a policy is given it, with something changed in it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pulumi_policy import (
    Policy,
    PolicyCustomTimeouts,
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from policies.pack import policies
from policies.stack import Stack
from rules.facts.region import Limits
from rules.facts.workloads import Delivery
from tests.components.graph import ROOT, Graph, Node

UNKNOWN = UNKNOWN_STRING_VALUE
OF_THE_CLUSTER = {"metadata": {"uid": "0", "managedFields": []}, "status": {"replicas": 3.0}}


def stack(delivery: Delivery, limits: Limits | None = None, **namespaces: str) -> Stack:
    """What is told of region-a, with echo and other services, each in its namespace; the limits are echo's."""
    return Stack("region-a", delivery, {"echo": "echo", **namespaces}, {"echo": limits or Limits()})


def resources(graph: Graph) -> list[PolicyResource]:
    """The resources of a graph, linked as the engine links them."""
    made = {node.urn: _resource(node) for node in graph}
    for node in graph:
        made[node.urn].parent = made.get(node.parent)
        made[node.urn].dependencies += [made[urn] for urn in node.dependencies if urn in made]
    return list(made.values())


def _resource(node: Node) -> PolicyResource:
    timeouts = PolicyCustomTimeouts(0, 0, 0)
    options = PolicyResourceOptions(False, [], None, [], timeouts, [])
    props = unknown_checking_proxy(dict(node.inputs))
    return PolicyResource(node.type, props, node.urn, node.name, options, None, None, [], {})


def edited(graph: Graph, kind: str, name: str, edit: Callable[[dict[str, Any]], object]) -> Graph:
    """The graph with something else in one object."""
    node = graph.the(kind, name)
    inputs = copy.deepcopy(dict(node.inputs))
    edit(inputs)
    return _with(graph, replace(node, inputs=inputs))


def without(graph: Graph, *names: tuple[str, str]) -> Graph:
    """The graph without some resources, each of a kind and a name."""
    return replace(graph, nodes={urn: node for urn, node in graph.nodes.items() if (node.kind, node.name) not in names})


def independent(graph: Graph, kind: str, name: str) -> Graph:
    """The graph with one resource that depends on none."""
    return _with(graph, replace(graph.the(kind, name), dependencies=frozenset()))


def _with(graph: Graph, node: Node) -> Graph:
    return replace(graph, nodes={**graph.nodes, node.urn: node})


def reported(policy: Policy, given: Sequence[PolicyResource]) -> list[str]:
    messages: list[str] = []
    assert isinstance(policy, StackValidationPolicy)
    policy.validate(StackValidationArgs(list(given)), lambda message, _: messages.append(message))
    return messages


def findings(graph: Graph, told: Stack | None, project: Path = ROOT) -> dict[str, list[str]]:
    """What each policy of the pack reports."""
    noting, *judging = policies(project, told)
    assert isinstance(noting, ResourceValidationPolicy)
    given = resources(graph)
    for each in given:
        args = ResourceValidationArgs(each.resource_type, each.props, each.urn, each.name, each.opts, None, {}, {})
        noting.validate(args, lambda message, _: None)
    made = [_as_the_cluster_has_it(each) for each in given]
    return {policy.name: reported(policy, made) for policy in judging}


def _as_the_cluster_has_it(resource: PolicyResource) -> PolicyResource:
    """With what an API server adds, which nobody wrote and no rule judges."""
    added = copy.copy(resource)
    added.props = unknown_checking_proxy(
        {**{key: resource.props[key] for key in resource.props if key != "metadata"}, **OF_THE_CLUSTER}
    )
    return added


def refusals(graph: Graph, told: Stack | None, project: Path = ROOT) -> list[str]:
    """What the mandatory policy reports."""
    return findings(graph, told, project)["refused"]
