from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.plugins.kubernetes import awaiting, objects
from tests.plugins.kubernetes.engine import Engine
from tests.plugins.kubernetes.fake_cluster import FakeCluster


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(awaiting, "_POLL_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(objects, "_RETRY_SECONDS", (0.01, 0.01))
    fake = FakeCluster()
    yield fake
    fake.stop()


@pytest.fixture
def engine(cluster: FakeCluster) -> Iterator[Engine]:
    """An engine whose provider is configured for the fake cluster."""
    running = Engine()
    running.configure(kubeconfig=cluster.kubeconfig)
    yield running
    running.stop()
