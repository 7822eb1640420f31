"""What a person, a program and a pull request get to read of a plan."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rollout.plan.comparison import Plan, RegionPlan, VersionChange
from rollout.problem import Problem
from rules.change.differences import Difference
from rules.finding import Finding, Severity

MARKER = "<!-- rollout plan -->"
"""The first line of the comment, by which a workflow finds the one to write anew."""

NOTHING_TO_SAY = 0
WARNED = 1
REFUSED = 2

_LONGEST_VALUE = 80
_IN_A_CELL = 6
_LOST = "how a request can be lost"
_SAFE_WAY = "the safe way"


def exit_code(plan: Plan) -> int:
    """0 without findings, 1 with warnings, 2 if something is refused."""
    return {None: NOTHING_TO_SAY, Severity.WARNING: WARNED, Severity.REFUSED: REFUSED}[plan.severity]


def as_text(plan: Plan) -> str:
    """For a terminal: each region, each finding, what was assumed, and last the verdict."""
    parts = [f"change: {plan.base} → {plan.head}", "\n".join(_region_text(plan))]
    parts += ["\n".join(_finding_text(finding)) for finding in plan.findings]
    parts += ["\n".join([*(f"assumed: {each}" for each in plan.assumed), _verdict(plan)])]
    return "\n\n".join(parts)


def as_json(plan: Plan) -> dict[str, Any]:
    """The same for a program.

    `verdict` is safe, warning or refused. `commit` is null for the working tree. Of each service of each region: `state` is new,
    gone, changed or unchanged; `versions` has one entry for each version of either side, `before` and `after` null where it is not
    there, weights and `capacity` in percent; `settings` are the other settings that change, values as the stack file has them and
    null where they are not set; `differences` are those of the objects, `field` empty for a whole object; `order_is_safe` is null
    where no object changes or the region comes or goes, and `story` tells how a request is lost where it is false. Of each finding:
    `severity` is refused or warning, `service` empty where it is of the whole region, `steps` the safe way, `waived` the reason of a
    waiver or null.
    """
    return {
        "verdict": plan.severity.value if plan.severity else "safe",
        "base": {"revision": plan.base.asked, "commit": plan.base.commit},
        "head": {"revision": plan.head.asked, "commit": plan.head.commit},
        "regions": [_region_json(region) for region in plan.regions],
        "findings": [_finding_json(finding) for finding in plan.findings],
        "assumed": list(plan.assumed),
    }


def as_markdown(plan: Plan) -> str:
    """One comment for a pull request. Text from the stack files is escaped: it mentions nobody, and shows as it is."""
    lines = [MARKER, f"### `rollout plan`: {_escaped(_verdict(plan))}", ""]
    lines += ["| region | traffic | order | what else changes |", "|---|---|---|---|"]
    lines += [f"| {' | '.join((_escaped(_called(region, plan)), *_cells(region)))} |" for region in plan.regions]
    lines += [""]
    for region in plan.regions:
        if region.story:
            lines += _folded(f"{_escaped(_called(region, plan))}: {_LOST}", _numbered([*map(_escaped, region.story)]))
        if len(changes := [what for _, what in _others(region)]) > _IN_A_CELL:
            lines += _folded(
                f"{_escaped(_called(region, plan))}: all that changes", [f"- {_escaped(what)}" for what in changes]
            )
    for finding in plan.findings:
        where = _escaped(f"{finding.where}: {finding.what}")
        lines += [f"**{finding.severity.value}** {_escaped(finding.region)}: {where}"]
        lines += _folded(f"{finding.rule_id}: why, and what to do", _finding_markdown(finding))
    lines += [f"From {_escaped(str(plan.base))} to {_escaped(str(plan.head))}."]
    lines += [f"Assumed: {_escaped('; '.join(plan.assumed))}."] if plan.assumed else []
    return "\n".join(lines)


def problems_as_markdown(problems: Sequence[Problem]) -> str:
    """The comment where there is no plan, with what keeps it from being made."""
    told = [f"- {'<br>'.join(map(_escaped, str(problem).splitlines()))}" for problem in problems]
    return "\n".join([MARKER, f"### `rollout plan`: {_counted(len(problems), 'problem')} to mend first", "", *told])


def _verdict(plan: Plan) -> str:
    refused = sum(finding.severity is Severity.REFUSED for finding in plan.findings)
    warnings = len(plan.findings) - refused
    warned = _counted(warnings, "warning")
    if refused:
        return f"refused: {_counted(refused, 'finding')} to mend first" + (f", {warned}" if warnings else "")
    change = "nothing changes" if plan.nothing_changes else "safe"
    return f"{change}, {warned}" if warnings else change


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _region_text(plan: Plan) -> Iterator[str]:
    for region in plan.regions:
        parts = [_traffic(region), _capacity(region), _order(region), _delivered_by(region)]
        yield f"{_called(region, plan)}: {'; '.join(part for part in parts if part)}"
        yield from (f"  {carrier}: {what}" for carrier, what in _others(region))
        if region.story:
            yield f"  {_LOST}:"
            yield from _numbered(region.story, "    ")


def _called(region: RegionPlan, plan: Plan) -> str:
    """The region's name, and the service's where there are several."""
    several = len({each.service for each in plan.regions}) > 1
    return f"{region.name}, {region.service}" if several else region.name


def _traffic(region: RegionPlan) -> str:
    if region.state == "gone":
        return "is gone; what runs there stays until its stack is destroyed (docs/uninstalling.md)"
    if region.state == "new":
        return f"is new: {_weights(region)}"
    if all(_same_weight(version) for version in region.versions):
        return f"{'nothing changes' if region.state == 'unchanged' else 'no weight changes'}: {_weights(region)}"
    # those that gain first: it is for their sake
    ordered = sorted(region.versions, key=lambda version: not version.gains)
    return ", ".join(filter(None, map(_movement, ordered)))


def _weights(region: RegionPlan) -> str:
    return ", ".join(f"{each.name} {each.after.weight} %" for each in region.versions if each.after) or "no version"


def _same_weight(version: VersionChange) -> bool:
    return bool(version.before and version.after and version.before.weight == version.after.weight)


def _movement(version: VersionChange) -> str:
    """What becomes of a version's share; of one that gives some of it to another, what it keeps."""
    name, before, after = version.name, version.before, version.after
    if before is None:
        assert after is not None, "a version of neither side is none"
        return f"{name} new with {after.weight} %"
    if after is None:
        return f"{name} {before.weight} % → gone"
    if after.weight > before.weight or after.weight == 0 < before.weight:
        return f"{name} {before.weight} % → {after.weight} %"
    return f"{name} {after.weight} %"


