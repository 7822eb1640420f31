"""`rollout set`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollout.cli.options import AsJson, Remote, Service
from rollout.cli.terminal import UNUSABLE, print_json, told
from rollout.regions import discover, find_project, the_service

# ruff: noqa: PLC0415
if TYPE_CHECKING:
    from rollout.promote.weight_change import WeightChange


def set_weights(
    wishes: Annotated[
        list[str],
        typer.Argument(metavar="VERSION=WEIGHT", help="Such as v2=25; the others share the rest as they do now."),
    ],
    *,
    service: Service = None,
    region: Annotated[str, typer.Option(metavar="NAME", help="Where.")],
    push: Annotated[bool, typer.Option("--push", help="Push the commit as well.")] = False,
    remote: Remote = None,
    message: Annotated[
        str | None, typer.Option("--message", "-m", metavar="TEXT", help="The commit's.", show_default="the weights")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Change a region's weights by a commit.

    The commit goes on the branch that is checked out. It changes the weights in the stack file and in the overlay's VirtualService,
    and nothing else; where this checkout renders the overlay otherwise than it is, it refuses. What the plan refuses is not
    committed; warnings do not stop it, but for an open freeze window (rules.freeze). Uncommitted changes stay, and nothing is done
    where they would be lost.

    \b
    Exit codes:
      0    committed (with --push: pushed), or the weights are so already
      2    refused by the plan or by the remote, wrong usage, or something that cannot be used; nothing is changed
      70   a fault of rollout itself: what was done stays done
      130  stopped by Ctrl-C (143 SIGTERM, 129 SIGHUP)
    """
    from rollout.git.repository import Repository
    from rollout.plan import report as plan_report
    from rollout.plan.overlays import stack_file_of
    from rollout.promote.weight_change import Done, change_weights

    with told("stopped") as messages:
        project = find_project(Path.cwd())
        repository = Repository(project)
        target = repository.remote(remote, None if remote else discover(project).remote) if push else None
        found = stack_file_of(repository.at(repository.head()[0]), region)
        meant = the_service(found.usable.services, service)
        outcome = change_weights(repository, region, meant, wishes, message=message, remote=target, dry_run=dry_run)
    if as_json:
        print_json(_as_json(region, meant, outcome, target))
    else:
        if outcome.plan is not None:
            typer.echo(plan_report.as_text(outcome.plan))
        typer.echo(_told(outcome, target))
    if outcome.done is Done.PUSHED and not outcome.followed:
        messages.print(
            f"warning: your branch stays behind what was pushed: git pull --ff-only {target} {outcome.branch}"
        )
    raise typer.Exit(UNUSABLE if outcome.done is Done.REFUSED else 0)


def _as_json(region: str, service: str, outcome: WeightChange, remote: str | None) -> dict[str, Any]:
    """For a program: `done` is what came of it; of a commit that is only planned or is refused, no branch has anything."""
    from rollout.plan import report as plan_report

    return {
        "done": outcome.done.value,
        "region": region,
        "service": service,
        "before": dict(outcome.before),
        "after": dict(outcome.after),
        "commit": outcome.commit,
        "branch": outcome.branch,
        "remote": remote,
        "plan": plan_report.as_json(outcome.plan) if outcome.plan else None,
    }


def _told(outcome: WeightChange, remote: str | None) -> str:
    from rollout.promote.weight_change import Done

    commit = (outcome.commit or "")[:10]
    return {
        Done.NOTHING: "nothing to do: the weights are so already",
        Done.PLANNED: "nothing was committed (--dry-run)",
        Done.REFUSED: "nothing was committed",
        Done.COMMITTED: f"committed {commit} on {outcome.branch}; it takes effect when it is pushed",
        Done.PUSHED: f"pushed {commit} to {outcome.branch} of {remote}",
    }[outcome.done]
