"""The command line, `rollout` or `python -m rollout`: the verbs put together."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Annotated

import typer

from rollout.cli import plan, promote, render, retire, rollback, status, verify
from rollout.cli import set as set_

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


app.command(context_settings={"allow_extra_args": True})(plan.plan)
app.command()(render.render)
app.command()(status.status)
app.command()(verify.verify)
app.command("set")(set_.set_weights)
app.command()(promote.promote)
app.command()(rollback.rollback)
app.command()(retire.retire)

if __name__ == "__main__":
    app(prog_name="python -m rollout")
