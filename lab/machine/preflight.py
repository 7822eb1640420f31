"""Whether this machine can host a lab: every reason why not, at once, each with what to do. Standard library alone."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

from lab import mark
from lab.machine import debian
from lab.place import Lab

_MEMORY_GIB = 6
# measured, the first time: Go's modules, Go's build cache, the tools and images
_MODULES_GIB, _OBJECTS_GIB, _TOOLS_GIB = 5, 12, 3
# two regions, each time
_REGIONS_GIB = 4
_CGROUPS = Path("/sys/fs/cgroup")


def problems() -> list[str]:
    """All reasons why a lab cannot run here; none if it can."""
    if platform.system() != "Linux":
        return [
            f"this is {platform.system()}: the lab needs Linux (network namespaces, cgroups). Use a Linux machine or a "
            "virtual one; on clusters of your own no lab is needed, see docs/own-clusters.md"
        ]
    return [
        problem for check in (_folder, _root, _namespaces, _cgroups, _memory, _disk, _packages) for problem in check()
    ]


def explain(found: list[str]) -> str:
    """The text for people."""
    lines = "\n".join(f"  - {problem}" for problem in found)
    return f"error: the lab cannot come up here:\n{lines}\nNothing was changed."


def _folder() -> list[str]:
    obstacle = mark.obstacle(Lab.of_environment().directory)
    return [obstacle] if obstacle else []


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
    if (_CGROUPS / "memory" / "cgroup.procs").exists():
        return []
    if not (_CGROUPS / "cgroup.controllers").exists():
        return [f"no cgroups are mounted under {_CGROUPS}: kubelet and runc cannot bound a container without them"]
    missing = {"cpu", "cpuset", "memory", "pids"} - set((_CGROUPS / "cgroup.controllers").read_text().split())
    if missing:
        return [
            f"{_CGROUPS} lacks the controllers {', '.join(sorted(missing))}: kubelet cannot bound a container without them. "
            "Enable them on the kernel's command line (cgroup_enable=…); in a container, start that one with --cgroupns=host"
        ]
    # only the machine's own root may hold processes and hand on controllers; it alone has no type
    if (_CGROUPS / "cgroup.type").exists() and (_CGROUPS / "cgroup.procs").read_text().split():
        return [
            f"{_CGROUPS} is a container's, and holds its processes: then no cgroup below it gets a controller. "
            "Start the container with --privileged --cgroupns=host"
        ]
    return []


def _memory() -> list[str]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if total >= _MEMORY_GIB:
        return []
    return [f"{total:.1f} GiB of memory: two regions need {_MEMORY_GIB}"]


def _disk() -> list[str]:
    lab = Lab.of_environment()
    needs = {lab.directory: _REGIONS_GIB}
    if not (lab.cache / "tools").exists():
        modules = Path(os.environ.get("GOPATH", str(Path.home() / "go")).split(os.pathsep)[0]) / "pkg" / "mod"
        objects = lab.cache.parent / "go-build"
        needs[Path(os.environ.get("GOMODCACHE", modules))] = _MODULES_GIB
        needs[Path(os.environ.get("GOCACHE", objects))] = _OBJECTS_GIB
        needs[lab.cache] = _TOOLS_GIB
    by_device: defaultdict[int, list[Path]] = defaultdict(list)
    for folder in needs:
        by_device[_existing(folder).stat().st_dev].append(folder)
    found = []
    for folders in by_device.values():
        free, needed = shutil.disk_usage(_existing(folders[0])).free / 2**30, sum(needs[folder] for folder in folders)
        if free < needed:
            found.append(
                f"{', '.join(map(str, folders))}: {free:.1f} GiB of disk are free, and {needed} are needed there in all. "
                "Make room, or let LAB_DIR, XDG_CACHE_HOME, GOMODCACHE or GOCACHE name a folder on a larger disk"
            )
    return found


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _packages() -> list[str]:
    lacks = [name for name in ("apt-get", "apt-config") if shutil.which(name) is None]
    lacks += [] if debian.codename() else ["VERSION_CODENAME in /etc/os-release"]
    if not lacks:
        return []
    system = debian.os_release().get("PRETTY_NAME", "this system")
    return [
        f"{system} has no {', no '.join(lacks)}: containerd and the images of the regions come "
        "from Debian packages. Use Debian 12 or later, or Ubuntu; a virtual machine or a container with --privileged will do"
    ]
