"""The lab's network: a hub, and a region's own behind each of its links.

The machine's own routes, firewall and addresses are not touched: the hub is joined to the regions and to nothing else. What must
be reached from outside goes through a relay (`lab.machine.relay`) on the loopback address.
"""

from __future__ import annotations

import subprocess

from lab.machine import namespaces
from lab.place import Lab, Region


def create_hub(lab: Lab) -> None:
    """Make the hub's namespace if it is not there; it forwards between the regions, and has an address of its own for both."""
    namespaces.create(lab.hub_namespace)
    namespaces.ip(f"-n {lab.hub_namespace} addr replace {lab.hub_address}/32 dev lo")


def join(lab: Lab, region: Region) -> None:
    """Make the region's namespace and its link to the hub, as far as they are missing."""
    namespaces.create(region.namespace)
    hub_end = f"to-{region.name}"
    prefix = region.node_network.prefixlen
    if not _has_link(region.namespace, "eth0"):
        namespaces.ip(f"link add {hub_end} netns {lab.hub_namespace} type veth peer name eth0 netns {region.namespace}")
    namespaces.ip(f"-n {lab.hub_namespace} addr replace {region.gateway}/{prefix} dev {hub_end}")
    namespaces.ip(f"-n {lab.hub_namespace} link set {hub_end} up")
    namespaces.ip(f"-n {region.namespace} addr replace {region.node_address}/{prefix} dev eth0")
    namespaces.ip(f"-n {region.namespace} link set eth0 up")
    namespaces.ip(f"-n {region.namespace} route replace default via {region.gateway}")
    namespaces.ip(f"-n {lab.hub_namespace} route replace {region.pod_network} via {region.node_address}")


def _has_link(namespace: str, link: str) -> bool:
    command = ["ip", "-n", namespace, "link", "show", link]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
