"""`rollout rollback`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollout.attack import DEFAULT_RATE, HIGHEST_RATE
from rollout.commands.terminal import DIFFERS, INTERRUPTED, UNUSABLE, messages_console, print_problems, results_console
from rollout.problem import Problem, RolloutError

# ruff: noqa: PLC0415
if TYPE_CHECKING:
    from rollout.hand import Hand
    from rollout.record import Record


def rollback(
    *,
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Only there; may be given more than once.", show_default="all of the promotion"
        ),
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the commit.")] = "by hand",
    branch: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Push there, and wait until it is merged where Argo CD reads."),
    ] = None,
    remote: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Where to push to.",
            show_default="the remote of .regions.yaml, else the one that Git would push to",
        ),
    ] = None,
    rate: Annotated[
        int, typer.Option(metavar="R", min=10, max=HIGHEST_RATE, help="Requests per second to measure with.")
    ] = DEFAULT_RATE,
    regions_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Says where the regions are.", show_default=".regions.yaml, else the stack files"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take all requests from the version that was promoted last, whether that is in progress or done: one commit, weights only.

    Nothing is removed: the version stays with weight 0, and the others share the requests as they did before the promotion.

    \b
    Exit codes:
      0    taken back, and the regions hold; or there was nothing left to take back
      1    taken back, and a region does not hold
      2    it could not be committed, delivered or measured
      130  stopped by Ctrl-C
    """
    from rollout import promotion_report
    from rollout.commands.hands import opened
    from rollout.promotion import roll_back, to_take_back

    messages = messages_console()
    try:
        with opened(messages, remote, branch, regions_file, region or []) as found:
            hand = found.hand
            tip = hand.tip()
            record = _newest(hand, tip)
            regions = to_take_back(hand, tip, record, region or [])
            if not regions:
                typer.echo(f"nothing to do: {record.promotion.version} has no requests, and nothing is in progress")
                return
            clusters = found.clusters(regions, rate)
            undone = roll_back(
                hand, clusters, record, lambda tip: to_take_back(hand, tip, record, region or []), reason
            )
            undone = replace(undone, outcomes=clusters.certify([*undone.weights]))
    except RolloutError as error:
        print_problems(messages, error.problems)
        raise typer.Exit(UNUSABLE) from error
    except KeyboardInterrupt as error:
        messages.print("stopped; what was pushed goes on: see rollout status")
        raise typer.Exit(INTERRUPTED) from error
    if as_json:
        typer.echo(json.dumps(promotion_report.undone_as_json(undone), indent=2))
    else:
        promotion_report.print_undone(results_console(), undone)
    raise typer.Exit(0 if all(outcome.holds for outcome in undone.outcomes) else DIFFERS)


def _newest(hand: Hand, tip: str) -> Record:
    newest = hand.newest(tip)
    if newest is None:
        raise RolloutError(
            Problem(
                "there was no promotion to take back",
                "it says which version it was, and what there was before",
                "change the weights by hand: rollout set v1=100 --region …",
            )
        )
    return newest[1]
