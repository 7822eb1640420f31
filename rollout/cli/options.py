"""Options that several verbs have, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rollout.traffic.attack import HIGHEST_RATE

OnlyRegions = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Only this region; may be given more than once.", show_default="all"),
]
Service = Annotated[
    str | None,
    typer.Option("--service", metavar="NAME", help="Which service.", show_default="the only one"),
]
OnlyServices = Annotated[
    list[str] | None,
    typer.Option(
        "--service", metavar="NAME", help="Only this service; may be given more than once.", show_default="all"
    ),
]
RegionsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Says where the regions are.", show_default=".regions.yaml, else the stack files"
    ),
]
Remote = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Where to push to.",
        show_default="the remote of .regions.yaml, else the one that Git would push to",
    ),
]
Proposal = Annotated[
    str | None,
    typer.Option("--branch", metavar="NAME", help="Push there, and wait until it is merged where Argo CD reads."),
]
WatchRate = Annotated[
    int,
    typer.Option(
        "--rate", metavar="R", min=10, max=HIGHEST_RATE, help="Requests per second in each region that is changed."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Judge and show the steps, and change nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JsonForTable = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
