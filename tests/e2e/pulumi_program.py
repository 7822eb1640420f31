"""A Pulumi program of a test's own, run by the real command line, with its state in the test's folder."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

LIMIT_SECONDS = 180


class Run(NamedTuple):
    """What one call of the command line came to; `text` is all that it printed."""

    code: int
    text: str


class Program:
    """One stack of one program in a folder of its own."""

    def __init__(self, directory: pathlib.Path, environment: dict[str, str]) -> None:
        self.directory = directory
        self.environment = {**environment, "PULUMI_BACKEND_URL": (directory / "state").as_uri()}
        (directory / "state").mkdir(parents=True)
        options = {"toolchain": "pip", "virtualenv": sys.prefix}
        project = {"name": "provider-test", "runtime": {"name": "python", "options": options}}
        (directory / "Pulumi.yaml").write_text(json.dumps(project))
        self.write("")
        self._checked("stack", "init", "test")

    def write(self, source: str) -> None:
        """Makes this the program."""
        (self.directory / "__main__.py").write_text(source)

    def pulumi(self, *arguments: str) -> Run:
        """Runs the command line to its end."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        return Run(done.returncode, done.stdout)

    def command(self, *arguments: str) -> list[str]:
        """The command line for these arguments."""
        executable = shutil.which("pulumi", path=self.environment["PATH"])
        assert executable, "no pulumi in the environment's PATH"
        return [executable, *arguments, "--non-interactive", "--color=never"]

    def up(self, source: str | None = None) -> Run:
        """`pulumi up`, of a new source if one is given."""
        if source is not None:
            self.write(source)
        return self.pulumi("up", "--yes", "--skip-preview")

    def preview(self, source: str | None = None) -> dict[str, str]:
        """What an update would do: the step (`create`, `update`, `replace`, `same`, …) for each resource name."""
        if source is not None:
            self.write(source)
        text = self._checked("preview", "--json").text
        steps = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]["steps"]
        ranked = ("same", "create", "update", "delete-replaced", "create-replacement", "delete", "replace")
        told: dict[str, str] = {}
        for step in steps:
            name = step["urn"].rpartition("::")[2]
            told[name] = max(step["op"], told.get(name, "same"), key=ranked.index)
        return told

    def refresh(self) -> Run:
        """`pulumi refresh`."""
        return self.pulumi("refresh", "--yes", "--skip-preview")

    def destroy(self) -> Run:
        """`pulumi destroy`."""
        return self.pulumi("destroy", "--yes", "--skip-preview")

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        text = self._checked("stack", "output", "--json").text
        found: dict[str, Any] = json.loads(text[text.index("{") : text.rindex("}") + 1])
        return found

    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources in the state, by name."""
        text = self._checked("stack", "export").text
        deployment = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]["deployment"]
        return {entry["urn"].rpartition("::")[2]: entry for entry in deployment.get("resources") or []}

    def state_text(self) -> str:
        """Every file of the state backend, as one text."""
        files = sorted(path for path in (self.directory / "state").rglob("*") if path.is_file())
        return "\n".join(path.read_text(errors="replace") for path in files)

    def _checked(self, *arguments: str) -> Run:
        run = self.pulumi(*arguments)
        assert run.code == 0, run.text
        return run


@pytest.fixture
def pulumi_program(tmp_path: pathlib.Path, pulumi_environment: dict[str, str]) -> Iterator[Callable[[str], Program]]:
    """Makes programs; what they brought up is destroyed at the end."""
    made: list[Program] = []

    def make(source: str) -> Program:
        program = Program(tmp_path / f"program-{len(made)}", pulumi_environment)
        program.write(source)
        made.append(program)
        return program

    yield make
    for program in made:
        program.pulumi("cancel", "--yes")
        destroyed = program.destroy()
        assert destroyed.code == 0, destroyed.text
