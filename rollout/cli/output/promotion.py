"""What a person and what a program get to read of a promotion, a way back, a retirement, or an introduction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rollout.cli.terminal import DIFFERS, UNUSABLE, new_table
from rollout.git.record import PromotionState
from rollout.judge.shares import RISK, TOLERANCE_POINTS, Standing
from rollout.judge.step import Comparison
from rollout.measurement import Tally, told_seconds
from rollout.promote.results import IntroductionResult, PromotionResult, RetirementResult, RollbackResult, StepResult
from rollout.status.verification import Outcome
from rollout.weights import percents


def exit_code(ended: PromotionResult) -> int:
    """0 if it is done or stopped well, 1 if it was taken back everywhere, 2 if it ended before or is not known to be back."""
    if ended.undone and ended.undone.problems:
        return UNUSABLE
    codes = {PromotionState.DONE: 0, PromotionState.IN_PROGRESS: 0, PromotionState.ROLLED_BACK: DIFFERS}
    return codes.get(ended.state, UNUSABLE)


def print_ended(console: Console, ended: PromotionResult) -> None:
    """The table of the steps, and how it ended."""
    if ended.taken:
        console.print(_steps(ended))
        console.print()
        if any(step.compared for step in ended.taken):
            console.print(_comparisons(ended))
            console.print()
    for answers in ended.first_answers:
        console.print(f"{ended.promotion.version} {answers}")
    called = f"{ended.promotion.service} {ended.promotion.version}"
    if ended.state is PromotionState.DONE:
        regions = ", ".join(ended.promotion.regions)
        console.print(
            Text(f"{called} has {ended.promotion.steps[-1]} % in {regions}: each step was proven.", style="green")
        )
    elif ended.state is PromotionState.IN_PROGRESS:
        console.print(Text(f"{called} stops: {ended.reason}. `rollout promote --resume` goes on.", style="green"))
    else:
        console.print(Text(f"{called} {ended.state}: {ended.reason}", style="red"))
    if ended.undone:
        print_undone(console, ended.undone)


def print_undone(console: Console, undone: RollbackResult) -> None:
    """What a way back did, how long it took and what it cost."""
    for region, weights in undone.weights.items():
        split = percents(weights)
        delivery = undone.deliveries.get(region)
        there = f"acknowledged by {delivery.envoys} Envoys" if delivery else "NOT known to be delivered"
        console.print(f"{region}: {split} by {undone.commit[:10]}, {there}")
    console.print(f"it took {undone.seconds:.1f} s until the last Envoy had acknowledged it")
    for version, tally in undone.cost.items():
        console.print(
            f"it cost {tally.failures:,} of the {tally.requests:,} requests that went to {version or 'nobody'}"
        )
    for problem in undone.problems:
        console.print(Text(f"error: {problem}", style="red"))
    for outcome in undone.outcomes:
        console.print(Text(_measured(outcome), style="green" if outcome.holds else "red"))


def print_retired(console: Console, service: str, version: str, retired: Sequence[RetirementResult]) -> None:
    """What a retirement did."""
    for each in retired:
        console.print(
            f"{each.region}: {service} {version} is gone since {each.commit[:10]}, after {each.delivery.acknowledged:.1f} s; "
            f"{each.coming.failures:,} of {each.coming.requests:,} requests failed meanwhile"
        )


def print_introduced(console: Console, service: str, version: str, introduced: Sequence[IntroductionResult]) -> None:
    """What an introduction did, and what comes next."""
    for each in introduced:
        brought = f"comes with {each.commit[:10]}" if each.commit else "was there already"
        console.print(f"{each.region}: {service} {version} {brought}; {each.delivery.envoys} Envoys know it")
    console.print(f"next: rollout promote {version} --service {service}")


def ended_as_json(ended: PromotionResult) -> dict[str, Any]:
    """The same for a program: weights in percent, shares in 0..1, times in seconds."""
    return {
        "promotion": ended.promotion.id,
        "service": ended.promotion.service,
        "version": ended.promotion.version,
        "state": ended.state.value,
        "reason": ended.reason,
        "risk": RISK,
        "tolerance": TOLERANCE_POINTS / 100,
        "first_answers": [asdict(each) for each in ended.first_answers],
        "steps": [_step_json(step) for step in ended.taken],
        "undone": undone_as_json(ended.undone) if ended.undone else None,
    }


def undone_as_json(undone: RollbackResult) -> dict[str, Any]:
    """A way back for a program."""
    return {
        "commit": undone.commit,
        "weights": {region: dict(weights) for region, weights in undone.weights.items()},
        "seconds": round(undone.seconds, 3),
        "cost": [{"version": version or None, **asdict(tally)} for version, tally in undone.cost.items()],
        "holds": undone.holds,
        "problems": [str(problem) for problem in undone.problems],
    }


def retired_as_json(service: str, version: str, retired: Sequence[RetirementResult]) -> dict[str, Any]:
    """A retirement for a program."""
    return {
        "service": service,
        "version": version,
        "regions": [{**_delivered_json(each), **asdict(each.coming)} for each in retired],
    }


def introduced_as_json(service: str, version: str, introduced: Sequence[IntroductionResult]) -> dict[str, Any]:
    """An introduction for a program: the commit is null where the version was there before."""
    return {
        "service": service,
        "version": version,
        "regions": [{**_delivered_json(each), "envoys": each.delivery.envoys} for each in introduced],
    }


def _delivered_json(each: RetirementResult | IntroductionResult) -> dict[str, Any]:
    return {"region": each.region, "commit": each.commit, "seconds": round(each.delivery.acknowledged, 3)}


def preview_table(steps: Sequence[tuple[str, Mapping[str, int]]]) -> Table:
    """The steps that would be taken."""
    table = new_table()
    table.add_column("step", justify="right")
    table.add_column("region")
    table.add_column("weights")
    for number, (region, weights) in enumerate(steps, start=1):
        table.add_row(str(number), region, percents(weights))
    return table


def _steps(ended: PromotionResult) -> Table:
    numbers = ("weight", "commit", "synced", "acknowledged", "requests", "share", "99.9 % interval")
    table = new_table("region", right=(*numbers, f"failed, {ended.promotion.version}", "failed, old"))
    table.add_column("step")
    for step in ended.taken:
        table.add_row(*_cells(step))
    return table


def _comparisons(ended: PromotionResult) -> Table:
    """The new version beside the old ones, step by step."""
    version = ended.promotion.version
    table = new_table("region", right=("weight", version, "old", "worse by at most", "margin"))
    table.add_column("requests")
    table.add_column("")
    for step in ended.taken:
        for each in step.compared:
            bounds = [_most(each), f"{100 * each.allowed:.2f} points"]
            table.add_row(
                *map(Text, [step.region, f"{step.weight} %", _failed(each.new), _failed(each.old), *bounds, each.name]),
                _standing(each),
            )
    return table


def _most(each: Comparison) -> str:
    """By how much it is worse at most; where that is not proven, from which part of bad ones on it would be found."""
    if each.standing is not Standing.HOLDS and each.found_from is not None:
        return f"found from {100 * each.found_from:.2f} %"
    return "-" if each.most is None else f"{100 * each.most:.2f} points"


def _standing(each: Comparison) -> Text:
    if each.standing is Standing.HOLDS:
        return (
            Text("worse, within the margin", style="yellow") if each.worse else Text("within the margin", style="green")
        )
    if each.is_needed:
        return Text("not yet known")
    if not each.is_watched:
        return Text("not compared", style="yellow")
    alone = "" if each.alone_seconds is None else f"; a proof by these alone: {told_seconds(each.alone_seconds)}"
    if each.worse:
        return Text(f"worse, not by the margin{alone}", style="yellow")
    return Text(f"not shown to be worse{alone}")


def _cells(step: StepResult) -> tuple[Text, ...]:
    delivery, proof = step.delivery, step.proof
    cells = [step.region, f"{step.weight} %", step.commit[:10]]
    cells += [f"{delivery.synced:.1f} s", f"{delivery.acknowledged:.1f} s"] if delivery else ["-", "-"]
    if proof:
        low, high = proof.interval
        cells += [f"{proof.requests:,}", f"{100 * proof.share:.1f} %", f"{100 * low:.1f} - {100 * high:.1f} %"]
        cells += [_failed(proof.new), _failed(proof.old)]
    else:
        cells += ["-"] * 5
    return (*map(Text, cells), Text("proven", style="green") if proof else Text("failed", style="bold red"))


def _failed(tally: Tally) -> str:
    return f"{tally.failures:,} of {tally.requests:,}"


def _measured(outcome: Outcome) -> str:
    if outcome.verdict is None:
        return f"{outcome.title} could not be measured: {'; '.join(problem.what for problem in outcome.problems)}"
    measured = outcome.verdict.measurement
    failed = f", {measured.failures:,} of them failed" if measured.failures else ""
    found = "; ".join(finding.text for finding in outcome.verdict.findings)
    return f"{outcome.title}: {'holds' if outcome.holds else found} ({measured.requests:,} requests{failed})"


def _step_json(step: StepResult) -> dict[str, Any]:
    return {
        "region": step.region,
        "weight": step.weight,
        "commit": step.commit,
        "synced_seconds": step.delivery.synced if step.delivery else None,
        "acknowledged_seconds": step.delivery.acknowledged if step.delivery else None,
        "envoys": step.delivery.envoys if step.delivery else None,
        "coming": asdict(step.coming) if step.coming else None,
        "proof": asdict(step.proof) if step.proof else None,
        "compared": [asdict(each) | {"standing": each.standing.value} for each in step.compared],
    }
