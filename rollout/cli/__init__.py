"""The command line, `rollout` or `python -m rollout`: its verbs put together."""

from __future__ import annotations

import typer

from rollout.cli.plan import plan
from rollout.cli.promote import promote
from rollout.cli.render import render
from rollout.cli.retire import retire
from rollout.cli.rollback import rollback
from rollout.cli.set import set_weights
from rollout.cli.status import status
from rollout.cli.verify import verify

# Plain help: it is the same on a terminal and in a pipe.
app = typer.Typer(
    name="rollout", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


@app.callback()
def rollout() -> None:
    """Say what the regions should do with their traffic, and see what they do."""


app.command(context_settings={"allow_extra_args": True})(plan)
app.command()(render)
app.command()(status)
app.command()(verify)
app.command("set")(set_weights)
app.command()(promote)
app.command()(rollback)
app.command()(retire)
