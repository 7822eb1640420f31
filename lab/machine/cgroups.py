"""Cgroups of a lab: made in every hierarchy, filled, emptied by force, removed.

Works on version 1 (one tree a controller) and version 2 (one tree). On version 2 a cgroup hands on only the controllers that are
enabled in it. The root is the machine's, or systemd's: what was enabled there is noted, for all labs, and the last one puts it back.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from lab.machine.files import write
from lab.machine.waiting import comes_true

ROOT = Path("/sys/fs/cgroup")
# on a file system that ends with the machine, as its cgroups do
NOTE = Path("/run/lab-cgroup-controllers")
# kubelet refuses to start below a cgroup that lacks any of these that the root has
_CONTROLLERS = frozenset({"cpu", "cpuset", "hugetlb", "memory", "pids"})
_STOP_SECONDS = 20.0


def hierarchies() -> list[Path]:
    """The mounted trees that kubelet and runc use: one on version 2, one a controller on version 1."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return sorted(
        {path.resolve() for path in ROOT.iterdir() if (path / "cgroup.procs").exists() and path.name != "unified"}
    )


def _all_trees() -> list[Path]:
    """The same, and the tree of version 2 beside those of version 1, in which runc makes empty copies and leaves them."""
    beside = ROOT / "unified"
    return [*hierarchies(), *([beside] if (beside / "cgroup.procs").exists() else [])]


def create(name: str) -> None:
    """Make the cgroup `name` in every hierarchy, ready to hold processes and children."""
    for tree in hierarchies():
        current = tree
        for part in Path(name).parts:
            parent, current = current, current / part
            current.mkdir(exist_ok=True)
            if (parent / "cgroup.subtree_control").exists():
                _enable(parent)
            for setting in ("cpuset.cpus", "cpuset.mems"):
                # a new level of version 1 starts with no processor and no memory, and then takes no process
                if tree.name == "cpuset" and not (current / setting).read_text().strip():
                    (current / setting).write_text((parent / setting).read_text())


def _enable(cgroup: Path) -> None:
    enabled = _words(cgroup / "cgroup.subtree_control")
    if cgroup == ROOT and not NOTE.exists():
        write(NOTE, " ".join(sorted(enabled)))
    if missing := (_CONTROLLERS & _words(cgroup / "cgroup.controllers")) - enabled:
        (cgroup / "cgroup.subtree_control").write_text(" ".join(f"+{item}" for item in sorted(missing)))


def restore() -> None:
    """Take back what labs, their kubelets and their runc enabled at the root of version 2, once no lab has a cgroup."""
    if not NOTE.exists() or any(ROOT.glob("lab-*")):
        return
    control = ROOT / "cgroup.subtree_control"
    for item in sorted(_words(control) - _words(NOTE)):
        with suppress(OSError):  # somebody else has enabled it below the root meanwhile, and keeps it
            control.write_text(f"-{item}")
    NOTE.unlink()


def _words(file: Path) -> set[str]:
    return set(file.read_text().split())


def process_files(name: str) -> list[Path]:
    """The files that a process id is written to, to put that process into the cgroup."""
    return [tree / name / "cgroup.procs" for tree in hierarchies()]


def members(name: str) -> set[int]:
    """Ids of all processes in the cgroup and below it, in any hierarchy."""
    found: set[int] = set()
    for tree in hierarchies():
        for directory, _, files in os.walk(tree / name):
            if "cgroup.procs" in files:
                try:
                    found.update(int(line) for line in (Path(directory) / "cgroup.procs").read_text().split())
                except OSError:
                    continue  # removed while we read
    found.discard(0)  # processes of another PID namespace show as 0
    return found


def kill(name: str) -> None:
    """End every process of the cgroup, by SIGKILL, and wait until none is left.

    Raises:
        TimeoutError: something still runs after 20 seconds.
    """

    def is_empty() -> bool:
        pids = members(name)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    if not comes_true(is_empty, _STOP_SECONDS, 0.02):
        raise TimeoutError(
            f"cgroup {name}: processes {sorted(members(name))} survive SIGKILL. Look at them with ps, then call down again."
        )


def remove(name: str) -> None:
    """Remove the empty cgroup and all below it from every tree."""
    for tree in _all_trees():
        for directory, _, _ in os.walk(tree / name, topdown=False):
            Path(directory).rmdir()


def exists(name: str) -> bool:
    """Whether any tree still has the cgroup."""
    return any((tree / name).exists() for tree in _all_trees())
