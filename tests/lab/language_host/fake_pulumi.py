"""The engine's side of the protocol, as far as a program needs it: a log, and a monitor that accepts every resource."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Queue

import grpc
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, resource_pb2, resource_pb2_grpc
from typing_extensions import override


@dataclass
class FakePulumi(engine_pb2_grpc.EngineServicer, resource_pb2_grpc.ResourceMonitorServicer):
    """Keeps what the program told it.

    Attributes:
        address: where it listens.
        logs: severity and text of each message, oldest first.
        outputs: what the program exported; None until it did.
    """

    address: str = ""
    logs: Queue[tuple[str, str]] = field(default_factory=Queue)
    outputs: dict[str, object] | None = None

    @override
    def Log(self, request: engine_pb2.LogRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        if request.severity != engine_pb2.DEBUG:
            self.logs.put((engine_pb2.LogSeverity.Name(request.severity), request.message))
        return empty_pb2.Empty()

    @override
    def GetDeploymentInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> resource_pb2.DeploymentInfo:
        return resource_pb2.DeploymentInfo()

    @override
    def RegisterResource(
        self, request: resource_pb2.RegisterResourceRequest, context: grpc.ServicerContext
    ) -> resource_pb2.RegisterResourceResponse:
        return resource_pb2.RegisterResourceResponse(urn=f"urn:pulumi:test::test::{request.type}::{request.name}")

    @override
    def RegisterResourceOutputs(
        self, request: resource_pb2.RegisterResourceOutputsRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        self.outputs = json_format.MessageToDict(request.outputs)
        return empty_pb2.Empty()

    @override
    def SignalAndWaitForShutdown(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        return empty_pb2.Empty()


@contextmanager
def fake_pulumi() -> Iterator[FakePulumi]:
    """An engine and monitor that serve until the block is left."""
    pulumi = FakePulumi()
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    engine_pb2_grpc.add_EngineServicer_to_server(pulumi, server)
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(pulumi, server)
    pulumi.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield pulumi
    finally:
        server.stop(grace=None).wait()
