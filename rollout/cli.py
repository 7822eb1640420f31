"""The command line: `python -m rollout plan`, `render` and `verify`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from rollout.attack import DEFAULT_RATE, HIGHEST_RATE, MOST_REQUESTS
from rollout.problem import Problem, RolloutError
from rollout.regions import discover, find_project, select

# What a command alone needs (the Kubernetes client, the Kubernetes classes of Pulumi) is imported by that command: together
# it takes a second, and the other commands' `--help` need none of it.
# ruff: noqa: PLC0415
if TYPE_CHECKING:
    from rollout.verification import Ready

_DIFFERS = 1
_UNUSABLE = 2
_INTERRUPTED = 130

# Lines to a pipe or a file are as long as they are; a table must not be folded at the 80 columns of no terminal.
_PLAIN_COLUMNS = 200

# Plain help: it is the same on a terminal and in a pipe.
app = typer.Typer(
    name="rollout", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


@app.callback()
def rollout() -> None:
    """Say what the regions should do with their traffic, and see what they do."""


@app.command(context_settings={"allow_extra_args": True})
def plan(
    context: typer.Context,
    *,
    base: Annotated[str, typer.Option(metavar="REV", help="What runs now.")] = "HEAD",
    head: Annotated[
        str | None, typer.Option(metavar="REV", help="What is to run.", show_default="the working tree")
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Speak only of this region; may be given more than once.", show_default="all"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a comment for a pull request.")] = False,
) -> None:
    """Say what a change does to the requests, and whether it is safe, before it is committed or merged.

    The change is that from --base to --head; where the two went apart, it is what happened since then on the side of --head, as in
    a pull request (`--base origin/main`). Nothing is fetched or written, and no cluster is asked: the base is taken for delivered.

    \b
    Exit codes:
      0    nothing to say against it
      1    warnings
      2    refused, or wrong usage, or a stack file or a revision that cannot be used
      130  stopped by Ctrl-C
    """
    from rollout import plan_report
    from rollout.plan import make_plan

    messages = _messages()
    try:
        _refuse_stray(context.args)
        _refuse_two_forms(as_json=as_json, as_markdown=as_markdown)
        made = make_plan(find_project(Path.cwd()), base, head, region or [])
    except RolloutError as error:
        _print_problems(messages, error.problems)
        if as_markdown and not as_json:
            typer.echo(plan_report.problems_as_markdown(error.problems))
        raise typer.Exit(_UNUSABLE) from error
    except KeyboardInterrupt as error:
        messages.print("stopped")
        raise typer.Exit(_INTERRUPTED) from error
    if as_json:
        typer.echo(json.dumps(plan_report.as_json(made), indent=2))
    else:
        typer.echo(plan_report.as_markdown(made) if as_markdown else plan_report.as_text(made))
    raise typer.Exit(plan_report.exit_code(made))


def _refuse_stray(words: Sequence[str]) -> None:
    if words:
        raise RolloutError(
            *(
                Problem(
                    f"{word}: what this is, is not said",
                    "it could be a region or a revision",
                    f"write --region {word}, --base {word} or --head {word}",
                )
                for word in words
            )
        )


def _refuse_two_forms(*, as_json: bool, as_markdown: bool) -> None:
    if as_json and as_markdown:
        raise RolloutError(
            Problem(
                "--json and --markdown are both given", "only one of them can be all of the output", "leave one out"
            )
        )


@app.command()
def render(
    *,
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this region; may be given more than once.", show_default="all"),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; show what differs.")] = False,
) -> None:
    """Write the overlays that Argo CD applies, deploy/overlays/<region>/echo/, from the stack files.

    The objects are those that Pulumi itself would apply, and sync waves. Every region is rendered, also one with
    `delivery: direct`, which no Argo CD reads: when it is handed over, its overlay is there. Files of things that are gone
    are removed; without --region, those of regions that have no stack file any more as well.

    \b
    Exit codes:
      0    the overlays are what the stack files say
      1    with --check: they are not
      2    wrong usage or stack files, or a file in an overlay that was not rendered; nothing is written
    """
    from rollout import rendering

    messages = _messages()
    try:
        project = find_project(Path.cwd())
        changes = rendering.changes(project, region or [])
        for change in changes:
            if check:
                typer.echo(change.diff, nl=False)
            else:
                rendering.make(project, change)
                typer.echo(f"{'removed' if change.after is None else 'wrote'} {change.path}")
    except RolloutError as error:
        _print_problems(messages, error.problems)
        raise typer.Exit(_UNUSABLE) from error
    if not changes:
        typer.echo("nothing to do")
    elif check:
        messages.print(f"{len(changes)} of the overlays' files differ from what the stack files say: run `make render`")
        raise typer.Exit(_DIFFERS)


@app.command()
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

    messages = _messages()
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
        _print_problems(messages, error.problems)
        raise typer.Exit(report.COULD_NOT_TELL) from error
    except KeyboardInterrupt as error:
        messages.print("stopped; the probes stop with it")
        raise typer.Exit(_INTERRUPTED) from error
    if as_json:
        typer.echo(json.dumps(report.as_json(outcomes), indent=2))
    else:
        report.print_report(_results(), outcomes)
    _print_problems(messages, [problem for outcome in outcomes for problem in outcome.problems])
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


def _print_problems(messages: Console, problems: Sequence[Problem]) -> None:
    for problem in problems:
        messages.print(f"error: {problem}")


def _messages() -> Console:
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def _results() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_COLUMNS)
