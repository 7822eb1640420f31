"""The policies: one for what is refused and one for what is warned of, each over all rules of one region.

Not one for each rule: Pulumi's library decodes all resources anew for every policy, with Argo CD's own definitions among them, and
a policy has one level, whereas a waived rule only warns. Each message names its rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
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

from policies.graph import NAMESPACE, Graph
from policies.stack import regions
from rules.facts.region import Region
from rules.finding import Finding, Rule, Severity, Violation
from rules.judgement import judge_region

_Registered = tuple[Graph, tuple[Region, ...]]
"""What a stack registers, and the region that comes of it: once for each who applies its workloads."""
_EARLIER = {"DestinationRule": "Deployment", "VirtualService": "DestinationRule"}
_LEVELS = {
    Severity.REFUSED: (EnforcementLevel.MANDATORY, "Nothing that is applied in the region loses requests."),
    Severity.WARNING: (EnforcementLevel.ADVISORY, "What somebody should know before it is applied in the region."),
}


def policies(project: Path, told: Region | None) -> list[Policy]:
    """The policies of the pack, named as the severities that they report, after one that reports nothing.

    Args:
        project: The folder of the project, in which Argo CD's overlays are.
        told: The region that is judged, without workloads; None to go by what the graph shows.
    """

    inputs: dict[str, Mapping[str, Any]] = {}

    def note(args: ResourceValidationArgs, _: ReportViolation) -> None:
        inputs[args.urn] = args.props

    def report_all(severity: Severity, args: StackValidationArgs, report: ReportViolation) -> None:
        for finding in findings(args.resources, told, project, inputs):
            if finding.severity is severity:
                report(str(finding), None)

    # a stack's policy is given what the cluster made of the objects, with fields and defaults of its own
    noting = ResourceValidationPolicy(
        "registered", "What is registered, noted for the others.", note, EnforcementLevel.ADVISORY
    )
    return [noting] + [
        StackValidationPolicy(severity.value, description, partial(report_all, severity), level)
        for severity, (level, description) in _LEVELS.items()
    ]


def findings(
    resources: Sequence[PolicyResource], told: Region | None, project: Path, inputs: Mapping[str, Mapping[str, Any]]
) -> tuple[Finding, ...]:
    """What is wrong with a stack's resources, each finding once; `inputs` are what was registered of them, by URN."""
    graph = Graph.of(resources, inputs)
    applied = regions(graph, told, project)
    found = [
        Finding.of(rule, violation, applied[0].name)
        for rule in REGISTRATION
        for violation in rule.check((graph, applied))
    ]
    for region in applied:
        found += judge_region(region)
    return tuple(dict.fromkeys(found))


def _nothing_delivered(registered: _Registered) -> Iterator[Violation]:
    for region in registered[1]:
        if not region.workloads.virtual_services and not region.workloads.unreadable:
            yield Violation(f"delivery: {region.delivery}", "there is no VirtualService among the workloads")


def _out_of_order(registered: _Registered) -> Iterator[Violation]:
    graph = registered[0]
    for kind, earlier_kind in _EARLIER.items():
        for later, name in graph.of_kind(kind).items():
            for earlier, needed in graph.of_kind(earlier_kind).items():
                if not graph.waits_for(later, earlier):
                    yield Violation(str(name), f"does not depend on {needed}")


def _mesh_not_enforced(registered: _Registered) -> Iterator[Violation]:
    found = {str(each["kind"]): each for each in registered[0].namespace}
    labels = found.get("Namespace", {}).get("metadata", {}).get("labels") or {}
    if labels.get("istio-injection") != "enabled":
        yield Violation(f"Namespace {NAMESPACE}: metadata.labels.istio-injection", "is not enabled")
    spec = found.pop("PeerAuthentication", {}).get("spec")
    if spec != {"mtls": {"mode": "STRICT"}}:
        yield Violation(
            f"PeerAuthentication in {NAMESPACE}: spec", f"is {spec or 'not there'}, and not mtls.mode STRICT alone"
        )
    for kind in found.keys() - {"Namespace"}:
        yield Violation(f"{kind} in {NAMESPACE}", "is of a kind that no rule judges")


REGISTRATION: tuple[Rule[_Registered], ...] = (
    Rule(
        id="workloads-delivered",
        holds="Somebody delivers the workloads.",
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
        holds="The pods of the service get sidecars, take requests by mutual TLS only, and nothing else rules over them.",
        reason="pods without sidecars split nothing and answer everybody, and what no rule knows may refuse or redirect any request",
        mend="leave it as components/namespace.py makes it, or give the kind a rule",
        fact="https://istio.io/latest/docs/reference/config/security/peer_authentication/",
        check=_mesh_not_enforced,
    ),
)
"""What must hold of what a stack registers, besides the rules of a region. A stack file can waive none: the fault is the program's.
The order in which Argo CD applies an overlay, by waves, is judged by the rules."""
