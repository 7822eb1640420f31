"""What is committed below deploy/ goes to production unread: it must be what Pulumi itself would apply, all of it, only it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.plan.overlays import FileChange, changes, make
from rollout.problem import RolloutError
from rules.facts.shapes import SYNC_OPTIONS
from rules.facts.workloads import SYNC_WAVE
from tests.components.api_server import api_server
from tests.components.graph import record_stack
from tests.rollout.planned import WEB
from tests.rollout.stack_files import (
    OBJECT_FILES,
    RENDERED,
    edit,
    files_below,
    new_project,
    new_rendered_project,
    stack_file,
)

PROBE = "  echo-rollout:probe:"
OVERLAY = "deploy/overlays/region-a/echo"
FOREIGN = "kind: ConfigMap\n"
V2 = "        v2: {image: registry.corp.local/echo:2.0.0, replicas: 3, weight: 10}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return new_project(tmp_path, "region-a", "region-b")


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    """A project whose overlays are as they should be."""
    return new_rendered_project(tmp_path)


def render(project: Path, *regions: str) -> list[str]:
    """Renders and returns the paths that it wrote and removed."""
    todo = changes(project, regions)
    for change in todo:
        make(project, change)
    return [f"{'removed' if change.after is None else 'wrote'} {change.path}" for change in todo]


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def listed(project: Path) -> set[str]:
    """The files that the kustomization names."""
    return set(yaml.safe_load((project / OVERLAY / "kustomization.yaml").read_text())["resources"])


def problems_of(project: Path, *regions: str) -> list[str]:
    with pytest.raises(RolloutError) as refused:
        changes(project, regions)
    return [problem.what for problem in refused.value.problems]


def without_instructions(document: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what Argo CD or Pulumi alone has to know."""
    metadata = dict(document["metadata"])
    annotations = {
        name: value
        for name, value in metadata.pop("annotations", {}).items()
        if name not in {SYNC_WAVE, SYNC_OPTIONS, "pulumi.com/patchForce"}
    }
    return {**document, "metadata": {**metadata, **({"annotations": annotations} if annotations else {})}}


def identity(document: dict[str, Any]) -> tuple[str, str]:
    return (document["kind"], document["metadata"]["name"])


class TestContent:
    @pytest.mark.parametrize("stack", ["region-a", "region-b"])
    def test_is_what_pulumi_registers_with_direct_delivery_but_for_what_argo_cd_or_pulumi_alone_has_to_know(
        self, project: Path, stack: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with api_server() as server:
            monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(project / "kubeconfig", "c")))
            graph = record_stack(stack_file(project, stack))
        parents = [node.urn for node in graph if node.kind in {"ServiceDeployments", "TrafficPolicy"}]
        registered = [without_instructions(node.inputs) for node in graph.objects if node.parent in parents]

        render(project)

        written = [
            without_instructions(yaml.safe_load((project / "deploy" / "overlays" / stack / "echo" / name).read_text()))
            for name in OBJECT_FILES
        ]
        assert len(registered) == len(OBJECT_FILES)
        assert sorted(written, key=identity) == sorted(registered, key=identity)


class TestFirstTime:
    def test_writes_the_overlay_of_every_region(self, project: Path) -> None:
        render(project)

        assert set(files_below(project / "deploy")) == {
            f"overlays/{region}/echo/{name}" for region in ("region-a", "region-b") for name in RENDERED
        }

    def test_goes_by_the_regions_name_not_the_stacks(self, project: Path) -> None:
        edit(stack_file(project, "region-b"), "config:\n", "config:\n  echo-rollout:region: north\n")
        render(project)

        text = (project / "deploy/overlays/north/echo/vs.yaml").read_text()
        assert text.startswith("# Rendered by `rollout render` from Pulumi.region-b.yaml;")

    def test_leaves_the_usual_permissions(self, project: Path) -> None:
        mask = os.umask(0)
        os.umask(mask)
        render(project)

        assert (project / OVERLAY / "vs.yaml").stat().st_mode & 0o777 == 0o666 & ~mask

    def test_of_one_region_leaves_the_others(self, project: Path) -> None:
        render(project, "region-b")

        assert names_in(project / "deploy/overlays") == ["region-b"]


