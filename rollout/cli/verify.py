"""`rollout verify`."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from rollout.access import RegionAccess
from rollout.cli.options import JsonForTable, OnlyRegions, OnlyServices, RegionsFile
from rollout.cli.terminal import UNUSABLE, print_json, print_problems, results_console, told
from rollout.judge.shares import DEFAULT_MOST
from rollout.problem import Problem, RolloutError, refuse
from rollout.regions import Discovery, discover, find_project, select
from rollout.traffic.attack import DEFAULT_RATE, HIGHEST_RATE, MOST_REQUESTS

# ruff: noqa: PLC0415
if TYPE_CHECKING:
    from rollout.status.verification import Measurable, Outcome, Way


def verify(
    *,
    region: OnlyRegions = None,
    service: OnlyServices = None,
    requests: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=MOST_REQUESTS,
            help="The most requests to send in each region; it sends no more than it takes to decide.",
            show_default=str(DEFAULT_MOST),
        ),
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(
            metavar="R",
            min=1,
            max=HIGHEST_RATE,
            help="Requests per second in each region.",
            show_default=str(DEFAULT_RATE),
        ),
    ] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where to send them.", show_default="the stack's output url")
    ] = None,
    commit: Annotated[
        str | None,
        typer.Option(
            metavar="REV", help="First wait until Argo CD and every Envoy have this commit, ten minutes at most."
        ),
    ] = None,
    clients: Annotated[
        bool, typer.Option("--clients", help="Send nothing: count what all clients get, ten minutes at most.")
    ] = False,
    regions_file: RegionsFile = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.svg", help="Draw each region's shares over the requests, with what is allowed."),
    ] = None,
    as_json: JsonForTable = False,
) -> None:
    """Measure the share of real requests that each version gets.

    Each share is compared with its weight.
    The requests are sent by the probe pod of each region, through its sidecar, until it is decided: looked at as they
    come, with a test that may be looked at as often as one likes. A region holds if each share is within two points of
    its weight, and no request failed. That, and that it does not hold, is said wrongly once in 1,000 times at most.
    Where the requests are not independent of each other, it says so instead.

    The weights are those of the overlay at the commit that Argo CD last synced, which is fetched where the clone lacks it; with
    `delivery: direct`, the outputs of the region's stack. Right after a push that may still be the commit before: --commit waits
    for the one that is meant, or a later one.

    With --clients nothing is sent, so --url, --requests and --rate are refused: the requests of all clients are counted, as their
    own Envoys do. The shares alone are judged. What failed is shown; whether the requests are independent of each other is not tested.

    Envoys that lack the weights are waited for, half a minute at most; the report names those that still lack them. Of more than
    50 Envoys, 50 are asked, chosen at random, and the report says so. Where the route changes during the measurement, it measures
    again, by the new weights, five times at most.

    \b
    Exit codes:
      0    every region holds
      1    a region does not hold, is not yet known after N requests, or its requests are not independent
      2    wrong usage or configuration, or a region that cannot be measured: its weights change all the time, or with --clients
           its clients send too little
      70   a fault of rollout itself: what was done stays done
      130  stopped by Ctrl-C (143 SIGTERM, 129 SIGHUP); the probes stop too
    """
    from rollout.cli.output import progress
    from rollout.cli.output import verification as report
    from rollout.status.clients import measure_clients, prepare_clients
    from rollout.status.verification import Deliveries, measure_and_judge, prepare

    with told("stopped; the probes stop with it") as messages:
        if clients:
            _refuse_to_send({"--url": url, "--requests": requests, "--rate": rate})
        _refuse_bad_url(url)
        _refuse_bad_plot(plot)
        project = find_project(Path.cwd())
        found = discover(project, regions_file)
        regions = select(found.regions, region or [])
        messages.print(f"regions by {found.source}: {', '.join(one.name for one in regions)}")
        fetch = partial(_fetch, found, threading.Lock())
        if commit is not None:
            _await_commit(messages, regions, found, commit, service or [], fetch=fetch)
        # an address of one's own is asked inside the mesh
        ways: Sequence[Way] = ("mesh",) if url else ("mesh", "gateway")
        deliveries = Deliveries(found.pulumi, messages.print, fetch)
        if clients:
            counted = prepare_clients(regions, deliveries, service or [])
            _announce(messages, counted)
            with progress.shown(messages, counted) as shown:
                outcomes = measure_clients(counted, shown, messages.print)
        else:
            ready = prepare(
                regions,
                deliveries,
                services=service or [],
                ways=ways,
                url=url,
                requests=requests or DEFAULT_MOST,
                rate=rate or DEFAULT_RATE,
            )
            _announce(messages, ready)
            with progress.shown(messages, ready) as shown:
                outcomes = measure_and_judge(ready, shown, messages.print)
    if as_json:
        print_json(report.as_json(outcomes))
    else:
        report.print_report(results_console(), outcomes)
    print_problems(messages, [problem for outcome in outcomes for problem in outcome.problems])
    if plot:
        _draw(plot, outcomes, messages)
    raise typer.Exit(report.exit_code(outcomes))


def _await_commit(
    messages: Console,
    regions: Sequence[RegionAccess],
    found: Discovery,
    revision: str,
    services: Sequence[str],
    *,
    fetch: Callable[[str], str],
) -> None:
    """Waits until each region has a commit; Argo CD of all of them fetches it meanwhile."""
    from rollout.cluster.stack_outputs import read_outputs
    from rollout.git.repository import Repository
    from rollout.promote.delivery import await_commit

    repository = Repository(found.pulumi.project)
    commit = repository.resolved("--commit", revision)
    for region in regions:
        outputs = read_outputs(found.pulumi, region)
        for service in services or outputs.services:
            title, found_service = f"{region.name} {service}", outputs.service(service, region)
            application = found_service.application
            if application is None:
                messages.print(f"{title}: Pulumi delivers here, so there is no commit to wait for")
                continue
            messages.print(f"{title}: waits until Argo CD and every Envoy have {commit}")
            time = await_commit(region, found_service.address(service), application, repository, commit, fetch=fetch)
            if isinstance(time, Problem):
                raise RolloutError(time)
            messages.print(
                f"{title}: synced after {time.synced:.0f} s, acknowledged by {time.envoys} Envoys after {time.acknowledged:.0f} s"
            )


def _fetch(found: Discovery, fetching: threading.Lock, branch: str) -> str:
    """Fetches a branch, for one region at a time: of two fetches at once one could not lock the ref."""
    from rollout.git.repository import Repository

    with fetching:
        repository = Repository(found.pulumi.project)
        return repository.fetch(repository.remote(None, found.remote), branch)


def _refuse_to_send(options: Mapping[str, object]) -> None:
    refuse(
        Problem(
            f"{option} and --clients do not go together",
            "with --clients nothing is sent, so it changes nothing",
            "leave one of them out",
        )
        for option, given in options.items()
        if given is not None
    )


def _refuse_bad_url(url: str | None) -> None:
    if url is not None and not re.match(r"http://[^/\s]+", url):
        raise RolloutError.of(
            f"--url {url} is not an http:// address",
            "the probe speaks plain HTTP, and its sidecar adds mutual TLS",
            "give one like http://echo.echo.svc.cluster.local/",
        )


def _refuse_bad_plot(plot: Path | None) -> None:
    if plot is not None and not plot.parent.is_dir():
        raise RolloutError.of(
            f"--plot {plot}: {plot.parent} is not a directory",
            "the plot is written when the requests have been sent",
            "make it first, or name another file",
        )


def _draw(plot: Path, outcomes: Sequence[Outcome], messages: Console) -> None:
    from rollout.cli.output.plot import Panel, svg

    panels = [Panel(outcome.title, outcome.weights, outcome.trail) for outcome in outcomes if outcome.trail]
    try:
        plot.write_text(svg(panels), encoding="utf-8")
    except OSError as error:
        problem = Problem(
            f"--plot {plot} cannot be written: {error.strerror}",
            "the verdict above holds without it, but was not drawn",
            "name a file that can be written, and verify again",
        )
        print_problems(messages, [problem])
        raise typer.Exit(UNUSABLE) from error


def _announce(messages: Console, ready: Sequence[Measurable]) -> None:
    for one in ready:
        if one.application:
            messages.print(f"{one.title}: weights of commit {one.application.synced_revision}, which Argo CD synced")
        messages.print(f"{one.title}: {one.plan}")