def _capacity(region: RegionPlan) -> str:
    if region.state != "changed":
        return ""
    return ", ".join(f"{each.name} has capacity for {each.capacity} %" for each in region.versions if each.gains)


def _order(region: RegionPlan) -> str:
    return "" if region.order_is_safe is None else f"order: {'safe' if region.order_is_safe else 'not safe'}"


def _delivered_by(region: RegionPlan) -> str:
    """Who brings the weights where a commit alone does not."""
    return f"by {region.carrier}" if region.order_is_safe is not None and region.delivery != "gitops" else ""


def _others(region: RegionPlan) -> Iterator[tuple[str, str]]:
    """What else changes, each with what carries it."""
    if region.state in ("new", "gone"):
        return
    for version in region.versions:
        if version.before is None and version.after is not None:
            told = f"comes with {_counted(version.after.replicas, 'pod')} of {_images(version.after.images)}"
            yield region.carrier, f"{version.name} {told}"
        elif version.after is None and version.before is not None:
            yield region.carrier, f"{version.name} goes, with {_counted(version.before.replicas, 'pod')}"
    for each in region.differences:
        # the weights are told first of all
        if each.where.endswith(".weight") and not each.restarts:
            continue
        yield region.carrier, _difference(each)
    for setting in region.settings:
        effect = f" ({setting.effect})" if setting.effect else ""
        yield setting.carrier, f"{setting.path}: {_value(setting.before)} → {_value(setting.after)}{effect}"


