from __future__ import annotations

import os
from pathlib import Path

import pytest

from rollout.problem import Problem, RolloutError
from rollout.status.overlay import overlay_split, parse_split, read_file
from tests.rollout.cluster.applications import NEW
from tests.rollout.repository import OVERLAY, VIRTUAL_SERVICE, Repository, new_repository

HEAD = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: echo, namespace: echo}\n"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return new_repository(tmp_path / "clone")


def problem_of(project: Path, revision: str, path: str = f"{OVERLAY}/vs.yaml") -> Problem:
    with pytest.raises(RolloutError) as refused:
        read_file(project, revision, path)
    (problem,) = refused.value.problems
    return problem


class TestOverlayWeights:
    def test_are_those_of_the_commit_not_of_the_working_tree(self, repository: Repository) -> None:
        synced = repository.commit_weights(90, 10)
        repository.commit_weights(50, 50)

        assert overlay_split(repository.directory, synced, OVERLAY, "echo").weights == {"v1": 90, "v2": 10}

    def test_are_found_from_a_project_below_the_top_of_the_repository(self, repository: Repository) -> None:
        synced = repository.commit_weights(90, 10)

        assert overlay_split(repository.directory / "deploy", synced, OVERLAY, "echo").weights == {"v1": 90, "v2": 10}

    @pytest.mark.parametrize("path", [f"{OVERLAY}/", f"./{OVERLAY}"])
    def test_are_found_however_the_path_is_written(self, repository: Repository, path: str) -> None:
        synced = repository.commit_weights(90, 10)

        assert overlay_split(repository.directory / "deploy", synced, path, "echo").weights == {"v1": 90, "v2": 10}


class TestReadFile:
    def test_a_commit_that_is_not_there_is_to_be_fetched(self, repository: Repository) -> None:
        repository.commit_weights(90, 10)
        problem = problem_of(repository.directory, NEW)

        assert problem.what == (
            f"the commit {NEW}, which Argo CD last synced, is not in the repository of {repository.directory}"
        )
        assert "git fetch" in problem.fix

    def test_a_file_that_the_commit_does_not_have_is_told(self, repository: Repository) -> None:
        revision = repository.commit_weights(90, 10)
        problem = problem_of(repository.directory, revision, "elsewhere/vs.yaml")

        assert problem.what.startswith(f"elsewhere/vs.yaml cannot be read at {revision}: fatal: path ")

    def test_a_directory_without_a_repository_is_told(self, tmp_path: Path) -> None:
        problem = problem_of(tmp_path, NEW)

        assert problem.what.startswith(f"{tmp_path} is not a Git repository that can be read: fatal: not a git repo")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
    def test_a_repository_of_another_user_is_refused_in_gits_words(
        self, repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        revision = repository.commit_weights(90, 10)
        for path in (repository.directory, repository.directory / ".git"):
            os.chown(path, 65534, 65534)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        monkeypatch.delenv("SUDO_UID", raising=False)

        assert "detected dubious ownership" in problem_of(repository.directory, revision).what

    def test_no_git_on_the_path_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))

        assert problem_of(tmp_path, NEW).what.startswith("git cannot be run: ")

    @pytest.mark.parametrize("revision", ["main", "--help", "1" * 39, ""])
    def test_a_revision_that_is_no_commit_is_refused(self, repository: Repository, revision: str) -> None:
        assert problem_of(repository.directory, revision).what == f"the revision {revision!r} is not a commit's hash"


class TestParseWeights:
    def test_takes_each_subsets_weight(self) -> None:
        assert parse_split(VIRTUAL_SERVICE.format(v1=100, v2=0), "vs.yaml").weights == {"v1": 100, "v2": 0}

    @pytest.mark.parametrize(
        ("v1", "v2", "told"),
        [
            ("90", "11", "vs.yaml at 1: v1 90 + v2 11 is no split of 100 percent"),
            ("101", "-1", "vs.yaml at 1: v1 101 + v2 -1 is no split of 100 percent"),
            ("many", "10", "vs.yaml at 1: VirtualService echo/echo: spec.http[0].route[0].weight: "),
        ],
    )
    def test_weights_that_are_no_split_are_told_with_their_place(self, v1: str, v2: str, told: str) -> None:
        with pytest.raises(RolloutError) as refused:
            parse_split(VIRTUAL_SERVICE.format(v1=v1, v2=v2), "vs.yaml at 1")

        assert refused.value.problems[0].what.startswith(told)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "a: [",
            "kind: ConfigMap",
            HEAD + "spec: {http: []}",
            HEAD + "spec: {http: [{route: []}]}",
            HEAD + "spec: {http: [{route: [{destination: {host: echo}, weight: 100}]}]}",
            HEAD + "spec: {http: [{route: [{destination: {host: e, subset: v1}, weight: 100}]}, {route: []}]}",
            HEAD + "spec: {http: [{route: [{destination: {host: e, subset: v1}, weight: 50},"
            " {destination: {host: e, subset: v1}, weight: 50}]}]}",
        ],
    )
    def test_what_does_not_split_all_requests_between_subsets_is_refused(self, text: str) -> None:
        with pytest.raises(RolloutError, match=r"^vs\.yaml at 1: "):
            parse_split(text, "vs.yaml at 1")
