from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components.api_server import api_server
from tests.components.graph import LIVING, STACK_FILES, Graph, record_stack


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A kubeconfig with the contexts of both shipped stacks, on a cluster that answers."""
    with api_server() as server:
        yield server.kubeconfig(tmp_path_factory.mktemp("home") / "kubeconfig", "region-a", "region-b")


@pytest.fixture(scope="session")
def deliveries(kubeconfig: Path) -> dict[str, list[Graph]]:
    """What the program registers for region-a and for region-b by each way of delivery, from the committed stack files."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KUBECONFIG", str(kubeconfig))
        return {
            # a hand-over is of a stack that is up
            delivery: [
                record_stack(stack_file, LIVING if delivery == "handover" else None, delivery=delivery)
                for stack_file in STACK_FILES
            ]
            for delivery in ("gitops", "handover", "direct")
        }


@pytest.fixture(scope="session")
def graphs(deliveries: dict[str, list[Graph]]) -> list[Graph]:
    """What the program registers for each region where Pulumi itself applies the workloads."""
    return deliveries["direct"]


@pytest.fixture(params=[0, 1], ids=["region-a", "region-b"])
def graph(request: pytest.FixtureRequest, graphs: list[Graph]) -> Graph:
    return graphs[int(request.param)]
