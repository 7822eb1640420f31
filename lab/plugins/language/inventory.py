"""Print as JSON what is installed in the interpreter that runs this file.

The language host runs it, by its path, with the interpreter of the project's virtual environment: so it imports nothing
but the standard library, and sees what the program will see.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _plugin_description(name: str) -> object:
    """The pulumi-plugin.json in the module that bears the package's name: that is where Pulumi's generator puts it."""
    for place in sys.path:
        description = Path(place, name.replace("-", "_"), "pulumi-plugin.json")
        if description.is_file():
            return json.loads(description.read_text(encoding="utf-8"))
    return None


def _needed(requirements: Iterable[str]) -> Iterator[str]:
    """The names in what a package requires; what only an extra of it requires is not counted."""
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        if name and "extra ==" not in requirement:
            yield _normalised(name[0])


def inventory() -> dict[str, object]:
    """The interpreter's path and version, and every package in order of its name."""
    installed = [distribution.metadata for distribution in metadata.distributions()]
    # the first of a name on sys.path is the one that is imported
    packages = {_normalised(about["Name"]): about for about in reversed(installed)}
    required = {name for about in packages.values() for name in _needed(about.get_all("Requires-Dist") or [])}
    return {
        "executable": sys.executable,
        "python": platform.python_version(),
        "distributions": [
            {
                "name": name,
                "version": about["Version"],
                "plugin": _plugin_description(about["Name"]),
                "required": name in required,
            }
            for name, about in sorted(packages.items())
        ],
    }


if __name__ == "__main__":
    print(json.dumps(inventory()))
