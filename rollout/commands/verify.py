"""`rollout verify`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from rollout.attack import DEFAULT_RATE, HIGHEST_RATE, MOST_REQUESTS
from rollout.commands.terminal import INTERRUPTED, messages_console, print_problems, results_console
from rollout.problem import Problem, RolloutError
from rollout.regions import discover, find_project, select

# ruff: noqa: PLC0415
if TYPE_CHECKING:
    from rollout.verification import Ready


def verify(
    context: typer.Context,
    *,
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this region; may be given more than once.", show_default="all"),
    ] = None,
    requests: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=MOST_REQUESTS,
            help="Requests to send in each region. Fewer than the default are no proof and so no success.",
            show_default="what the weights need, at least 3,000",
        ),
    ] = None,
    rate: Annotated[
        int, typer.Option(metavar="R", min=1, max=HIGHEST_RATE, help="Requests per second in each region.")
    ] = DEFAULT_RATE,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where to send them.", show_default="the stack's output url")
    ] = None,
    regions_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Says where the regions are.", show_default=".regions.yaml, else the stack files"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure which share of real requests each version gets, in every region, and hold it against the weights.

    The requests are sent by the probe pod of each region, through its sidecar. The weights are those of the overlay at
    the commit that Argo CD last synced, which must be in the local repository; with `delivery: direct`, the outputs of the
    region's stack. A region holds if each share is within two points of its weight and no request failed.

    \b
    Exit codes:
      0    every region holds
      1    a region does not hold, or too few requests were sent to say so
      2    wrong usage or configuration, or a region that cannot be measured
      130  stopped by Ctrl-C; the probes stop too
    """
    from rollout import progress, report
    from rollout.verification import Edges, Wishes, measure_and_judge, prepare

    messages = messages_console()
    try:
        _refuse_bad_url(url)
        project = find_project(Path.cwd())
        found = discover(project, regions_file)
        regions = select(found.regions, region or [])
        messages.print(f"regions by {found.source}: {', '.join(one.name for one in regions)}")
        ready = prepare(regions, found.pulumi, Wishes(url, requests, rate), context.ensure_object(Edges))
        _announce(messages, ready)
        with progress.shown(messages, {one.region.name: one.attack.requests for one in ready}) as shown:
            outcomes = measure_and_judge(ready, shown)
    except RolloutError as error:
        print_problems(messages, error.problems)
        raise typer.Exit(report.COULD_NOT_TELL) from error
    except KeyboardInterrupt as error:
        messages.print("stopped; the probes stop with it")
        raise typer.Exit(INTERRUPTED) from error
    if as_json:
        typer.echo(json.dumps(report.as_json(outcomes), indent=2))
    else:
        report.print_report(results_console(), outcomes)
    print_problems(messages, [problem for outcome in outcomes for problem in outcome.problems])
    raise typer.Exit(report.exit_code(outcomes))


def _refuse_bad_url(url: str | None) -> None:
    if url is not None and not re.match(r"http://[^/\s]+", url):
        raise RolloutError(
            Problem(
                f"--url {url} is not an http:// address",
                "the probe speaks plain HTTP, and its sidecar adds mutual TLS",
                "give one like http://echo.echo.svc.cluster.local/",
            )
        )


def _announce(messages: Console, ready: Sequence[Ready]) -> None:
    for one in ready:
        attack, needed = one.attack, one.needed
        if one.application:
            messages.print(
                f"{one.region.name}: weights of commit {one.application.synced_revision}, which Argo CD synced"
            )
        messages.print(f"{one.region.name}: {attack.requests:,} requests at {attack.rate:,} a second to {attack.url}")
        if attack.requests < needed:
            messages.print(
                f"warning: {one.region.name}: {attack.requests:,} requests are fewer than the {needed:,} that its "
                "weights need, so this cannot succeed; leave --requests out for a proof"
            )
