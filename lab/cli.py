"""What `python -m lab` does, in the project's own environment."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab import status, up
from lab.build import tools
from lab.build.go import Go
from lab.delivery.remote import Remote
from lab.delivery.stacks import Stacks
from lab.place import Lab
from lab.region.cluster import Cluster
from lab.report import LabError, clock

_errors = Console(stderr=True, highlight=False, soft_wrap=True)


def run(options: Namespace, lab: Lab) -> NoReturn:
    """Do what is asked for.

    Args:
        options: as `lab.arguments.parse` returns them.
        lab: which; it is up, if the verb needs one.

    Raises:
        SystemExit: always, with the command's exit code.
    """
    try:
        code = _run(options, lab)
    except (LabError, OSError) as error:
        _errors.print(f"error: {error}", style="red", markup=False)
        code = 1 if options.verb in ("up", "down") else 2
    sys.exit(code)


def _run(options: Namespace, lab: Lab) -> int:
    code = 0
    match options.verb:
        case "up":
            code = _up(lab, options.region, clusters_only=options.clusters_only, verify=options.verify)
        case "down":
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # it takes a second, and half of it helps nobody
            up.down(lab, clock(_tell))
        case "status":
            code = _status(_findings(lab), as_json=options.as_json)
        case "logs":
            code = _logs(lab, options)
        case "pulumi":
            stacks = Stacks(lab, _programs(lab))
            arguments = stacks.arguments_of(options.words)
            signal.signal(signal.SIGINT, _leave_it_to_the_child)
            code = stacks.run(*arguments).returncode
        case "kubectl":
            code = _execute(_programs(lab)["kubectl"], f"--kubeconfig={lab.kubeconfig}", *options.words)
        case _:
            code = _execute(Go.find(lab.cache, _tell).program, *options.words)
    return code


def _tell(line: str) -> None:
    _errors.print(line, markup=False)


def _up(lab: Lab, region: list[str] | None, *, clusters_only: bool, verify: bool) -> int:
    regions = region or [known.name for known in lab.regions]
    report = clock(_tell)
    try:
        with up.coming_up(lab):
            up.up(lab, report, regions, apply=not clusters_only)
        report("both regions are up" if len(regions) > 1 else f"{regions[0]} is up")
    except KeyboardInterrupt:
        _errors.print("interrupted. What is up stays up: `make up` goes on from here, `make down` removes all of it.")
        return 130
    if clusters_only:
        return 0
    code = up.verify(lab, regions) if verify else 0
    if code == 0 and up.delivered_regions(lab):
        _tell(up.how_to_change(lab))
    return code


def _status(found: list[status.Finding], *, as_json: bool) -> int:
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
    return 0 if all(finding.well for finding in found) else 1


def _logs(lab: Lab, options: Namespace) -> int:
    folder = lab.logs / options.region
    names = sorted(file.stem for file in folder.glob("*.log"))
    if options.component is None:
        print("\n".join(names) or f"no logs of {options.region} in {lab.logs}")
        return 0
    if options.component not in names:
        known = ", ".join(names) or "none"
        raise LabError(f"{options.region} has no log of {options.component}; there are: {known}")
    follow = ["--follow"] if options.follow else []
    command = ["tail", f"--lines={options.lines}", *follow, str(folder / f"{options.component}.log")]
    try:
        return subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        return 130


def _execute(program: Path, *words: str) -> int:
    signal.signal(signal.SIGINT, _leave_it_to_the_child)
    return subprocess.run([str(program), *words], check=False).returncode


def _leave_it_to_the_child(_number: int, _frame: object) -> None:
    """The command that we run gets the signal too, and ends in its own way; unlike SIG_IGN this is not inherited."""


def _programs(lab: Lab) -> dict[str, Path]:
    return tools.ensure(tools.platform_tools(), lab.cache, lambda line: print(line, file=sys.stderr))


def _findings(lab: Lab) -> list[status.Finding]:
    programs = _programs(lab)
    remote = Remote(lab)
    hub = [status.of_process(remote.daemon())] if up.delivered_regions(lab) else []
    clusters = [Cluster(lab, region, programs) for region in lab.regions]
    return [*hub, *(finding for cluster in clusters for finding in status.of_cluster(cluster, remote))]
