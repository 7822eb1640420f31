"""Two labs side by side must not share a name, nor two regions an address: the first silently broke the second."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations
from pathlib import Path

import pytest

from lab.place import Lab


def _lab(directory: str) -> Lab:
    return Lab(checkout=Path("/checkout"), directory=Path(directory), cache=Path("/cache"))


def test_labs_of_two_folders_share_no_name() -> None:
    one, two = _lab("/one/.lab"), _lab("/two/.lab")
    names = [{lab.cgroup, lab.hub_namespace, *(region.namespace for region in lab.regions)} for lab in (one, two)]
    assert not names[0] & names[1]


def test_the_same_folder_is_the_same_lab() -> None:
    assert _lab("/one/.lab").id == _lab("/one/.lab").id


def test_no_ranges_of_a_lab_overlap() -> None:
    networks = [
        network
        for region in _lab("/one/.lab").regions
        for network in (region.node_network, region.pod_network, region.service_network)
    ]
    networks.append(IPv4Network(_lab("/one/.lab").hub_address))
    assert not [pair for pair in combinations(networks, 2) if pair[0].overlaps(pair[1])]


def test_lab_dir_and_cache_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_DIR", "/elsewhere")
    monkeypatch.setenv("XDG_CACHE_HOME", "/own-cache")
    lab = Lab.of_environment()
    assert (lab.directory, lab.cache) == (Path("/elsewhere"), Path("/own-cache/echo-lab"))


def test_names_of_namespaces_and_links_fit_the_kernel() -> None:
    assert all(len(f"to-{region.name}") <= 15 for region in _lab("/one/.lab").regions)
