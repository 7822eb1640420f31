"""What lints the workflows is run by `make lint`, and refuses what is wrong."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.workflows.files import GITHUB, ROOT, WORKFLOWS

ACTIONLINT = "python3 -m lab go -C lab/toolchain/actionlint tool actionlint -shellcheck= -pyflakes="
ZIZMOR = ".venv/bin/zizmor --offline --quiet --persona pedantic"

GOOD = """\
name: good
on: [push]
permissions: {}
concurrency:
  group: good
  cancel-in-progress: false
jobs:
  greet:
    name: greet
    runs-on: ubuntu-24.04
    permissions: {}
    steps:
      - run: echo hello
"""


def lint(command: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    words = [*command.split(), *map(str, arguments)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def findings(command: str, text: str, folder: Path) -> str:
    """What the linter says of a workflow; empty if it accepts it."""
    file = folder / ".github" / "workflows" / "one.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    done = lint(command, file)
    return done.stdout + done.stderr if done.returncode else ""


def test_make_lint_runs_both_on_all_workflows() -> None:
    command = ["make", "--dry-run", "--no-print-directory", "lint"]
    recipe = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert f'{ACTIONLINT} "{ROOT}"/.github/workflows/*.yaml' in recipe
    assert f"{ZIZMOR} .github" in recipe


def test_no_workflow_has_another_ending() -> None:
    assert {file.suffix for file in WORKFLOWS} == {".yaml"}


def test_actionlint_accepts_the_workflows() -> None:
    done = lint(ACTIONLINT, *WORKFLOWS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_accepts_the_workflows_and_actions() -> None:
    done = lint(ZIZMOR, GITHUB)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", [ACTIONLINT, ZIZMOR])
def test_a_good_workflow_is_accepted(command: str, tmp_path: Path) -> None:
    assert not findings(command, GOOD, tmp_path)


@pytest.mark.parametrize(
    ("good", "bad", "rule"),
    [
        ("    permissions: {}\n    steps:", "    permissions: {}\n    needs: nobody\n    steps:", "job-needs"),
        ("runs-on: ubuntu-24.04", "runs-on: ubuntu-24.05", "runner-label"),
        ("permissions: {}\nconc", "permissions: {contents: reed}\nconc", "permissions"),
        ("echo hello", "echo ${{ github.evnt }}", "expression"),
    ],
)
def test_actionlint_refuses(good: str, bad: str, rule: str, tmp_path: Path) -> None:
    assert f"[{rule}]" in findings(ACTIONLINT, GOOD.replace(good, bad), tmp_path)


@pytest.mark.parametrize(
    ("good", "bad", "rule"),
    [
        ("run: echo hello", "run: echo ${{ github.event.head_commit.message }}", "template-injection"),
        ("run: echo hello", "uses: actions/checkout@v7", "unpinned-uses"),
        ("on: [push]", "on: [pull_request_target]", "dangerous-triggers"),
        ("permissions: {}\nconc", "permissions: write-all\nconc", "excessive-permissions"),
    ],
)
def test_zizmor_refuses(good: str, bad: str, rule: str, tmp_path: Path) -> None:
    assert f"[{rule}]" in findings(ZIZMOR, GOOD.replace(good, bad), tmp_path)


def test_a_variable_that_is_not_among_those_to_set_up_is_refused(tmp_path: Path) -> None:
    shutil.copytree(GITHUB, tmp_path / ".github")
    (tmp_path / ".git").mkdir()  # where a project begins
    region = tmp_path / ".github" / "workflows" / "region.yaml"
    region.write_text(region.read_text().replace("vars.CLUSTERS", "vars.CLUSTER"))
    done = lint(ACTIONLINT, region)
    assert done.returncode != 0
    assert 'undefined configuration variable "cluster".' in done.stdout
