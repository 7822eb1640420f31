"""What a version mounts must not change under its pods: `pulumi preview` stops where it can."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from components.existing.cluster import Connection
from components.existing.safety import UnsafeError, require_fixed_files
from stackfile.model import ClusterConfig
from tests.components.api_server import ApiServer, api_server
from tests.components.graph import record
from tests.stackfile.stack_values import parse, with_value


def check(server: ApiServer, directory: Path, **mounts: dict[str, str]) -> None:
    """Look at a stack whose v2 mounts these, on the cluster of a server."""
    values = with_value(
        "services.echo.versions.v2", {"image": "registry.corp.local/echo:2.0.0", "replicas": 3, "weight": 10}
    )
    values["services"]["echo"]["versions"]["v2"] |= mounts
    kubeconfig = server.kubeconfig(directory / "kubeconfig", "here")
    connection = Connection(ClusterConfig(context="here", kubeconfig=str(kubeconfig)))
    record(lambda: require_fixed_files(connection, parse(values)))


def test_what_is_immutable_passes(tmp_path: Path) -> None:
    with api_server() as server:
        server.mounted = {"configmaps/echo/site": True, "secrets/echo/key": True}
        check(server, tmp_path, configMaps={"/etc/site": "site"}, secrets={"/etc/key": "key"})
        assert len(server.accepted) == 2


@pytest.mark.parametrize("name", ["site-0a1b2c3d", "site-5d8mtkb9g7"])
def test_what_is_named_by_its_content_is_not_even_asked_for(tmp_path: Path, name: str) -> None:
    with api_server() as server:
        check(server, tmp_path, configMaps={"/etc/site": name})
        assert server.accepted == []


def test_what_can_change_is_refused_all_of_it_together(tmp_path: Path) -> None:
    with api_server() as server:
        server.mounted = {"configmaps/echo/site": False, "secrets/echo/key": False}
        with pytest.raises(UnsafeError) as caught:
            check(server, tmp_path, configMaps={"/etc/site": "site"}, secrets={"/etc/key": "key"})
    first, second = str(caught.value).splitlines()
    assert first.startswith(
        "$.services.echo.versions.v2.configMaps./etc/site: ConfigMap echo/site is not immutable — a change of it reaches all pods"
    )
    assert "secrets./etc/key: Secret echo/key is not immutable" in second


def test_what_is_not_there_yet_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with api_server() as server, caplog.at_level(logging.WARNING):
        server.mounted = {"configmaps/echo/site": True}
        check(server, tmp_path, configMaps={"/etc/site": "other"})
    assert any("there is no ConfigMap echo/other yet" in message for message in caplog.messages)
