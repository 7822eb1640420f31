"""A commit of a stack file without its overlay would say one thing and do another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rollout.git.repository import CommittedTree, Repository
from rollout.plan.declaration import WorkingTree
from rollout.plan.overlays import changes, edited, weighed
from rollout.problem import RolloutError
from stackfile.editing import with_weights, without_version
from tests.rollout.planned import Project, new_planned
from tests.rollout.stack_files import edit

FOLDER = "deploy/overlays/region-a/echo"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return new_planned(tmp_path / "project")


@pytest.fixture
def head(project: Project) -> CommittedTree:
    repository = Repository(project.directory)
    return repository.at(repository.resolved("--base", "HEAD"))


def write(project: Project, files: Mapping[str, bytes | None]) -> None:
    for path, content in files.items():
        place = project.directory / path
        place.unlink() if content is None else place.write_bytes(content)


SPLIT = {"v1": 75, "v2": 25}


def retired(text: str) -> str:
    return without_version(with_weights(text, "echo", {"v1": 100, "v2": 0}), "echo", "v2")


def later(project: Project) -> None:
    """What another version of the program renders: a memory limit of its own."""
    edit(project.overlay("region-a", "deployment-v1.yaml"), "memory: 64Mi", "memory: 96Mi")


class TestWeighed:
    def test_are_digits_in_the_stack_file_and_in_the_route(self, project: Project, head: CommittedTree) -> None:
        files = weighed(head, "region-a", "echo", SPLIT)

        assert set(files) == {"Pulumi.region-a.yaml", f"{FOLDER}/vs.yaml"}
        route = project.overlay("region-a", "vs.yaml").read_text()
        assert files[f"{FOLDER}/vs.yaml"] == (
            route.replace("weight: 90\n", "weight: 75\n").replace("weight: 10\n", "weight: 25\n").encode()
        )

    @pytest.mark.parametrize("back", [False, True])
    def test_are_none_where_all_is_so_already(self, head: CommittedTree, back: bool) -> None:
        assert weighed(head, "region-a", "echo", {"v1": 90, "v2": 10}, back=back) == {}

    def test_are_what_is_rendered_of_the_stack_file(self, project: Project, head: CommittedTree) -> None:
        write(project, weighed(head, "region-a", "echo", SPLIT))

        assert changes(project.directory, []) == ()

    def test_are_refused_where_this_checkout_renders_more(self, project: Project) -> None:
        later(project)

        with pytest.raises(RolloutError, match=rf"otherwise than it is committed: {FOLDER}/deployment-v1\.yaml\n"):
            weighed(WorkingTree(project.directory), "region-a", "echo", SPLIT)

    def test_leave_on_the_way_back_what_this_checkout_renders_otherwise(self, project: Project) -> None:
        later(project)
        edit(project.overlay("region-a", "vs.yaml"), "  gateways:\n", "  exportTo:\n    - '*'\n  gateways:\n")
        before = project.overlay("region-a", "vs.yaml").read_text()

        files = weighed(WorkingTree(project.directory), "region-a", "echo", {"v1": 100, "v2": 0}, back=True)

        assert set(files) == {"Pulumi.region-a.yaml", f"{FOLDER}/vs.yaml"}
        assert files[f"{FOLDER}/vs.yaml"] == (
            before.replace("weight: 90\n", "weight: 100\n").replace("weight: 10\n", "weight: 0\n").encode()
        )

    @pytest.mark.parametrize(
        "broken", ["dr.yaml", "vs.yaml", "kustomization.yaml"], ids=["a file", "the route", "the list"]
    )
    def test_render_an_overlay_anew_on_the_way_back_that_cannot_be_built(self, project: Project, broken: str) -> None:
        project.overlay("region-a", broken).unlink()

        write(project, weighed(WorkingTree(project.directory), "region-a", "echo", SPLIT, back=True))

        assert changes(project.directory, []) == ()

    def test_of_a_route_that_has_no_such_version_are_rendered_on_the_way_back(self, project: Project) -> None:
        edit(project.overlay("region-a", "vs.yaml"), "subset: v1", "subset: v0")

        write(project, weighed(WorkingTree(project.directory), "region-a", "echo", SPLIT, back=True))

        assert changes(project.directory, []) == ()


class TestEdited:
    def test_leave_nothing_to_render(self, project: Project, head: CommittedTree) -> None:
        write(project, edited(head, "region-a", "echo", retired))

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

        assert b"replicas: 7" not in (weighed(head, "region-a", "echo", SPLIT)["Pulumi.region-a.yaml"] or b"")

    @pytest.mark.parametrize("change", [later, lambda project: project.overlay("region-a", "dr.yaml").unlink()])
    def test_are_refused_where_this_checkout_renders_more(
        self, project: Project, change: Callable[[Project], None]
    ) -> None:
        change(project)

        with pytest.raises(
            RolloutError, match=r"this checkout renders Pulumi\.region-a\.yaml otherwise than it is committed"
        ):
            edited(WorkingTree(project.directory), "region-a", "echo", retired)

    def test_refuse_a_file_that_was_not_rendered(self, project: Project) -> None:
        project.overlay("region-a", "theirs.yaml").write_text("kind: ConfigMap\n")

        with pytest.raises(RolloutError, match=rf"{FOLDER}/theirs\.yaml does not begin with"):
            weighed(WorkingTree(project.directory), "region-a", "echo", SPLIT)

    def test_refuse_a_stack_file_that_could_not_be_used_then(self, head: CommittedTree) -> None:
        with pytest.raises(RolloutError, match=r"the weights 90 \+ 50 make 140, not 100"):
            weighed(head, "region-a", "echo", {"v2": 50})

    def test_of_a_version_that_is_not_there_are_refused(self, head: CommittedTree) -> None:
        with pytest.raises(RolloutError, match=r"has no key v22\n.*\n  what to do: did you mean v2\?"):
            weighed(head, "region-a", "echo", {"v22": 50})

    def test_refuse_a_stack_file_that_cannot_be_used_now(self, project: Project) -> None:
        project.weigh(v1=80)

        with pytest.raises(RolloutError, match=r"the weights 80 \+ 10 make 90, not 100"):
            weighed(WorkingTree(project.directory), "region-a", "echo", SPLIT)

    def test_are_made_though_another_regions_file_cannot_be_used(self, project: Project) -> None:
        project.weigh("region-b", v1=80)

        assert len(weighed(WorkingTree(project.directory), "region-a", "echo", SPLIT)) == 2

    def test_of_a_region_that_is_not_there_tell_the_nearest(self, head: CommittedTree) -> None:
        with pytest.raises(RolloutError, match=r"did you mean region-[ab]\?"):
            weighed(head, "region-c", "echo", SPLIT)

    def test_of_two_stacks_of_one_region_are_refused(self, project: Project) -> None:
        text = project.stack_file("region-b").read_text()
        project.stack_file("region-b").write_text(
            text.replace("config:\n", "config:\n  echo-rollout:region: region-a\n")
        )

        with pytest.raises(RolloutError, match=r"Pulumi\.region-a\.yaml and Pulumi\.region-b\.yaml are both of"):
            weighed(WorkingTree(project.directory), "region-a", "echo", SPLIT)
