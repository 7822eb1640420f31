"""The policies: one for what is refused and one for what is warned of, each over all rules of one region.

Not one for each rule: Pulumi's library decodes all resources anew for every policy, with Argo CD's own definitions among them, and
a policy has one level, whereas a waived rule only warns. Each message names its rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyResource,
    ReportViolation,
    StackValidationArgs,
    StackValidationPolicy,
)

from policies.graph import Graph
from policies.registration import judge_registered
from policies.stack import regions
from rules.facts.region import Region
from rules.finding import Finding, Severity
from rules.judgement import judge_region

_LEVELS = {
    Severity.REFUSED: (EnforcementLevel.MANDATORY, "Nothing that is applied in the region loses requests."),
    Severity.WARNING: (EnforcementLevel.ADVISORY, "What somebody should know before it is applied in the region."),
}


def policies(project: Path, told: Region | None) -> list[Policy]:
    """The policies of the pack, named as the severities that they report.

    Args:
        project: The folder of the project, in which Argo CD's overlays are.
        told: The region that is judged, without workloads; None to go by what the graph shows.
    """

    def report_all(severity: Severity, args: StackValidationArgs, report: ReportViolation) -> None:
        for finding in findings(args.resources, told, project):
            if finding.severity is severity:
                report(str(finding), None)

    return [
        StackValidationPolicy(severity.value, description, partial(report_all, severity), level)
        for severity, (level, description) in _LEVELS.items()
    ]


def findings(resources: Sequence[PolicyResource], told: Region | None, project: Path) -> tuple[Finding, ...]:
    """What is wrong with a stack's resources, each finding once."""
    graph = Graph.of(resources)
    applied = regions(graph, told, project)
    found = [*judge_registered(graph, applied)]
    for region in applied:
        found += judge_region(region)
    return tuple(dict.fromkeys(found))
