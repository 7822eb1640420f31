"""The mark in a lab's folder: that it is a lab's, and what came up in it, where and when. Standard library alone.

`up` marks a folder before it makes anything; no file is removed from an unmarked folder. The mark is the lab's lock
as well. An empty one says that nothing is up.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "lab.json"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Mark:
    """What came up.

    Attributes:
        lab_id: the lab's id, which its network namespaces and cgroups carry.
        directory: the lab's folder, as it was called then.
        boot: the kernel's name for the time since the machine was started.
    """

    lab_id: str
    directory: str
    boot: str


def read(directory: Path) -> Mark | None:
    """What is up in a folder, whole or in part; None if nothing is, or the folder is no lab's."""
    try:
        return Mark(**json.loads((directory / NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def is_marked(directory: Path) -> bool:
    """Whether the folder is a lab's, so that what is in it may be changed and removed."""
    file = directory / NAME
    return file.is_file() and (file.stat().st_size == 0 or read(directory) is not None)


def is_up(directory: Path) -> bool:
    """Whether something in the folder belongs to a lab that is up, whole or in part."""
    return read(directory) is not None


def set_up(directory: Path, lab_id: str) -> None:
    """Note in a marked folder, before anything is made, that a lab comes up."""
    (directory / NAME).write_text(json.dumps(asdict(Mark(lab_id, str(directory), _boot()))))


def set_down(directory: Path) -> None:
    """Note in a marked folder, after all else, that nothing is up."""
    (directory / NAME).write_text("")


def claim(directory: Path) -> None:
    """Mark a folder, made here if it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / NAME).touch()


def is_free(directory: Path) -> bool:
    """Whether a lab may take the folder: it is not there, or empty."""
    return not directory.exists() or (directory.is_dir() and not any(directory.iterdir()))


def copied_from(directory: Path) -> Path | None:
    """The folder of the lab that is up, if this one is a copy of it."""
    mark = read(directory)
    if mark is None or _is_same(Path(mark.directory), directory):
        return None
    original = Path(mark.directory)
    other = read(original)
    return original if other is not None and other.lab_id == mark.lab_id else None


def obstacle(directory: Path) -> str:
    """Why `up` cannot use a lab's folder as it is, and what to do; empty if it can."""
    if not is_marked(directory) and not is_free(directory):
        return (
            f"{directory}: it holds what no lab has made, and `down` would remove it. "
            "Let LAB_DIR name a folder that is empty or not there"
        )
    mark = read(directory)
    if mark is None:
        return ""
    if original := copied_from(directory):
        return (
            f"{directory}: it is a copy of {original}, whose lab is up, and no lab. Remove the copy: rm -r {directory}"
        )
    anew = "`make down`, then `make up`"
    if not _is_same(Path(mark.directory), directory):
        return f"{directory}: it was {mark.directory} when the lab came up, and its processes still look there. {anew}"
    if mark.boot != _boot():
        return (
            f"{directory}: the machine was started anew since the lab came up. All of its processes are gone, and etcd's "
            f"data may be torn. {anew}; commits that only the lab's Git has are lost with it: `git fetch lab` keeps them"
        )
    return ""


def _is_same(one: Path, other: Path) -> bool:
    return one == other or (one.exists() and one.samefile(other))


def _boot() -> str:
    return _BOOT.read_text().strip()
