"""Network namespaces of a lab: a hub, and a region's own behind each of its links.

The machine's own routes, firewall and addresses are not touched: the hub is joined to the regions and to nothing else. What must
be reached from outside goes through a relay (relay.py) on the loopback address.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.place import Lab, Region
from lab.report import LabError

_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def path(namespace: str) -> Path:
    """The file that stands for a named network namespace."""
    return _NAMESPACES / namespace


def all_namespaces() -> set[str]:
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


def create_hub(lab: Lab) -> None:
    """Make the hub's namespace if it is not there; it forwards between the regions, and has an address of its own for both."""
    _create_namespace(lab.hub_namespace)
    _ip(f"-n {lab.hub_namespace} addr replace {lab.hub_address}/32 dev lo")


def join(lab: Lab, region: Region) -> None:
    """Make the region's namespace and its link to the hub, as far as they are missing."""
    _create_namespace(region.namespace)
    hub_end = f"to-{region.name}"
    prefix = region.node_network.prefixlen
    if not _has_link(region.namespace, "eth0"):
        _ip(f"link add {hub_end} netns {lab.hub_namespace} type veth peer name eth0 netns {region.namespace}")
    _ip(f"-n {lab.hub_namespace} addr replace {region.gateway}/{prefix} dev {hub_end}")
    _ip(f"-n {lab.hub_namespace} link set {hub_end} up")
    _ip(f"-n {region.namespace} addr replace {region.node_address}/{prefix} dev eth0")
    _ip(f"-n {region.namespace} link set eth0 up")
    _ip(f"-n {region.namespace} route replace default via {region.gateway}")
    _ip(f"-n {lab.hub_namespace} route replace {region.pod_network} via {region.node_address}")


def remove(namespace: str) -> None:
    """Remove a namespace and, with it, its links."""
    if path(namespace).exists():
        _ip(f"netns delete {namespace}")


def forget_mount() -> None:
    """Undo the mount that `ip netns` makes for the first namespace of a machine, once the last is gone."""
    mounted = {line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()}
    if str(_NAMESPACES) in mounted and not all_namespaces():
        # it fails, and is right to, if another lab makes a namespace at this moment
        subprocess.run(["umount", str(_NAMESPACES)], check=False, capture_output=True)


def _create_namespace(namespace: str) -> None:
    if not _is_namespace(namespace):
        path(namespace).unlink(missing_ok=True)  # left behind when the making of it was cut short
        _ip(f"netns add {namespace}")
    _ip(f"-n {namespace} link set lo up")
    with inside(path(namespace)):
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _is_namespace(namespace: str) -> bool:
    return path(namespace).exists() and path(namespace).stat().st_dev != _NAMESPACES.stat().st_dev


def _has_link(namespace: str, link: str) -> bool:
    command = ["ip", "-n", namespace, "link", "show", link]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _ip(arguments: str) -> None:
    result = subprocess.run(["ip", *arguments.split()], check=False, capture_output=True, text=True)
    if result.returncode != 0:
        raise LabError(f"`ip {arguments}` failed: {result.stderr.strip()}. A region cannot be reached without it")
