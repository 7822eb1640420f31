"""Time and memory of a lab, tools cached: two bare clusters beside two that are meshed, rolled out and verified, then `up` again.

Run as root: `.venv/bin/python -m bench.regions`. It makes a lab of its own and removes it. Memory is what the machine has less to
give (MemAvailable) than before the lab, with page cache counted as available.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab.place import CHECKOUT


def available_mib() -> float:
    """Memory that the machine can still give, in MiB."""
    (kib,) = re.findall(r"^MemAvailable: +(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(kib) / 1024


def lab(*arguments: str) -> float:
    """Run a command of the lab; its seconds."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "lab", *arguments], cwd=CHECKOUT, check=True, capture_output=True)
    return time.monotonic() - start


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    table = Table("what", "seconds", "MiB of the machine's memory")
    with tempfile.TemporaryDirectory(prefix="echo-bench-") as directory:
        os.environ["LAB_DIR"] = str(Path(directory) / "lab")
        try:
            for what, arguments in {
                "two bare clusters": ["--clusters-only"],
                "two regions, meshed, rolled out, verified": [],
            }.items():
                before = available_mib()
                seconds = lab("up", *arguments)
                table.add_row(what, f"{seconds:.1f}", f"{before - available_mib():,.0f}")
                if arguments:
                    lab("down")
            table.add_row("up again, nothing to do, without verifying", f"{lab('up', '--no-verify'):.1f}", "")
        finally:
            lab("down")
    Console().print(table)


if __name__ == "__main__":
    main()
