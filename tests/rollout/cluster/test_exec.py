from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client
from kubernetes.stream.ws_client import WSClient
from websocket import ABNF

from rollout.cluster import exec as exec_
from rollout.cluster.exec import STDOUT, open_exec

_FEW = 5
_CLIENT: Callable[..., Any] = WSClient


class Flood:
    """A connection that always has one frame more."""

    connected = True
    subprotocol = "v4.channel.k8s.io"

    def __init__(self, readable: socket.socket) -> None:
        self.sock = readable
        self.frames = 0

    def recv_data_frame(self, _control: bool) -> tuple[int, SimpleNamespace]:
        self.frames += 1
        assert self.frames <= _FEW, "it reads on and on"
        return ABNF.OPCODE_BINARY, SimpleNamespace(data=bytes([STDOUT]) + b"line\n")


@pytest.fixture
def flood() -> Iterator[Flood]:
    near, far = socket.socketpair()
    with near, far:
        far.send(b"always readable")
        yield Flood(near)


def test_a_sender_that_never_pauses_does_not_hold_its_reader(flood: Flood, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubernetes.stream.ws_client.create_websocket", lambda *_: flood)
    monkeypatch.setattr(exec_, "stream", lambda *_, **__: _CLIENT(None, "", {}, capture_all=True, binary=True))
    opened = open_exec(client.CoreV1Api(), "a/b", "c", ["d"], stdin=False, timeout_seconds=1)

    opened.update(timeout=0)

    assert opened.read_channel(STDOUT) == b"line\n"
