"""What stands between the engine and a policy pack, so that the pack can be told at its start which stack it judges.

Pulumi's library for packs reads the stack from the environment, and the engine tells it by a call to the pack that already runs.
So, as in Pulumi's own host, the engine talks to a server of the host: its first call starts the pack, which then answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import grpc
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import analyzer_pb2
from typing_extensions import override


class PolicyProxy(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Passes the engine's calls on to a pack that may not have started yet.

    Attributes:
        stack: the variables that tell the pack its stack, known at the engine's first call; none if there is no stack.
        pack: the way to the pack, once it serves.
    """

    def __init__(self) -> None:
        self.stack: Future[dict[str, str]] = Future()
        self.pack: Future[grpc.Channel] = Future()

    @contextmanager
    def served(self) -> Iterator[int]:
        """Serve the engine while the block runs, at the port that is returned."""
        server = grpc.server(ThreadPoolExecutor(max_workers=4), options=_GRPC_CHANNEL_OPTIONS)
        server.add_generic_rpc_handlers((self,))
        port: int = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            self.leave()
            server.stop(grace=None)

    def attach(self, port: int) -> None:
        """Pass calls on to the pack that serves at a port of this machine."""
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=_GRPC_CHANNEL_OPTIONS)
        with suppress(InvalidStateError):
            self.pack.set_result(channel)

    def leave(self) -> None:
        """End every wait: the engine, or the pack, is gone."""
        self.stack.cancel()
        self.pack.cancel()

    @override
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(partial(self._answer, handler_call_details.method))

    def _answer(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Answer a call, its messages as they go over the wire; the empty one is an answer in which nothing is set."""
        if method.endswith("/Handshake"):
            return b""
        with suppress(InvalidStateError):
            self.stack.set_result(_variables(request) if method.endswith("/ConfigureStack") else {})
        try:
            answer: bytes = self.pack.result().unary_unary(method)(request)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        except CancelledError:
            context.abort(
                grpc.StatusCode.UNAVAILABLE,
                "the policy pack judged nothing, because it ended before it could be asked: see its output above",
            )
        return answer


def _variables(request: bytes) -> dict[str, str]:
    stack = analyzer_pb2.AnalyzerStackConfigureRequest.FromString(request)
    variables = {
        "PULUMI_ORGANIZATION": stack.organization,
        "PULUMI_PROJECT": stack.project,
        "PULUMI_STACK": stack.stack,
        "PULUMI_DRY_RUN": json.dumps(stack.dry_run),
        "PULUMI_CONFIG": json.dumps(dict(stack.config)),
    }
    return {name: value for name, value in variables.items() if value}
