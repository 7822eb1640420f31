"""What lets somebody outside the mesh ask for a version is a Secret's value, which no commit and no plain state has."""

from __future__ import annotations

import base64
import copy
import logging
from pathlib import Path

import pytest

from components.existing.cluster import ClusterError, Connection
from components.existing.testers import read_secrets
from stackfile.model import ClusterConfig
from tests.components.api_server import ApiServer, api_server
from tests.components.graph import World, record
from tests.stackfile.stack_values import MINIMAL, parse, the_problem

PATH = "/api/v1/namespaces/istio-ingress/secrets?fieldSelector=metadata.name%3Dtesters"
VALUE = "0123456789abcdef"
TESTERS = {"header": "x-ask", "gatewaySecret": "testers"}


def read(
    server: ApiServer, directory: Path, testers: dict[str, str], world: World | None = None, *, closed: bool = False
) -> dict[str, str | None]:
    """The services whose testers have a secret, and its value, which Pulumi keeps secret; None where it is not known."""
    service = copy.deepcopy({**MINIMAL["services"]["echo"], "hosts": ["echo.corp.local"], "testers": testers})
    for version in service["versions"].values():
        version["testers"] = not closed
    config = parse({**MINIMAL, "gateway": {}, "services": {"echo": service}})
    kubeconfig = server.kubeconfig(directory / "kubeconfig", "here")
    connection = Connection(ClusterConfig(context="here", kubeconfig=str(kubeconfig)))
    found: dict[str, str | None] = {}

    async def program() -> None:
        for each, value in read_secrets(connection, config):
            assert await value.is_secret()
            found[each.name] = await value.future()

    record(program, world=world)
    return found


def secret(value: bytes) -> dict[str, object]:
    return {"items": [{"data": {"value": base64.b64encode(value).decode()}}]}


def test_it_is_read_and_kept_secret(tmp_path: Path) -> None:
    with api_server() as server:
        server.existing[PATH] = secret(VALUE.encode())
        assert read(server, tmp_path, TESTERS) == {"echo": VALUE}


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


def test_one_that_the_user_of_a_preview_may_not_read_is_not_known_and_keeps_no_preview_from_being_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with api_server() as server, caplog.at_level(logging.WARNING):
        server.existing[PATH] = secret(VALUE.encode())
        server.forbidden.append(PATH)
        assert read(server, tmp_path, TESTERS, World(preview=True)) == {"echo": None}
    assert any("may not list it" in message for message in caplog.messages)


def test_where_no_version_may_be_asked_for_there_is_no_route(tmp_path: Path) -> None:
    with api_server() as server:
        server.existing[PATH] = secret(VALUE.encode())
        assert read(server, tmp_path, TESTERS, closed=True) == {}


def test_a_service_without_a_host_has_nobody_outside() -> None:
    values = {**MINIMAL, "services": {"echo": {**MINIMAL["services"]["echo"], "testers": TESTERS}}}
    assert "gatewaySecret testers is for testers outside the mesh, and the service has no hosts" in the_problem(values)
