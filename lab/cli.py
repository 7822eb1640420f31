"""The command `python -m lab`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab import lifecycle, status, tools
from lab.cache import PreparationError
from lab.cluster import Cluster, ClusterError
from lab.delivery import DeliveryError
from lab.git import GitError, Remote
from lab.gobuild import Go
from lab.network import NetworkError
from lab.place import Lab
from lab.stacks import StackError, Stacks

application = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Two real Kubernetes clusters on this machine that act as regions, without Docker.",
    epilog="Exit codes: 0 all is well, 1 something is not, 2 it could not be tried, 130 interrupted.",
)
# word for word: also `--`, and options that we have too
_PASS_ON = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
    "help_option_names": [],
}
_FAILURES = (
    lifecycle.LabError,
    PreparationError,
    ClusterError,
    StackError,
    NetworkError,
    GitError,
    DeliveryError,
)
_errors = Console(stderr=True, highlight=False, soft_wrap=True)


def _fail(error: Exception | str, code: int = 2) -> typer.Exit:
    _errors.print(f"error: {error}", style="red", markup=False)
    return typer.Exit(code)


@application.command()
def up(
    region: Annotated[list[str] | None, typer.Option(help="Only this region; may be given more than once.")] = None,
    clusters_only: Annotated[bool, typer.Option(help="Stop when the clusters are ready: no pulumi up.")] = False,
    verify: Annotated[bool, typer.Option(help="Measure the split at the end.")] = True,
) -> None:
    """Bring both regions up, or repair them: tools, clusters, HEAD pushed, `pulumi up`, Argo CD's sync, the measured split."""
    lab = Lab.of_environment()
    regions = region or [known.name for known in lab.regions]
    if unknown := set(regions) - {known.name for known in lab.regions}:
        raise _fail(f"--region: {', '.join(sorted(unknown))} is not known; the regions are region-a and region-b")
    clock = lifecycle.Clock(lambda line: _errors.print(line, markup=False))
    try:
        with lifecycle.locked(lab):
            lifecycle.up(lab, clock, regions, apply=not clusters_only)
        clock("both regions are up" if len(regions) > 1 else f"{regions[0]} is up")
    except (*_FAILURES, OSError) as error:
        raise _fail(error, 1) from None
    except KeyboardInterrupt:
        _errors.print("interrupted. What is up stays up: `make up` goes on from here, `make down` removes all of it.")
        raise typer.Exit(130) from None
    if clusters_only:
        return
    code = lifecycle.verify(lab, regions) if verify else 0
    if code == 0 and lifecycle.delivered_regions(lab):
        _errors.print(lifecycle.how_to_change(lab), markup=False)
    raise typer.Exit(code)


@application.command()
def down() -> None:
    """End and remove everything of the lab but its logs and the cache."""
    lab = Lab.of_environment()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it takes a second, and half of it helps nobody
    try:
        with lifecycle.locked(lab):
            lifecycle.down(lab, lifecycle.Clock(lambda line: _errors.print(line, markup=False)))
    except (*_FAILURES, OSError) as error:
        raise _fail(error, 1) from None


