from __future__ import annotations

from collections.abc import Iterator

import pytest

from rules.facts.workloads import Delivery
from tests.components.api_server import api_server
from tests.components.graph import STACK_FILES, Graph, World, record_stack
from tests.stackfile.stack_values import NGINX

Deliveries = dict[Delivery, Graph]


WAYS: tuple[Delivery, ...] = ("gitops", "handover", "direct")


@pytest.fixture(scope="session")
def with_a_kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with api_server() as server, pytest.MonkeyPatch.context() as environment:
        kubeconfig = server.kubeconfig(tmp_path_factory.mktemp("home") / "kubeconfig", "region-a")
        environment.setenv("KUBECONFIG", str(kubeconfig))
        yield


@pytest.fixture(scope="session")
def registered(with_a_kubeconfig: None) -> Deliveries:
    """What the program registers for region-a by each way of delivery, in a preview of a new stack."""
    return {way: record_stack(STACK_FILES[0], World(preview=True), delivery=way) for way in WAYS}


@pytest.fixture(scope="session")
def several(with_a_kubeconfig: None) -> Deliveries:
    """The same with a second service."""
    services = {"nginx": NGINX}
    return {way: record_stack(STACK_FILES[0], World(preview=True), delivery=way, services=services) for way in WAYS}
