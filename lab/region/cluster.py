"""One regional cluster: brought up, repaired, looked at, taken down.

`ensure` looks at what is there and does what is missing, so that it starts a region, mends one of which a part has died and costs
almost nothing when all is well.
"""

from __future__ import annotations

import socket
import string
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from lab.build import store
from lab.build.versions import COREDNS, PROMETHEUS
from lab.machine import cgroups, namespaces, processes
from lab.machine.processes import Daemon
from lab.machine.waiting import comes_true
from lab.place import Lab, Region
from lab.region.components import AFTER_API, RUNTIME_SOCKET, components, write_files
from lab.region.kubectl import Kubectl
from lab.report import LabError, Report

_HOLDER = ("sleep", "infinity")
_READY_SECONDS = 90.0
_DNS = Path(__file__).with_name("coredns.yaml")
_PROMETHEUS = Path(__file__).with_name("prometheus.yaml")
_SHARED_MOUNT_POINT = Path("/var/lib/kubelet")


@dataclass(frozen=True)
class Cluster:
    """A region and what its processes are started from.

    Attributes:
        lab: which lab it belongs to.
        region: which region it is.
        tools: the programs, by name.
        stopped: once set, whoever waits for the cluster gives up.
    """

    lab: Lab
    region: Region
    tools: Mapping[str, Path]
    stopped: Event = field(default_factory=Event)

    def ensure(self, images: Sequence[Path], images_store: Path | None, report: Report) -> None:
        """Bring the region up, or repair it, until its node is ready and DNS is asked for.

        Args:
            images: OCI archives that its container runtime holds afterwards.
            images_store: the same unpacked, see `lab.build.store`; a new region begins with it if it is there.
            report: is told each step that is taken.

        Raises:
            LabError: a component does not become well within 90 seconds.
            InterruptedError: `stopped` was set.
        """
        cgroups.create(self.region.processes_cgroup)
        write_files(self.region)
        root = self.region.directory / "containerd"
        if images_store and not root.exists() and store.give(images_store, root):
            for archive in images:
                self._note_imported(archive)
        started = self._ensure_holder()
        by_name = {component.name: component for component in self.components()}
        started += self._ensure([by_name["containerd"], by_name["etcd"]])
        with ThreadPoolExecutor(1) as pool:
            importing = pool.submit(self._import_missing, images, report)
            started += self._ensure([by_name["kube-apiserver"]])
            started += self._ensure([by_name[name] for name in AFTER_API])
            importing.result()
        if started:
            report(f"started {', '.join(started)}")
        self._apply("DNS", _DNS, {"image": COREDNS, "dns_address": str(self.region.dns_address)})
        self._wait("the node", self._node_is_ready)

    def await_dns(self) -> None:
        """Wait until the cluster's DNS answers; its pod may start while other things are installed.

        Raises:
            LabError: it does not within 90 seconds.
            InterruptedError: `stopped` was set.
        """
        self._wait("coredns", lambda: self._is_ready("coredns", "kube-system"))

    def ensure_prometheus(self) -> None:
        """Bring up a Prometheus that scrapes all proxies, as the Service monitoring/prometheus:9090, and wait until it answers."""
        self._apply("Prometheus", _PROMETHEUS, {"image": PROMETHEUS})
        self._wait("prometheus", lambda: self._is_ready("prometheus", "monitoring"))

    def components(self) -> list[Daemon]:
        """The region's processes but the holder.

        Raises:
            LabError: the region is down.
        """
        holder = self.holder()
        if holder is None:
            raise LabError(f"{self.region.name} is down: nothing holds its namespaces. Bring it up with: make up")
        return components(
            self.lab, self.region, self.tools, relay_port=self.relay_port(), through=self._through(), holder=holder
        )

    def holder(self) -> int | None:
        """The process whose namespaces are the region's."""
        return processes.find(self.region.processes_cgroup, _HOLDER)

    def relay_port(self) -> int:
        """The loopback port that leads to the region's API server; chosen once, and again if somebody else has taken it."""
        file = self.region.directory / "relay-port"
        if file.exists() and self._port_is_ours_or_free(int(file.read_text())):
            return int(file.read_text())
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        file.write_text(str(port))
        return port

    @property
    def kubectl(self) -> Kubectl:
        """Runs kubectl against this region."""
        return Kubectl(self.tools["kubectl"], self.lab.kubeconfig, self.region.name)

    def down(self) -> None:
        """End everything of the region and remove all of it but its files."""
        cgroups.kill(self.region.cgroup)
        cgroups.remove(self.region.cgroup)
        namespaces.remove(self.region.namespace)

    def _port_is_ours_or_free(self, port: int) -> bool:
        relays = processes.namesakes(self.region.processes_cgroup, ("python",))
        if any(str(port) in processes.command_line(pid) for pid in relays):
            return True
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
        return True

    def _ensure_holder(self) -> list[str]:
        if self.holder() is not None:
            return []
        # what still lives in the region's mount namespace when its holder is gone
        programs = (("containerd",), ("kubelet",))
        found = (pid for each in programs for pid in processes.namesakes(self.region.processes_cgroup, each))
        survivor = next(found, None)
        network = f"--net={namespaces.path(self.region.namespace)}"
        if survivor is not None:
            through = ["nsenter", f"--mount=/proc/{survivor}/ns/mnt", network]
        else:
            cgroups.kill(self.region.cgroup)  # containers cannot outlive the mounts that they were made in
            _SHARED_MOUNT_POINT.mkdir(parents=True, exist_ok=True)
            mounts = (
                "mount --make-rshared / && mount -t tmpfs -o mode=755 tmpfs /run && mkdir -p /run/containerd && "
                'mount --bind "$1/kubelet" /var/lib/kubelet && mount --bind "$1/var-log" /var/log && shift && exec "$@"'
            )
            home = str(self.region.directory)
            through = ["nsenter", network, "unshare", "--mount", "sh", "-c", mounts, "sh", home]
        cgroup, logs = self.region.processes_cgroup, self.lab.logs / self.region.name
        holder = Daemon(self.region.name, "holder", _HOLDER, cgroup, logs, lambda: self.holder() is not None, through)
        return self._ensure([holder])

    def _import_missing(self, images: Sequence[Path], report: Report) -> None:
        # a stamp is named by the image and holds its content's key, which is the name of the archive's folder
        missing = [archive for archive in images if _content(self._stamp(archive)) != archive.parent.name]
        if missing:
            report(f"imports {len(missing)} images")
        for archive in missing:
            if self.stopped.is_set():
                raise InterruptedError
            self._import(archive)
            self._note_imported(archive)

    def _stamp(self, archive: Path) -> Path:
        return self.region.directory / "imported" / archive.name

    def _note_imported(self, archive: Path) -> None:
        self._stamp(archive).parent.mkdir(exist_ok=True)
        self._stamp(archive).write_text(archive.parent.name)

    def _import(self, archive: Path) -> None:
        command = ["ctr", f"--address={RUNTIME_SOCKET}", "--namespace=k8s.io", "images", "import", str(archive)]
        result = subprocess.run([*self._through(), *command], capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise LabError(f"{self.region.name}: the image {archive.name} cannot be imported: {result.stderr.strip()}")

    def _through(self) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self.holder()}/ns/mnt", f"--net={namespaces.path(self.region.namespace)}"]

    def _ensure(self, wanted: Sequence[Daemon]) -> list[str]:
        """Start what does not run, then wait until all of `wanted` are well; say what was started."""
        started = {daemon.name: daemon.start() for daemon in wanted if not daemon.is_running()}
        for daemon in wanted:
            daemon.await_well(_READY_SECONDS, started.get(daemon.name), self.stopped)
        return list(started)

    def _apply(self, what: str, file: Path, values: Mapping[str, str]) -> None:
        manifest = string.Template(file.read_text()).substitute(values)
        applied = self.kubectl(
            "apply", "--server-side", "--force-conflicts", "--field-manager=lab", "-f", "-", stdin=manifest
        )
        if applied.returncode != 0:
            raise LabError(f"{self.region.name}: {what} cannot be installed: {applied.stderr.strip()}")

    def _is_ready(self, name: str, namespace: str) -> bool:
        where = ("get", "deployment", name, f"--namespace={namespace}", "--output=jsonpath={.status.readyReplicas}")
        return self.kubectl(*where).stdout == "1"

    def _node_is_ready(self) -> bool:
        ready = '--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}'
        return self.kubectl("get", "node", self.region.name, ready).stdout == "True"

    def _wait(self, name: str, condition: Callable[[], bool]) -> None:
        if not comes_true(condition, _READY_SECONDS, stopped=self.stopped):
            raise LabError(f"{self.region.name}: {name} is not well after {_READY_SECONDS:.0f} s. See: make status")


def _content(stamp: Path) -> str:
    return stamp.read_text() if stamp.exists() else ""


def forget_mount_point() -> None:
    """Remove the empty folder that regions mount over, once no lab of this machine can be using it."""
    if not any(name.startswith("lab-") for name in namespaces.names()) and _SHARED_MOUNT_POINT.exists():
        try:
            _SHARED_MOUNT_POINT.rmdir()
        except OSError:
            return  # it holds something: a kubelet of the machine's own, which is not ours to touch
