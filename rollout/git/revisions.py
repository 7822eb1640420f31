"""A project's files as they are on the disk and as they were at a revision.

Git is read and never written: neither index nor work tree is touched, and no remote is asked.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Self

from rollout.git.command import command, git, quiet_environment, said
from rollout.problem import RolloutError

_WHY = "a change is judged against the revision that runs now, and that one is read from Git"
_DIRECTORY_MODE = "40000"
_FILE_MODES = ("100644", "100755", "100664")


@dataclass(frozen=True)
class WorkingTree:
    """The files on the disk, committed or not: a `rollout.plan.declaration.Tree`."""

    project: Path

    def files(self, directory: str) -> Sequence[str]:
        """As in `Tree`.

        Raises:
            RolloutError: the directory cannot be read.
        """
        place = self.project / directory
        with _readable(place):
            return sorted(path.name for path in place.iterdir() if path.is_file()) if place.is_dir() else []

    def read(self, path: str) -> bytes | None:
        """As in `Tree`.

        Raises:
            RolloutError: the file cannot be read.
        """
        place = self.project / path
        with _readable(place):
            return place.read_bytes() if place.is_file() else None


@dataclass(frozen=True)
class CommittedTree:
    """The files at a commit, a `rollout.plan.declaration.Tree`; `prefix` is the project's directory in the repository."""

    repository: Repository
    commit: str
    prefix: str

    def files(self, directory: str) -> Sequence[str]:
        """As in `Tree`; symbolic links and submodules are no files."""
        entries = self._entries(PurePosixPath(self.prefix, directory))
        return sorted(name for name, entry in entries.items() if entry.mode in _FILE_MODES)

    def read(self, path: str) -> bytes | None:
        """As in `Tree`."""
        place = PurePosixPath(self.prefix, path)
        entry = self._entries(place.parent).get(place.name)
        return self.repository.object(entry.hash) if entry and entry.mode in _FILE_MODES else None

    def _entries(self, directory: PurePosixPath) -> Mapping[str, TreeEntry]:
        entries = self.repository.entries(f"{self.commit}^{{tree}}")
        for part in directory.parts:
            entry = entries.get(part)
            if entry is None or entry.mode != _DIRECTORY_MODE:
                return {}
            entries = self.repository.entries(entry.hash)
        return entries


@dataclass(frozen=True)
class TreeEntry:
    """A name in a directory: what it stands for, by Git's mode and the object's hash."""

    mode: str
    hash: str


class Repository:
    """The Git repository of a project, for as long as a block lasts: one `git cat-file` answers for all objects in it."""

    def __init__(self, project: Path) -> None:
        """Finds the repository.

        Raises:
            RolloutError: there is no git, or the project is in no repository that git agrees to read.
        """
        self._project = project
        found = self._run("rev-parse", "--is-shallow-repository", "--show-prefix")
        if found.returncode != 0:
            raise RolloutError.of(
                f"{project} is not in a Git repository that can be read: {said(found)}",
                _WHY,
                "run this in a clone of the project's repository; if it belongs to another user, do what git says",
            )
        shallow, *prefix = found.stdout.splitlines()
        self.shallow = shallow == "true"
        self._prefix = prefix[0] if prefix else ""
        self._trees: dict[str, Mapping[str, TreeEntry]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if "_reader" in self.__dict__:
            self._reader.communicate()

    def commit(self, option: str, revision: str) -> str:
        """The full hash of the commit that a revision names.

        Args:
            option: Where the revision was given, for the message.
            revision: In any of the ways that git knows (gitrevisions(7)).

        Raises:
            RolloutError: there is no such commit here.
        """
        found = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        if found.returncode == 0:
            return found.stdout.strip()
        if self._run("rev-parse", "--verify", "--quiet", "HEAD^{commit}").returncode != 0:
            raise RolloutError.of(
                f"the repository of {self._project} has no commit yet", _WHY, "commit what runs now, then change it"
            )
        raise RolloutError.of(
            f"{option} {revision}: there is no such commit in the repository of {self._project}",
            _WHY,
            self._fetch(),
        )

    def merge_base(self, base: str, head: str) -> str:
        """The commit, a full hash, from which two others went apart; the older of the two where one is in the other's history.

        Raises:
            RolloutError: they have no commit in common here.
        """
        found = self._run("merge-base", base, head)
        if found.returncode == 0:
            return found.stdout.strip()
        raise RolloutError.of(
            f"{base[:10]} and {head[:10]} have no commit in common in the repository of {self._project}",
            "only from the last one that they share on can be told what the change is",
            self._fetch(),
        )

    def commits_touching(self, commit: str, paths: Sequence[str], most: int) -> list[str]:
        """The newest commits up to this one, it included, that changed one of the project's files or directories.

        Raises:
            RolloutError: the history cannot be read.
        """
        found = self._run("--literal-pathspecs", "log", f"--max-count={most}", "--format=%H", commit, "--", *paths)
        if found.returncode != 0:
            raise RolloutError.of(f"the history of {', '.join(paths)}: {said(found)}", _WHY, self._fetch())
        return found.stdout.split()

    def at(self, commit: str) -> CommittedTree:
        """The project's files at a commit, given by its full hash."""
        return CommittedTree(self, commit, self._prefix)

    def object(self, name: str) -> bytes:
        """What is in an object.

        Raises:
            RolloutError: it is not in this clone, or git ended.
        """
        return self._object(name)[1]

    def entries(self, name: str) -> Mapping[str, TreeEntry]:
        """The entries of a tree by their names; read once.

        Raises:
            RolloutError: it is not in this clone, or git ended.
        """
        if name not in self._trees:
            self._trees[name] = _parsed_tree(*self._object(name))
        return self._trees[name]

    def _object(self, name: str) -> tuple[str, bytes]:
        """An object's full hash and content."""
        asked, answers = _pipes(self._reader)
        try:
            asked.write(f"{name}\n".encode())
            asked.flush()
            header = answers.readline().decode(errors="replace").split()
        except BrokenPipeError:
            header = []
        if len(header) != 3:
            raise RolloutError.of(
                f"the object {name} cannot be read from the repository of {self._project}: "
                f"{' '.join(header[1:]) or 'git cat-file ended'}",
                _WHY,
                "complete the clone: git fetch --refetch origin (git fsck tells what is missing)",
            )
        content = answers.read(int(header[2]))
        answers.read(1)
        return header[0], content

    @cached_property
    def _reader(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command(self._project, "cat-file", "--batch"),
            env=quiet_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return git(self._project, *arguments, why=_WHY)

    def _fetch(self) -> str:
        if self.shallow:
            return (
                "this clone is shallow: complete it with `git fetch --unshallow origin` (in GitHub's actions/checkout: "
                "`fetch-depth: 0`)"
            )
        return "look it up with `git log --all --oneline`, or fetch it: git fetch --all"


def _parsed_tree(hash_: str, content: bytes) -> dict[str, TreeEntry]:
    """A tree object's entries: `<mode> <name>`, a zero byte, and the hash in bytes, as long as the tree's own."""
    length = len(hash_) // 2
    entries = {}
    start = 0
    while start < len(content):
        end = content.index(b"\0", start)
        mode, _, name = content[start:end].partition(b" ")
        start = end + 1 + length
        entries[os.fsdecode(name)] = TreeEntry(mode.decode(), content[end + 1 : start].hex())
    return entries


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None, "asked for"
    assert process.stdout is not None, "asked for"
    return process.stdin, process.stdout


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RolloutError.of(
            f"{path}: {error.strerror or error}",
            "what a change does is told from the stack files and the overlays",
            "see that the directory and its files can be read",
        ) from error
