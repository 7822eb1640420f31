"""The end-to-end tests' own lab, spoken to as a person does: by its commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lab.place import Lab

REGIONS = ("region-a", "region-b")


@dataclass(frozen=True)
class Laboratory:
    """A lab of two regions, apart from the checkout's own."""

    place: Lab
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, check: bool = True, seconds: float = 600) -> subprocess.CompletedProcess[str]:
        """Run `python -m lab …`."""
        return self._python("-m", "lab", *arguments, check=check, seconds=seconds)

    def verify(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m rollout verify …`."""
        file = str(self.place.directory / ".regions.yaml")
        return self._python("-m", "rollout", "verify", "--regions-file", file, *arguments, check=False, seconds=300)

    def pulumi(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the real CLI in the lab."""
        return self.run("pulumi", *arguments, "--color=never", check=check)

    def kubectl(self, region: str, *arguments: str, check: bool = True) -> str:
        """Run kubectl on a region; its output."""
        return self.run("kubectl", "--context", region, *arguments, check=check).stdout

    def get(self, region: str, *arguments: str) -> dict[str, Any]:
        """An object, or a list of them, as the API server gives it."""
        found: dict[str, Any] = json.loads(self.kubectl(region, "get", *arguments, "-o", "json"))
        return found

    def settings(self, region: str) -> dict[str, Any]:
        """What a stack file holds when the lab runs Pulumi on it."""
        self.pulumi("preview", "--stack", region)  # it is made afresh by each call
        loaded: dict[str, Any] = YAML(typ="safe").load(
            (self.place.directory / "pulumi/stacks" / f"Pulumi.{region}.yaml").read_text()
        )
        return loaded

    def _python(self, *arguments: str, check: bool, seconds: float) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.place.checkout,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if check and result.returncode != 0:
            raise AssertionError(
                f"{' '.join(arguments)} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}"
            )
        return result


def write_settings(file: Path, settings: Mapping[str, Any]) -> str:
    """Write a stack file of a test's own; the flag that makes Pulumi use it."""
    with file.open("w") as target:
        YAML().dump(dict(settings), target)
    return f"--config-file={file}"


def changes(preview: str) -> dict[str, Any]:
    """The resources that a `--json` preview would change, by name, and what to."""
    steps: Sequence[Mapping[str, Any]] = json.loads(preview)["steps"]
    return {step["urn"].rpartition("::")[2]: step["op"] for step in steps if step["op"] not in ("same", "refresh")}