class TestAgain:
    def test_has_nothing_to_do(self, rendered: Path) -> None:
        assert render(rendered) == []

    def test_with_another_weight_writes_exactly_one_file(self, rendered: Path) -> None:
        edit(stack_file(rendered, "region-a"), "weight: 90", "weight: 75")
        edit(stack_file(rendered, "region-a"), "weight: 10", "weight: 25")

        assert render(rendered) == [f"wrote {OVERLAY}/vs.yaml"]

    def test_mends_what_was_edited_by_hand(self, rendered: Path) -> None:
        before = files_below(rendered)
        edit(rendered / OVERLAY / "vs.yaml", "weight: 90", "weight: 91")

        render(rendered)

        assert files_below(rendered) == before

    def test_mends_other_line_ends(self, rendered: Path) -> None:
        file = rendered / OVERLAY / "vs.yaml"
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))

        assert render(rendered) == [f"wrote {OVERLAY}/vs.yaml"]

    def test_removes_the_files_of_a_version_that_is_gone(self, rendered: Path) -> None:
        edit(stack_file(rendered, "region-a"), "weight: 90", "weight: 100")
        edit(stack_file(rendered, "region-a"), V2, "")

        assert render(rendered) == [
            f"wrote {OVERLAY}/dr.yaml",
            f"wrote {OVERLAY}/kustomization.yaml",
            f"wrote {OVERLAY}/vs.yaml",
            f"removed {OVERLAY}/deployment-v2.yaml",
            f"removed {OVERLAY}/pdb-v2.yaml",
        ]

    def test_lists_a_version_that_came_and_no_longer_one_that_is_gone(self, rendered: Path) -> None:
        before = listed(rendered)
        edit(stack_file(rendered, "region-a"), V2, V2.replace("v2", "v3"))

        render(rendered)

        assert before - listed(rendered) == {"deployment-v2.yaml", "pdb-v2.yaml"}
        assert listed(rendered) - before == {"deployment-v3.yaml", "pdb-v3.yaml"}

    def test_lists_what_is_there(self, rendered: Path) -> None:
        edit(stack_file(rendered, "region-a"), V2, V2.replace("v2", "v3"))

        render(rendered)

        assert sorted({*listed(rendered), "kustomization.yaml"}) == names_in(rendered / OVERLAY)

    def test_restores_a_kustomization_that_was_removed_by_hand(self, rendered: Path) -> None:
        (rendered / OVERLAY / "kustomization.yaml").unlink()

        assert render(rendered) == [f"wrote {OVERLAY}/kustomization.yaml"]

    def test_removes_the_overlay_of_a_region_that_is_gone(self, rendered: Path) -> None:
        stack_file(rendered, "region-b").unlink()

        assert len(render(rendered)) == len(RENDERED)
        assert names_in(rendered / "deploy/overlays") == ["region-a"]

    def test_of_one_region_leaves_the_overlay_of_a_region_that_is_gone(self, rendered: Path) -> None:
        stack_file(rendered, "region-b").unlink()

        assert render(rendered, "region-a") == []

    def test_leaves_the_overlay_of_a_region_that_was_never_rendered(self, rendered: Path) -> None:
        by_hand = rendered / "deploy/overlays/elsewhere/echo/vs.yaml"
        by_hand.parent.mkdir(parents=True)
        by_hand.write_text(FOREIGN)

        assert render(rendered) == []
        assert by_hand.read_text() == FOREIGN


class TestServices:
    @pytest.fixture
    def two(self, rendered: Path) -> Path:
        """A project with the service web beside echo, rendered."""
        for region in ("region-a", "region-b"):
            edit(stack_file(rendered, region), PROBE, WEB + PROBE)
        render(rendered)
        return rendered

    def test_have_an_overlay_each(self, two: Path) -> None:
        assert set(files_below(two / "deploy/overlays")) == {
            f"{region}/{service}/{name}"
            for region in ("region-a", "region-b")
            for service in ("echo", "web")
            for name in RENDERED
        }
        namespaces = {
            service: {
                yaml.safe_load(file.read_text())["metadata"]["namespace"]
                for file in (two / f"deploy/overlays/region-a/{service}").iterdir()
                if file.name != "kustomization.yaml"
            }
            for service in ("echo", "web")
        }
        assert namespaces == {"echo": {"echo"}, "web": {"shop"}}

    def test_one_that_comes_changes_nothing_of_the_other(self, rendered: Path) -> None:
        edit(stack_file(rendered, "region-a"), PROBE, WEB + PROBE)

        assert render(rendered) == [f"wrote deploy/overlays/region-a/web/{name}" for name in sorted(RENDERED)]

    @pytest.mark.parametrize("regions", [(), ("region-a",)])
    def test_one_that_is_gone_takes_its_overlay_along(self, two: Path, regions: tuple[str, ...]) -> None:
        edit(stack_file(two, "region-a"), WEB, "")

        assert render(two, *regions) == [f"removed deploy/overlays/region-a/web/{name}" for name in sorted(RENDERED)]
        assert names_in(two / "deploy/overlays/region-a") == ["echo"]
        assert names_in(two / "deploy/overlays/region-b") == ["echo", "web"]

    def test_one_that_is_gone_elsewhere_is_none_of_a_named_region(self, two: Path) -> None:
        edit(stack_file(two, "region-b"), WEB, "")

        assert render(two, "region-a") == []

    def test_one_that_moves_leaves_nothing_behind(self, two: Path) -> None:
        edit(stack_file(two, "region-a"), "namespace: shop\n", "namespace: shop\n      path: deploy/shop\n")

        assert render(two) == [
            *(f"wrote deploy/shop/{name}" for name in sorted(RENDERED)),
            *(f"removed deploy/overlays/region-a/web/{name}" for name in sorted(RENDERED)),
        ]

    def test_a_foreign_file_beside_one_that_is_gone_is_refused(self, two: Path) -> None:
        (two / "deploy/overlays/region-a/web/more.yaml").write_text(FOREIGN)
        edit(stack_file(two, "region-a"), WEB, "")

        assert len(problems_of(two)) == 1


