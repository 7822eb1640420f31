"""The command line, `rollout` or `python -m rollout`: its verbs, a module each.

A verb reads its options, does its work, prints what came of it, and gives an exit code. What a verb alone needs (the Kubernetes
client, the Kubernetes classes of Pulumi) is imported within it: together it takes a second, and the `--help` of the others needs
none of it.
"""

from __future__ import annotations

import typer

from rollout.cli import plan, promote, render, retire, rollback, status, verify
from rollout.cli import set as set_

# Plain help: it is the same on a terminal and in a pipe.
app = typer.Typer(
    name="rollout", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


@app.callback()
def rollout() -> None:
    """Say what the regions should do with their traffic, and see what they do."""


app.command(context_settings={"allow_extra_args": True})(plan.plan)
app.command()(render.render)
app.command()(status.status)
app.command()(verify.verify)
app.command("set")(set_.set_weights)
app.command()(promote.promote)
app.command()(rollback.rollback)
app.command()(retire.retire)
