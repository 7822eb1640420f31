"""`rollout plan`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from rollout.cli.options import AsJson, OnlyRegions
from rollout.cli.terminal import UNUSABLE, print_json, print_problems, told
from rollout.problem import Problem, RolloutError, refuse
from rollout.regions import find_project

# ruff: noqa: PLC0415


def plan(
    context: typer.Context,
    *,
    base: Annotated[str, typer.Option(metavar="REV", help="What runs now.")] = "HEAD",
    head: Annotated[
        str | None, typer.Option(metavar="REV", help="What is to run.", show_default="the working tree")
    ] = None,
    region: OnlyRegions = None,
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a comment for a pull request.")] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="What the rules of --head say of it, as --json prints it: both sets judge.",
        ),
    ] = None,
) -> None:
    """Show what a change does to traffic and whether it is safe.

    Run it before you commit or merge.
    The change is that from --base to --head; where the two went apart, it is what happened since then on the side of --head, as in
    a pull request (`--base origin/main`). Nothing is fetched or written, and no cluster is asked: the base is taken for delivered.

    \b
    Exit codes:
      0    nothing to say against it
      1    warnings
      2    refused, or wrong usage, or a stack file or a revision that cannot be used
      3    refused by these rules, accepted by the change's own (--against): the owners of the rules decide
      70   a fault of rollout itself: what was done stays done
      130  stopped by Ctrl-C (143 SIGTERM, 129 SIGHUP)
    """
    from rollout.git.repository import Repository
    from rollout.plan import report as plan_report
    from rollout.plan import verdicts
    from rollout.plan.plan import make_plan

    with told("stopped") as messages:
        _refuse_stray(context.args)
        _refuse_two_forms(as_json=as_json, as_markdown=as_markdown)
        try:
            made = make_plan(Repository(find_project(Path.cwd())), base, head, region or [])
        except RolloutError as error:
            if as_markdown:
                typer.echo(plan_report.problems_as_markdown(error.problems))
            if against is None:
                raise
            print_problems(messages, error.problems)
            verdict, code = verdicts.Verdict.refusal(*(each.what for each in error.problems)), UNUSABLE
        else:
            document, code = plan_report.as_json(made), plan_report.exit_code(made)
            if as_json:
                print_json(document)
            else:
                typer.echo(plan_report.as_markdown(made) if as_markdown else plan_report.as_text(made))
            verdict = verdicts.Verdict.model_validate(document)
    if against is not None:
        own = verdicts.Verdict.read(against.read_text())
        lines = verdicts.as_markdown(verdict, own) if as_markdown else "\n".join(["", *verdicts.told(verdict, own)])
        typer.echo(lines, err=as_json)
        code = verdicts.exit_code(code, verdict, own)
    raise typer.Exit(code)


def _refuse_stray(words: Sequence[str]) -> None:
    refuse(
        Problem(
            f"{word}: no option says what this is",
            "it could be a region or a revision",
            f"write --region {word}, --base {word} or --head {word}",
        )
        for word in words
    )


def _refuse_two_forms(*, as_json: bool, as_markdown: bool) -> None:
    if as_json and as_markdown:
        raise RolloutError.of(
            "--json and --markdown are both given", "only one of them can be all of the output", "leave one out"
        )
