"""kubectl, as a region's administrator."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kubectl:
    """A call of it runs kubectl to its end.

    Attributes:
        program: kubectl itself.
        kubeconfig: the lab's, with a context for each region.
        region: which region it talks to.
    """

    program: Path
    kubeconfig: Path
    region: str

    def __call__(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it; `stdin` is what it reads."""
        command = [str(self.program), f"--kubeconfig={self.kubeconfig}", f"--context={self.region}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
