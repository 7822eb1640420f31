"""`rollout render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rollout.cli.options import OnlyRegions
from rollout.cli.terminal import DIFFERS, told
from rollout.regions import find_project

# ruff: noqa: PLC0415


def render(
    *,
    region: OnlyRegions = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; show what differs.")] = False,
) -> None:
    """Write the overlays that Argo CD applies.

    They come from the stack files and go to deploy/overlays/<region>/<service>/.
    The objects are those that Pulumi itself would apply, and sync waves. Every region is rendered, also one with
    `delivery: direct`, which no Argo CD reads: when it is handed over, its overlay is there. Files of things that are gone
    are removed; without --region, those of regions that have no stack file any more as well.

    \b
    Exit codes:
      0    the overlays are what the stack files say
      1    with --check: they are not
      2    wrong usage or stack files, or a file in an overlay that was not rendered; nothing is written
      70   a fault of rollout itself: what was done stays done
    """
    from rollout.plan import overlays as rendering

    with told("stopped") as messages:
        project = find_project(Path.cwd())
        changes = rendering.changes(project, region or [])
        for change in changes:
            if check:
                typer.echo(change.diff, nl=False)
            else:
                rendering.make(project, change)
                typer.echo(f"{'removed' if change.after is None else 'wrote'} {change.path}")
    if not changes:
        typer.echo("nothing to do")
    elif check:
        messages.print(f"{len(changes)} of the overlays' files differ from what the stack files say: run `make render`")
        raise typer.Exit(DIFFERS)