class TestForeignFile:
    @pytest.mark.parametrize(
        "name",
        [
            *("vs.yaml", "more.yaml", "more.yml", "more.json", "more.jsonnet"),
            *("kustomization.yaml", "kustomization.yml", "Kustomization", ".argocd-source.yaml"),
        ],
    )
    def test_that_looks_like_a_part_of_the_overlay_is_refused(self, rendered: Path, name: str) -> None:
        (rendered / OVERLAY / name).write_text(FOREIGN)

        assert problems_of(rendered) == [
            f"{OVERLAY}/{name} does not begin with `# Rendered by `rollout render` from`, so it was not rendered"
        ]

    def test_that_looks_like_no_part_of_the_overlay_is_left_alone(self, rendered: Path) -> None:
        (rendered / OVERLAY / "README.md").write_text("read me")

        assert render(rendered) == []

    def test_beside_files_of_a_region_that_is_gone_is_refused(self, rendered: Path) -> None:
        (rendered / "deploy/overlays/region-b/echo/more.yaml").write_text(FOREIGN)
        stack_file(rendered, "region-b").unlink()

        assert len(problems_of(rendered)) == 1

    def test_in_another_region_does_not_matter_to_one_that_is_named(self, rendered: Path) -> None:
        (rendered / "deploy/overlays/region-b/echo/more.yaml").write_text(FOREIGN)

        assert render(rendered, "region-a") == []

    def test_is_told_with_all_others(self, rendered: Path) -> None:
        for region in ("region-a", "region-b"):
            (rendered / f"deploy/overlays/{region}/echo/more.yaml").write_text(FOREIGN)

        assert len(problems_of(rendered)) == 2


class TestStackFiles:
    def test_that_are_wrong_are_told_together(self, project: Path) -> None:
        for region in ("region-a", "region-b"):
            edit(stack_file(project, region), "weight: 90", "weight: 91")

        told = problems_of(project)

        assert ["Pulumi.region-a.yaml" in told[0], "Pulumi.region-b.yaml" in told[1]] == [True, True]

    def test_of_other_regions_must_be_right_too(self, project: Path) -> None:
        edit(stack_file(project, "region-b"), "weight: 90", "weight: 91")

        assert "Pulumi.region-b.yaml" in problems_of(project, "region-a")[0]

    def test_of_the_same_region_are_refused(self, project: Path) -> None:
        edit(stack_file(project, "region-b"), "config:\n", "config:\n  echo-rollout:region: region-a\n")

        assert problems_of(project) == ["Pulumi.region-a.yaml and Pulumi.region-b.yaml are both of the region region-a"]

    def test_that_are_not_there_do_not_remove_everything(self, rendered: Path) -> None:
        for region in ("region-a", "region-b"):
            stack_file(rendered, region).unlink()

        assert problems_of(rendered) == [f"{rendered} has no stack file Pulumi.<stack>.yaml"]

    def test_without_the_named_region_are_told_with_the_nearest(self, project: Path) -> None:
        with pytest.raises(RolloutError, match=r"did you mean region-a\?"):
            changes(project, ["region-aa"])


class TestMake:
    def test_tells_what_the_file_system_refuses(self, project: Path) -> None:
        (project / "deploy").write_text("a file")

        with pytest.raises(RolloutError, match=r"deploy/overlays/region-a/echo/vs\.yaml: "):
            make(project, FileChange(Path(OVERLAY, "vs.yaml"), "", "text\n"))

    def test_leaves_no_draft_when_it_fails(self, rendered: Path) -> None:
        (rendered / OVERLAY / "vs.yaml").unlink()
        (rendered / OVERLAY / "vs.yaml").mkdir()
        before = files_below(rendered)

        with pytest.raises(RolloutError):
            make(rendered, FileChange(Path(OVERLAY, "vs.yaml"), "", "text\n"))

        assert files_below(rendered) == before

    def test_keeps_a_directory_that_still_holds_something(self, rendered: Path) -> None:
        (rendered / "deploy/overlays/region-b/echo/README.md").write_text("read me")
        stack_file(rendered, "region-b").unlink()

        render(rendered)

        assert files_below(rendered / "deploy/overlays/region-b") == {"echo/README.md": b"read me"}


def test_a_diff_names_the_file_and_its_lines() -> None:
    change = FileChange(Path("deploy/vs.yaml"), "a\nweight: 90\n", "a\nweight: 75\n")

    assert change.diff == "--- deploy/vs.yaml\n+++ deploy/vs.yaml\n@@ -1,2 +1,2 @@\n a\n-weight: 90\n+weight: 75\n"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (FileChange(Path("vs.yaml"), "", "a\n"), "--- /dev/null\n+++ vs.yaml\n"),
        (FileChange(Path("vs.yaml"), "a\n", None), "--- vs.yaml\n+++ /dev/null\n"),
    ],
)
def test_a_diff_of_a_whole_file_says_that_there_is_no_other(change: FileChange, names: str) -> None:
    assert change.diff.startswith(names)
