"""`rollout retire`."""

from __future__ import annotations

from typing import Annotated

import typer

from rollout.cli.options import AsJson, DryRun, OnlyRegions, Proposal, RegionsFile, Remote, Service, WatchRate
from rollout.cli.terminal import PUSHED_GOES_ON, print_json, results_console, told
from rollout.traffic.attack import DEFAULT_RATE

# ruff: noqa: PLC0415


def retire(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Which.")],
    *,
    service: Service = None,
    region: OnlyRegions = None,
    branch: Proposal = None,
    remote: Remote = None,
    rate: WatchRate = DEFAULT_RATE,
    regions_file: RegionsFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove a version that has weight 0, region after region.

    Its pods, its subset and its route go.
    First it looks in all regions for what would keep that from arriving, and refuses to begin where there is such, or where a freeze
    window is open (rules.freeze).
    In each region it waits until every Envoy has acknowledged the weight 0, removes the version by a commit, waits until no Envoy knows
    it any more, and counts the requests that are sent meanwhile. Where testers can ask for it, a commit with testers: false comes first,
    and is acknowledged as well. A version with requests is not removed: promote another one first.

    \b
    Exit codes:
      0    it is gone, and no request was lost
      2    refused, or it stopped: what is done stays done; run again, it goes on with the regions that still have it
      70   a fault of rollout itself: what was done stays done
      130  stopped by Ctrl-C (143 SIGTERM, 129 SIGHUP)
    """
    from rollout.cli.clone import opened
    from rollout.cli.output import promotion as promotion_report
    from rollout.promote import retirement
    from rollout.promote.preflight import refuse_troubles
    from rollout.promote.upstream import refuse_promotion

    with (
        told(PUSHED_GOES_ON) as messages,
        opened(messages, service, remote, branch, regions_file=regions_file, names=region or []) as found,
    ):
        tip = found.upstream.tip()
        refuse_promotion(found.upstream.last_promotion(tip))
        regions = found.regions(tip)
        if dry_run:
            for name, asked_for in retirement.preview(found.upstream, version, regions).items():
                called = f"{found.upstream.service} {version}"
                first = "its weight 0, and testers: false by a commit before" if asked_for else "its weight 0"
                typer.echo(f"{name}: {called} would be removed once every Envoy has acknowledged {first}")
            return
        upstream = found.upstream
        where = found.accesses(regions)
        refuse_troubles(upstream.repository.project, where, upstream.service, tip, upstream.say)
        retired = retirement.retire(found.upstream, found.clusters(regions, rate), version, regions)
    if as_json:
        print_json(promotion_report.retired_as_json(found.upstream.service, version, retired))
    else:
        promotion_report.print_retired(results_console(), found.upstream.service, version, retired)
