"""Network namespaces of the machine: made, entered, removed."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.report import LabError

_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def path(namespace: str) -> Path:
    """The file that stands for a named network namespace."""
    return _NAMESPACES / namespace


def names() -> set[str]:
    """Names of all named network namespaces of this machine."""
    return {entry.name for entry in _NAMESPACES.iterdir()} if _NAMESPACES.exists() else set()


@contextmanager
def inside(namespace: Path) -> Iterator[None]:
    """Run a block of this thread in another network namespace: sockets made there stay there."""
    with Path("/proc/thread-self/ns/net").open("rb") as home, namespace.open("rb") as target:
        _enter(target.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def socket_in(namespace: Path) -> socket.socket:
    """A new TCP socket that lives in `namespace`, whoever uses it."""
    with inside(namespace):
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def create(namespace: str) -> None:
    """Make a namespace that forwards, if it is not there."""
    if not _is_namespace(namespace):
        path(namespace).unlink(missing_ok=True)  # left behind when the making of it was cut short
        ip(f"netns add {namespace}")
    ip(f"-n {namespace} link set lo up")
    with inside(path(namespace)):
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def remove(namespace: str) -> None:
    """Remove a namespace and, with it, its links."""
    if path(namespace).exists():
        ip(f"netns delete {namespace}")


def forget_mount() -> None:
    """Undo the mount that `ip netns` makes for the first namespace of a machine, once the last is gone."""
    mounted = {line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()}
    if str(_NAMESPACES) in mounted and not names():
        # it fails, and is right to, if another lab makes a namespace at this moment
        subprocess.run(["umount", str(_NAMESPACES)], check=False, capture_output=True)


def _is_namespace(namespace: str) -> bool:
    return path(namespace).exists() and path(namespace).stat().st_dev != _NAMESPACES.stat().st_dev


def ip(arguments: str) -> None:
    """Run `ip`.

    Raises:
        LabError: it failed; with its own words.
    """
    result = subprocess.run(["ip", *arguments.split()], check=False, capture_output=True, text=True)
    if result.returncode != 0:
        raise LabError(f"`ip {arguments}` failed: {result.stderr.strip()}. A region cannot be reached without it")
