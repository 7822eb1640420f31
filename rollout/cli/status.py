"""`rollout status`."""

from __future__ import annotations

from pathlib import Path

import typer

from rollout.cli.options import JsonForTable, OnlyRegions, OnlyServices, RegionsFile
from rollout.cli.terminal import print_json, print_problems, results_console, told
from rollout.regions import discover, find_project, select

# ruff: noqa: PLC0415


def status(
    *,
    region: OnlyRegions = None,
    service: OnlyServices = None,
    regions_file: RegionsFile = None,
    as_json: JsonForTable = False,
) -> None:
    """Show each region's weights and what disagrees.

    It says who disagrees with whom, and since when; and what would keep a change from arriving, with what to do about it.
    The stack file is the one on the disk; Git is the overlay at HEAD of this clone (with `delivery: direct`, nothing); the
    cluster is its VirtualService; the Envoys are all sidecars and gateways that are ready and can send to the service, each
    asked what it routes by. No remote is asked and nothing is written. An Envoy of another Istio than istiod disagrees with
    it; an image's tag tells the version.

    \b
    Exit codes:
      0    all agree
      1    something disagrees, is not ready, is ejected, or is in the way of a change
      2    wrong usage or configuration, or something that cannot be seen
      70   a fault of rollout itself: what was done stays done
      130  stopped by Ctrl-C (143 SIGTERM, 129 SIGHUP)
    """
    from rollout.cli.output import status as status_report
    from rollout.status.snapshot import gather

    with told("stopped") as messages:
        project = find_project(Path.cwd())
        regions = select(discover(project, regions_file).regions, region or [])
        found = gather(project, regions, service or [])
    if as_json:
        print_json(status_report.as_json(found))
    else:
        status_report.print_status(results_console(), found)
    print_problems(messages, [problem for one in found.regions for problem in one.unseen])
    raise typer.Exit(status_report.exit_code(found))
