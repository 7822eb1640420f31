"""The virtual environment that Pulumi.yaml names: what runs in it, and what is installed in it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_INVENTORY = Path(__file__).with_name("inventory.py")
_CHECKOUT = str(Path(__file__).resolve().parents[3])
_MEND = "run `make`, which installs the pinned requirements"


class VirtualenvError(ValueError):
    """Pulumi.yaml's runtime options, or the environment they name, cannot be used; str() says why and what to do."""


@dataclass(frozen=True)
class Distribution:
    """One installed Python package.

    Attributes:
        name: normalised as package indexes do it: lower case, words joined by "-".
        version: as its metadata has it.
        plugin: its pulumi-plugin.json; None if it has none.
        required: whether another installed package needs it.
    """

    name: str
    version: str
    plugin: Mapping[str, Any] | None
    required: bool


@dataclass(frozen=True)
class Inventory:
    """What a virtual environment holds: its interpreter (path and version) and the packages."""

    executable: str
    python: str
    distributions: tuple[Distribution, ...]


@dataclass(frozen=True)
class Virtualenv:
    """A virtual environment that has an interpreter."""

    directory: Path

    @classmethod
    def of(cls, project: Path, options: Mapping[str, object]) -> Virtualenv:
        """The environment that a project's runtime options name, relative to the directory of its Pulumi.yaml.

        Raises:
            VirtualenvError: an option is unknown or has a value that is not served, or there is no such environment.
        """
        where = f"{project}: runtime.options"
        if unknown := sorted(options.keys() - {"toolchain", "virtualenv"}):
            raise VirtualenvError(
                f"{where}.{unknown[0]} is not known to the stand-in language host, so the program would not run as its "
                "author meant it: remove the option, or install Pulumi's own language host"
            )
        if (toolchain := options.get("toolchain", "pip")) != "pip":
            raise VirtualenvError(
                f"{where}.toolchain is {toolchain!r}, but the stand-in language host serves pip only and would run "
                "the program with other packages than that tool locked: set it to pip, or install Pulumi's own "
                "language host"
            )
        named = options.get("virtualenv")
        if not isinstance(named, str) or not named:
            raise VirtualenvError(
                f"{where}.virtualenv names no directory, and the stand-in language host does not run a program with "
                "whatever Python is on PATH: set it, for example to .venv"
            )
        found = cls(Path(os.path.normpath(project / named)))
        if not found.python.is_file():
            raise VirtualenvError(
                f"{where}.virtualenv is {named!r}, but there is no {found.python}, so the program cannot run: {_MEND}"
            )
        return found

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.directory / "bin" / "python"

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """`variables` as they are when this environment is active.

        The checkout is taken off PYTHONPATH, where only the host itself needs it: the program must find its modules as
        it does under Pulumi's own host.
        """
        active = {name: value for name, value in variables.items() if name not in {"PYTHONHOME", "PYTHONPATH"}}
        others = [entry for entry in variables.get("PYTHONPATH", "").split(os.pathsep) if entry not in {"", _CHECKOUT}]
        if others:
            active["PYTHONPATH"] = os.pathsep.join(others)
        path = [str(self.directory / "bin"), *filter(None, [variables.get("PATH")])]
        return active | {"PATH": os.pathsep.join(path), "VIRTUAL_ENV": str(self.directory)}

    def inventory(self) -> Inventory:
        """Ask its interpreter what is installed.

        Raises:
            VirtualenvError: the interpreter fails, or Pulumi's SDK is not installed.
        """
        asked = subprocess.run(
            [self.python, "-P", _INVENTORY],
            env=self.environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode != 0:
            raise VirtualenvError(
                f"{self.python} ended with {asked.returncode}, so no program can run in it: {_MEND}\n{asked.stderr}"
            )
        told = json.loads(asked.stdout)
        distributions = tuple(Distribution(**distribution) for distribution in told["distributions"])
        if not any(distribution.name == "pulumi" for distribution in distributions):
            raise VirtualenvError(f"{self.directory} has no package pulumi, which every program imports: {_MEND}")
        return Inventory(executable=told["executable"], python=told["python"], distributions=distributions)
