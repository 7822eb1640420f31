"""A project's repository: files and history read, commits made and published.

All of it without a working tree: what is checked out, and what is uncommitted there, stays as it is. Git's hooks for `git commit`
do not run; those for `git push` do, and so does what the remote protects its branches with.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from rollout.git.command import KilledError, git, said
from rollout.git.record import MARK, OF_SERVICE, OF_VERSION, Record, parse
from rollout.problem import Problem, RolloutError, TransientError
from stackfile.keys import ONLY_SERVICE

_WHY = "a change of weight is a commit, and only what is in the remote's branch is delivered"
_WHY_NOTED = "the merge did not keep what the commit says of its promotion, which is resumed and taken back by that"
_WHY_READ = "a change is judged against the revision that runs now, and that one is read from Git"
_REMOTE_SECONDS = 120.0
_WHOLE_SECONDS = 3600.0
"""How long it may take to fetch the history that a shallow clone lacks."""
_FETCHED = "refs/rollout/fetched"
_NOTES = "refs/notes/rollout"
"""Below it, by service, what is noted of commits whose messages do not say it: a merge wrote them anew."""
_NOTED = "refs/rollout/noted"
"""The same as the remote has it, as far as is known: what was not taken there yet is not lost by a fetch."""
_FILE_MODE = "100644"
_FILE_MODES = (_FILE_MODE, "100755", "100664")
_LINK_MODE = "120000"
_TREE_MODE = "040000"
_CANDIDATES = 10
"""The newest commits with the mark among which to look for a record: those that only quote one are passed over."""
_OLD = 1_000
"""The newest commits among which to look for a record that names no service, or for one of a certain version."""
_REFUSED = re.compile(
    r"!\t[^\t]*\t\[remote rejected\] \((.*(?:declined|denied|prohibited|not (?:allowed|permitted)|refusing).*)\)"
)
"""A line of `git push --porcelain` where a hook or a rule of the remote refuses; without such a word it is busy or broken."""
_NOT_THERE = 2
"""What `git ls-remote --exit-code` ends with where it finds nothing."""


class OvertakenError(RolloutError):
    """Somebody else's commit came first: the remote's branch is no more where this one set out from."""


class UnsignedError(RolloutError):
    """A commit has to be signed, and only a person can do that."""


@dataclass(frozen=True)
class Entry:
    """A commit of the history.

    Attributes:
        commit: Its full hash.
        author: Whose work it is, by name.
        at: When it was committed.
        subject: The first line of its message.
        message: All of it.
        files: What it changed below the project against its first parent; paths are relative to the project.
    """

    commit: str
    author: str
    at: datetime
    subject: str
    message: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class CommittedTree:
    """The project's files at a commit, a `rollout.plan.declaration.Tree`."""

    repository: Repository
    commit: str

    def contents(self, directory: str, pattern: str = "*") -> Mapping[str, bytes]:
        """As in `Tree`; a symbolic link holds where it leads to, and a submodule is no file.

        Raises:
            RolloutError: something of it is not in this clone.
        """
        files = self.repository.files(self.commit, directory)
        hashes = {
            name: hash_ for name, (mode, hash_) in files.items() if mode != _TREE_MODE and fnmatchcase(name, pattern)
        }
        found = self.repository.read(hashes.values())
        return {name: found[hash_] for name, hash_ in sorted(hashes.items())}

    def folders(self, directory: str) -> Sequence[str]:
        """As in `Tree`."""
        files = self.repository.files(self.commit, directory)
        return [name for name, (mode, _) in sorted(files.items()) if mode == _TREE_MODE]


