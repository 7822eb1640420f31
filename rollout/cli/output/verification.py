"""What a person and what a program get to read of a verification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rollout.cli.terminal import DIFFERS, UNUSABLE, new_table
from rollout.cluster.application import Application
from rollout.cluster.pods import FEW
from rollout.judge.independence import runs
from rollout.judge.shares import RISK, TOLERANCE_POINTS, Standing
from rollout.judge.verdict import Row, Verdict
from rollout.measurement import Coverage, Measurement
from rollout.status.verification import Outcome, listed

_TERMS = (
    f"A share may be {TOLERANCE_POINTS} points from its weight; intervals and verdicts are wrong once in "
    f"{1 / RISK:,.0f} times at most."
)


_NOT_TESTED = "the counters do not tell whether the requests are independent of each other, so that is not tested"


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 if all hold. A service that was measured and is not known to hold outweighs one that could not be measured.

    One whose clients sent too little could not be measured.
    """
    if all(outcome.holds for outcome in outcomes):
        return 0
    judged = [outcome.verdict for outcome in outcomes if outcome.verdict]
    found = [verdict for verdict in judged if not verdict.holds and not _too_few(verdict)]
    return DIFFERS if found else UNUSABLE


def _too_few(verdict: Verdict) -> bool:
    return verdict.measurement.coverage is not None and verdict.standing is Standing.NOT_YET_KNOWN


def print_report(console: Console, outcomes: Sequence[Outcome]) -> None:
    """The table of all services that were measured, region by region, and a sentence or more about each."""
    if any(outcome.verdict for outcome in outcomes):
        console.print(_table(outcomes))
        console.print()
        console.print(Text(_TERMS))
    for outcome in outcomes:
        if outcome.verdict:
            console.print(_summary(outcome.title, outcome.verdict))
        # of the other ways it says the same
        if outcome.application and outcome.way != "gateway":
            console.print(_delivery(outcome.title, outcome.application))
        if outcome.unasked and outcome.way != "gateway":
            console.print(f"{outcome.title}: asked {FEW} of {FEW + outcome.unasked:,} Envoys, chosen at random")
        if outcome.behind and outcome.way != "gateway":
            console.print(
                Text(f"{outcome.title}: not known to have these weights: {listed(outcome.behind)}", style="yellow")
            )


