"""The rules applied: what is wrong with a region, or with a change to some of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rules.between.changes import BETWEEN_CHANGES
from rules.between.regions import BETWEEN_REGIONS
from rules.catalogue import CHANGE, ONE_REGION, RULES
from rules.change.order import MAKE_BEFORE_BREAK
from rules.facts.region import Change, Region
from rules.finding import Finding, Rule, Severity, Subject

_TELL_OF_503 = ("removed-only-when-idle", "introduced-idle", "weighted-version-has-pods", "routed-subset-exists")
"""Rules that say in simpler words what the model would find: where one of them speaks, the model is not asked."""
_SIMPLE = tuple(rule for rule in CHANGE if rule is not MAKE_BEFORE_BREAK)
_RANK = {rule.id: rank for rank, rule in enumerate(RULES)}


def judge_region(region: Region) -> tuple[Finding, ...]:
    """What is wrong with a region by itself: what is refused first."""
    return _in_order(_findings(ONE_REGION, region, {region.name: region}, region.name))


def judge(changes: Sequence[Change]) -> tuple[Finding, ...]:
    """What is wrong with a change: with each region as it will be, with the way there, and with all regions together.

    Whatever speaks of the way there goes by the limits and the waivers of the revision before, where there is one: a change
    does not lift its own limits.

    Args:
        changes: Every region once, also those that stay as they are.

    Returns:
        What is refused first, then by region. A waived finding is a warning that carries the reason.
    """
    ordered = tuple(sorted(changes, key=lambda change: change.name))
    regions = {change.name: change.after for change in ordered if change.after}
    limiting = {change.name: region for change in ordered if (region := change.before or change.after)}
    findings = [finding for change in ordered for finding in _of_change(change, limiting)]
    findings += _findings(BETWEEN_REGIONS, tuple(regions.values()), regions)
    findings += _findings(BETWEEN_CHANGES, ordered, limiting)
    return _in_order(findings)


def _of_change(change: Change, limiting: Mapping[str, Region]) -> list[Finding]:
    """What is wrong with one region and with the way there."""
    findings = [] if change.after is None else [*judge_region(change.after)]
    findings += _findings(_SIMPLE, change, limiting, change.name)
    if not any(finding.rule_id in _TELL_OF_503 and finding.waived is None for finding in findings):
        findings += _findings([MAKE_BEFORE_BREAK], change, limiting, change.name)
    return findings


def _findings(
    rules: Iterable[Rule[Subject]], subject: Subject, limiting: Mapping[str, Region], region: str = ""
) -> list[Finding]:
    """Every violation of these rules.

    Args:
        rules: What must hold of the subject.
        subject: One region, its change, or several of either.
        limiting: The regions, by name, whose waivers hold.
        region: The name of the one that is judged; without it a violation names its own.
    """
    found = [(rule, violation, violation.region or region) for rule in rules for violation in rule.check(subject)]
    return [
        Finding.of(rule, violation, name, limiting[name].limits.waived.get(rule.id)) for rule, violation, name in found
    ]


def _in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(
        sorted(findings, key=lambda each: (each.severity is Severity.WARNING, each.region, _RANK[each.rule_id]))
    )
