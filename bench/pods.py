"""Pods that benches bring into a region, and what cgroups use of the machine."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from lab.machine import cgroups
from lab.place import CHECKOUT, Region


def kubectl(region: Region, *arguments: str, check: bool = True) -> str:
    """What kubectl prints.

    Raises:
        SystemExit: it failed and `check` is set; with what it says.
    """
    command = [sys.executable, "-m", "lab", "kubectl", "--context", region.name, *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")
    return done.stdout


def apply(region: Region, objects: Sequence[Mapping[str, Any]]) -> None:
    """Create or change objects; raises what `kubectl` does."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"apiVersion": "v1", "kind": "List", "items": objects}, file)
        file.flush()
        kubectl(region, "apply", "--server-side", f"--filename={file.name}")


def namespace_object(name: str, labels: Mapping[str, str]) -> Mapping[str, Any]:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def idle_clients(
    namespace: str, image: str, replicas: int = 1, annotations: Mapping[str, str] | None = None
) -> Mapping[str, Any]:
    """The Deployment `client`: pods of the probe's image that do nothing by themselves.

    Args:
        namespace: where.
        image: the probe's.
        replicas: how many.
        annotations: of the pods.
    """
    labels = {"app": "client"}
    container = {"name": "client", "image": image, "args": ["idle"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "client", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations or {}},
                "spec": {"containers": [container]},
            },
        },
    }


def pod_cgroups(region: Region) -> Mapping[str, str]:
    """The cgroups of a region's pods, each with all its containers, below the root of each hierarchy; by the pod's UID."""
    tree = cgroups.hierarchies()[0]
    found = (tree / region.cgroup / "kubepods").glob("**/pod*")
    return {path.name.removeprefix("pod"): str(path.relative_to(tree)) for path in found}


def processor_seconds(cgroup: str) -> float:
    """What a cgroup and all below it have used of the processors so far."""
    version_1 = cgroups.ROOT / "cpuacct" / cgroup / "cpuacct.usage"
    if version_1.exists():
        return int(version_1.read_text()) / 1e9
    usage = (cgroups.ROOT / cgroup / "cpu.stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in usage if line.startswith("usage_usec ")) / 1e6


def anonymous_megabytes(cgroup: str) -> float:
    """The memory of a cgroup and all below it that belongs to no file: what its processes have allocated, in MiB."""
    version_1 = cgroups.ROOT / "memory" / cgroup / "memory.stat"
    file = version_1 if version_1.exists() else cgroups.ROOT / cgroup / "memory.stat"
    figures = dict(line.split() for line in file.read_text().splitlines())
    return int(figures["total_rss" if file is version_1 else "anon"]) / 2**20
