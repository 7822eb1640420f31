"""What stands between the engine and a policy pack, so that the pack can be told at its start which stack it judges.

Pulumi's library for packs reads the stack's name and configuration from the environment, and the engine tells them by a call to the pack
that already runs. So, as in Pulumi's own host, the engine talks to a server of the host: that call starts the pack, and every
other one is passed on to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import grpc
from pulumi.runtime.proto import analyzer_pb2
from typing_extensions import override

SERVICE = "/pulumirpc.Analyzer/"
_LARGEST_MESSAGE = 400 * 1024 * 1024
"""Bytes; as in Pulumi's own gRPC settings."""
_OPTIONS = [("grpc.max_receive_message_length", _LARGEST_MESSAGE)]
_GONE = "the policy pack ended before it could be asked: see its output above"


class PolicyProxy(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers the engine in the place of a policy pack, which may not have started yet. Safe to use from several threads."""

    def __init__(self) -> None:
        self._stack: Future[bytes | None] = Future()
        self._pack: Future[grpc.Channel] = Future()

    @contextmanager
    def served(self) -> Iterator[int]:
        """Serve the engine while the block runs, at the port that is returned."""
        server = grpc.server(ThreadPoolExecutor(max_workers=4), options=_OPTIONS)
        server.add_generic_rpc_handlers((self,))
        port: int = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            self.leave()
            server.stop(grace=None)

    def stack_environment(self) -> dict[str, str]:
        """Wait until the engine tells which stack is judged, and return it as the variables that a pack looks for.

        None are set where the engine asks for something else first: it does when there is no stack, as in `policy publish`.

        Raises:
            concurrent.futures.CancelledError: the engine went away.
        """
        told = self._stack.result()
        if told is None:
            return {}
        stack = analyzer_pb2.AnalyzerStackConfigureRequest.FromString(told)
        variables = {
            "PULUMI_ORGANIZATION": stack.organization,
            "PULUMI_PROJECT": stack.project,
            "PULUMI_STACK": stack.stack,
            "PULUMI_DRY_RUN": json.dumps(stack.dry_run),
            "PULUMI_CONFIG": json.dumps(dict(stack.config)),
        }
        return {name: value for name, value in variables.items() if value}

    def attach(self, port: int) -> None:
        """Pass the engine's calls on to the pack that serves at a port of this machine.

        Raises:
            concurrent.futures.InvalidStateError: the engine went away.
        """
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS)
        told = self._stack.result()
        if told is not None:
            # a pack made with an old library does not know the call
            with suppress(grpc.RpcError):
                channel.unary_unary(f"{SERVICE}ConfigureStack")(told)
        self._pack.set_result(channel)

    def leave(self) -> None:
        """End every wait: the engine, or the pack, is gone."""
        self._stack.cancel()
        if not self._pack.cancel():
            self._pack.result().close()

    @override
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(partial(self._answer, handler_call_details.method))

    def _answer(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Answer a call, its messages as they go over the wire; the empty one is an answer in which nothing is set."""
        if method == f"{SERVICE}Handshake":
            return b""
        if method == f"{SERVICE}ConfigureStack":
            self._tell(request)
            return b""
        self._tell(None)
        try:
            answer: bytes = self._pack.result().unary_unary(method)(request)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        except CancelledError:
            context.abort(grpc.StatusCode.UNAVAILABLE, _GONE)
        return answer

    def _tell(self, stack: bytes | None) -> None:
        # the first call decides
        with suppress(InvalidStateError):
            self._stack.set_result(stack)
