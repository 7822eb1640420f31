"""The command line, `rollout` or `python -m rollout`: the verbs put together."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from rollout.cli import introduce, plan, promote, render, retire, rollback, status, verify
from rollout.cli import set as set_
from rollout.cli.terminal import told_fault


class _Verbs(TyperGroup):
    """The verbs; what none of them expects ends with a code of its own, and not with the 1 that Python gives it."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Runs the verb.

        Raises:
            typer.Exit: with the verb's code, or that of a fault.
        """
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, TyperException):
            raise
        # rich leaves by the second where nobody reads what it prints
        except (Exception, SystemExit) as error:
            raise told_fault(error) from error


# Plain help: it is the same on a terminal and in a pipe.
app = typer.Typer(
    name="rollout",
    cls=_Verbs,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
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
app.command()(introduce.introduce)
app.command()(promote.promote)
app.command()(rollback.rollback)
app.command()(retire.retire)

if __name__ == "__main__":
    app(prog_name="python -m rollout")