def as_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The same for a program. Shares, intervals and the risk are in 0..1, weights in percent, times in seconds.

    `standing` is "holds", "does not hold", "not yet known" or "not independent". `requests_to_go` is 0 unless it is "not yet
    known", and null where more than 1,000,000 requests would be needed. Each of `regions` is a service of a region,
    measured `from` inside the mesh, through the gateway, or its clients. `clients` is null but for these; it tells by pods whose
    requests were counted.

    Those in `behind` did not have the weights when it was measured, or could not be asked. `envoys_not_asked` is how many Envoys
    nobody asked, where there are more than 50.
    `application` is null where the weights are the stack's outputs; else its `revision` is the commit that they are from.
    """
    return {
        "holds": all(outcome.holds for outcome in outcomes),
        "risk": RISK,
        "tolerance_points": TOLERANCE_POINTS,
        "regions": [
            {
                "region": outcome.region.name,
                "service": outcome.service,
                "from": outcome.way,
                "context": outcome.region.context,
                "holds": outcome.holds,
                "application": application_json(outcome.application) if outcome.application else None,
                "behind": list(outcome.behind),
                "envoys_not_asked": outcome.unasked,
                **(_verdict_json(outcome.verdict) if outcome.verdict else {}),
                "problems": [asdict(problem) for problem in outcome.problems],
            }
            for outcome in outcomes
        ],
    }


def _table(outcomes: Sequence[Outcome]) -> Table:
    ways = ["from"] if _both_ways(outcomes) else []
    table = new_table(
        "region", "service", *ways, "version", right=("weight", "requests", "share", "interval", "failures")
    )
    table.add_column("verdict")
    for outcome in outcomes:
        for row in outcome.verdict.rows if outcome.verdict else ():
            table.add_row(*_cells(outcome, row, with_way=bool(ways)))
        table.add_section()
    return table


def _both_ways(outcomes: Sequence[Outcome]) -> bool:
    """Whether it makes a difference whence requests came: without a gateway, all come from inside the mesh."""
    return any(outcome.way != "mesh" for outcome in outcomes)


def _cells(outcome: Outcome, row: Row, *, with_way: bool) -> tuple[Text, ...]:
    low, high = 100 * row.interval.low, 100 * row.interval.high
    plain = (
        outcome.region.name,
        outcome.service,
        *([outcome.way] if with_way else []),
        row.label,
        "-" if row.weight is None else f"{row.weight} %",
        f"{row.requests:,}",
        f"{100 * row.share:.1f} %",
        f"{low:.1f} - {high:.1f} %",
        f"{row.failures:,}",
    )
    style = "green" if row.standing is Standing.HOLDS else "bold red"
    return (*map(Text, plain), Text(row.word, style=style))


def _summary(title: str, verdict: Verdict) -> Text:
    measurement = verdict.measurement
    sent = f"{measurement.requests:,} requests in {measurement.seconds:.1f} s"
    if verdict.holds:
        failed = f"{measurement.failures:,} failed, which is not judged" if measurement.failures else "none failed"
        lines = [f"{title} holds: {sent}, {failed}, every share is within {TOLERANCE_POINTS} points of its weight."]
    else:
        verb = "" if verdict.standing is Standing.DOES_NOT_HOLD else "is "
        lines = [f"{title} {verb}{verdict.word} ({sent}):"]
    lines += [f"  - {finding.kind.value}: {finding.text}" for finding in verdict.findings]
    if measurement.interruption:
        lines.append(f"  - interrupted: {measurement.interruption}")
    if measurement.coverage:
        lines.append(f"  - {measurement.coverage}")
        lines.append(f"  - {_NOT_TESTED}{_retried(measurement)}")
    return Text("\n".join(lines), style="" if verdict.holds else "red")


def _delivery(title: str, application: Application) -> Text:
    text = Text(f"{title}: weights of {application.path} at {application.synced_revision}")
    if application.is_well:
        return text
    said = [f"{title}: Argo CD says {application.sync}, {application.health}"]
    said += [f"  - {complaint}" for complaint in application.complaints]
    return text.append("\n" + "\n".join(said), style="yellow")


def application_json(application: Application) -> dict[str, Any]:
    """What Argo CD says, for a program."""
    return {
        "name": application.name,
        "path": application.path,
        "revision": application.synced_revision,
        "sync": application.sync,
        "health": application.health,
        "complaints": list(application.complaints),
    }


def _retried(measurement: Measurement) -> str:
    """By how much retries can have moved a share: each attempt counts, and only one that failed is tried again."""
    total, failures = measurement.requests, measurement.failures
    if not failures:
        return ""
    edges = [
        (each.requests, edge)
        for each in measurement.answered.values()
        for edge in (
            (each.requests - each.failures) / max(1, total - each.failures),
            each.requests / max(1, total - failures + each.failures),
        )
    ]
    points = max(100 * abs(edge - requests / total) for requests, edge in edges)
    return f"; nor which of the {failures:,} that failed were tried again: if all were, a share is wrong by up to {points:.1f} points"


def _coverage_json(coverage: Coverage) -> dict[str, Any]:
    return {
        "counted": sorted(coverage.counted),
        "gateways": sorted(coverage.gateways),
        "in_part": sorted(coverage.clients_in_part),
        "silent": dict(coverage.silent),
        "pods_in_part": [f"{host.version} {host.address}" for host in sorted(coverage.hosts_in_part)],
    }


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    measurement = verdict.measurement
    return {
        "standing": verdict.word,
        "requests_to_go": verdict.requests_to_go,
        "planned": measurement.planned,
        "requests": measurement.requests,
        "failures": measurement.failures,
        "reasons": dict(measurement.reasons),
        "runs": runs(measurement.transitions),
        "clients": _coverage_json(measurement.coverage) if measurement.coverage else None,
        "seconds": round(measurement.seconds, 3),
        "interruption": measurement.interruption,
        "rows": [
            {
                "version": row.label,
                "weight": row.weight,
                "requests": row.requests,
                "share": row.share,
                "interval": [row.interval.low, row.interval.high],
                "failures": row.failures,
                "standing": row.word,
                "holds": row.standing is Standing.HOLDS,
            }
            for row in verdict.rows
        ],
        "findings": [asdict(finding) for finding in verdict.findings],
    }
