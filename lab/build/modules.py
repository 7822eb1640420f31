"""What the lab takes from Go modules beside their programs: a copy of some of their files in the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event

from lab.build.cache import making, place


def kept(target: Path, take: Callable[[Path], None]) -> Path:
    """See that the folder `target` of the cache is there, whole.

    Args:
        target: its name is the key of its content, see `lab.build.cache.key_of`.
        take: fills in the folder that it is given, which is not there yet; called only if `target` is missing.

    Returns:
        `target`.
    """
    if not target.exists():
        with making(target.parent, target.name, stop=Event()) as work:
            if not target.exists():
                take(work / "files")
                place(work / "files", target)
    return target
