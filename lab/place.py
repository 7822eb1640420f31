"""Where a lab lives: its folders, its names and the addresses inside its own network namespaces.

Nothing here changes the machine. Two labs of two checkouts never share a name: each name holds the lab's id, which is made
from the path of the lab's folder, and kept in its mark while the lab is up. They may share every address, for each lab's
networks are joined by nothing but that lab's hub.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from lab import mark

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Region:
    """One regional cluster: its folder, its network namespace and its address ranges.

    Pod ranges of the regions do not overlap, nor do node and service ranges, so that the hub can route between them.
    """

    name: str
    number: int
    lab_id: str
    directory: Path

    @property
    def namespace(self) -> str:
        """Name of the region's network namespace."""
        return f"lab-{self.lab_id}-{self.name}"

    @property
    def cgroup(self) -> str:
        """Path of the region's cgroup below the root of each hierarchy; everything of the region runs below it."""
        return f"lab-{self.lab_id}/{self.name}"

    @property
    def processes_cgroup(self) -> str:
        """The cgroup of the region's own processes; pods are beside it."""
        return f"{self.cgroup}/system"

    @property
    def node_network(self) -> IPv4Network:
        """The link between the hub and the node."""
        return IPv4Network(f"10.20{self.number}.0.0/24")

    @property
    def gateway(self) -> IPv4Address:
        """The hub's end of the link."""
        return self.node_network[1]

    @property
    def node_address(self) -> IPv4Address:
        """The node's end of the link, where the API server listens too."""
        return self.node_network[2]

    @property
    def pod_network(self) -> IPv4Network:
        """Addresses of the pods."""
        return IPv4Network(f"10.1{self.number}.0.0/24")

    @property
    def service_network(self) -> IPv4Network:
        """Addresses of the Services."""
        return IPv4Network(f"10.{95 + self.number}.0.0/16")

    @property
    def dns_address(self) -> IPv4Address:
        """Address of the cluster's DNS Service."""
        return self.service_network[10]


@dataclass(frozen=True)
class Lab:
    """Two regions, the hub between them and the folder that holds all they write.

    Args:
        checkout: the repository's root.
        directory: the lab's folder; `LAB_DIR`, by default `.lab` in the checkout.
        cache: built tools and images, shared by all labs of this user.
    """

    checkout: Path
    directory: Path
    cache: Path

    @classmethod
    def of_environment(cls) -> Lab:
        """The lab of this checkout, or the one that `LAB_DIR` names; the cache follows `XDG_CACHE_HOME`."""
        directory = Path(os.environ.get("LAB_DIR", CHECKOUT / ".lab")).absolute()
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "echo-lab"
        return cls(checkout=CHECKOUT, directory=directory, cache=cache)

    @cached_property
    def id(self) -> str:
        """Eight hexadecimal digits that are this lab's alone."""
        up = mark.read(self.directory)  # a folder that is moved meanwhile is still the same lab
        return up.lab_id if up else hashlib.sha256(str(self.directory).encode()).hexdigest()[:8]

    @property
    def hub_namespace(self) -> str:
        """Name of the network namespace that joins the regions."""
        return f"lab-{self.id}-hub"

    @property
    def hub_address(self) -> IPv4Address:
        """The hub's own address, the same from every node and pod of both regions."""
        return IPv4Address("10.200.0.1")

    @property
    def cgroup(self) -> str:
        """The lab's cgroup, the parent of its regions' and of the hub's."""
        return f"lab-{self.id}"

    @property
    def hub_cgroup(self) -> str:
        """The cgroup of what runs in the hub, for both regions."""
        return f"{self.cgroup}/hub"

    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """The regions, in the order in which they are shown."""
        return tuple(
            Region(name=name, number=number, lab_id=self.id, directory=self.directory / name)
            for number, name in enumerate(("region-a", "region-b"), start=1)
        )

    @property
    def is_checkouts_own(self) -> bool:
        """Whether it is the checkout's own lab, which may leave its traces in the checkout."""
        return self.directory == self.checkout / ".lab"

    @property
    def kubeconfig(self) -> Path:
        """One kubeconfig with a context for each region, named as the region."""
        return self.directory / "kubeconfig"

    @property
    def logs(self) -> Path:
        """Logs of all components; they outlive `down`."""
        return self.directory / "logs"

    @property
    def virtual_environment(self) -> Path:
        """The checkout's Python environment."""
        return self.checkout / ".venv"
