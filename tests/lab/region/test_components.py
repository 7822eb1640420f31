"""What the components of a region are told does not lean on how the machine happens to be set up."""

from __future__ import annotations

import json
import tomllib

import pytest

from lab.place import Lab, Region
from lab.region.components import write_files


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Region:
    """A region whose files are written."""
    directory = tmp_path_factory.mktemp("lab")
    made = Lab(checkout=directory, directory=directory, cache=directory).regions[0]
    write_files(made)
    return made


def test_pod_traffic_is_routed_not_bridged(region: Region) -> None:
    """Over a bridge, a Service's reply is translated only where the module br_netfilter is loaded."""
    plugins = json.loads((region.directory / "cni/10-lab.conflist").read_text())["plugins"]
    assert [plugin["type"] for plugin in plugins] == ["ptp", "portmap"]


def test_containerd_and_kubelet_use_the_same_cgroup_driver(region: Region) -> None:
    """Containerd guesses one where none is named, and kubelet believes it."""
    runtimes = tomllib.loads((region.directory / "containerd.toml").read_text())["plugins"]["io.containerd.grpc.v1.cri"]
    assert runtimes["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is False
    assert json.loads((region.directory / "kubelet.json").read_text())["cgroupDriver"] == "cgroupfs"
