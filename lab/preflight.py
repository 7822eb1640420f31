"""Whether this machine can host a lab: every reason why not, at once, each with what to do. Standard library alone."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

_MEMORY_GIB = 6
_GO = (1, 26)
# measured: modules, build cache and tools, the first time; images and two regions, each time
_BUILD_GIB = 22
_REGIONS_GIB = 4


def problems() -> list[str]:
    """All reasons why a lab cannot run here; none if it can."""
    if platform.system() != "Linux":
        return [
            f"this is {platform.system()}: the lab needs Linux (network namespaces, cgroups). Use a Linux machine or a "
            "virtual one; on clusters of your own no lab is needed, see README.md"
        ]
    return [problem for check in (_root, _namespaces, _cgroups, _memory, _disk, _go, _packages) for problem in check()]


def explain(found: list[str]) -> str:
    """The text for people."""
    lines = "\n".join(f"  - {problem}" for problem in found)
    return f"error: this machine cannot host the lab:\n{lines}\nNothing was changed."


def _root() -> list[str]:
    if os.geteuid() == 0:
        return []
    return ["not root: namespaces, cgroups and containers need it. Call it with sudo"]


def _namespaces() -> list[str]:
    if os.geteuid() != 0:
        return []
    unshare = shutil.which("unshare")
    if unshare is None:
        return ["unshare is missing. On Debian: apt-get install util-linux"]
    tried = subprocess.run([unshare, "--net", "--mount", "true"], capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return []
    return [f"no namespaces can be made ({tried.stderr.strip()}). In a container, start that one with --privileged"]


def _cgroups() -> list[str]:
    root = Path("/sys/fs/cgroup")
    one, two = root / "memory" / "cgroup.procs", root / "cgroup.controllers"
    if one.exists() or two.exists():
        return []
    return ["no cgroups are mounted under /sys/fs/cgroup: kubelet and runc cannot bound a container without them"]


def _memory() -> list[str]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if total >= _MEMORY_GIB:
        return []
    return [f"{total:.1f} GiB of memory: two regions need {_MEMORY_GIB}"]


def _disk() -> list[str]:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    needs = {Path.cwd(): _REGIONS_GIB}
    if not (cache / "echo-lab" / "tools").exists():
        needs[cache if cache.exists() else Path.home()] = _BUILD_GIB
    free = {place: shutil.disk_usage(place).free / 2**30 for place in needs}
    return [
        f"{place}: {free[place]:.1f} GiB of disk are free, and {gib} are needed. Make room, or move it (XDG_CACHE_HOME, LAB_DIR)"
        for place, gib in needs.items()
        if free[place] < gib
    ]


def _go() -> list[str]:
    go = shutil.which("go")
    wanted = ".".join(map(str, _GO))
    if go is None:
        return [
            f"Go is missing: the lab builds Kubernetes, Istio and Pulumi from their modules. Install Go {wanted} or later"
        ]
    version = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout.strip()
    found = tuple(int(part) for part in version.removeprefix("go").split(".")[:2] if part.isdigit())
    if found >= _GO:
        return []
    return [
        f"{version or 'Go'} is too old: {wanted} or later is needed. Install it, or put it before the other in PATH"
    ]


def _packages() -> list[str]:
    if shutil.which("apt-get") or all(
        shutil.which(command) for command in ("containerd", "runc", "buildah", "mmdebstrap")
    ):
        return []
    return [
        "no apt-get, and not all of containerd, runc, buildah, mmdebstrap are here: install them by this system's own means"
    ]


if __name__ == "__main__":
    found_here = problems()
    sys.exit(explain(found_here) if found_here else 0)
