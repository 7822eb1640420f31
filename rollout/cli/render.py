"""`rollout render`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from rollout.cli.options import OnlyRegions
from rollout.cli.terminal import DIFFERS, told
from rollout.problem import RolloutError
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
    are removed; without --region, those of regions that have no stack file any more as well. Files that Git does not track
    yet are named: `git commit -a` leaves them out, and Argo CD cannot build an overlay that lacks one.

    \b
    Exit codes:
      0    the overlays are what the stack files say
      1    with --check: they are not, or Git does not track some of their files
      2    wrong usage or stack files, or a file in an overlay that was not rendered; nothing is written
      70   a fault of rollout itself: what was done stays done
    """
    from rollout.plan import overlays as rendering

    with told("stopped") as messages:
        project = find_project(Path.cwd())
        names = region or []
        changes = rendering.changes(project, names)
        for change in changes:
            if check:
                typer.echo(change.diff, nl=False)
            else:
                rendering.make(project, change)
                typer.echo(f"{'removed' if change.after is None else 'wrote'} {change.path}")
        new = _untracked(project, names)
    if not changes:
        typer.echo("nothing to do")
    elif check:
        messages.print(f"{len(changes)} of the overlays' files differ from what the stack files say: run `make render`")
    if new:
        told_new = "\n".join(f"  {path}" for path in new)
        folders = sorted({path.rpartition("/")[0] or path for path in new})
        messages.print(f"warning: Git does not track these files, and `git commit -a` leaves them out:\n{told_new}")
        messages.print(f"add them: git -C {shlex.quote(str(project))} add {shlex.join(folders)}")
    if check and (changes or new):
        raise typer.Exit(DIFFERS)


def _untracked(project: Path, names: Sequence[str]) -> Sequence[str]:
    from rollout.git.repository import Repository
    from rollout.plan.overlays import untracked

    try:
        return untracked(Repository(project), names)
    except RolloutError:
        # rendering needs no Git: where there is none, nothing is committed
        return ()
