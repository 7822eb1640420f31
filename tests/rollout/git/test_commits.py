"""What is committed must be what was meant, on top of what was meant, and nothing of anybody's may be lost on the way."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rollout.git.record import Promotion, PromotionState, Record, message
from rollout.git.repository import Entry, OvertakenError, Repository, newest_record
from rollout.problem import RolloutError, TransientError
from tests.rollout.repository import Repository as Work
from tests.rollout.repository import mortal_git, new_repository
from tests.rollout.stack_files import files_below

REFUSING_HOOK = "#!/bin/sh\necho 'main is protected' >&2\nexit 1\n"
# what gpg prints for git to take it as a signature
SIGNING_PROGRAM = """\
#!/bin/sh
cat > /dev/null
echo '[GNUPG:] SIG_CREATED ' >&2
printf -- '-----BEGIN PGP SIGNATURE-----\\n\\nby %s\\n-----END PGP SIGNATURE-----\\n' "$3"
"""


@pytest.fixture(autouse=True)
def _nobodys_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the person who runs the tests: it may sign commits, or name another remote."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def remote(tmp_path: Path) -> Work:
    """A bare repository with one commit on main."""
    place = tmp_path / "remote.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", str(place)], check=True)
    first = new_repository(tmp_path / "first")
    (first.directory / "a").write_text("1\n")
    (first.directory / "infra").mkdir()
    (first.directory / "infra" / "b").write_text("1\n")
    first.git("add", "--all")
    first.git("commit", "--quiet", "--message", "First")
    first.git("push", "--quiet", str(place), "main")
    return Work(place)


@pytest.fixture
def clone(tmp_path: Path, remote: Work) -> Work:
    return new_clone(remote, tmp_path / "clone")


@pytest.fixture
def repository(clone: Work) -> Repository:
    return Repository(clone.directory)


def new_clone(remote: Work, directory: Path) -> Work:
    subprocess.run(["git", "clone", "--quiet", str(remote.directory), str(directory)], check=True)
    clone = Work(directory)
    clone.git("config", "user.name", directory.name)
    clone.git("config", "user.email", f"{directory.name}@corp.local")
    return clone


def tip(repository: Work, branch: str = "main") -> str:
    return repository.git("rev-parse", branch)


def files_at(repository: Work, commit: str) -> dict[str, str]:
    names = repository.git("ls-tree", "-r", "-z", "--name-only", commit).split("\0")
    return {name: repository.git("show", f"{commit}:{name}") for name in names if name}


def install_hook(repository: Work, name: str, text: str) -> None:
    hook = repository.directory / "hooks" / name
    hook.write_text(text)
    hook.chmod(0o755)


def problem_of(action: Callable[[], object], *, passes: bool = False) -> str:
    """What is told of it; `passes` is whether it may go through when it is tried again."""
    with pytest.raises(RolloutError) as refused:
        action()
    assert not isinstance(refused.value, OvertakenError)
    assert isinstance(refused.value, TransientError) is passes
    return str(refused.value)


class TestCommit:
    def test_has_the_files_that_differ_on_top_of_its_parent(self, clone: Work, repository: Repository) -> None:
        parent = tip(clone)

        commit = repository.commit(parent, {"a": b"2\n", "new/né": b"3\n", "infra/b": None}, "Second\n")

        assert files_at(clone, commit) == {"a": "2", "new/né": "3"}
        assert clone.git("rev-parse", f"{commit}^@") == parent

    def test_keeps_the_message_to_the_letter(self, clone: Work, repository: Repository) -> None:
        text = "v2 10 → 25 %\n\n# no comment\n\n\n  body\n\nRollout-A: b\n"

        commit = repository.commit(tip(clone), {}, text)

        assert repository.log(commit, 1)[0].message == text

    def test_of_no_files_has_those_of_its_parent(self, clone: Work, repository: Repository) -> None:
        parent = tip(clone)

        commit = repository.commit(parent, {}, "Nothing\n")

        assert commit != parent
        assert files_at(clone, commit) == files_at(clone, parent)

    def test_of_a_project_below_the_top_takes_paths_relative_to_it(self, clone: Work) -> None:
        repository = Repository(clone.directory / "infra")

        commit = repository.commit(tip(clone), {"b": b"2\n", "deploy/c": b"3\n"}, "Second\n")

        assert files_at(clone, commit) == {"a": "1", "infra/b": "2", "infra/deploy/c": "3"}
        assert files_at(clone, repository.commit(commit, {"b": None}, "Third\n")) == {"a": "1", "infra/deploy/c": "3"}

    def test_keeps_bytes_and_modes(self, clone: Work, repository: Repository) -> None:
        clone.git("update-index", "--chmod=+x", "a")
        clone.git("commit", "--quiet", "--message", "Executable")
        # what git would make of a file that it reads itself
        clone.git("config", "core.autocrlf", "input")

        commit = repository.commit(tip(clone), {"a": b"2\r\n\xff", "new": b""}, "Second\n")

        assert clone.git("ls-tree", commit, "a", "new").split("\n")[0].startswith("100755 blob")
        shown = subprocess.run(
            ["git", "-C", clone.directory, "cat-file", "blob", f"{commit}:a"], capture_output=True, check=True
        )
        assert shown.stdout == b"2\r\n\xff"

    def test_touches_neither_files_nor_index_nor_branch(self, clone: Work, repository: Repository) -> None:
        (clone.directory / "a").write_text("staged")
        clone.git("add", "a")
        (clone.directory / "a").write_text("changed")
        (clone.directory / "untracked").write_text("x")
        before = {name: text for name, text in files_below(clone.directory).items() if "/objects/" not in name}

        repository.commit(tip(clone), {"a": b"2\n", "untracked": b"y"}, "Second\n")

        assert {name: text for name, text in files_below(clone.directory).items() if "/objects/" not in name} == before

    def test_is_signed_where_the_operator_signs(self, clone: Work, repository: Repository, tmp_path: Path) -> None:
        program = tmp_path / "sign"
        program.write_text(SIGNING_PROGRAM)
        program.chmod(0o755)
        clone.git("config", "gpg.program", str(program))
        clone.git("config", "user.signingKey", "mine")
        unsigned = repository.commit(tip(clone), {}, "x\n")
        clone.git("config", "commit.gpgSign", "true")

        signed = repository.commit(tip(clone), {}, "x\n")

        assert ["gpgsig" in clone.git("cat-file", "commit", commit) for commit in (unsigned, signed)] == [False, True]

    def test_of_nobody_is_told_in_gits_words(self, clone: Work, repository: Repository) -> None:
        clone.git("config", "--unset", "user.name")
        clone.git("config", "--unset", "user.email")
        clone.git("config", "user.useConfigOnly", "true")

        told = problem_of(lambda: repository.commit(tip(clone), {}, "x\n"))

        assert told.startswith(f"git commit-tree in {clone.directory}: ")
        assert "git config --global user.email" in told

    def test_where_objects_have_long_names(self, tmp_path: Path) -> None:
        work = Work(tmp_path)
        work.git("init", "--quiet", "--object-format=sha256", "--initial-branch", "main")
        work.git("config", "user.name", "a")
        work.git("config", "user.email", "a@corp.local")
        (tmp_path / "a").write_text("1")
        work.git("add", "a")
        work.git("commit", "--quiet", "--message", "First")

        commit = Repository(tmp_path).commit(tip(work), {"a": None, "b": b"2"}, "Second\n")

        assert files_at(work, commit) == {"b": "2"}


class TestFetch:
    def test_gives_the_tip_and_brings_its_history(self, clone: Work, remote: Work, tmp_path: Path) -> None:
        other = new_clone(remote, tmp_path / "other")
        theirs = Repository(other.directory).commit(tip(other), {"a": b"2\n"}, "Theirs\n")
        other.git("push", "--quiet", "origin", f"{theirs}:main")
        repository = Repository(clone.directory)

        assert repository.fetch("origin", "main") == theirs
        assert repository.log(theirs, 1)[0].author == "other"

    def test_leaves_branches_and_files_as_they_are(self, clone: Work, remote: Work, tmp_path: Path) -> None:
        other = new_clone(remote, tmp_path / "other")
        other.git("push", "--quiet", "origin", f"{Repository(other.directory).commit(tip(other), {}, 'x')}:main")
        before = (tip(clone), clone.git("status", "--porcelain"))

        Repository(clone.directory).fetch("origin", "main")

        assert (tip(clone), clone.git("status", "--porcelain")) == before
        assert not (clone.directory / ".git" / "FETCH_HEAD").exists()

    def test_goes_by_an_address_too(self, repository: Repository, remote: Work) -> None:
        assert repository.fetch(str(remote.directory), "main") == tip(remote)

    def test_a_branch_whose_name_goes_on_where_another_ends_can_be_fetched_after_that(
        self, remote: Work, repository: Repository
    ) -> None:
        for name in ("rollout", "rollout/x"):
            remote.git("branch", name, "main")
            assert repository.fetch("origin", name) == tip(remote)
            remote.git("branch", "--delete", "--force", name)

    def test_follows_a_branch_that_was_set_back(self, clone: Work, remote: Work, repository: Repository) -> None:
        first = tip(clone)
        second = repository.commit(first, {}, "x")
        repository.push(second, "origin", "main")
        repository.fetch("origin", "main")
        remote.git("update-ref", "refs/heads/main", first)

        assert repository.fetch("origin", "main") == first

    @pytest.mark.parametrize(("remote_name", "branch"), [("origin", "gone"), ("nowhere", "main"), ("--all", "main")])
    def test_of_what_is_not_there_is_told(self, repository: Repository, remote_name: str, branch: str) -> None:
        # a remote that cannot be asked may be back in a moment; a branch that it does not have is gone
        passes = remote_name != "origin"
        assert problem_of(lambda: repository.fetch(remote_name, branch), passes=passes).startswith(
            f"{branch} of {remote_name} cannot be fetched: fatal: "
        )

    def test_a_branch_is_there_or_not(self, repository: Repository, remote: Work) -> None:
        assert (repository.tip("origin", "main"), repository.tip("origin", "ma")) == (tip(remote), None)

    def test_a_remote_that_cannot_be_asked_is_told(self, repository: Repository) -> None:
        told = problem_of(lambda: repository.tip("nowhere", "main"), passes=True)
        assert told.startswith("nowhere cannot be asked for main: ")


class TestCannotCommit:
    """What a person must do first is told apart from what may go through later."""

    def test_without_a_signature(self, clone: Work, repository: Repository) -> None:
        clone.git("config", "gpg.program", "false")
        clone.git("config", "commit.gpgSign", "true")

        told = problem_of(lambda: repository.commit(tip(clone), {}, "x\n"))

        assert told.startswith("the commit cannot be signed: git commit-tree in ")

    def test_by_a_git_that_a_signal_ended(
        self, clone: Work, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        parent = tip(clone)
        clone.git("config", "commit.gpgSign", "true")
        monkeypatch.setenv("PATH", f"{mortal_git(tmp_path)}:{os.environ['PATH']}")

        for _ in range(20):
            told = problem_of(lambda: repository.commit(parent, {}, "x\n"), passes=True)
            assert told.startswith("git was ended by signal 1\n")
            if (tmp_path / "killed" / "commit-tree").exists():
                break
        else:
            pytest.fail("it never came to the signature")

    def test_without_a_name(self, clone: Work, repository: Repository) -> None:
        clone.git("config", "user.useConfigOnly", "true")
        clone.git("config", "--unset", "user.email")

        assert "git commit-tree in " in problem_of(lambda: repository.commit(tip(clone), {}, "x\n"))

    def test_in_a_repository_that_cannot_be_written_to_now(self, clone: Work, repository: Repository) -> None:
        parent, objects = tip(clone), clone.directory / ".git" / "objects"
        away = objects.rename(objects.with_name("away"))

        assert "git read-tree in " in problem_of(lambda: repository.commit(parent, {}, "x\n"), passes=True)

        away.rename(objects)
        assert repository.commit(parent, {}, "x\n")


class TestReplayed:
    def test_is_the_same_change_with_the_same_message_on_top_of_another_commit(
        self, clone: Work, repository: Repository
    ) -> None:
        parent = tip(clone)
        text = "v2 10 → 25 %\n\nRollout-A: b\n"
        commit = repository.commit(parent, {"a": b"2\n", "infra/b": None, "new/né": b"3\n"}, text)
        other = repository.commit(parent, {"c": b"4\n"}, "theirs\n")

        made = repository.replayed(commit)(other)

        assert files_at(clone, made) == {"a": "2", "new/né": "3", "c": "4"}
        assert clone.git("rev-parse", f"{made}^@") == other
        assert repository.log(made, 1)[0].message == text

    def test_of_a_commit_that_changes_nothing_changes_nothing(self, clone: Work, repository: Repository) -> None:
        parent = tip(clone)
        other = repository.commit(parent, {"c": b"4\n"}, "theirs\n")

        made = repository.replayed(repository.commit(parent, {}, "x\n"))(other)

        assert files_at(clone, made) == files_at(clone, other)


class TestDiffers:
    @pytest.mark.parametrize(
        ("changed", "differs"),
        [("infra/Pulumi.a.yaml", True), ("infra/deploy/x/y", True), ("infra/README", False), ("deploy/x", False)],
    )
    def test_sees_what_is_below_the_project_alone(self, clone: Work, changed: str, differs: bool) -> None:
        one = tip(clone)
        other = Repository(clone.directory).commit(one, {changed: b"x"}, "x\n")

        repository = Repository(clone.directory / "infra")

        assert repository.differs(one, other, ["Pulumi.*.yaml", "deploy", "gone"]) is differs
        assert not repository.differs(one, one, ["deploy"])


class TestPush:
    def test_makes_it_the_tip(self, clone: Work, remote: Work, repository: Repository) -> None:
        commit = repository.commit(tip(clone), {"a": b"2\n"}, "x\n")

        repository.push(commit, "origin", "main")

        assert tip(remote) == commit

    def test_makes_a_branch_that_was_not_there(self, clone: Work, remote: Work, repository: Repository) -> None:
        commit = repository.commit(tip(clone), {}, "x\n")

        repository.push(commit, "origin", "proposal/v2", onto="")

        assert tip(remote, "proposal/v2") == commit

    def test_of_two_that_race_the_later_is_overtaken_and_nothing_is_lost(
        self, clone: Work, remote: Work, tmp_path: Path
    ) -> None:
        theirs, ours = Repository(new_clone(remote, tmp_path / "other").directory), Repository(clone.directory)
        parent = tip(clone)
        first, second = (each.commit(parent, {"a": text}, "x\n") for each, text in ((theirs, b"2\n"), (ours, b"3\n")))
        theirs.push(first, "origin", "main")

        with pytest.raises(
            OvertakenError, match=f"main of origin is at {first[:10]}, which {second[:10]} does not follow"
        ):
            ours.push(second, "origin", "main")

        assert tip(remote) == first

    def test_of_two_at_the_same_moment_is_overtaken(self, clone: Work, remote: Work, tmp_path: Path) -> None:
        other = new_clone(remote, tmp_path / "other")
        theirs = Repository(other.directory).commit(tip(other), {}, "theirs\n")
        other.git("push", "--quiet", "origin", f"{theirs}:refs/heads/elsewhere")
        repository = Repository(clone.directory)
        ours = repository.commit(tip(clone), {}, "ours\n")
        # between the remote's word on where main is and its taking of ours
        install_hook(
            remote, "pre-receive", f"#!/bin/sh\nenv -u GIT_QUARANTINE_PATH git update-ref refs/heads/main {theirs}\n"
        )

        with pytest.raises(OvertakenError):
            repository.push(ours, "origin", "main")

        assert tip(remote) == theirs

    def test_onto_what_was_fetched_sees_a_branch_that_was_set_back(
        self, clone: Work, remote: Work, repository: Repository
    ) -> None:
        first = tip(clone)
        second = repository.commit(first, {}, "x\n")
        repository.push(second, "origin", "main", onto=first)
        remote.git("update-ref", "refs/heads/main", first)

        with pytest.raises(OvertakenError):
            repository.push(repository.commit(second, {}, "y\n"), "origin", "main", onto=second)

        assert tip(remote) == first

    @pytest.mark.parametrize("onto", ["", "1" * 40])
    def test_onto_what_is_not_there_is_overtaken(self, clone: Work, remote: Work, onto: str) -> None:
        before, repository = tip(remote), Repository(clone.directory)

        with pytest.raises(OvertakenError):
            repository.push(repository.commit(before, {}, "x\n"), "origin", "main", onto=onto)

        assert tip(remote) == before

    def test_that_a_hook_refuses_is_told_in_its_words(self, clone: Work, remote: Work, repository: Repository) -> None:
        before = tip(remote)
        install_hook(remote, "update", REFUSING_HOOK)
        commit = repository.commit(before, {}, "x\n")

        told = problem_of(lambda: repository.push(commit, "origin", "main"))

        assert told.startswith(f"main of origin does not take {commit[:10]}: remote: main is protected")
        assert tip(remote) == before

    def test_that_our_own_hook_refuses_is_told(self, clone: Work, remote: Work, repository: Repository) -> None:
        install_hook(Work(clone.directory / ".git"), "pre-push", REFUSING_HOOK)
        commit = repository.commit(tip(clone), {}, "x\n")

        assert "main is protected" in problem_of(lambda: repository.push(commit, "origin", "main", onto=tip(remote)))

    def test_that_arrived_though_its_answer_was_lost_is_a_success(
        self, clone: Work, remote: Work, repository: Repository
    ) -> None:
        # the remote takes the commit, then the connection breaks
        install_hook(remote, "post-update", "#!/bin/sh\nkill -9 $PPID\n")
        commit = repository.commit(tip(clone), {}, "x\n")

        repository.push(commit, "origin", "main")

        assert tip(remote) == commit

    def test_to_a_remote_that_is_not_there_is_told(self, clone: Work, repository: Repository) -> None:
        commit = repository.commit(tip(clone), {}, "x\n")

        told = problem_of(lambda: repository.push(commit, "nowhere", "main"), passes=True)
        assert told.startswith("nowhere cannot be asked for main: ")

    def test_to_a_remote_that_is_busy_may_go_through_later(
        self, clone: Work, remote: Work, repository: Repository
    ) -> None:
        commit = repository.commit(tip(clone), {}, "x\n")
        lock = remote.directory / "refs" / "heads" / "main.lock"
        lock.touch()

        told = problem_of(lambda: repository.push(commit, "origin", "main", onto=tip(clone)), passes=True)
        lock.unlink()
        repository.push(commit, "origin", "main", onto=tip(clone))

        assert "cannot lock ref" in told
        assert tip(remote) == commit

    def test_whose_answer_was_lost_and_that_somebody_built_upon_is_a_success(
        self, clone: Work, remote: Work, repository: Repository
    ) -> None:
        # the remote takes the commit, somebody pushes on top of it, then the connection breaks
        install_hook(
            remote,
            "post-update",
            "#!/bin/sh\n"
            "made=$(git -c user.name=a -c user.email=a@b commit-tree 'main^{tree}' -p main -m theirs)\n"
            'git update-ref refs/heads/main "$made"\n'
            "kill -9 $PPID\n",
        )
        commit = repository.commit(tip(clone), {}, "x\n")

        repository.push(commit, "origin", "main", onto=tip(clone))

        assert remote.git("log", "--format=%s", "-2", "main").splitlines() == ["theirs", "x"]


class TestFollow:
    def test_brings_branch_and_files_to_the_commit(self, clone: Work, repository: Repository) -> None:
        commit = repository.commit(tip(clone), {"a": b"2\n", "infra/b": None}, "x\n")

        assert repository.follow(commit)

        assert (tip(clone), clone.git("status", "--porcelain")) == (commit, "")
        assert (clone.directory / "a").read_text() == "2\n"

    def test_goes_by_no_habit_of_the_person_who_merges(self, clone: Work, repository: Repository) -> None:
        clone.git("config", "branch.main.mergeOptions", "--squash --stat")
        commit = repository.commit(tip(clone), {"a": b"2\n"}, "x\n")

        assert repository.follow(commit)
        assert tip(clone) == commit

    def test_keeps_uncommitted_changes_of_other_files(self, clone: Work, repository: Repository) -> None:
        (clone.directory / "infra" / "b").write_text("mine")
        (clone.directory / "staged").write_text("mine")
        clone.git("add", "staged")
        commit = repository.commit(tip(clone), {"a": b"2\n"}, "x\n")

        assert repository.follow(commit)

        assert tip(clone) == commit
        assert clone.git("status", "--porcelain").splitlines() == ["M infra/b", "A  staged"]

    @pytest.mark.parametrize("file", ["a", "untracked", "ignored"])
    def test_stays_where_something_would_be_lost(self, clone: Work, repository: Repository, file: str) -> None:
        (clone.directory / ".git" / "info").mkdir(exist_ok=True)
        (clone.directory / ".git" / "info" / "exclude").write_text("/ignored\n")
        clone.git("config", "merge.autoStash", "true")
        (clone.directory / file).write_text("mine")
        before = tip(clone)
        commit = repository.commit(before, {file: b"2\n"}, "x\n")

        assert not repository.follow(commit)

        assert (tip(clone), (clone.directory / file).read_text()) == (before, "mine")

    def test_stays_where_the_branch_has_commits_of_its_own(self, clone: Work, repository: Repository) -> None:
        commit = repository.commit(tip(clone), {"a": b"2\n"}, "x\n")
        clone.git("commit", "--quiet", "--allow-empty", "--message", "Mine")
        before = tip(clone)

        assert not repository.follow(commit)
        assert tip(clone) == before

    def test_moves_no_branch_but_the_one_that_was_meant(self, clone: Work, repository: Repository) -> None:
        clone.git("switch", "--quiet", "--create", "feature")
        before = tip(clone, "feature")

        assert not repository.follow(repository.commit(before, {"a": b"2\n"}, "x\n"), "main")
        assert tip(clone, "feature") == before

    def test_is_there_already(self, clone: Work, repository: Repository) -> None:
        (clone.directory / "a").write_text("mine")

        assert repository.follow(tip(clone))


class TestUncommitted:
    def test_are_the_named_files_that_differ(self, clone: Work, repository: Repository) -> None:
        (clone.directory / "a").write_text("mine")
        (clone.directory / "né w").write_text("mine")
        (clone.directory / "other").write_text("mine")

        assert repository.uncommitted(["a", "né w", "infra/b", "gone"]) == ("a", "né w")

    def test_of_a_project_below_the_top_are_relative_to_it(self, clone: Work) -> None:
        (clone.directory / "infra" / "b").write_text("mine")
        (clone.directory / "a").write_text("mine")

        assert Repository(clone.directory / "infra").uncommitted(["b", "a"]) == ("b",)


class TestLog:
    def test_is_newest_first_with_what_each_changed(self, clone: Work, repository: Repository) -> None:
        first = tip(clone)
        second = repository.commit(first, {"a": b"2\n", "né": b""}, "Second\n\nbody\n")
        third = repository.commit(second, {}, "Third\n")

        entries = repository.log(third, 10)

        assert [entry.commit for entry in entries] == [third, second, first]
        assert [entry.files for entry in entries] == [(), ("a", "né"), ("a", "infra/b")]
        assert datetime.now(UTC) - entries[0].at < timedelta(minutes=5)
        assert entries[1] == Entry(second, "clone", entries[1].at, "Second", "Second\n\nbody\n", ("a", "né"))

    def test_is_no_longer_than_asked(self, clone: Work, repository: Repository) -> None:
        commit = repository.commit(tip(clone), {}, "x\n")

        assert [entry.commit for entry in repository.log(commit, 1)] == [commit]

    def test_of_a_range_has_what_came_in_between(self, clone: Work, repository: Repository) -> None:
        first = tip(clone)
        second = repository.commit(first, {}, "x\n")
        third = repository.commit(second, {}, "x\n")

        assert [entry.commit for entry in repository.log(f"{first}..{third}", 10)] == [third, second]

    def test_has_only_those_with_a_line_that_is_looked_for(self, clone: Work, repository: Repository) -> None:
        second = repository.commit(tip(clone), {}, "x\n\nRollout-A: b\n")
        third = repository.commit(second, {}, "x\n\n> Rollout-A: b\n")
        fourth = repository.commit(third, {}, "x\n\nRollout-A: bc\n")

        assert [entry.commit for entry in repository.log(fourth, 10, saying="^Rollout-A: b$")] == [second]

    def test_of_a_merge_has_what_it_brought_and_those_on_both_sides(self, clone: Work, repository: Repository) -> None:
        first = tip(clone)
        clone.git("switch", "--quiet", "--create", "feature", repository.commit(first, {"c": b"1\n"}, "Feature\n"))
        clone.git("switch", "--quiet", "main")
        clone.git("merge", "--quiet", "--no-ff", "--message", "Merge", "feature")

        entries = repository.log(tip(clone), 10)

        assert [(entry.subject, entry.files) for entry in entries[:2]] == [("Merge", ("c",)), ("Feature", ("c",))]

    def test_has_none_before_one_on_top_of_it_whatever_the_clocks(
        self, clone: Work, repository: Repository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GIT_COMMITTER_DATE", "2020-01-01T00:00:00Z")
        old = repository.commit(tip(clone), {}, "x\n")
        monkeypatch.setenv("GIT_COMMITTER_DATE", "2010-01-01T00:00:00Z")
        new = repository.commit(old, {}, "x\n")
        monkeypatch.delenv("GIT_COMMITTER_DATE")
        clone.git("reset", "--quiet", "--hard", old)
        clone.git("merge", "--quiet", "--no-ff", "--message", "Merge", new)

        assert [entry.commit for entry in repository.log("HEAD", 3)][1:] == [new, old]

    def test_of_a_project_below_the_top_names_its_files(self, clone: Work) -> None:
        repository = Repository(clone.directory / "infra")

        assert [entry.files for entry in repository.log("HEAD", 1)] == [("b",)]

    def test_of_a_commit_that_is_not_here_is_told(self, repository: Repository) -> None:
        assert problem_of(lambda: repository.log("1" * 40, 1), passes=True).startswith("git log in ")


class TestHead:
    def test_is_the_commit_and_its_branch(self, clone: Work, repository: Repository) -> None:
        assert repository.head() == (tip(clone), "main")

    def test_is_of_no_branch_where_a_commit_is_checked_out(self, clone: Work, repository: Repository) -> None:
        clone.git("checkout", "--quiet", "--detach")

        assert repository.head() == (tip(clone), None)

    def test_outside_of_a_repository_is_told(self, tmp_path: Path) -> None:
        assert "not a git repository" in problem_of(lambda: Repository(tmp_path))

    def test_contains_what_is_in_its_history(self, clone: Work, repository: Repository) -> None:
        first = tip(clone)
        second = repository.commit(first, {}, "x\n")

        asked = [(first, second), (first, first), (second, first), ("1" * 40, first), (first, "1" * 40)]
        assert [repository.contains(*each) for each in asked] == [True, True, False, False, False]


class TestRemote:
    def test_is_the_first_that_is_said(self, clone: Work) -> None:
        clone.git("remote", "add", "other", "/nowhere")
        clone.git("remote", "add", "third", "/nowhere")
        clone.git("config", "--unset", "branch.main.remote")
        found = []
        for key, value in (
            ("branch.main.remote", "origin"),
            ("remote.pushDefault", "other"),
            ("branch.main.pushRemote", "third"),
        ):
            clone.git("config", key, value)
            found.append(Repository(clone.directory).remote(None, None))

        assert found == ["origin", "other", "third"]
        assert Repository(clone.directory).remote(None, "/lab.git") == "/lab.git"
        assert Repository(clone.directory).remote("mine", "/lab.git") == "mine"

    def test_is_the_only_one(self, clone: Work) -> None:
        clone.git("config", "branch.main.remote", ".")

        assert Repository(clone.directory).remote(None, None) == "origin"

    def test_of_several_must_be_said(self, clone: Work) -> None:
        clone.git("config", "--unset", "branch.main.remote")
        clone.git("remote", "add", "other", "/nowhere")

        told = problem_of(lambda: Repository(clone.directory).remote(None, None))

        assert "has 2 remotes (origin, other), and nothing says which is delivered" in told

    def test_of_none_is_told(self, clone: Work) -> None:
        clone.git("remote", "remove", "origin")

        assert "has no remote" in problem_of(lambda: Repository(clone.directory).remote(None, None))


def _asked_for(project: Path, service: str = "echo") -> str:
    """What is heard by one who wants the lock."""
    try:
        with Repository(project).locked(service):
            return "taken"
    except RolloutError as error:
        return error.problems[0].what


class TestLock:
    def test_keeps_another_process_out_and_says_who_has_it(self, clone: Work) -> None:
        with (
            Repository(clone.directory).locked("echo"),
            ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as elsewhere,
        ):
            told = elsewhere.submit(_asked_for, clone.directory / "infra").result(60)

        assert told == f"another rollout of echo is at work in this clone (pid {os.getpid()})"

    def test_is_each_services_own(self, clone: Work) -> None:
        with Repository(clone.directory).locked("echo"):
            assert _asked_for(clone.directory, "echo-extra") == "taken"
            assert _asked_for(clone.directory).startswith("another rollout of echo is at work")

        assert {path.name for path in (clone.directory / ".git").glob("*.lock")} == {
            "rollout-echo.lock",
            "rollout-echo-extra.lock",
        }

    def test_ends_with_the_work_also_where_that_fails(self, clone: Work) -> None:
        with pytest.raises(KeyError), Repository(clone.directory).locked("echo"):
            raise KeyError

        assert _asked_for(clone.directory) == "taken"

    def test_is_the_same_in_all_working_trees_of_a_clone(self, clone: Work, tmp_path: Path) -> None:
        clone.git("worktree", "add", "--quiet", str(tmp_path / "second"))

        with Repository(tmp_path / "second").locked("echo"):
            assert _asked_for(clone.directory).startswith("another rollout of echo is at work")

    def test_is_each_clones_own(self, clone: Work, tmp_path: Path) -> None:
        shutil.copytree(clone.directory, tmp_path / "second")

        with Repository(tmp_path / "second").locked("echo"):
            assert _asked_for(clone.directory) == "taken"


class TestNotes:
    def saying(self, service: str, state: PromotionState = PromotionState.IN_PROGRESS) -> str:
        promotion = Promotion("p-1", service, "v2", (50,), ("region-a",), 0, "0" * 40)
        return message("Promote", Record(promotion, state, "region-a", 50))

    def states(self, repository: Repository, *services: str) -> list[PromotionState | None]:
        found = [repository.newest_record(repository.fetch("origin", "main"), service) for service in services]
        return [each[1].state if each else None for each in found]

    def test_are_what_a_commit_says_of_a_service_for_all_who_fetch_it(
        self, remote: Work, repository: Repository, tmp_path: Path
    ) -> None:
        first = tip(remote)
        repository.note(first, self.saying("echo"), "origin", "echo")
        repository.note(first, self.saying("web"), "origin", "web")
        repository.note(first, self.saying("echo", PromotionState.DONE), "origin", "echo")

        other = Repository(new_clone(remote, tmp_path / "other").directory)

        assert self.states(other, "echo", "web", "none") == [PromotionState.DONE, PromotionState.IN_PROGRESS, None]

    def test_come_after_the_message(self, remote: Work, repository: Repository) -> None:
        commit = repository.commit(tip(remote), {}, self.saying("echo"))
        repository.push(commit, "origin", "main")
        repository.note(commit, self.saying("echo", PromotionState.DONE), "origin", "echo")

        assert self.states(repository, "echo") == [PromotionState.DONE]

    def test_of_two_at_once_the_second_is_not_taken(self, remote: Work, repository: Repository, tmp_path: Path) -> None:
        other = Repository(new_clone(remote, tmp_path / "other").directory)
        other.note(tip(remote), self.saying("echo"), "origin", "echo")

        with pytest.raises(TransientError, match="origin does not take refs/notes/rollout/echo/promotions"):
            repository.note(tip(remote), self.saying("echo", PromotionState.DONE), "origin", "echo")

        assert self.states(repository, "echo") == [PromotionState.IN_PROGRESS]
        repository.note(tip(remote), self.saying("echo", PromotionState.DONE), "origin", "echo")
        assert self.states(other, "echo") == [PromotionState.DONE]

    def test_that_the_remote_does_not_take_stay_and_go_there_later(
        self, remote: Work, repository: Repository, tmp_path: Path
    ) -> None:
        first, other = tip(remote), Repository(new_clone(remote, tmp_path / "other").directory)
        repository.note(first, self.saying("echo"), "origin", "echo")
        hook = remote.directory / "hooks" / "update"
        hook.write_text(REFUSING_HOOK)
        hook.chmod(0o755)

        with pytest.raises(RolloutError, match="main is protected") as refused:
            repository.note(first, self.saying("echo", PromotionState.DONE), "origin", "echo")
        hook.unlink()

        assert not isinstance(refused.value, TransientError)
        assert self.states(repository, "echo") == [PromotionState.DONE]
        assert self.states(other, "echo") == [PromotionState.IN_PROGRESS]
        repository.push_notes("origin", "echo")
        assert self.states(other, "echo") == [PromotionState.DONE]

    def test_of_two_clones_are_joined(self, remote: Work, repository: Repository, tmp_path: Path) -> None:
        first, other = tip(remote), Repository(new_clone(remote, tmp_path / "other").directory)
        second = repository.commit(first, {}, "Second")
        repository.push(second, "origin", "main")
        other.note(first, self.saying("echo"), "origin", "echo")
        with pytest.raises(TransientError):
            repository.note(second, self.saying("echo", PromotionState.DONE), "origin", "echo")

        assert self.states(repository, "echo") == [PromotionState.DONE]
        repository.push_notes("origin", "echo")
        assert self.states(other, "echo") == [PromotionState.DONE]
        assert newest_record(other.log(first, 1, noted="echo"), "echo") is not None

    def test_the_main_line_has_a_merge_as_one_commit(self, remote: Work, repository: Repository, clone: Work) -> None:
        first = tip(remote)
        clone.git("switch", "--quiet", "--create", "side")
        side = repository.commit(first, {"infra/b": b"2\n"}, "Side")
        clone.git("merge", "--quiet", "--ff-only", side)
        clone.git("switch", "--quiet", "main")
        other = repository.commit(first, {"a": b"2\n"}, "Other")
        clone.git("merge", "--quiet", "--ff-only", other)
        clone.git("merge", "--quiet", "--no-ff", "--message", "Merge", "side")

        assert repository.mainline(first, "main", ["infra"]) == [tip(clone)]
        assert repository.mainline(first, "main", ["a", "infra/b"]) == [other, tip(clone)]
