"""What lets somebody outside the mesh ask for a version is a Secret's value, which no commit and no plain state has."""

from __future__ import annotations

import base64
import logging
from pathlib import Path

import pytest

from components.existing.cluster import ClusterError, Connection
from components.existing.testers import read_secrets
from stackfile.model import ClusterConfig
from tests.components.api_server import ApiServer, api_server
from tests.components.graph import record
from tests.stackfile.stack_values import MINIMAL, parse, the_problem

PATH = "/api/v1/namespaces/istio-ingress/secrets?fieldSelector=metadata.name%3Dtesters"
VALUE = "0123456789abcdef"
TESTERS = {"header": "x-ask", "gatewaySecret": "testers"}


def read(server: ApiServer, directory: Path, testers: dict[str, str]) -> dict[str, bool]:
    """The services whose testers have a secret, and whether Pulumi keeps it as one."""
    service = {**MINIMAL["services"]["echo"], "hosts": ["echo.corp.local"], "testers": testers}
    config = parse({**MINIMAL, "gateway": {}, "services": {"echo": service}})
    kubeconfig = server.kubeconfig(directory / "kubeconfig", "here")
    connection = Connection(ClusterConfig(context="here", kubeconfig=str(kubeconfig)))
    found: dict[str, bool] = {}

    async def program() -> None:
        for each, secret in read_secrets(connection, config):
            assert await secret.future() == VALUE
            found[each.name] = await secret.is_secret()

    record(program)
    return found


def secret(value: bytes) -> dict[str, object]:
    return {"items": [{"data": {"value": base64.b64encode(value).decode()}}]}


def test_it_is_read_and_kept_secret(tmp_path: Path) -> None:
    with api_server() as server:
        server.existing[PATH] = secret(VALUE.encode())
        assert read(server, tmp_path, TESTERS) == {"echo": True}


def test_without_a_name_nothing_is_asked(tmp_path: Path) -> None:
    with api_server() as server:
        assert read(server, tmp_path, {"header": "x-ask"}) == {}
        assert server.accepted == []


def test_one_that_is_not_there_yet_is_warned_of_with_the_command_that_makes_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with api_server() as server, caplog.at_level(logging.WARNING):
        server.existing[PATH] = {"items": None}
        assert read(server, tmp_path, TESTERS) == {}
    (said,) = [message for message in caplog.messages if "testers" in message]
    assert "kubectl --kubeconfig" in said
    assert "create secret generic testers --namespace=istio-ingress" in said


@pytest.mark.parametrize(
    "answer",
    [
        secret(b"short"),
        secret(b"sixteen characters and\na line"),
        secret("sechzehn Zeichen, ü".encode()),
        {"items": [{"data": {"token": VALUE}}]},
        {"items": [{}]},
    ],
    ids=["short", "two lines", "no ASCII", "another key", "empty"],
)
def test_one_that_protects_nothing_is_refused(tmp_path: Path, answer: object) -> None:
    with api_server() as server:
        server.existing[PATH] = answer
        with pytest.raises(ClusterError, match="Secret istio-ingress/testers: has no key value with at least 16"):
            read(server, tmp_path, TESTERS)


def test_one_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    with api_server() as server:
        server.existing[PATH] = secret(VALUE.encode())
        server.forbidden.append(PATH)
        with pytest.raises(ClusterError, match="may not list secrets in istio-ingress"):
            read(server, tmp_path, TESTERS)


def test_a_service_without_a_host_has_nobody_outside() -> None:
    values = {**MINIMAL, "services": {"echo": {**MINIMAL["services"]["echo"], "testers": TESTERS}}}
    assert "gatewaySecret testers is for testers outside the mesh, and the service has no hosts" in the_problem(values)
