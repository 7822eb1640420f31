"""`rollout introduce`."""

from __future__ import annotations

from typing import Annotated

import typer

from rollout.cli.options import AsJson, DryRun, OnlyRegions, Proposal, RegionsFile, Remote, Service
from rollout.cli.terminal import PUSHED_GOES_ON, print_json, results_console, told
from rollout.traffic.attack import DEFAULT_RATE

# ruff: noqa: PLC0415


def introduce(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The new one's name, such as v3.")],
    *,
    image: Annotated[str, typer.Option(metavar="REF", help="Its image, with a fixed tag or a digest.")],
    replicas: Annotated[
        int | None,
        typer.Option(metavar="N", help="Its pods.", show_default="as of the version with most weight", min=1),
    ] = None,
    service: Service = None,
    region: OnlyRegions = None,
    together: Annotated[
        bool, typer.Option("--together", help="Bring it to all regions by one commit, not one after the other.")
    ] = False,
    branch: Proposal = None,
    remote: Remote = None,
    regions_file: RegionsFile = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Bring a version with weight 0, region after region.

    Its pods, its subset and its route come; no request does.
    First it looks in all regions for what would keep that from arriving, and refuses to begin where there is such, or where a freeze
    window is open (rules.freeze).
    In each region a commit adds the version to the stack file, with the settings of the version that has most weight, and the overlay
    rendered from it. The next region begins when Argo CD has synced it, its pods are healthy and every Envoy knows it. What the rules
    refuse is not committed. Where the version is there already with this image, nothing is committed, and it only waits.

    \b
    Exit codes:
      0    it is there, healthy and known to every Envoy: promote it
      2    refused, or it stopped: what is done stays done; run again, it goes on with the regions that lack it
      70   a fault of rollout itself: what was done stays done
      130  stopped by Ctrl-C (143 SIGTERM, 129 SIGHUP)
    """
    from rollout.cli.clone import opened
    from rollout.cli.output import promotion as promotion_report
    from rollout.promote import introduction
    from rollout.promote.preflight import refuse_troubles
    from rollout.promote.upstream import refuse_promotion

    with (
        told(PUSHED_GOES_ON) as messages,
        opened(messages, service, remote, branch, regions_file=regions_file, names=region or []) as found,
    ):
        upstream = found.upstream
        tip = upstream.tip()
        refuse_promotion(upstream.last_promotion(tip))
        regions = found.regions(tip)
        new = introduction.Introduction(version, image, replicas, regions, together)
        if dry_run:
            lacking = introduction.preview(upstream, new, tip)
            for name in regions:
                would = f"would come with {lacking[name]} replicas" if name in lacking else "is there already"
                typer.echo(f"{name}: {upstream.service} {version} {would}")
            return
        refuse_troubles(upstream.repository.project, found.accesses(regions), upstream.service, tip, upstream.say)
        introduced = introduction.introduce(upstream, found.clusters(regions, DEFAULT_RATE), new, tip)
    if as_json:
        print_json(promotion_report.introduced_as_json(upstream.service, version, introduced))
    else:
        promotion_report.print_introduced(results_console(), upstream.service, version, introduced)
