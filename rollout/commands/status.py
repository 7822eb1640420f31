"""`rollout status`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rollout.commands.terminal import INTERRUPTED, UNUSABLE, messages_console, print_problems, results_console
from rollout.problem import RolloutError
from rollout.regions import discover, find_project, select

# ruff: noqa: PLC0415


def status(
    context: typer.Context,
    *,
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this region; may be given more than once.", show_default="all"),
    ] = None,
    regions_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Says where the regions are.", show_default=".regions.yaml, else the stack files"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show where the weights of each version are said in each region, and who disagrees with whom since when.

    The stack file is the one on the disk; Git is the overlay at HEAD of this clone (with `delivery: direct`, nothing); the
    cluster is its VirtualService; the Envoys are all sidecars that are ready, each asked what it routes by. No remote is asked
    and nothing is written.

    \b
    Exit codes:
      0    all agree
      1    something disagrees, is not ready, or is ejected
      2    wrong usage or configuration, or something that cannot be seen
      130  stopped by Ctrl-C
    """
    from rollout import status_report
    from rollout.gathering import Edges, gather

    messages = messages_console()
    try:
        project = find_project(Path.cwd())
        regions = select(discover(project, regions_file).regions, region or [])
        found = gather(project, regions, context.ensure_object(Edges))
    except RolloutError as error:
        print_problems(messages, error.problems)
        raise typer.Exit(UNUSABLE) from error
    except KeyboardInterrupt as error:
        messages.print("stopped")
        raise typer.Exit(INTERRUPTED) from error
    if as_json:
        typer.echo(json.dumps(status_report.as_json(found), indent=2))
    else:
        status_report.print_status(results_console(), found)
    print_problems(messages, [problem for one in found.regions for problem in one.problems])
    raise typer.Exit(status_report.exit_code(found))
