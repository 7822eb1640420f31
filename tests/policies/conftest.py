from __future__ import annotations

import pytest

from rules.facts.workloads import Delivery
from tests.components.api_server import api_server
from tests.components.graph import STACK_FILES, Graph, World, record_stack

Deliveries = dict[Delivery, Graph]


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Deliveries:
    """What the program registers for region-a by each way of delivery, in a preview of a new stack."""
    ways: tuple[Delivery, ...] = ("gitops", "handover", "direct")
    with api_server() as server, pytest.MonkeyPatch.context() as environment:
        kubeconfig = server.kubeconfig(tmp_path_factory.mktemp("home") / "kubeconfig", "region-a")
        environment.setenv("KUBECONFIG", str(kubeconfig))
        return {way: record_stack(STACK_FILES[0], World(preview=True), delivery=way) for way in ways}
