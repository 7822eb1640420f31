"""The engine's side of the protocol: requests in plain Python, answers in plain Python, and what the provider logged."""

from __future__ import annotations

import dataclasses
import threading
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import empty_pb2
from google.rpc import status_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc

from lab.plugins.kubernetes import values
from lab.plugins.kubernetes.server import KubernetesProvider

SERVICE_ACCOUNT = "kubernetes:core/v1:ServiceAccount"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
RELEASE = "kubernetes:helm.sh/v3:Release"


@dataclasses.dataclass(frozen=True)
class InitFailure:
    """A partial failure as the engine gets it."""

    identity: str
    state: dict[str, Any]
    reasons: list[str]
    inputs: dict[str, Any]


def urn(token: str, name: str) -> str:
    """The name that the engine gives a resource."""
    return f"urn:pulumi:dev::project::{token}::{name}"


class Engine(engine_pb2_grpc.EngineServicer):
    """A real gRPC server of the provider, a client of it, and the service that it logs to."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.passing: list[str] = []
        self.stopped = threading.Event()
        self._own, self._provider = (grpc.server(futures.ThreadPoolExecutor(8)) for _ in range(2))
        engine_pb2_grpc.add_EngineServicer_to_server(self, self._own)
        address = f"127.0.0.1:{self._own.add_insecure_port('127.0.0.1:0')}"
        self._own.start()
        provider = KubernetesProvider(address, self.stopped)
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, self._provider)
        port = self._provider.add_insecure_port("127.0.0.1:0")
        self._provider.start()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.provider = provider_pb2_grpc.ResourceProviderStub(self._channel)

    def stop(self) -> None:
        """Stops both servers."""
        self._channel.close()
        self._provider.stop(0).wait()
        self._own.stop(0).wait()

    def Log(self, request: engine_pb2.LogRequest, _context: Any) -> empty_pb2.Empty:  # noqa: N802
        """Keeps what the provider says."""
        (self.passing if request.ephemeral else self.messages).append(request.message)
        return empty_pb2.Empty()

    def configure(self, **settings: Any) -> Any:
        """`Configure`."""
        return self.provider.Configure(provider_pb2.ConfigureRequest(args=values.encode(settings), acceptSecrets=True))

    def check(self, token: str, news: Any, olds: Any = None, **more: Any) -> Any:
        """`Check` of a resource named `r`; returns inputs, or the failures' reasons as a list."""
        request = provider_pb2.CheckRequest(
            urn=urn(token, "r"), news=values.encode(news), olds=values.encode(olds or {}), **more
        )
        answer = self.provider.Check(request)
        return [failure.reason for failure in answer.failures] or values.decode(answer.inputs)

    def diff(self, token: str, state: Any, news: Any, ignore: tuple[str, ...] = ()) -> Any:
        """`Diff`."""
        olds, new = values.encode(state), values.encode(news)
        return self.provider.Diff(
            provider_pb2.DiffRequest(urn=urn(token, "r"), olds=olds, news=new, ignoreChanges=ignore)
        )

    def create(self, token: str, news: Any, *, preview: bool = False, timeout: float = 0) -> tuple[str, dict[str, Any]]:
        """`Create`; returns id and state."""
        request = provider_pb2.CreateRequest(
            urn=urn(token, "r"), properties=values.encode(news), preview=preview, timeout=timeout
        )
        answer = self.provider.Create(request)
        return answer.id, values.decode(answer.properties)

    def update(self, token: str, state: Any, news: Any, *, preview: bool = False, ignore: tuple[str, ...] = ()) -> Any:
        """`Update`; returns the new state."""
        request = provider_pb2.UpdateRequest(
            urn=urn(token, "r"),
            olds=values.encode(state),
            news=values.encode(news),
            preview=preview,
            ignoreChanges=ignore,
        )
        return values.decode(self.provider.Update(request).properties)

    def read(self, token: str, identity: str, state: Any = None, inputs: Any = None) -> Any:
        """`Read`; returns state and inputs, None if it is gone."""
        request = provider_pb2.ReadRequest(
            urn=urn(token, "r"), id=identity, properties=values.encode(state or {}), inputs=values.encode(inputs or {})
        )
        answer = self.provider.Read(request)
        return (values.decode(answer.properties), values.decode(answer.inputs)) if answer.id else None

    def delete(self, token: str, identity: str, state: Any, timeout: float = 0) -> None:
        """`Delete`."""
        request = provider_pb2.DeleteRequest(
            urn=urn(token, "r"), id=identity, properties=values.encode(state), timeout=timeout
        )
        self.provider.Delete(request)


def init_failure(error: grpc.RpcError) -> InitFailure:
    """The detail of a partial failure."""
    packed = next(value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin")
    detail = provider_pb2.ErrorResourceInitFailed()
    assert status_pb2.Status.FromString(packed).details[0].Unpack(detail)
    return InitFailure(detail.id, values.decode(detail.properties), list(detail.reasons), values.decode(detail.inputs))
