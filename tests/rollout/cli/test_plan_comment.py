"""The comment of a pull request: what the page in docs/ shows, and what text of a stack file may do to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rollout.comment import DOCUMENT, document
from tests.rollout.planned import Project, new_planned, plan

MARKER = "<!-- rollout plan -->"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = new_planned(tmp_path / "project")
    monkeypatch.chdir(made.directory)
    return made


def test_page_in_the_docs_shows_what_the_command_prints() -> None:
    assert DOCUMENT.read_text() == document(), "write it anew: python -m tests.rollout.comment"


def test_begins_with_the_marker_and_the_verdict(project: Project) -> None:
    project.weigh(v1=75, v2=25)

    assert plan("--markdown").stdout.splitlines()[:2] == [MARKER, "### `rollout plan`: safe"]


def test_has_a_row_for_each_region(project: Project) -> None:
    project.weigh(v1=75, v2=25)

    assert [line for line in plan("--markdown").stdout.splitlines() if line.startswith("| region-")] == [
        "| region-a | v2 10 % → 25 %, v1 75 %; v2 has capacity for 100 % | safe |  |",
        "| region-b | nothing changes: v1 90 %, v2 10 % |  |  |",
    ]


def test_ends_with_the_same_code_as_without(project: Project) -> None:
    project.weigh(v1=30, v2=70)

    assert plan("--markdown").exit_code == plan().exit_code == 2


@pytest.mark.parametrize(
    "reason",
    [
        "thanks @team, see #12",
        "<!-- rollout plan --><img src=x>",
        "a | b | c",
        "[click](https://corp.local) ![](https://corp.local/x.png)",
        "`code` **bold** ~~gone~~",
        "</details> ### safe",
    ],
)
def test_text_of_a_stack_file_is_only_text(project: Project, reason: str) -> None:
    project.stack_file("region-a").open("a").write(f"  echo-rollout:rules: {{waived: {{image-pinned: {reason!r}}}}}\n")

    lines = plan("--markdown").stdout.splitlines()

    (row,) = [line for line in lines if line.startswith("| region-a")]
    assert lines.count(MARKER) == 1
    assert row.replace("\\|", "").count("|") == 5
    for markup in ("@team", "#12", "<img", "<!-- rollout", "[click]", "`code`", "**bold", "~~gone", "</details"):
        assert markup not in row
