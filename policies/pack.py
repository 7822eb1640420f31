"""The policies: one for what is refused and one for what is warned of, each over all rules of one region.

Not one for each rule: Pulumi's library decodes all resources anew for every policy, with Argo CD's own definitions among them, and
a policy has one level, whereas a waived rule only warns. Each message names its rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from policies.graph import Graph
from policies.stack import Stack, regions
from rules.facts.region import Region
from rules.finding import Finding, Rule, Severity, Violation
from rules.judgement import judge_region

_EARLIER = {"DestinationRule": "Deployment", "VirtualService": "DestinationRule"}
_OF_NO_REQUEST = ("Role", "RoleBinding")
"""Kinds in a service's namespace that say nothing of its requests."""
_LEVELS = {
    Severity.REFUSED: (EnforcementLevel.MANDATORY, "Nothing that is applied in the region loses requests."),
    Severity.WARNING: (EnforcementLevel.ADVISORY, "What somebody should know before it is applied in the region."),
}


@dataclass(frozen=True)
class Registered:
    """What a stack registers, and the region that comes of it, once for each who applies the workloads of its services."""

    graph: Graph
    stack: Stack
    regions: tuple[tuple[Region, ...], ...]


def policies(project: Path, told: Stack | None) -> list[Policy]:
    """The policies of the pack, named as the severities that they report, after one that reports nothing.

    Args:
        project: The folder of the project, in which Argo CD's overlays are.
        told: What the stack file says; None to go by what the graph shows.
    """

    inputs: dict[str, Mapping[str, Any]] = {}

    def note(args: ResourceValidationArgs, _: ReportViolation) -> None:
        inputs[args.urn] = args.props

    def report_all(severity: Severity, args: StackValidationArgs, report: ReportViolation) -> None:
        found = findings(args.resources, told, project, inputs)
        for message in dict.fromkeys(str(finding) for finding in found if finding.severity is severity):
            report(message, None)

    # a stack's policy is given what the cluster made of the objects, with fields and defaults of its own
    noting = ResourceValidationPolicy(
        "registered", "What is registered, noted for the others.", note, EnforcementLevel.ADVISORY
    )
    return [noting] + [
        StackValidationPolicy(severity.value, description, partial(report_all, severity), level)
        for severity, (level, description) in _LEVELS.items()
    ]


def findings(
    resources: Sequence[PolicyResource], told: Stack | None, project: Path, inputs: Mapping[str, Mapping[str, Any]]
) -> tuple[Finding, ...]:
    """What is wrong with a stack's resources; `inputs` are what was registered of them, by URN."""
    graph = Graph.of(resources, inputs)
    stack = told or Stack.shown_by(graph)
    registered = Registered(graph, stack, regions(graph, stack, project))
    found = [
        Finding.of(rule, violation, stack.region, "") for rule in REGISTRATION for violation in rule.check(registered)
    ]
    for services in registered.regions:
        found += judge_region(services)
    return tuple(found)


def _nothing_delivered(registered: Registered) -> Iterator[Violation]:
    services = registered.stack.namespaces
    if not services:
        yield Violation(f"delivery: {registered.stack.delivery}", "there is no service")
    for name, namespace in registered.graph.applications:
        if services.get(name) != namespace in services.values():
            yield Violation(f"Application {name}", f"delivers into {namespace}, and is of no service there")
    for region in (each for services in registered.regions for each in services):
        if not region.workloads.virtual_services and not region.workloads.unreadable:
            where = f"{region.service}, delivery: {region.delivery}"
            yield Violation(where, "there is no VirtualService among the workloads")


def _out_of_order(registered: Registered) -> Iterator[Violation]:
    graph, stack = registered.graph, registered.stack
    for service in stack.namespaces:
        urns = stack.workloads(graph, service)
        for later, earlier in permutations(urns, 2):
            name, needed = graph.ids[later], graph.ids[earlier]
            if needed.kind == _EARLIER.get(name.kind) and not graph.waits_for(later, earlier):
                yield Violation(str(name), f"does not depend on {needed}")


def _mesh_not_enforced(registered: Registered) -> Iterator[Violation]:
    for namespace in sorted({*registered.stack.namespaces.values()}):
        found = registered.graph.besides(namespace)
        for kind in sorted({"Namespace", "PeerAuthentication"} - {str(each["kind"]) for each in found}):
            yield Violation(f"{kind} of {namespace}", "is not there")
        for each in found:
            if each["kind"] == "Namespace":
                if (each["metadata"].get("labels") or {}).get("istio-injection") != "enabled":
                    yield Violation(f"Namespace {namespace}: metadata.labels.istio-injection", "is not enabled")
            elif each["kind"] in _OF_NO_REQUEST:
                continue
            elif each["kind"] != "PeerAuthentication":
                yield Violation(f"{each['kind']} in {namespace}", "is of a kind that no rule judges")
            elif each["spec"] != {"mtls": {"mode": "STRICT"}}:
                where = f"PeerAuthentication in {namespace}: spec"
                yield Violation(where, f"is {each['spec']}, and not mtls.mode STRICT alone")


REGISTRATION: tuple[Rule[Registered], ...] = (
    Rule(
        id="workloads-delivered",
        holds="Somebody delivers the workloads of every service, and nothing else.",
        reason="what ran there would be removed, and every request fail",
        mend="register them by components/delivery.py, and have them rendered: make render",
        fact="docs/decisions/0018-policy-pack.md",
        check=_nothing_delivered,
    ),
    Rule(
        id="applied-in-order",
        holds="What Pulumi itself applies comes in this order: Deployments, DestinationRule, VirtualService.",
        reason="a route that comes before its subset or its pods, or goes after them, answers 503",
        mend="let it, or the component that it is part of, depend on that, as components/service.py and components/traffic.py do",
        fact="docs/decisions/0018-policy-pack.md",
        check=_out_of_order,
    ),
    Rule(
        id="mesh-enforced",
        holds="The pods of every service get sidecars, take requests by mutual TLS only, and nothing else rules over them.",
        reason="pods without sidecars split nothing and answer everybody, and what no rule knows may refuse or redirect any request",
        mend="leave it as components/namespace.py makes it, or give the kind a rule",
        fact="https://istio.io/latest/docs/reference/config/security/peer_authentication/",
        check=_mesh_not_enforced,
    ),
)
"""What must hold of what a stack registers, besides the rules of a region. A stack file can waive none: the fault is the program's.
The order in which Argo CD applies an overlay, by waves, is judged by the rules."""
