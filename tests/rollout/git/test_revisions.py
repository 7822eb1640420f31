"""What is judged as the base must be what was committed, and reading it must change nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rollout.git.repository import Repository
from rollout.plan.declaration import Tree, WorkingTree
from rollout.problem import RolloutError
from tests.rollout.repository import Repository as Work
from tests.rollout.repository import new_repository
from tests.rollout.stack_files import files_below

ODD = 'we "ird\n; né.yaml'


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return new_repository(tmp_path / "work")


@pytest.fixture
def repository(work: Work) -> Repository:
    return Repository(work.directory)


def commit(work: Work, **files: str | None) -> str:
    """Commits these files, `__` in their names for `/`, None for one that goes."""
    return commit_files(work, {name.replace("__", "/"): text for name, text in files.items()})


def commit_files(work: Work, files: dict[str, str | None]) -> str:
    for name, text in files.items():
        path = work.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
    work.git("add", "--all")
    work.git("commit", "--quiet", "--message", "Change")
    return work.git("rev-parse", "HEAD")


def read(tree: Tree, path: str) -> bytes | None:
    directory, _, name = path.rpartition("/")
    return tree.contents(directory).get(name)


def problem_of(repository: Repository, option: str, revision: str) -> str:
    with pytest.raises(RolloutError) as refused:
        repository.resolved(option, revision)
    return str(refused.value)


class TestFiles:
    def test_are_those_of_the_commit_not_of_the_disk(self, work: Work, repository: Repository) -> None:
        old = commit(work, a="1", b="2", below__c="3")
        commit(work, a="4", b=None)

        tree = repository.at(old)

        assert tree.contents("") == {"a": b"1", "b": b"2"}
        assert tree.contents("below") == {"c": b"3"}

    def test_of_the_disk_are_there_without_a_commit(self, work: Work) -> None:
        commit(work, a="1")
        (work.directory / "untracked").write_text("2")
        tree = WorkingTree(work.directory)

        assert tree.contents("") == {"a": b"1", "untracked": b"2"}
        assert tree.contents("gone") == {}

    def test_are_those_of_the_pattern(self, work: Work, repository: Repository) -> None:
        revision = commit_files(work, {"Pulumi.a.yaml": "1", "Pulumi.yaml": "2", "Pulumi.a.yaml.orig": "3"})

        for tree in (repository.at(revision), WorkingTree(work.directory)):
            assert tree.contents("", "Pulumi.*.yaml") == {"Pulumi.a.yaml": b"1"}

    def test_that_are_not_there_are_none(self, work: Work, repository: Repository) -> None:
        tree = repository.at(commit(work, a="1", below__c="3"))

        assert [read(tree, path) for path in ("b", "below", "below/b", "gone/c", "a/c")] == [None] * 5
        assert (tree.contents("gone"), tree.contents("a")) == ({}, {})

    @pytest.mark.parametrize("name", [ODD, "-x", "*", ":(top)a"])
    def test_of_odd_names_are_read(self, work: Work, repository: Repository, name: str) -> None:
        tree = repository.at(commit_files(work, {name: "odd", f"{name}d/a": "below"}))

        assert tree.contents("") == {name: b"odd"}
        assert tree.contents(f"{name}d") == {"a": b"below"}

    def test_that_are_large_or_empty_or_not_text_are_read_whole(self, work: Work, repository: Repository) -> None:
        large = bytes(range(256)) * 10_000
        (work.directory / "large").write_bytes(large)
        tree = repository.at(commit(work, empty="", after="x"))

        assert tree.contents("") == {"large": large, "empty": b"", "after": b"x"}

    def test_behind_a_link_are_not_read_but_where_it_leads_to(self, work: Work, repository: Repository) -> None:
        (work.directory / "link").symlink_to("/etc/hostname")
        tree = repository.at(commit(work, a="1"))

        assert tree.contents("") == {"a": b"1", "link": b"/etc/hostname"}

    def test_of_a_project_below_the_top_are_relative_to_it(self, work: Work) -> None:
        revision = commit(work, infra__a="1", infra__below__b="2", c="3")
        tree = Repository(work.directory / "infra").at(revision)

        assert tree.contents("") == {"a": b"1"}
        assert tree.contents("below") == {"b": b"2"}

    def test_are_found_where_objects_have_long_names(self, tmp_path: Path) -> None:
        work = Work(tmp_path)
        work.git("init", "--quiet", "--object-format=sha256")
        revision = commit(work, below__a="1", b="2")

        assert Repository(tmp_path).at(revision).contents("below") == {"a": b"1"}


class TestCommit:
    def test_is_found_by_any_name_that_git_knows(self, work: Work, repository: Repository) -> None:
        old = commit(work, a="1")
        new = commit(work, a="2")
        work.git("tag", "--annotate", "--message", "t", "v1")

        found = {name: repository.resolved("--base", name) for name in ("HEAD", "main", "v1", "HEAD~1", new[:10])}

        assert found == {"HEAD": new, "main": new, "v1": new, "HEAD~1": old, new[:10]: new}

    @pytest.mark.parametrize("revision", ["v9", "HEAD~7", "HEAD:a", "", "--all", "-x", "main\nmain", "a b", "f" * 40])
    def test_that_is_not_there_is_told(self, work: Work, repository: Repository, revision: str) -> None:
        commit(work, a="1")

        assert f"--base {revision}: there is no such commit" in problem_of(repository, "--base", revision)

    def test_of_an_empty_repository_is_told(self, repository: Repository) -> None:
        assert "has no commit yet" in problem_of(repository, "--base", "HEAD")

    def test_that_a_shallow_clone_lacks_is_told_with_how_to_get_it(self, work: Work, tmp_path: Path) -> None:
        commit(work, a="1")
        commit(work, a="2")
        work.git("clone", "--quiet", "--depth=1", f"file://{work.directory}", str(tmp_path / "clone"))

        assert "git fetch --unshallow" in problem_of(Repository(tmp_path / "clone"), "--base", "HEAD~1")


class TestMergeBase:
    def test_is_where_two_went_apart(self, work: Work, repository: Repository) -> None:
        common = commit(work, a="1")
        main = commit(work, a="2")
        work.git("checkout", "--quiet", "-b", "branch", common)
        branch = commit(work, b="1")

        assert repository.merge_base(main, branch) == common
        assert repository.merge_base(common, branch) == common

    def test_of_strangers_is_told(self, work: Work, repository: Repository) -> None:
        main = commit(work, a="1")
        work.git("checkout", "--quiet", "--orphan", "other")
        other = commit(work, b="1")

        with pytest.raises(RolloutError, match="have no commit in common"):
            repository.merge_base(main, other)


def touching(repository: Repository, commit: str, paths: list[str]) -> list[str]:
    return [entry.commit for entry in repository.log(commit, 200, paths=paths)]


class TestHistory:
    def test_is_of_the_named_files_newest_first_up_to_the_commit(self, work: Work, repository: Repository) -> None:
        first = commit(work, a="1")
        commit(work, b="1")
        third = commit(work, below__c="2")
        commit(work, a="3")

        assert touching(repository, third, ["a", "below"]) == [third, first]

    def test_is_no_longer_than_asked(self, work: Work, repository: Repository) -> None:
        for text in "123":
            last = commit(work, a=text)

        assert len(repository.log(last, 2, paths=["a"])) == 2

    def test_takes_names_as_they_are(self, work: Work, repository: Repository) -> None:
        commit_files(work, {"ab": "1"})
        starred = commit_files(work, {"a*": "1"})

        assert touching(repository, starred, ["a*"]) == [starred]

    def test_of_a_project_below_the_top_is_its_own(self, work: Work) -> None:
        commit(work, a="1")
        mine = commit(work, infra__a="1")

        assert touching(Repository(work.directory / "infra"), mine, ["a"]) == [mine]


class TestReading:
    def test_changes_nothing(self, work: Work) -> None:
        commit(work, a="1", below__b="2")
        (work.directory / "a").write_text("staged")
        work.git("add", "a")
        (work.directory / "a").write_text("changed")
        # the index then holds another time than the file has
        os.utime(work.directory / "below" / "b", (1, 1))
        before = files_below(work.directory)

        repository = Repository(work.directory)
        head = repository.resolved("--base", "HEAD")
        repository.merge_base(head, head)
        repository.log(head, 200, paths=["a"])
        repository.at(head).contents("below")

        assert files_below(work.directory) == before

    def test_goes_by_the_directory_whatever_repository_a_hook_runs_in(
        self, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        revision = commit(work, a="1")
        other = new_repository(tmp_path / "other")
        monkeypatch.setenv("GIT_DIR", str(other.directory / ".git"))

        assert Repository(work.directory).resolved("--base", "HEAD") == revision

    def test_outside_of_a_repository_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(RolloutError, match="is not in a Git repository that can be read"):
            Repository(tmp_path)

    def test_without_git_is_told(self, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")

        with pytest.raises(RolloutError, match="git cannot be run"):
            Repository(work.directory)

    def test_of_an_object_that_is_lost_is_told(self, work: Work, repository: Repository) -> None:
        revision = commit(work, a="1")
        blob = work.git("rev-parse", "HEAD:a")
        (work.directory / ".git" / "objects" / blob[:2] / blob[2:]).unlink()

        with pytest.raises(RolloutError, match=f"the object {blob} cannot be read .*: missing"):
            repository.at(revision).contents("")

    def test_of_a_file_that_the_system_refuses_is_told(self, work: Work) -> None:
        with pytest.raises(RolloutError, match="File name too long"):
            WorkingTree(work.directory).contents("x" * 300)
