"""Whether file systems hold what is about to be written. Standard library alone."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shortage:
    """A file system that is too small.

    Attributes:
        folders: those on it that something is to be written to.
        needed: bytes that they need together.
        free: bytes that it has.
    """

    folders: tuple[Path, ...]
    needed: int
    free: int


def free_bytes(folder: Path) -> int:
    """Bytes that are free on the file system of a folder that is there."""
    return shutil.disk_usage(folder).free


def shortages(needed: Mapping[Path, int], free: Callable[[Path], int] = free_bytes) -> list[Shortage]:
    """The file systems whose folders together need more than is free.

    Args:
        needed: bytes by folder; a folder need not be there yet.
        free: bytes that are free on the file system of a folder that is there.
    """
    by_device: defaultdict[int, list[Path]] = defaultdict(list)
    for folder in needed:
        by_device[_existing(folder).stat().st_dev].append(folder)
    found = [
        Shortage(tuple(folders), sum(needed[folder] for folder in folders), free(_existing(folders[0])))
        for folders in by_device.values()
    ]
    return [short for short in found if short.free < short.needed]


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
