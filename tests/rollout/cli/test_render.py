"""`rollout render` as a person, a hook and CI run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Ran

from rollout.__main__ import app
from tests.rollout.repository import Repository, new_repository
from tests.rollout.stack_files import RENDERED, ROOT, edit, files_below, new_rendered_project, stack_file

OVERLAY = "deploy/overlays/region-a/echo"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose overlays are as they should be."""
    monkeypatch.chdir(new_rendered_project(tmp_path))
    return tmp_path


@pytest.fixture
def changed(project: Path) -> Path:
    """The same, with other weights in a stack file."""
    edit(stack_file(project, "region-a"), "weight: 90", "weight: 75")
    edit(stack_file(project, "region-a"), "weight: 10", "weight: 25")
    return project


def render(*arguments: str) -> Ran:
    return CliRunner().invoke(app, ["render", *arguments])


class TestRender:
    @pytest.mark.usefixtures("project")
    def test_says_when_there_is_nothing_to_do(self) -> None:
        ran = render()

        assert (ran.exit_code, ran.stdout, ran.stderr) == (0, "nothing to do\n", "")

    @pytest.mark.usefixtures("changed")
    def test_says_each_file_that_it_wrote(self) -> None:
        ran = render()

        assert (ran.exit_code, ran.stdout) == (0, f"wrote {OVERLAY}/vs.yaml\n")

    def test_says_each_file_that_it_removed(self, project: Path) -> None:
        stack_file(project, "region-b").unlink()

        assert sorted(render().stdout.splitlines()) == [
            f"removed deploy/overlays/region-b/echo/{name}" for name in sorted(RENDERED)
        ]

    def test_looks_at_the_named_regions_only(self, changed: Path) -> None:
        before = files_below(changed)

        assert render("--region", "region-b").stdout == "nothing to do\n"
        assert files_below(changed) == before

    def test_works_in_a_directory_below_the_project(self, changed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(changed / "deploy")

        assert render().stdout == f"wrote {OVERLAY}/vs.yaml\n"


class TestCheck:
    @pytest.mark.usefixtures("project")
    def test_is_0_when_nothing_differs(self) -> None:
        assert render("--check").exit_code == 0

    @pytest.mark.usefixtures("changed")
    def test_is_1_with_a_diff_when_something_differs(self) -> None:
        ran = render("--check")

        assert ran.exit_code == 1
        assert ran.stdout.startswith(f"--- {OVERLAY}/vs.yaml\n+++ {OVERLAY}/vs.yaml\n@@ ")
        assert [line for line in ran.stdout.splitlines() if line.endswith(("75", "90"))] == [
            "-          weight: 90",
            "+          weight: 75",
        ]
        assert "run `make render`" in ran.stderr

    def test_writes_nothing(self, changed: Path) -> None:
        before = files_below(changed)

        render("--check")

        assert files_below(changed) == before


class TestNewFiles:
    """What `git commit -am` would leave out."""

    @pytest.fixture
    def work(self, project: Path) -> Repository:
        """The project in a clone, all of it committed, and then a third version in region-a that is not rendered yet."""
        work = new_repository(project)
        work.git("add", "--all")
        work.git("commit", "--quiet", "--message", "Begin")
        v3 = "        v3: {image: registry.corp.local/echo:3.0.0, replicas: 3, weight: 0}\n"
        text = stack_file(project, "region-a").read_text()
        at = text.index("        v1: ")
        stack_file(project, "region-a").write_text(text[:at] + v3 + text[at:])
        return work

    def told(self, ran: Ran) -> tuple[list[str], str]:
        """The files that are named, and the line that says how to add them."""
        lines = ran.stderr.splitlines()
        start = next(number for number, line in enumerate(lines) if "`git commit -a` leaves them out:" in line)
        return [line.strip() for line in lines[start + 1 : -1]], lines[-1]

    def test_are_named_with_how_to_add_them(self, work: Repository) -> None:
        ran = render()

        files, how = self.told(ran)
        assert ran.exit_code == 0
        assert files == [f"{OVERLAY}/{name}" for name in ("deployment-v3.yaml", "pdb-v3.yaml")]
        assert how == f"add them: git -C {work.directory} add {OVERLAY}"
        work.git(*how.removeprefix("add them: git ").split())
        assert render().stderr == ""

    def test_are_named_as_long_as_git_does_not_track_them(self, work: Repository) -> None:
        render()
        work.git("commit", "--quiet", "--all", "--message", "Bring v3")

        ran, checked = render(), render("--check")

        assert (ran.stdout, ran.exit_code, checked.exit_code) == ("nothing to do\n", 0, 1)
        assert self.told(ran) == self.told(checked)

    def test_of_a_new_region_are_its_stack_file_as_well(self, work: Repository) -> None:
        text = stack_file(work.directory, "region-b").read_text()
        stack_file(work.directory, "region-c").write_text(
            text.replace("region-b", "region-c").replace("network-b", "c")
        )

        files, how = self.told(render("--region", "region-c"))

        assert files[0] == "Pulumi.region-c.yaml"
        assert len(files) == 1 + len(RENDERED)
        work.git(*how.removeprefix("add them: git ").split())
        assert render("--check", "--region", "region-c").exit_code == 0

    def test_that_somebody_ignores_are_named_too(self, work: Repository) -> None:
        (work.directory / ".gitignore").write_text("*-v3.yaml\n")

        assert self.told(render())[0] == [f"{OVERLAY}/{name}" for name in ("deployment-v3.yaml", "pdb-v3.yaml")]


class TestRefusal:
    def test_of_a_file_that_was_not_rendered_is_2_and_loses_nothing(self, changed: Path) -> None:
        (changed / OVERLAY / "more.yaml").write_text("kind: ConfigMap\n")
        before = files_below(changed)

        ran = render()

        assert (ran.exit_code, files_below(changed)) == (2, before)
        assert ran.stderr.splitlines() == [
            f"error: {OVERLAY}/more.yaml does not begin with `# Rendered by `rollout render` from`, "
            "so it was not rendered",
            "  why it matters: Argo CD applies what kustomization.yaml lists and syncs nothing with a second kustomization; "
            "rendering would overwrite or remove it",
            "  what to do: move it out of this directory; what is to run belongs in components/ and the stack files",
        ]

    def test_of_bad_stack_files_tells_all_and_writes_nothing(self, changed: Path) -> None:
        for region in ("region-a", "region-b"):
            edit(stack_file(changed, region), "registry.corp.local/echo:1.0.0", "echo")
        before = files_below(changed)

        ran = render()

        assert (ran.exit_code, files_below(changed)) == (2, before)
        assert [region in ran.stderr for region in ("Pulumi.region-a.yaml", "Pulumi.region-b.yaml")] == [True, True]

    @pytest.mark.usefixtures("project")
    @pytest.mark.parametrize("arguments", [("--region", "moon"), ("--what",)])
    def test_of_wrong_usage_is_2(self, arguments: tuple[str, ...]) -> None:
        assert render(*arguments).exit_code == 2


def imported_by(directory: Path, *arguments: str) -> set[str]:
    """The modules that a run of the command imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "rollout", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def test_rendering_does_not_wait_for_what_measuring_needs(project: Path) -> None:
    imported = imported_by(project, "render", "--check")

    assert "pulumi_kubernetes" in imported
    assert imported & {"kubernetes", "websocket", "scipy"} == set()


def test_help_does_not_wait_for_what_a_command_needs(project: Path) -> None:
    imported = imported_by(project, "verify", "--help")

    assert "rollout.cli" in imported
    assert imported & {"kubernetes", "websocket", "scipy", "pulumi_kubernetes"} == set()