class Repository:
    """The Git repository of a project.

    Attributes:
        project: The project's directory.
        shallow: Whether the clone lacks a part of the history.
        signs: Whether commits are signed where `commit.gpgSign` says so.
    """

    def __init__(self, project: Path) -> None:
        """Finds the repository.

        Raises:
            RolloutError: there is no git, or the project is in no repository that git agrees to read.
        """
        self.project = project
        found = git(project, "rev-parse", "--is-shallow-repository", "--show-prefix", why=_WHY_READ)
        if found.returncode != 0:
            raise RolloutError.of(
                f"{project} is not in a Git repository that can be read: {said(found)}",
                _WHY_READ,
                "run this in a clone of the project's repository; if it belongs to another user, do what git says",
            )
        shallow, _, self._prefix = found.stdout.removesuffix("\n").partition("\n")
        self.shallow = shallow == "true"
        self.signs = True
        # what a commit and an object hold never changes
        self._listed: dict[tuple[str, str], Mapping[str, tuple[str, str]]] = {}
        self._contents: dict[str, bytes] = {}
        self._fetched, self._notes, self._noted = _FETCHED, _NOTES, _NOTED
        self._fetching = threading.Lock()

    def commit_of(self, revision: str) -> str | None:
        """The full hash of the commit that a revision names; None where there is no such commit here."""
        found = self._asked("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        return found.stdout.strip() if found.returncode == 0 else None

    def branch(self, revision: str) -> str | None:
        """The branch that a revision is the name of, here or, as in `origin/main`, at a remote; None for any other revision."""
        named = self._asked(
            "rev-parse", "--verify", "--quiet", "--symbolic-full-name", "--end-of-options", revision
        ).stdout.strip()
        found = re.fullmatch(r"refs/(?:heads|remotes/[^/]+)/(.+)", named)
        return found[1] if found and revision != "HEAD" else None

    def resolved(self, option: str, revision: str) -> str:
        """The full hash of the commit that a revision names.

        Args:
            option: Where the revision was given, for the message.
            revision: In any of the ways that git knows (gitrevisions(7)).

        Raises:
            RolloutError: there is no such commit here.
        """
        if found := self.commit_of(revision):
            return found
        if self._asked("rev-parse", "--verify", "--quiet", "HEAD^{commit}").returncode != 0:
            raise RolloutError.of(
                f"the repository of {self.project} has no commit yet", _WHY_READ, "commit what runs now, then change it"
            )
        raise RolloutError.of(
            f"{option} {revision}: there is no such commit in the repository of {self.project}",
            _WHY_READ,
            self._how_to_get_it(),
        )

    def merge_base(self, base: str, head: str) -> str:
        """The commit, a full hash, from which two others went apart; the older of the two where one is in the other's history.

        Raises:
            RolloutError: they have no commit in common here.
        """
        found = self._asked("merge-base", base, head)
        if found.returncode == 0:
            return found.stdout.strip()
        raise RolloutError.of(
            f"{base[:10]} and {head[:10]} have no commit in common in the repository of {self.project}",
            "only from the last one that they share on can be told what the change is",
            self._how_to_get_it(),
        )

    def at(self, commit: str) -> CommittedTree:
        """The project's files at a commit, given by its full hash."""
        return CommittedTree(self, commit)

    def head(self) -> tuple[str, str | None]:
        """What is checked out: the commit's full hash and the branch's name; None for a commit of no branch.

        Raises:
            RolloutError: there is no commit yet.
        """
        commit, name = self._needed("rev-parse", "HEAD^{commit}", "--symbolic-full-name", "HEAD").split("\n")
        return commit, None if name == "HEAD" else name.removeprefix("refs/heads/")

    def tip(self, remote: str, branch: str) -> str | None:
        """The full hash of the tip of a remote's branch; None where it has no such branch. Brings nothing here.

        Raises:
            TransientError: it cannot be asked.
        """
        done = self._remotely("ls-remote", "--exit-code", "--end-of-options", remote, f"refs/heads/{branch}")
        if done.returncode == _NOT_THERE:
            return None
        if done.returncode != 0:
            raise TransientError.of(
                f"{remote} cannot be asked for {branch}: {said(done)}",
                _WHY,
                f"see that `git ls-remote {remote}` works without asking for anything",
            )
        return done.stdout.split()[0]

    def fetch(self, remote: str, branch: str) -> str:
        """The full hash of the tip of a remote's branch, with all that leads to it brought here, also into a shallow clone.

        Args:
            remote: By its name, or an address.
            branch: Its name there, without `refs/heads/`.

        Raises:
            TransientError: the remote cannot be reached.
            RolloutError: it has no such branch.
        """
        # A ref of its own: the next fetch overwrites FETCH_HEAD. Git may collect objects that no ref names. The remote's own ref is
        # left alone: of two fetches at once one could not lock it, and would fail.
        # By the hash of its name: beside a ref of `a` there can be none of `a/b`, also once that branch is gone.
        kept = f"{self._fetched}/{sha256(branch.encode()).hexdigest()}"
        options = (
            "--quiet",
            "--refmap=",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
        )
        # two threads at once could not both lock the ref
        with self._fetching:
            whole, seconds = (("--unshallow",), _WHOLE_SECONDS) if self.shallow else ((), _REMOTE_SECONDS)
            # a pattern, which may match nothing
            refspecs = (f"+refs/heads/{branch}:{kept}", f"+{self._notes}/*:{self._noted}/*")
            done = self._remotely("fetch", *options, *whole, "--end-of-options", remote, *refspecs, seconds=seconds)
            self.shallow = self.shallow and self._needed("rev-parse", "--is-shallow-repository") == "true"
            if done.returncode == 0:
                refs = self._refs(kept, self._notes, self._noted)
                self._join_notes(refs)
                return refs[kept]
        kind = TransientError if self._may_be_there(remote, branch) else RolloutError
        raise kind.of(
            f"{branch} of {remote} cannot be fetched: {said(done)}",
            _WHY,
            f"see that `git fetch {remote} {branch}` works without asking for anything",
        )

    def commit(self, parent: str, files: Mapping[str, bytes | None], message: str) -> str:
        """Makes a commit that no branch has yet; its full hash. Signed where `commit.gpgSign` says so.

        Args:
            parent: The commit that it is on top of.
            files: What differs from that, by paths relative to the project; None for a file that goes. Empty: nothing differs.
            message: The message, kept to the letter.

        Raises:
            TransientError: the repository cannot be written to now.
            UnsignedError: git cannot sign.
            RolloutError: git does not know who commits.
        """
        return self._commit(parent, self._index(parent, files), message.encode(errors="surrogateescape"))

    def replayed(self, commit: str) -> Callable[[str], str]:
        """Makes a commit's change and message anew on top of another commit, in as little time as Git takes.

        Raises:
            TransientError: the commit cannot be read now.
        """
        raw = self._needed("diff-tree", "-r", "-z", "--no-renames", "--no-commit-id", commit).split("\0")
        # each is `:<mode> <mode> <hash> <hash> <status>`, and then the path
        changed = [(*line.split(), path) for line, path in zip(raw[::2], raw[1::2], strict=False)]
        index = os.fsencode("".join(f"{mode} {hash_}\t{path}\0" for _, mode, _, hash_, _, path in changed))
        message = self._needed("log", "-1", "--encoding=UTF-8", "--no-show-signature", "--format=%B", commit)
        return lambda onto: self._commit(onto, index, message.encode(errors="surrogateescape"))

    def push(self, commit: str, remote: str, branch: str, *, onto: str | None = None) -> None:
        """Makes a commit the tip of a remote's branch. Nothing that the branch has is lost: never by force.

        Where the answer was lost on the way but the branch has the commit, that is success.

        Args:
            commit: Its full hash.
            remote: By its name, or an address.
            branch: Its name there, without `refs/heads/`.
            onto: The tip, a full hash, that the branch must still have; "" if the branch must not be there yet; None where any
                commit in the history of this one will do.

        Raises:
            OvertakenError: the branch has moved on; fetch it and make the commit anew.
            TransientError: the remote cannot be reached, or is busy.
            RolloutError: the remote refuses (a protected branch, a hook), or the clone's own hook.
        """
        lease = () if onto is None else (f"--force-with-lease=refs/heads/{branch}:{onto}",)
        refspec = f"{commit}:refs/heads/{branch}"
        options = ("--quiet", "--porcelain", "--no-recurse-submodules")
        done = self._remotely("push", *options, *lease, "--end-of-options", remote, refspec)
        if done.returncode == 0:
            return
        refused = RolloutError.of(
            f"{branch} of {remote} does not take {commit[:10]}: {said(done)}",
            _WHY,
            "do what the remote says; where the branch is protected, push to another one (--branch) and merge that",
        )
        if _REFUSED.search(done.stdout) or self._refused_here(done):
            raise refused
        tip = self.tip(remote, branch)
        # somebody may have pushed on top of it before its answer was lost
        if tip == commit or (tip and self.contains(commit, self.fetch(remote, branch))):
            return
        if (tip or "") != onto if onto is not None else tip is not None and not self.contains(tip, commit):
            raise OvertakenError.of(
                f"{branch} of {remote} is at {tip[:10] if tip else 'no commit'}, which {commit[:10]} does not follow",
                "somebody else's commit came first, and a push by force would take it away",
                f"look at it (git fetch {remote} {branch}), then run this again",
            )
        raise TransientError(*refused.problems)

    def follow(self, commit: str, branch: str | None = None) -> bool:
        """Moves what is checked out forward to a commit, if that loses nothing: whether it is there now.

        Args:
            commit: Its full hash.
            branch: Only where this one is checked out; None for whatever is.
        """
        head, checked_out = self.head()
        if head == commit:
            return True
        if branch is not None and branch != checked_out:
            return False
        # what a person set for merges (to stash first, to squash) is not meant for this
        options = ("--quiet", "--ff-only", "--no-squash", "--no-autostash", "--no-stat", "--no-overwrite-ignore")
        return self._asked("merge", *options, commit).returncode == 0

    def uncommitted(self, paths: Sequence[str]) -> tuple[str, ...]:
        """Those of the project's files that are not as in the commit that is checked out, or are not in it."""
        listed = self._needed("--literal-pathspecs", "status", "--porcelain", "-z", "--no-renames", "--", *paths)
        return tuple(entry[3:].removeprefix(self._prefix) for entry in listed.split("\0") if entry)

    def untracked(self, paths: Sequence[str]) -> tuple[str, ...]:
        """The files at or below these paths of the project that Git does not track, ignored ones too: `git commit -a` leaves them out."""
        listed = self._needed("--literal-pathspecs", "ls-files", "--others", "-z", "--", *paths) if paths else ""
        return tuple(sorted(path for path in listed.split("\0") if path))

    def contains(self, commit: str, tip: str) -> bool:
        """Whether a commit is another one or in its history; false where one of them is not here."""
        return self._asked("merge-base", "--is-ancestor", commit, tip).returncode == 0

    def note(self, commit: str, text: str, remote: str, service: str) -> None:
        """Adds to a commit, for a service, what its message does not say, here and at the remote.

        Raises:
            RolloutError: as `push_notes`; it stays here, and `push_notes` pushes it later.
        """
        ref, given = f"{_NOTES}/{service}/promotions", text.encode(errors="surrogateescape")
        with self._fetching:
            self._needed("notes", f"--ref={ref}", "add", "--force", "--file=-", commit, given=given)
        self.push_notes(remote, service)

    def push_notes(self, remote: str, service: str) -> None:
        """Pushes what is noted here for a service, if the remote does not have it as far as is known since the last fetch.

        Raises:
            TransientError: the remote cannot be reached, or has notes that are not here: fetch, then try again.
            RolloutError: the remote refuses it.
        """
        ref, known = f"{_NOTES}/{service}/promotions", f"{_NOTED}/{service}/promotions"
        refs = self._refs(ref, known)
        if ref not in refs or refs[ref] == refs.get(known):
            return
        options = ("--quiet", "--porcelain", "--no-recurse-submodules")
        done = self._remotely("push", *options, "--end-of-options", remote, f"{refs[ref]}:{ref}")
        if done.returncode != 0:
            kind = RolloutError if _REFUSED.search(done.stdout) or self._refused_here(done) else TransientError
            raise kind.of(
                f"{remote} does not take {ref}: {said(done)}", _WHY_NOTED, "let it be pushed there by those who promote"
            )
        # not over what was fetched meanwhile
        self._asked("update-ref", known, refs[ref], refs.get(known, ""))

    def _join_notes(self, refs: Mapping[str, str]) -> None:
        """Brings what the remote has noted into what is noted here; of two notes of one commit, the remote's stays."""
        for known in refs:
            own = f"{_NOTES}{known.removeprefix(_NOTED)}"
            if known.startswith(f"{_NOTED}/") and refs[known] != refs.get(own):
                self._needed("notes", f"--ref={own}", "merge", "--quiet", "--strategy=theirs", known)

    def _refs(self, *places: str) -> Mapping[str, str]:
        """The full hashes of the refs of these names and below them, by their names."""
        lines = self._needed("for-each-ref", "--format=%(refname) %(objectname)", *places).splitlines()
        return {name: hash_ for name, _, hash_ in (line.partition(" ") for line in lines)}

    def mainline(self, old: str, new: str, paths: Sequence[str]) -> Sequence[str]:
        """The commits of a branch since another commit that changed some of the project's files, the oldest first; merges as one."""
        return self._needed("rev-list", "--first-parent", "--reverse", f"{old}..{new}", "--", *paths).split()

    def log(
        self, tip: str, most: int, saying: str | None = None, paths: Sequence[str] = (), noted: str | None = None
    ) -> tuple[Entry, ...]:
        """The newest commits up to this one, it included, the newest first: none before one that is on top of it.

        Args:
            tip: A commit's hash; `old..new` for what is in the history of the one and not of the other.
            most: How many.
            saying: Only those with a line in the message that this regular expression of POSIX finds something in; None for all.
            paths: Only those that changed one of these files or directories of the project, and of their files these.
            noted: A service; what is noted of it is then the end of a message.

        Raises:
            RolloutError: there is no such commit here.
        """
        # no message holds it
        mark = secrets.token_hex(16)
        notes = () if noted is None else (f"--notes={_NOTES}/{noted}/*",)
        body = "%B" if noted is None else "%B%n%N"
        form = (
            "-z",
            "--encoding=UTF-8",
            "--no-show-signature",
            f"--format=tformat:{mark}%H%x00%an%x00%cI%x00{body}%x00",
        )
        files = ("--relative", "--name-only", "--no-renames", "--diff-merges=first-parent")
        only = () if saying is None else ("--extended-regexp", f"--grep={saying}")
        options = ("--date-order", "--no-mailmap", f"--max-count={most}", *notes, *form, *files, *only)
        text = self._needed("--literal-pathspecs", "log", *options, "--end-of-options", tip, "--", *paths)
        return tuple(map(_entry, text.split(mark)[1:]))

    def refuse_cut(self, revision: str) -> None:
        """Refuses a revision whose history is not all here.

        Raises:
            RolloutError: it is not: the clone is shallow.
        """
        if not self.shallow:
            return
        cut = (self.project / self._needed("rev-parse", "--git-path", "shallow")).read_text().split()
        if not {*cut}.isdisjoint(self._needed("rev-list", revision).split()):
            raise RolloutError.of(
                f"the history of {revision[:10]} is not all in the repository of {self.project}",
                "a promotion that is in progress may be below what is here, and two hands undo each other",
                self._how_to_get_it(),
            )

    def differs(self, one: str, other: str, paths: Sequence[str]) -> bool:
        """Whether two commits differ in some of the project's files.

        Args:
            one: A commit's full hash.
            other: Another's.
            paths: Files, directories, and patterns in which `*` stands for anything; they need not be there.
        """
        return self._asked("diff-tree", "-r", "--quiet", one, other, "--", *paths).returncode != 0

    def adds_nothing(self, commit: str, tip: str) -> bool:
        """Whether a merge of a commit would change nothing at another one: it was squashed or rebased; false where Git cannot tell."""
        merged = self._asked("merge-tree", "--write-tree", tip, commit)
        return merged.returncode == 0 and merged.stdout.strip() == self._needed("rev-parse", f"{tip}^{{tree}}")

    def has_records(self, revisions: str) -> bool:
        """Whether some commits, such as `old..new`, have a message of a promotion's; true where that cannot be told."""
        found = self._asked("rev-list", "--max-count=1", f"--grep={MARK}", revisions)
        return found.returncode != 0 or bool(found.stdout)

    def newest_record(self, revisions: str, service: str, version: str | None = None) -> tuple[Entry, Record] | None:
        """The newest commit of a promotion of a service, with what it says; None where there is none.

        Args:
            revisions: A commit for its history, or a range of commits.
            service: The service's name.
            version: The version's; None for whichever was promoted.

        Raises:
            RolloutError: it says something that cannot be read.
        """
        if version is not None:
            saying = f"^{OF_VERSION}{version}[[:space:]]*$"
            return newest_record(self.log(revisions, _OLD, saying=saying, noted=service), service, version)
        saying = f"^{OF_SERVICE}{service}[[:space:]]*$"
        newest = newest_record(self.log(revisions, _CANDIDATES, saying=saying, noted=service), service)
        if newest is None and service == ONLY_SERVICE:
            # from before there were several services; since then each record names its own
            unnamed = [each for each in self.log(revisions, _OLD, saying=MARK) if OF_SERVICE not in each.message]
            newest = newest_record(unnamed, service)
        return newest

    def address(self, remote: str) -> str:
        """A remote's address, which it may be itself."""
        return self._asked("remote", "get-url", remote).stdout.strip() or remote

    def remote(self, wish: str | None, discovered: str | None) -> str:
        """The remote whose branches are delivered, by its name or address: the first that is said.

        It is the operator's wish, else what says where the regions are, else where Git would push the branch that is checked out
        (`branch.<name>.pushRemote`, `remote.pushDefault`, `branch.<name>.remote`), else the only one.

        Raises:
            RolloutError: nothing says it, and there is none or more than one.
        """
        said_so = wish or discovered
        if said_so:
            return said_so
        branch = self._asked("symbolic-ref", "--quiet", "--short", "HEAD").stdout.strip()
        settings = (f"branch.{branch}.pushRemote", "remote.pushDefault", f"branch.{branch}.remote")
        for setting in settings:
            found = self._asked("config", "--get", setting).stdout.strip()
            # a dot is this repository itself: a branch that follows another one here
            if found and found != ".":
                return found
        remotes = self._needed("remote").split()
        if len(remotes) == 1:
            return remotes[0]
        raise RolloutError.of(
            f"{self.project} has {len(remotes)} remotes ({', '.join(remotes)}), and nothing says which is delivered"
            if remotes
            else f"the repository of {self.project} has no remote",
            _WHY,
            "name it: --remote NAME, or for good `git config remote.pushDefault NAME`",
        )

    @contextmanager
    def locked(self, service: str) -> Iterator[None]:
        """Keeps other rollouts of a service out of this clone, whatever becomes of this process.

        Args:
            service: The service's name; what is fetched meanwhile is kept under it, so that those of others do not get in the way.

        Raises:
            RolloutError: another one is at work, or the file of the lock cannot be written.
        """
        directory = self.project / self._needed("rev-parse", "--git-common-dir")
        path = directory / f"rollout-{service}.lock"
        self._fetched = f"{_FETCHED}/{service}"
        self._notes, self._noted = f"{_NOTES}/{service}", f"{_NOTED}/{service}"
        try:
            file = path.open("a+")
        except OSError as error:
            raise RolloutError.of(
                f"{path}: {error.strerror}", "it keeps two rollouts apart", "see that it can be written"
            ) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise RolloutError.of(
                    f"another rollout of {service} is at work in this clone (pid {file.read().strip() or 'not known'})",
                    "two at once would undo each other's weights",
                    "wait until it is done, or stop it",
                ) from error
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def _may_be_there(self, remote: str, branch: str) -> bool:
        try:
            return self.tip(remote, branch) is not None
        except TransientError:
            return True

    def _commit(self, parent: str, index: bytes, message: bytes) -> str:
        """A commit on top of another, with what `index` has for `git update-index --index-info`."""
        with TemporaryDirectory(prefix="rollout-") as directory:
            place = {"GIT_INDEX_FILE": str(Path(directory, "index"))}
            self._needed("read-tree", parent, environment=place)
            self._needed("update-index", "-z", "--index-info", given=index, environment=place)
            tree = self._needed("write-tree", environment=place)
        command = ("-c", "i18n.commitEncoding=UTF-8", "commit-tree", tree, "-p", parent)
        if self._signs():
            return self._signed(*command, "--gpg-sign", given=message)
        try:
            return self._needed(*command, given=message)
        except TransientError as error:
            if self._asked("var", "GIT_COMMITTER_IDENT").returncode == 0:
                raise
            # only a person can say who it is
            raise RolloutError(*error.problems) from error

    def _refused_here(self, done: subprocess.CompletedProcess[str]) -> bool:
        """Whether the clone's own hook is why a push failed: then Git never says what became of the branch, and ends with 1."""
        if done.returncode != 1 or "\n!" in done.stdout:
            return False
        hook = self.project / self._needed("rev-parse", "--git-path", "hooks/pre-push")
        return os.access(hook, os.X_OK)

    def _signs(self) -> bool:
        asked = self._asked("config", "--type=bool", "--get", "commit.gpgSign")
        return self.signs and asked.stdout.strip() == "true"

    def _signed(self, *command: str, given: bytes) -> str:
        try:
            return self._needed(*command, given=given)
        except KilledError:
            raise
        except TransientError as error:
            raise UnsignedError.of(
                f"the commit cannot be signed: {error.problems[0].what}",
                "commit.gpgSign asks for a signature, and a program that asks for a word gets none here",
                "unlock the key (`git commit-tree -S HEAD^{tree} -m test` must ask nothing), then run this again; or commit "
                "without a signature, if the remote takes that: git config commit.gpgSign false",
            ) from error

    def _index(self, parent: str, files: Mapping[str, bytes | None]) -> bytes:
        """What `git update-index --index-info` reads: a mode, an object, a path from the top of the repository for each file."""
        lines = []
        for path, content in files.items():
            mode, hash_ = "0", "0" * len(parent)
            if content is not None:
                directory, _, name = path.rpartition("/")
                mode, _ = self.files(parent, directory).get(name, (_FILE_MODE, ""))
                # what is written is a file, also where a link was
                mode = _FILE_MODE if mode == _LINK_MODE else mode
                hash_ = self._needed("hash-object", "-w", "--stdin", given=content)
            lines.append(f"{mode} {hash_}\t{PurePosixPath(self._prefix, path)}\0")
        return os.fsencode("".join(lines))

    def files(self, commit: str, directory: str) -> Mapping[str, tuple[str, str]]:
        """The files and folders of a directory at a commit, by name: mode, and the object's hash."""
        if (commit, directory) not in self._listed:
            # with a slash at its end it stands for what is in it; nothing stands for the project's own directory
            listed = self._asked(
                "--literal-pathspecs", "ls-tree", "-z", commit, "--", *([f"{directory}/"] if directory else [])
            )
            if listed.returncode != 0:
                raise self._unreadable(f"{commit}:{directory}", said(listed))
            # each is `<mode> <type> <hash>`, a tab, the path
            lines = (line.partition("\t") for line in listed.stdout.split("\0") if line)
            found = {path.rpartition("/")[2]: words.split() for words, _, path in lines}
            modes = (*_FILE_MODES, _LINK_MODE, _TREE_MODE)
            files = {name: (mode, hash_) for name, (mode, _type, hash_) in found.items() if mode in modes}
            self._listed[commit, directory] = files
        return self._listed[commit, directory]

    def read(self, hashes: Iterable[str]) -> Mapping[str, bytes]:
        """What is in files, by their objects' hashes; all that was not read before is read by one process."""
        missing = {*hashes} - self._contents.keys()
        if not missing:
            return self._contents
        found = self._asked("cat-file", "--batch", given="".join(f"{each}\n" for each in missing).encode())
        answers = BytesIO(found.stdout.encode(errors="surrogateescape"))
        for hash_ in missing:
            header = answers.readline().decode(errors="replace").split()
            if len(header) != 3:
                raise self._unreadable(hash_, " ".join(header[1:]) or "git cat-file ended")
            self._contents[hash_] = answers.read(int(header[2]))
            answers.read(1)
        return self._contents

    def _unreadable(self, name: str, why: str) -> RolloutError:
        return RolloutError.of(
            f"the object {name} cannot be read from the repository of {self.project}: {why}",
            _WHY_READ,
            "complete the clone: git fetch --refetch origin (git fsck tells what is missing)",
        )

    def _how_to_get_it(self) -> str:
        if self.shallow:
            return (
                "this clone is shallow: complete it with `git fetch --unshallow origin` (in GitHub's actions/checkout: "
                "`fetch-depth: 0`)"
            )
        return "look it up with `git log --all --oneline`, or fetch it: git fetch --all"

    def _needed(self, *arguments: str, given: bytes = b"", environment: Mapping[str, str] | None = None) -> str:
        """What git prints, without the end of the last line, where it must not fail."""
        done = self._asked(*arguments, given=given, environment=environment)
        if done.returncode != 0:
            shown = next(each for each in arguments if each.replace("-", "x").isalpha() and not each.startswith("-"))
            raise TransientError.of(
                f"git {shown} in {self.project}: {said(done)}", _WHY, "do what git says, then run this again"
            )
        return done.stdout.removesuffix("\n")

    def _asked(
        self, *arguments: str, given: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return git(self.project, *arguments, why=_WHY, given=given, environment=environment)

    def _remotely(self, *arguments: str, seconds: float = _REMOTE_SECONDS) -> subprocess.CompletedProcess[str]:
        return git(self.project, *arguments, why=_WHY, timeout_seconds=seconds)


def newest_record(entries: Iterable[Entry], service: str, version: str | None = None) -> tuple[Entry, Record] | None:
    """The first of the commits, the newest first, that has a record of a service, with it; None where none has.

    With a version's name, only a record of that version is one.

    Raises:
        RolloutError: it has one that cannot be read.
    """
    for entry in entries:
        try:
            record = parse(entry.message)
        except RolloutError as error:
            raise RolloutError(
                *(
                    Problem(f"commit {entry.commit[:10]}, {entry.subject!r}: {each.what}", each.why, each.fix)
                    for each in error.problems
                )
            ) from error
        if record and record.promotion.service == service and version in (None, record.promotion.version):
            return entry, record
    return None


def _entry(text: str) -> Entry:
    commit, author, at, message, files = text.split("\0", 4)
    return Entry(
        commit,
        author,
        datetime.fromisoformat(at),
        message.partition("\n")[0],
        message,
        tuple(name for name in files.removeprefix("\0\n").split("\0") if name),
    )
