"""What is made once per user and kept by the content of what it is made from.

A thing is complete if it is there: it is made in a folder beside its place, written out to the disk, then renamed. One lock
a key keeps two checkouts from making the same thing at the same time; what a killed maker left is removed by the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

_LOOK_AGAIN_SECONDS = 0.2
_DIGEST_SUFFIX = ".sha256"


def key_of(*parts: str) -> str:
    """A name for what is made from these parts: 32 hexadecimal digits, different if any part differs."""
    whole = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        whole.update(len(encoded).to_bytes(8) + encoded)
    return whole.hexdigest()[:32]


def content_of(file: Path) -> str:
    """The SHA-256 of a file's content, from the note beside it if `place_noted` wrote one."""
    note = file.with_name(file.name + _DIGEST_SUFFIX)
    with contextlib.suppress(FileNotFoundError):
        return note.read_text()
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextlib.contextmanager
def making(directory: Path, key: str, *, stop: Event) -> Iterator[Path]:
    """Hold the lock of `key` and lend an empty folder on the same file system, which is removed at the end.

    Args:
        directory: the folder that holds the things of this sort.
        key: what is being made.
        stop: ends the wait for the lock.

    Raises:
        InterruptedError: `stop` was set before the lock was free.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{key}.lock").open("w") as lock:
        _take(lock.fileno(), stop)
        work = directory / f"{key}.making"
        _remove(work)
        work.mkdir()
        try:
            yield work
        finally:
            _remove(work)


def keep(target: Path, make: Callable[[Path], Path], stop: Event | None = None) -> Path:
    """See that the folder `target` is there, whole.

    Args:
        target: its name is the key of its content, see `key_of`.
        make: is lent an empty folder, and returns the one in it that becomes `target`; called only if that is missing.
        stop: ends the wait for another lab that makes it.

    Returns:
        `target`.

    Raises:
        InterruptedError: `stop` was set.
    """
    if not target.exists():
        with making(target.parent, target.name, stop=stop or Event()) as work:
            if not target.exists():  # another lab has made it meanwhile
                place(make(work), target)
    return target


def place(made: Path, target: Path) -> None:
    """Move a finished file or folder to its place, so that it is there whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if made.is_dir():
        os.sync()  # a folder may hold ten thousand files, and links that lead nowhere here
    else:
        _write_out(made)
    made.replace(target)
    _write_out(target.parent)


def place_noted(made: Path, target: Path) -> None:
    """Move a finished file to its place, with a note beside it that spares `content_of` the reading of it."""
    note = made.with_name(made.name + _DIGEST_SUFFIX)
    note.write_text(content_of(made))
    place(note, target.with_name(target.name + _DIGEST_SUFFIX))
    place(made, target)


def _take(lock: int, stop: Event) -> None:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if stop.wait(_LOOK_AGAIN_SECONDS):
                raise InterruptedError from None
        else:
            return


def _remove(work: Path) -> None:
    if work.exists():
        shutil.rmtree(work)


def _write_out(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
