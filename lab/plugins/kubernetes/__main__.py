"""Serves the provider to the engine whose address is the last argument; leaves when the engine does."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent import futures
from typing import Final

import grpc
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2_grpc

from lab.plugins.kubernetes.server import KubernetesProvider

_THREADS: Final = 128  # the engine's calls may all wait at once
_GRACE_SECONDS: Final = 12.0  # for Helm to record that it was stopped
_LOOK_SECONDS: Final = 0.5


def main() -> None:
    """Prints the port, serves until SIGINT, SIGTERM or the engine's end, then stops what is under way and leaves quietly."""
    engine = os.getppid()
    address = sys.argv[-1] if len(sys.argv) > 1 else ""
    stopped, leaving = threading.Event(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: leaving.set())
    server = grpc.server(futures.ThreadPoolExecutor(_THREADS), options=_GRPC_CHANNEL_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(KubernetesProvider(address, stopped), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    while os.getppid() == engine and not leaving.wait(_LOOK_SECONDS):  # an engine that is killed says nothing
        pass
    stopped.set()
    server.stop(_GRACE_SECONDS).wait()


if __name__ == "__main__":
    main()
