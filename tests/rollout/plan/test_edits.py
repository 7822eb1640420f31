"""A commit of a stack file without its overlay would say one thing and do another."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.git.repository import CommittedTree, Repository
from rollout.plan.declaration import WorkingTree
from rollout.plan.overlays import changes, edited
from rollout.problem import RolloutError
from stackfile.editing import with_weights, without_version
from tests.rollout.planned import Project, new_planned

FOLDER = "deploy/overlays/region-a/echo"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return new_planned(tmp_path / "project")


@pytest.fixture
def head(project: Project) -> CommittedTree:
    repository = Repository(project.directory)
    return repository.at(repository.resolved("--base", "HEAD"))


def weighed(text: str) -> str:
    return with_weights(text, "echo", {"v1": 75, "v2": 25})


def retired(text: str) -> str:
    return without_version(with_weights(text, "echo", {"v1": 100, "v2": 0}), "echo", "v2")


class TestEdited:
    def test_are_the_stack_file_and_the_routes_where_a_weight_changes(self, head: CommittedTree) -> None:
        files = edited(head, "region-a", "echo", weighed)

        assert set(files) == {"Pulumi.region-a.yaml", f"{FOLDER}/vs.yaml"}
        assert b"weight: 25" in (files[f"{FOLDER}/vs.yaml"] or b"")

    @pytest.mark.parametrize("edit", [weighed, retired])
    def test_leave_nothing_to_render(self, project: Project, head: CommittedTree, edit: object) -> None:
        assert callable(edit)
        for path, content in edited(head, "region-a", "echo", edit).items():
            place = project.directory / path
            place.unlink() if content is None else place.write_bytes(content)

        assert changes(project.directory, []) == ()

    def test_that_go_are_none(self, head: CommittedTree) -> None:
        files = edited(head, "region-a", "echo", retired)

        assert {path for path, content in files.items() if content is None} == {
            f"{FOLDER}/deployment-v2.yaml",
            f"{FOLDER}/pdb-v2.yaml",
        }

    def test_are_none_where_all_is_so_already(self, head: CommittedTree) -> None:
        assert edited(head, "region-a", "echo", lambda text: text) == {}

    def test_are_on_top_of_the_commit_whatever_is_on_the_disk(self, project: Project, head: CommittedTree) -> None:
        project.replace("region-a", "replicas: 3, weight: 10", "replicas: 7, weight: 10")

        assert b"replicas: 7" not in (edited(head, "region-a", "echo", weighed)["Pulumi.region-a.yaml"] or b"")

    def test_are_rendered_anew_where_the_overlay_was_not(self, project: Project) -> None:
        project.overlay("region-a", "dr.yaml").unlink()

        files = edited(WorkingTree(project.directory), "region-a", "echo", lambda text: text)

        assert set(files) == {f"{FOLDER}/dr.yaml"}

    def test_refuse_a_file_that_was_not_rendered(self, project: Project) -> None:
        project.overlay("region-a", "theirs.yaml").write_text("kind: ConfigMap\n")

        with pytest.raises(RolloutError, match=rf"{FOLDER}/theirs\.yaml does not begin with"):
            edited(WorkingTree(project.directory), "region-a", "echo", weighed)

    def test_refuse_a_stack_file_that_could_not_be_used_then(self, head: CommittedTree) -> None:
        with pytest.raises(RolloutError, match=r"the weights 90 \+ 50 make 140, not 100"):
            edited(head, "region-a", "echo", lambda text: with_weights(text, "echo", {"v2": 50}))

    def test_of_a_version_that_is_not_there_are_refused(self, head: CommittedTree) -> None:
        with pytest.raises(RolloutError, match=r"has no key v22\n.*\n  what to do: did you mean v2\?"):
            edited(head, "region-a", "echo", lambda text: with_weights(text, "echo", {"v22": 50}))

    def test_refuse_a_stack_file_that_cannot_be_used_now(self, project: Project) -> None:
        project.weigh(v1=80)

        with pytest.raises(RolloutError, match=r"the weights 80 \+ 10 make 90, not 100"):
            edited(WorkingTree(project.directory), "region-a", "echo", weighed)

    def test_are_made_though_another_regions_file_cannot_be_used(self, project: Project) -> None:
        project.weigh("region-b", v1=80)

        assert len(edited(WorkingTree(project.directory), "region-a", "echo", weighed)) == 2

    def test_of_a_region_that_is_not_there_tell_the_nearest(self, head: CommittedTree) -> None:
        with pytest.raises(RolloutError, match=r"did you mean region-[ab]\?"):
            edited(head, "region-c", "echo", weighed)

    def test_of_two_stacks_of_one_region_are_refused(self, project: Project) -> None:
        text = project.stack_file("region-b").read_text()
        project.stack_file("region-b").write_text(
            text.replace("config:\n", "config:\n  echo-rollout:region: region-a\n")
        )

        with pytest.raises(RolloutError, match=r"Pulumi\.region-a\.yaml and Pulumi\.region-b\.yaml are both of"):
            edited(WorkingTree(project.directory), "region-a", "echo", weighed)