def _difference(difference: Difference) -> str:
    if not difference.path:
        return f"{difference.of} {difference.effect}"
    change = f"{_value(difference.before)} → {_value(difference.after)}"
    return f"{difference.of}: {difference.where}: {change}" + (f" ({difference.effect})" if difference.effect else "")


def _images(images: Sequence[str]) -> str:
    return ", ".join(images) or "no image"


def _value(value: object) -> str:
    if value is None:
        return "not set"
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _finding_text(finding: Finding) -> Iterator[str]:
    yield f"{finding.severity.value}: {finding.region}: {finding.where}: {finding.what} [{finding.rule_id}]"
    yield f"  why it matters: {finding.reason}"
    yield f"  what to do: {finding.mend}"
    if finding.steps:
        yield f"  {_SAFE_WAY}:"
        yield from _numbered(finding.steps, "    ")
    if finding.waived is not None:
        yield f"  waived: {finding.waived}"
    yield f"  known from: {finding.fact}"


def _numbered(steps: Sequence[str], indent: str = "") -> Iterator[str]:
    return (f"{indent}{number}. {step}" for number, step in enumerate(steps, 1))


def _region_json(region: RegionPlan) -> dict[str, Any]:
    return {
        "region": region.name,
        "service": region.service,
        "stack": region.stack,
        "state": region.state,
        "delivery": region.delivery,
        "order_is_safe": region.order_is_safe,
        "story": list(region.story),
        "versions": [_version_json(version) for version in region.versions],
        "settings": [asdict(each) for each in region.settings],
        "differences": [
            {
                "object": str(each.of),
                "field": each.where,
                "before": each.before,
                "after": each.after,
                "effect": each.effect,
            }
            for each in region.differences
        ],
    }


def _version_json(version: VersionChange) -> dict[str, Any]:
    sides = {
        side: None if found is None else {"weight": found.weight, "replicas": found.replicas, "images": [*found.images]}
        for side, found in (("before", version.before), ("after", version.after))
    }
    return {"version": version.name, **sides, "capacity": version.capacity}


def _finding_json(finding: Finding) -> dict[str, Any]:
    found = asdict(finding)
    return {"rule": found.pop("rule_id"), **found, "severity": finding.severity.value}


def _cells(region: RegionPlan) -> tuple[str, ...]:
    traffic = "; ".join(part for part in (_traffic(region), _capacity(region), _delivered_by(region)) if part)
    others = [f"{_escaped(what)} ({_escaped(carrier)})" for carrier, what in _others(region)]
    if len(others) > _IN_A_CELL:
        others = [*others[:_IN_A_CELL], f"and {len(others) - _IN_A_CELL} more, below"]
    return (_escaped(traffic), _order(region).removeprefix("order: "), "<br>".join(others))


def _folded(summary: str, lines: Iterable[str]) -> list[str]:
    return [f"<details><summary>{summary}</summary>", "", *lines, "", "</details>", ""]


def _finding_markdown(finding: Finding) -> Iterator[str]:
    yield f"- why it matters: {_escaped(finding.reason)}"
    yield f"- what to do: {_escaped(finding.mend)}"
    if finding.waived is not None:
        yield f"- waived: {_escaped(finding.waived)}"
    yield f"- known from: {finding.fact if finding.fact.startswith('https://') else f'`{finding.fact}`'}"
    if finding.steps:
        yield ""
        yield f"{_SAFE_WAY.capitalize()}:"
        yield ""
        yield from _numbered([*map(_escaped, finding.steps)])


def _escaped(text: str) -> str:
    """Text as it is, in a line of Markdown: no markup, no cell's end, nobody called by their name."""
    plain = re.sub(r"([\\`*_~\[\]|])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
    return re.sub(r"([@#])(?=\w)", r"\1<!-- -->", plain)
