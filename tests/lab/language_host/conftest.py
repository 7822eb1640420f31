from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from pulumi.runtime.proto import language_pb2_grpc

from lab.language_host.host import LanguageHost
from tests.lab.language_host.fake_pulumi import FakePulumi, fake_pulumi


@pytest.fixture
def pulumi() -> Iterator[FakePulumi]:
    with fake_pulumi() as served:
        yield served


@pytest.fixture
def host(pulumi: FakePulumi) -> Iterator[language_pb2_grpc.LanguageRuntimeStub]:
    """The language host, served over gRPC from this process."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageHost(pulumi.address), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield language_pb2_grpc.LanguageRuntimeStub(channel)
    server.stop(grace=None).wait()
