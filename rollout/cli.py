"""The command line, `rollout` or `python -m rollout`: its verbs put together."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Annotated

import typer

from rollout.commands.plan import plan
from rollout.commands.promote import promote
from rollout.commands.render import render
from rollout.commands.retire import retire
from rollout.commands.rollback import rollback
from rollout.commands.set import set_weights
from rollout.commands.status import status
from rollout.commands.verify import verify

# Plain help: it is the same on a terminal and in a pipe.
app = typer.Typer(
    name="rollout", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rollout {version_of('echo-rollout')}")
        raise typer.Exit


@app.callback()
def rollout(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Shift traffic between versions, region by region, and prove it."""


app.command(context_settings={"allow_extra_args": True})(plan)
app.command()(render)
app.command()(status)
app.command()(verify)
app.command("set")(set_weights)
app.command()(promote)
app.command()(rollback)
app.command()(retire)
