"""Projects and virtual environments made for one test, and the end of what runs in them."""

from __future__ import annotations

import os
import select
import sys
import textwrap
from pathlib import Path

from pulumi.runtime.proto import language_pb2


def write_program(project: Path, source: str) -> None:
    """Make `source` the project's program, and this interpreter's environment its virtual environment .venv."""
    project.joinpath("__main__.py").write_text(textwrap.dedent(source))
    venv = project / ".venv"
    if not venv.exists():
        venv.symlink_to(sys.prefix)


def program_info(project: Path, **options: str) -> language_pb2.ProgramInfo:
    """What the engine says of a project whose Pulumi.yaml has these runtime options; .venv by default."""
    info = language_pb2.ProgramInfo(root_directory=str(project), program_directory=str(project), entry_point=".")
    info.options.update(options or {"toolchain": "pip", "virtualenv": ".venv"})
    return info


def run_request(project: Path, monitor: str) -> language_pb2.RunRequest:
    """A request to run the project's program as stack `region-a` of the Pulumi project `test`."""
    return language_pb2.RunRequest(
        project="test",
        stack="region-a",
        organization="organization",
        pwd=str(project),
        monitor_address=monitor,
        parallel=4,
        info=program_info(project),
    )


def ended(pid: int, timeout: float) -> bool:
    """Whether the process, which need not be a child of ours, ends in time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], timeout)[0])
    finally:
        os.close(descriptor)
