"""The rules applied: what is wrong with a region, or with a change to some of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from rules.between.changes import BETWEEN_CHANGES
from rules.between.regions import BETWEEN_REGIONS
from rules.between.services import BETWEEN_SERVICES
from rules.catalogue import CHANGE, ONE_REGION, RULES
from rules.change.order import MAKE_BEFORE_BREAK
from rules.facts.region import Change, Region
from rules.finding import Finding, Rule, Severity, Subject
from rules.region.platform import FOUND_KEEPS_THE_MESH, VALUES

_TELL_OF_503 = ("removed-only-when-idle", "introduced-idle", "weighted-version-has-pods", "routed-subset-exists")
"""Rules that say in simpler words what the model would find: where one of them speaks, the model is not asked."""
_SIMPLE = tuple(rule for rule in CHANGE if rule is not MAKE_BEFORE_BREAK)
_RANK = {rule.id: rank for rank, rule in enumerate(RULES)}


def judge_region(services: Sequence[Region]) -> tuple[Finding, ...]:
    """What is wrong with a region by itself: what is refused first.

    Args:
        services: The region as each of its services sees it.
    """
    return _in_order(_of_region(services))


def judge_istio(region: Region, places: Mapping[str, str]) -> tuple[Finding, ...]:
    """What is wrong with an Istio that others installed.

    Args:
        region: The region, in whose settings what Istio is set to stands as if it were the stack file's Helm values.
        places: Where each of these was found, by the value's key.
    """
    found = _findings([FOUND_KEEPS_THE_MESH], region, {region.name: region}, region.name)
    return _in_order(replace(each, where=places[each.where.removeprefix(f"$.{VALUES}")]) for each in found)


def judge(changes: Sequence[Change]) -> tuple[Finding, ...]:
    """What is wrong with a change: with each region as it will be, with the way there, and with all regions together.

    Whatever speaks of the way there goes by the limits and the waivers of the revision before, where there is one: a change
    does not lift its own limits.

    Args:
        changes: Every service of every region once, also those that stay as they are.

    Returns:
        What is refused first, then by region. A waived finding is a warning that carries the reason.
    """
    ordered = sorted(changes, key=lambda change: (change.name, change.service))
    regions = {name: [*services] for name, services in groupby(ordered, key=lambda change: change.name)}
    whole = {name: _of_whole_region(services) for name, services in regions.items()}
    limiting = {name: region for name, change in whole.items() if (region := change.before or change.after)}
    findings: list[Finding] = []
    for name, services in regions.items():
        alone = _of_region([change.after for change in services if change.after])
        findings += [*alone, *_findings(CHANGE, whole[name], limiting, name)]
        for change in services:
            findings += _of_change(change, limiting, [each for each in alone if each.service == change.service])
    after = tuple(change.after for change in ordered if change.after)
    findings += _findings(BETWEEN_REGIONS, after, {region.name: region for region in after})
    for service in {change.service for change in ordered}:
        same = tuple(change for change in ordered if change.service == service)
        findings += _findings(BETWEEN_CHANGES, same, limiting, service=service)
    findings += _findings(BETWEEN_CHANGES, tuple(whole.values()), limiting)
    return _in_order(findings)


def _of_whole_region(services: Sequence[Change]) -> Change:
    """The change of what all services of a region have in common, whichever of them come and go."""
    return Change(
        next((change.before for change in services if change.before), None),
        next((change.after for change in services if change.after), None),
        region_goes=any(change.region_goes for change in services),
        at=services[0].at,
    )


def _of_region(services: Sequence[Region]) -> list[Finding]:
    findings: list[Finding] = []
    for each in services:
        findings += _findings(ONE_REGION, each, {each.name: each}, each.name, each.service)
    for first in services[:1]:
        findings += _findings(ONE_REGION, first, {first.name: first}, first.name)
        findings += _findings(BETWEEN_SERVICES, tuple(services), {first.name: first}, first.name)
    return findings


def _of_change(change: Change, limiting: Mapping[str, Region], after: Sequence[Finding]) -> list[Finding]:
    """What is wrong with the way there, beside what is wrong with the service as it will be."""
    findings = _findings(_SIMPLE, change, limiting, change.name, change.service)
    if not any(finding.rule_id in _TELL_OF_503 and finding.waived is None for finding in (*after, *findings)):
        findings += _findings([MAKE_BEFORE_BREAK], change, limiting, change.name, change.service)
    return findings


def _findings(
    rules: Iterable[Rule[Subject]],
    subject: Subject,
    limiting: Mapping[str, Region],
    region: str = "",
    service: str = "",
) -> list[Finding]:
    """Every violation of these rules.

    Args:
        rules: What must hold of the subject.
        subject: One region, its change, or several of either.
        limiting: The regions, by name, whose waivers hold.
        region: The name of the one that is judged; without it a violation names its own.
        service: The name of the service that is judged; without it only the rules that speak of the whole region are applied, with
            it only the others.
    """
    found = [
        (rule, violation, violation.region or region)
        for rule in rules
        if rule.of_service is bool(service)
        for violation in rule.check(subject)
    ]
    return [
        Finding.of(rule, violation, name, service, limiting[name].limits.waived.get(rule.id))
        for rule, violation, name in found
    ]


def _in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(
        sorted(
            findings,
            key=lambda each: (each.severity is Severity.WARNING, each.region, each.service, _RANK[each.rule_id]),
        )
    )
