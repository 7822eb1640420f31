"""What lints the workflows is run by `make lint`, and refuses what is wrong."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
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


BAD = {
    "job-needs": ("    permissions: {}\n    steps:", "    permissions: {}\n    needs: nobody\n    steps:"),
    "runner-label": ("runs-on: ubuntu-24.04", "runs-on: ubuntu-24.05"),
    "permissions": ("permissions: {}\nconc", "permissions: {contents: reed}\nconc"),
    "expression": ("echo hello", "echo ${{ github.evnt }}"),
}
"""What actionlint refuses, by its rule: what stands in the good workflow, and what is wrong instead."""


def lint(command: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    words = [*command.split(), *map(str, arguments)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def findings(text: str, folder: Path) -> str:
    """What zizmor says of a workflow; empty if it accepts it."""
    file = folder / ".github" / "workflows" / "one.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    done = lint(ZIZMOR, file)
    return done.stdout + done.stderr if done.returncode else ""


def test_make_lint_runs_both_on_all_workflows() -> None:
    command = ["make", "--dry-run", "--no-print-directory", "lint"]
    recipe = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert f'{ACTIONLINT} "{ROOT}"/.github/workflows/*.yaml' in recipe
    assert f"{ZIZMOR} .github" in recipe


def test_no_workflow_has_another_ending() -> None:
    assert {file.suffix for file in WORKFLOWS} == {".yaml"}


@pytest.fixture(scope="module")
def linted(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What actionlint says of the good workflow and of each bad one, all linted in one run: it is starting that takes long."""
    folder = tmp_path_factory.mktemp("project") / ".github" / "workflows"
    folder.mkdir(parents=True)
    texts = {"good": GOOD, **{rule: GOOD.replace(good, bad) for rule, (good, bad) in BAD.items()}}
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    report = lint(f"{ACTIONLINT} -oneline", *folder.iterdir()).stdout.splitlines()
    return {name: "".join(line for line in report if f"{name}.yaml:" in line) for name in texts}


@pytest.mark.parametrize("rule", BAD)
def test_actionlint_refuses(rule: str, linted: Mapping[str, str]) -> None:
    assert f"[{rule}]" in linted[rule]


def test_actionlint_accepts_a_good_workflow(linted: Mapping[str, str]) -> None:
    assert not linted["good"]


def test_zizmor_accepts_a_good_workflow(tmp_path: Path) -> None:
    assert not findings(GOOD, tmp_path)


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
    assert f"[{rule}]" in findings(GOOD.replace(good, bad), tmp_path)


def test_a_variable_that_is_not_among_those_to_set_up_is_refused(tmp_path: Path) -> None:
    shutil.copytree(GITHUB, tmp_path / ".github")
    (tmp_path / ".git").mkdir()  # where a project begins
    region = tmp_path / ".github" / "workflows" / "region.yaml"
    region.write_text(region.read_text().replace("vars.CLUSTERS", "vars.CLUSTER"))
    done = lint(ACTIONLINT, region)
    assert done.returncode != 0
    assert 'undefined configuration variable "cluster".' in done.stdout
