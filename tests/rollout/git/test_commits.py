"""What is committed must be what was meant, on top of what was meant, and nothing of anybody's may be lost on the way."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rollout.git.commits import Entry, OvertakenError, Writer, locked, remote_of
from rollout.problem import RolloutError
from tests.rollout.repository import Repository, new_repository
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
def remote(tmp_path: Path) -> Repository:
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
    return Repository(place)


@pytest.fixture
def clone(tmp_path: Path, remote: Repository) -> Repository:
    return new_clone(remote, tmp_path / "clone")


@pytest.fixture
def writer(clone: Repository) -> Writer:
    return Writer(clone.directory)


def new_clone(remote: Repository, directory: Path) -> Repository:
    subprocess.run(["git", "clone", "--quiet", str(remote.directory), str(directory)], check=True)
    clone = Repository(directory)
    clone.git("config", "user.name", directory.name)
    clone.git("config", "user.email", f"{directory.name}@corp.local")
    return clone


def tip(repository: Repository, branch: str = "main") -> str:
    return repository.git("rev-parse", branch)


def files_at(repository: Repository, commit: str) -> dict[str, str]:
    names = repository.git("ls-tree", "-r", "-z", "--name-only", commit).split("\0")
    return {name: repository.git("show", f"{commit}:{name}") for name in names if name}


def install_hook(repository: Repository, name: str, text: str) -> None:
    hook = repository.directory / "hooks" / name
    hook.write_text(text)
    hook.chmod(0o755)


def problem_of(action: Callable[[], object]) -> str:
    with pytest.raises(RolloutError) as refused:
        action()
    assert not isinstance(refused.value, OvertakenError)
    return str(refused.value)


class TestCommit:
    def test_has_the_files_that_differ_on_top_of_its_parent(self, clone: Repository, writer: Writer) -> None:
        parent = tip(clone)

        commit = writer.commit(parent, {"a": b"2\n", "new/né": b"3\n", "infra/b": None}, "Second\n")

        assert files_at(clone, commit) == {"a": "2", "new/né": "3"}
        assert clone.git("rev-parse", f"{commit}^@") == parent

    def test_keeps_the_message_to_the_letter(self, clone: Repository, writer: Writer) -> None:
        text = "v2 10 → 25 %\n\n# no comment\n\n\n  body\n\nRollout-A: b\n"

        commit = writer.commit(tip(clone), {}, text)

        assert writer.log(commit, 1)[0].message == text

    def test_of_no_files_has_those_of_its_parent(self, clone: Repository, writer: Writer) -> None:
        parent = tip(clone)

        commit = writer.commit(parent, {}, "Nothing\n")

        assert commit != parent
        assert files_at(clone, commit) == files_at(clone, parent)

    def test_of_a_project_below_the_top_takes_paths_relative_to_it(self, clone: Repository) -> None:
        writer = Writer(clone.directory / "infra")

        commit = writer.commit(tip(clone), {"b": b"2\n", "deploy/c": b"3\n"}, "Second\n")

        assert files_at(clone, commit) == {"a": "1", "infra/b": "2", "infra/deploy/c": "3"}
        assert files_at(clone, writer.commit(commit, {"b": None}, "Third\n")) == {"a": "1", "infra/deploy/c": "3"}

    def test_keeps_bytes_and_modes(self, clone: Repository, writer: Writer) -> None:
        clone.git("update-index", "--chmod=+x", "a")
        clone.git("commit", "--quiet", "--message", "Executable")
        # what git would make of a file that it reads itself
        clone.git("config", "core.autocrlf", "input")

        commit = writer.commit(tip(clone), {"a": b"2\r\n\xff", "new": b""}, "Second\n")

        assert clone.git("ls-tree", commit, "a", "new").split("\n")[0].startswith("100755 blob")
        shown = subprocess.run(
            ["git", "-C", clone.directory, "cat-file", "blob", f"{commit}:a"], capture_output=True, check=True
        )
        assert shown.stdout == b"2\r\n\xff"

    def test_touches_neither_files_nor_index_nor_branch(self, clone: Repository, writer: Writer) -> None:
        (clone.directory / "a").write_text("staged")
        clone.git("add", "a")
        (clone.directory / "a").write_text("changed")
        (clone.directory / "untracked").write_text("x")
        before = {name: text for name, text in files_below(clone.directory).items() if "/objects/" not in name}

        writer.commit(tip(clone), {"a": b"2\n", "untracked": b"y"}, "Second\n")

        assert {name: text for name, text in files_below(clone.directory).items() if "/objects/" not in name} == before

    def test_is_signed_where_the_operator_signs(self, clone: Repository, writer: Writer, tmp_path: Path) -> None:
        program = tmp_path / "sign"
        program.write_text(SIGNING_PROGRAM)
        program.chmod(0o755)
        clone.git("config", "gpg.program", str(program))
        clone.git("config", "user.signingKey", "mine")
        unsigned = writer.commit(tip(clone), {}, "x\n")
        clone.git("config", "commit.gpgSign", "true")

        signed = writer.commit(tip(clone), {}, "x\n")

        assert ["gpgsig" in clone.git("cat-file", "commit", commit) for commit in (unsigned, signed)] == [False, True]

    def test_of_nobody_is_told_in_gits_words(self, clone: Repository, writer: Writer) -> None:
        clone.git("config", "--unset", "user.name")
        clone.git("config", "--unset", "user.email")
        clone.git("config", "user.useConfigOnly", "true")

        told = problem_of(lambda: writer.commit(tip(clone), {}, "x\n"))

        assert told.startswith(f"git commit-tree in {clone.directory}: ")
        assert "git config --global user.email" in told

    def test_where_objects_have_long_names(self, tmp_path: Path) -> None:
        work = Repository(tmp_path)
        work.git("init", "--quiet", "--object-format=sha256", "--initial-branch", "main")
        work.git("config", "user.name", "a")
        work.git("config", "user.email", "a@corp.local")
        (tmp_path / "a").write_text("1")
        work.git("add", "a")
        work.git("commit", "--quiet", "--message", "First")

        commit = Writer(tmp_path).commit(tip(work), {"a": None, "b": b"2"}, "Second\n")

        assert files_at(work, commit) == {"b": "2"}


class TestFetch:
    def test_gives_the_tip_and_brings_its_history(self, clone: Repository, remote: Repository, tmp_path: Path) -> None:
        other = new_clone(remote, tmp_path / "other")
        theirs = Writer(other.directory).commit(tip(other), {"a": b"2\n"}, "Theirs\n")
        other.git("push", "--quiet", "origin", f"{theirs}:main")
        writer = Writer(clone.directory)

        assert writer.fetch("origin", "main") == theirs
        assert writer.log(theirs, 1)[0].author == "other"

    def test_leaves_branches_and_files_as_they_are(self, clone: Repository, remote: Repository, tmp_path: Path) -> None:
        other = new_clone(remote, tmp_path / "other")
        other.git("push", "--quiet", "origin", f"{Writer(other.directory).commit(tip(other), {}, 'x')}:main")
        before = (tip(clone), clone.git("status", "--porcelain"))

        Writer(clone.directory).fetch("origin", "main")

        assert (tip(clone), clone.git("status", "--porcelain")) == before
        assert not (clone.directory / ".git" / "FETCH_HEAD").exists()

    def test_goes_by_an_address_too(self, writer: Writer, remote: Repository) -> None:
        assert writer.fetch(str(remote.directory), "main") == tip(remote)

    def test_follows_a_branch_that_was_set_back(self, clone: Repository, remote: Repository, writer: Writer) -> None:
        first = tip(clone)
        second = writer.commit(first, {}, "x")
        writer.push(second, "origin", "main")
        writer.fetch("origin", "main")
        remote.git("update-ref", "refs/heads/main", first)

        assert writer.fetch("origin", "main") == first

    @pytest.mark.parametrize(("remote_name", "branch"), [("origin", "gone"), ("nowhere", "main"), ("--all", "main")])
    def test_of_what_is_not_there_is_told(self, writer: Writer, remote_name: str, branch: str) -> None:
        assert problem_of(lambda: writer.fetch(remote_name, branch)).startswith(
            f"{branch} of {remote_name} cannot be fetched: fatal: "
        )

    def test_a_branch_is_there_or_not(self, writer: Writer) -> None:
        assert (writer.has_branch("origin", "main"), writer.has_branch("origin", "ma")) == (True, False)

    def test_a_remote_that_cannot_be_asked_is_told(self, writer: Writer) -> None:
        assert problem_of(lambda: writer.has_branch("nowhere", "main")).startswith("nowhere cannot be asked for main: ")


class TestPush:
    def test_makes_it_the_tip(self, clone: Repository, remote: Repository, writer: Writer) -> None:
        commit = writer.commit(tip(clone), {"a": b"2\n"}, "x\n")

        writer.push(commit, "origin", "main")

        assert tip(remote) == commit

    def test_makes_a_branch_that_was_not_there(self, clone: Repository, remote: Repository, writer: Writer) -> None:
        commit = writer.commit(tip(clone), {}, "x\n")

        writer.push(commit, "origin", "proposal/v2", onto="")

        assert tip(remote, "proposal/v2") == commit

    def test_of_two_that_race_the_later_is_overtaken_and_nothing_is_lost(
        self, clone: Repository, remote: Repository, tmp_path: Path
    ) -> None:
        theirs, ours = Writer(new_clone(remote, tmp_path / "other").directory), Writer(clone.directory)
        parent = tip(clone)
        first, second = (each.commit(parent, {"a": text}, "x\n") for each, text in ((theirs, b"2\n"), (ours, b"3\n")))
        theirs.push(first, "origin", "main")

        with pytest.raises(
            OvertakenError, match=f"main of origin is at {first[:10]}, which {second[:10]} does not follow"
        ):
            ours.push(second, "origin", "main")

        assert tip(remote) == first

    def test_of_two_at_the_same_moment_is_overtaken(
        self, clone: Repository, remote: Repository, tmp_path: Path
    ) -> None:
        other = new_clone(remote, tmp_path / "other")
        theirs = Writer(other.directory).commit(tip(other), {}, "theirs\n")
        other.git("push", "--quiet", "origin", f"{theirs}:refs/heads/elsewhere")
        writer = Writer(clone.directory)
        ours = writer.commit(tip(clone), {}, "ours\n")
        # between the remote's word on where main is and its taking of ours
        install_hook(
            remote, "pre-receive", f"#!/bin/sh\nenv -u GIT_QUARANTINE_PATH git update-ref refs/heads/main {theirs}\n"
        )

        with pytest.raises(OvertakenError):
            writer.push(ours, "origin", "main")

        assert tip(remote) == theirs

    def test_onto_what_was_fetched_sees_a_branch_that_was_set_back(
        self, clone: Repository, remote: Repository, writer: Writer
    ) -> None:
        first = tip(clone)
        second = writer.commit(first, {}, "x\n")
        writer.push(second, "origin", "main", onto=first)
        remote.git("update-ref", "refs/heads/main", first)

        with pytest.raises(OvertakenError):
            writer.push(writer.commit(second, {}, "y\n"), "origin", "main", onto=second)

        assert tip(remote) == first

    @pytest.mark.parametrize("onto", ["", "1" * 40])
    def test_onto_what_is_not_there_is_overtaken(self, clone: Repository, remote: Repository, onto: str) -> None:
        before, writer = tip(remote), Writer(clone.directory)

        with pytest.raises(OvertakenError):
            writer.push(writer.commit(before, {}, "x\n"), "origin", "main", onto=onto)

        assert tip(remote) == before

    def test_that_a_hook_refuses_is_told_in_its_words(
        self, clone: Repository, remote: Repository, writer: Writer
    ) -> None:
        before = tip(remote)
        install_hook(remote, "update", REFUSING_HOOK)
        commit = writer.commit(before, {}, "x\n")

        told = problem_of(lambda: writer.push(commit, "origin", "main"))

        assert told.startswith(f"main of origin does not take {commit[:10]}: remote: main is protected")
        assert tip(remote) == before

    def test_that_our_own_hook_refuses_is_told(self, clone: Repository, remote: Repository, writer: Writer) -> None:
        install_hook(Repository(clone.directory / ".git"), "pre-push", REFUSING_HOOK)
        commit = writer.commit(tip(clone), {}, "x\n")

        assert "main is protected" in problem_of(lambda: writer.push(commit, "origin", "main", onto=tip(remote)))

    def test_that_arrived_though_its_answer_was_lost_is_a_success(
        self, clone: Repository, remote: Repository, writer: Writer
    ) -> None:
        # the remote takes the commit, then the connection breaks
        install_hook(remote, "post-update", "#!/bin/sh\nkill -9 $PPID\n")
        commit = writer.commit(tip(clone), {}, "x\n")

        writer.push(commit, "origin", "main")

        assert tip(remote) == commit

    def test_to_a_remote_that_is_not_there_is_told(self, clone: Repository, writer: Writer) -> None:
        commit = writer.commit(tip(clone), {}, "x\n")

        assert problem_of(lambda: writer.push(commit, "nowhere", "main")).startswith(
            "nowhere cannot be asked for main: "
        )


class TestFollow:
    def test_brings_branch_and_files_to_the_commit(self, clone: Repository, writer: Writer) -> None:
        commit = writer.commit(tip(clone), {"a": b"2\n", "infra/b": None}, "x\n")

        assert writer.follow(commit)

        assert (tip(clone), clone.git("status", "--porcelain")) == (commit, "")
        assert (clone.directory / "a").read_text() == "2\n"

    def test_goes_by_no_habit_of_the_person_who_merges(self, clone: Repository, writer: Writer) -> None:
        clone.git("config", "branch.main.mergeOptions", "--squash --stat")
        commit = writer.commit(tip(clone), {"a": b"2\n"}, "x\n")

        assert writer.follow(commit)
        assert tip(clone) == commit

    def test_keeps_uncommitted_changes_of_other_files(self, clone: Repository, writer: Writer) -> None:
        (clone.directory / "infra" / "b").write_text("mine")
        (clone.directory / "staged").write_text("mine")
        clone.git("add", "staged")
        commit = writer.commit(tip(clone), {"a": b"2\n"}, "x\n")

        assert writer.follow(commit)

        assert tip(clone) == commit
        assert clone.git("status", "--porcelain").splitlines() == ["M infra/b", "A  staged"]

    @pytest.mark.parametrize("file", ["a", "untracked", "ignored"])
    def test_stays_where_something_would_be_lost(self, clone: Repository, writer: Writer, file: str) -> None:
        (clone.directory / ".git" / "info").mkdir(exist_ok=True)
        (clone.directory / ".git" / "info" / "exclude").write_text("/ignored\n")
        clone.git("config", "merge.autoStash", "true")
        (clone.directory / file).write_text("mine")
        before = tip(clone)
        commit = writer.commit(before, {file: b"2\n"}, "x\n")

        assert not writer.follow(commit)

        assert (tip(clone), (clone.directory / file).read_text()) == (before, "mine")

    def test_stays_where_the_branch_has_commits_of_its_own(self, clone: Repository, writer: Writer) -> None:
        commit = writer.commit(tip(clone), {"a": b"2\n"}, "x\n")
        clone.git("commit", "--quiet", "--allow-empty", "--message", "Mine")
        before = tip(clone)

        assert not writer.follow(commit)
        assert tip(clone) == before

    def test_moves_no_branch_but_the_one_that_was_meant(self, clone: Repository, writer: Writer) -> None:
        clone.git("switch", "--quiet", "--create", "feature")
        before = tip(clone, "feature")

        assert not writer.follow(writer.commit(before, {"a": b"2\n"}, "x\n"), "main")
        assert tip(clone, "feature") == before

    def test_is_there_already(self, clone: Repository, writer: Writer) -> None:
        (clone.directory / "a").write_text("mine")

        assert writer.follow(tip(clone))


class TestUncommitted:
    def test_are_the_named_files_that_differ(self, clone: Repository, writer: Writer) -> None:
        (clone.directory / "a").write_text("mine")
        (clone.directory / "né w").write_text("mine")
        (clone.directory / "other").write_text("mine")

        assert writer.uncommitted(["a", "né w", "infra/b", "gone"]) == ("a", "né w")

    def test_of_a_project_below_the_top_are_relative_to_it(self, clone: Repository) -> None:
        (clone.directory / "infra" / "b").write_text("mine")
        (clone.directory / "a").write_text("mine")

        assert Writer(clone.directory / "infra").uncommitted(["b", "a"]) == ("b",)


class TestLog:
    def test_is_newest_first_with_what_each_changed(self, clone: Repository, writer: Writer) -> None:
        first = tip(clone)
        second = writer.commit(first, {"a": b"2\n", "né": b""}, "Second\n\nbody\n")
        third = writer.commit(second, {}, "Third\n")

        entries = writer.log(third, 10)

        assert [entry.commit for entry in entries] == [third, second, first]
        assert [entry.files for entry in entries] == [(), ("a", "né"), ("a", "infra/b")]
        assert datetime.now(UTC) - entries[0].at < timedelta(minutes=5)
        assert entries[1] == Entry(second, "clone", entries[1].at, "Second", "Second\n\nbody\n", ("a", "né"))

    def test_is_no_longer_than_asked(self, clone: Repository, writer: Writer) -> None:
        commit = writer.commit(tip(clone), {}, "x\n")

        assert [entry.commit for entry in writer.log(commit, 1)] == [commit]

    def test_of_a_range_has_what_came_in_between(self, clone: Repository, writer: Writer) -> None:
        first = tip(clone)
        second = writer.commit(first, {}, "x\n")
        third = writer.commit(second, {}, "x\n")

        assert [entry.commit for entry in writer.log(f"{first}..{third}", 10)] == [third, second]

    def test_has_only_those_that_say_something(self, clone: Repository, writer: Writer) -> None:
        second = writer.commit(tip(clone), {}, "x\n\nRollout.A: b\n")
        third = writer.commit(second, {}, "x\n\nRollout-A: b\n")

        assert [entry.commit for entry in writer.log(third, 10, saying="Rollout.")] == [second]

    def test_of_a_merge_has_what_it_brought_and_those_on_both_sides(self, clone: Repository, writer: Writer) -> None:
        first = tip(clone)
        clone.git("switch", "--quiet", "--create", "feature", writer.commit(first, {"c": b"1\n"}, "Feature\n"))
        clone.git("switch", "--quiet", "main")
        clone.git("merge", "--quiet", "--no-ff", "--message", "Merge", "feature")

        entries = writer.log(tip(clone), 10)

        assert [(entry.subject, entry.files) for entry in entries[:2]] == [("Merge", ("c",)), ("Feature", ("c",))]

    def test_has_none_before_one_on_top_of_it_whatever_the_clocks(
        self, clone: Repository, writer: Writer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GIT_COMMITTER_DATE", "2020-01-01T00:00:00Z")
        old = writer.commit(tip(clone), {}, "x\n")
        monkeypatch.setenv("GIT_COMMITTER_DATE", "2010-01-01T00:00:00Z")
        new = writer.commit(old, {}, "x\n")
        monkeypatch.delenv("GIT_COMMITTER_DATE")
        clone.git("reset", "--quiet", "--hard", old)
        clone.git("merge", "--quiet", "--no-ff", "--message", "Merge", new)

        assert [entry.commit for entry in writer.log("HEAD", 3)][1:] == [new, old]

    def test_of_a_project_below_the_top_names_its_files(self, clone: Repository) -> None:
        writer = Writer(clone.directory / "infra")

        assert [entry.files for entry in writer.log("HEAD", 1)] == [("b",)]

    def test_of_a_commit_that_is_not_here_is_told(self, writer: Writer) -> None:
        assert problem_of(lambda: writer.log("1" * 40, 1)).startswith("git log in ")


class TestHead:
    def test_is_the_commit_and_its_branch(self, clone: Repository, writer: Writer) -> None:
        assert writer.head() == (tip(clone), "main")

    def test_is_of_no_branch_where_a_commit_is_checked_out(self, clone: Repository, writer: Writer) -> None:
        clone.git("checkout", "--quiet", "--detach")

        assert writer.head() == (tip(clone), None)

    def test_outside_of_a_repository_is_told(self, tmp_path: Path) -> None:
        assert "not a git repository" in problem_of(lambda: Writer(tmp_path))

    def test_contains_what_is_in_its_history(self, clone: Repository, writer: Writer) -> None:
        first = tip(clone)
        second = writer.commit(first, {}, "x\n")

        asked = [(first, second), (first, first), (second, first), ("1" * 40, first), (first, "1" * 40)]
        assert [writer.contains(*each) for each in asked] == [True, True, False, False, False]


class TestRemote:
    def test_is_the_first_that_is_said(self, clone: Repository) -> None:
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
            found.append(remote_of(clone.directory, None, None))

        assert found == ["origin", "other", "third"]
        assert remote_of(clone.directory, None, "/lab.git") == "/lab.git"
        assert remote_of(clone.directory, "mine", "/lab.git") == "mine"

    def test_is_the_only_one(self, clone: Repository) -> None:
        clone.git("config", "branch.main.remote", ".")

        assert remote_of(clone.directory, None, None) == "origin"

    def test_of_several_must_be_said(self, clone: Repository) -> None:
        clone.git("config", "--unset", "branch.main.remote")
        clone.git("remote", "add", "other", "/nowhere")

        told = problem_of(lambda: remote_of(clone.directory, None, None))

        assert "has 2 remotes (origin, other), and nothing says which is delivered" in told

    def test_of_none_is_told(self, clone: Repository) -> None:
        clone.git("remote", "remove", "origin")

        assert "has no remote" in problem_of(lambda: remote_of(clone.directory, None, None))


def _take(project: Path, answers: multiprocessing.Queue[str]) -> None:
    try:
        with locked(project):
            answers.put("taken")
    except RolloutError as error:
        answers.put(error.problems[0].what)


def _asked_elsewhere(project: Path) -> str:
    """What another process hears that wants the lock."""
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=_take, args=(project, answers))
    process.start()
    try:
        return answers.get(timeout=60)
    finally:
        process.join()


class TestLock:
    def test_keeps_another_process_out_and_says_who_has_it(self, clone: Repository) -> None:
        with locked(clone.directory):
            told = _asked_elsewhere(clone.directory / "infra")

        assert told == f"another rollout is at work in this clone (pid {os.getpid()})"

    def test_ends_with_the_work_also_where_that_fails(self, clone: Repository) -> None:
        with pytest.raises(KeyError), locked(clone.directory):
            raise KeyError

        assert _asked_elsewhere(clone.directory) == "taken"

    def test_is_the_same_in_all_working_trees_of_a_clone(self, clone: Repository, tmp_path: Path) -> None:
        clone.git("worktree", "add", "--quiet", str(tmp_path / "second"))

        with locked(tmp_path / "second"):
            assert _asked_elsewhere(clone.directory).startswith("another rollout is at work")

    def test_is_each_clones_own(self, clone: Repository, tmp_path: Path) -> None:
        shutil.copytree(clone.directory, tmp_path / "second")

        with locked(tmp_path / "second"):
            assert _asked_elsewhere(clone.directory) == "taken"