@application.command(name="status")
def show_status(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Say what is well and what is not, with the last lines of what is not."""
    lab = Lab.of_environment()
    if not lab.kubeconfig.exists():
        raise _fail(f"{lab.directory}: the lab is down. Bring it up with: make up", 1)
    try:
        found = _findings(lab)
    except _FAILURES as error:
        raise _fail(error) from None
    if as_json:
        print(json.dumps([vars(finding) for finding in found], indent=2))
    else:
        table = Table("region", "component", "state")
        for finding in found:
            style = "" if finding.well else "red"
            table.add_row(finding.region, finding.component, Text(finding.detail), style=style)
        console = Console(highlight=False)
        console.print(table)
        for finding in found:
            if finding.log:
                console.print(f"{finding.region} {finding.component}, the end of its log:\n{finding.log}", markup=False)
    raise typer.Exit(0 if all(finding.well for finding in found) else 1)


@application.command()
def logs(
    component: Annotated[
        str | None, typer.Argument(help="For example kubelet; without it, the logs are listed.")
    ] = None,
    region: Annotated[str, typer.Option(help="Whose; hub for what serves both.")] = "region-a",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows.")] = False,
    lines: Annotated[int, typer.Option(min=1, help="How many, from the end.")] = 50,
) -> None:
    """Show the log of a region's component. Logs of pods: `python -m lab kubectl --context region-a logs …`."""
    lab = Lab.of_environment()
    names = sorted(file.stem for file in (lab.logs / region).glob("*.log"))
    if component is None:
        print("\n".join(names) or f"no logs of {region} in {lab.logs}")
        return
    if component not in names:
        raise _fail(f"{region} has no log of {component}; there are: {', '.join(names) or 'none'}")
    command = [
        "tail",
        f"--lines={lines}",
        *(["--follow"] if follow else []),
        str(lab.logs / region / f"{component}.log"),
    ]
    try:
        raise typer.Exit(subprocess.run(command, check=False).returncode)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@application.command(context_settings=_PASS_ON)
def pulumi(context: typer.Context) -> None:
    """Run the real Pulumi CLI in the lab: `python -m lab pulumi preview -s region-a`."""
    lab = Lab.of_environment()
    try:
        stacks = _stacks(lab)
        arguments = stacks.arguments_of(context.args)
    except (StackError, PreparationError) as error:
        raise _fail(error) from None
    signal.signal(signal.SIGINT, _leave_it_to_the_child)
    raise typer.Exit(stacks.run(*arguments).returncode)


@application.command(context_settings=_PASS_ON)
def kubectl(context: typer.Context) -> None:
    """Run kubectl on the lab's clusters: `python -m lab kubectl --context region-b get pods -A`."""
    lab = Lab.of_environment()
    if not lab.kubeconfig.exists():
        raise _fail(f"{lab.directory}: the lab is down. Bring it up with: make up")
    signal.signal(signal.SIGINT, _leave_it_to_the_child)
    command = [str(_programs(lab)["kubectl"]), f"--kubeconfig={lab.kubeconfig}", *context.args]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


@application.command(context_settings=_PASS_ON)
def go(context: typer.Context) -> None:
    """Run the Go that the lab builds with, for example `python -m lab go -C app/echo test ./...`."""
    lab = Lab.of_environment()
    try:
        program = Go.find(lab.cache, lambda line: _errors.print(line, markup=False)).program
    except PreparationError as error:
        raise _fail(error) from None
    signal.signal(signal.SIGINT, _leave_it_to_the_child)
    raise typer.Exit(subprocess.run([str(program), *context.args], check=False).returncode)


def _leave_it_to_the_child(_number: int, _frame: object) -> None:
    """The command that we run gets the signal too, and ends in its own way; unlike SIG_IGN this is not inherited."""


def _programs(lab: Lab) -> dict[str, Path]:
    try:
        return tools.ensure(tools.platform_tools(), lab.cache, lambda line: print(line, file=sys.stderr))
    except PreparationError as error:
        raise _fail(error) from None


def _findings(lab: Lab) -> list[status.Finding]:
    programs = _programs(lab)
    remote = Remote(lab, programs["kubectl"])
    hub = [status.of_hub(remote)] if lifecycle.delivered_regions(lab) else []
    clusters = [Cluster(lab, region, programs) for region in lab.regions]
    return [*hub, *(finding for cluster in clusters for finding in status.of_cluster(cluster, remote))]


def _stacks(lab: Lab) -> Stacks:
    if not lab.kubeconfig.exists():
        raise StackError(
            f"{lab.directory}: the lab is down, so there is no cluster to speak to. Bring it up with: make up"
        )
    return lifecycle.stacks_of(lab, _programs(lab))
