"""`pulumi preview` of region-a with nothing changed, beside as many plain resources and beside an empty program, in turn.

Run with a lab up: `.venv/bin/python -m bench.preview`. The plain program has as many ConfigMaps as the region has resources of
Kubernetes, on the same cluster, in a project and a namespace of its own that are removed at the end. What counts are the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table
from ruamel.yaml import YAML

from lab.place import CHECKOUT

ROUNDS = 7
Preview = tuple[list[str], Mapping[str, str], Path]
"""A command, its environment and where it runs."""

PLAIN = """
import pulumi
import pulumi_kubernetes as kubernetes
provider = kubernetes.Provider("cluster", kubeconfig={kubeconfig!r}, context={context!r})
own = pulumi.ResourceOptions(provider=provider)
namespace = kubernetes.core.v1.Namespace("bench", metadata={{"name": "bench-preview"}}, opts=own)
for number in range({count} - 1):
    kubernetes.core.v1.ConfigMap(
        f"plain-{{number}}", metadata={{"name": f"plain-{{number}}", "namespace": "bench-preview"}}, data={{"number": str(number)}},
        opts=pulumi.ResourceOptions(provider=provider, depends_on=[namespace]),
    )
"""


def run(command: list[str], environment: Mapping[str, str], directory: Path = CHECKOUT) -> tuple[float, str]:
    """Run a command that must succeed; its seconds and its output."""
    start = time.monotonic()
    result = subprocess.run(command, cwd=directory, env=environment, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)}:\n{result.stdout}{result.stderr}")
    return time.monotonic() - start, result.stdout


def project(directory: Path, program: str, pulumi: str, environment: Mapping[str, str]) -> Preview:
    """Make a project, named as its directory, and bring it up."""
    directory.mkdir()
    runtime = f"runtime: {{name: python, options: {{virtualenv: '{CHECKOUT / '.venv'}'}}}}"
    (directory / "Pulumi.yaml").write_text(f"name: {directory.name}\n{runtime}\n")
    (directory / "__main__.py").write_text(program)
    run([pulumi, "stack", "init", "bench"], environment, directory)
    run([pulumi, "up", "--stack=bench", "--yes", "--skip-preview", "--non-interactive"], environment, directory)
    return [pulumi, "preview", "--stack=bench", "--non-interactive"], environment, directory


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    access = YAML(typ="safe").load((CHECKOUT / ".regions.yaml").read_text())
    programs, region = access["pulumi"]["path"], access["regions"]["region-a"]
    pulumi = f"{programs}/pulumi"
    settings = Path(programs).parent / "stacks" / "Pulumi.region-a.yaml"
    lab = {**os.environ, **access["pulumi"]["environment"], "PATH": f"{programs}:{os.environ['PATH']}"}
    state = json.loads(run([pulumi, "stack", "export", "--stack=region-a"], lab)[1])["deployment"]["resources"]
    count = sum(item["type"].startswith("kubernetes:") for item in state)
    with tempfile.TemporaryDirectory(prefix="echo-bench-") as folder:
        own = {**lab, "PULUMI_BACKEND_URL": f"file://{folder}"}
        plain = Path(folder) / "plain"
        try:
            previews: dict[str, Preview] = {
                f"region-a ({count} resources of Kubernetes)": (
                    [pulumi, "preview", "--stack=region-a", "--non-interactive", f"--config-file={settings}"],
                    lab,
                    CHECKOUT,
                ),
                f"{count} plain resources": project(plain, PLAIN.format(count=count, **region), pulumi, own),
                "an empty program": project(Path(folder) / "empty", "", pulumi, own),
            }
            times: dict[str, list[float]] = {name: [] for name in previews}
            for _ in track(range(ROUNDS), description="previews in turn"):
                for name, preview in previews.items():
                    times[name].append(run(*preview)[0])
        finally:
            run([pulumi, "destroy", "--stack=bench", "--yes", "--skip-preview", "--non-interactive"], own, plain)
    table = Table("pulumi preview, nothing changed", "median s", "region-a / this, median of pairs")
    first = next(iter(times.values()))
    for name, seconds in times.items():
        ratio = statistics.median(mine / other for mine, other in zip(first, seconds, strict=True))
        table.add_row(name, f"{statistics.median(seconds):.2f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
