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
from rollout.cluster.exec import STATUS, STDOUT, ExecStream, open_exec

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


class Burst:
    """A connection whose last frames are there all at once: a command's output, how it ended, and the end of the connection."""

    connected = True
    subprotocol = "v4.channel.k8s.io"

    def __init__(self, readable: socket.socket) -> None:
        self.sock = readable
        self._frames = [
            (ABNF.OPCODE_BINARY, bytes([STDOUT]) + b"line\n"),
            (ABNF.OPCODE_BINARY, bytes([STATUS]) + b"{}"),
            (ABNF.OPCODE_CLOSE, b""),
        ]

    def recv_data_frame(self, _control: bool) -> tuple[int, SimpleNamespace]:
        opcode, data = self._frames.pop(0)
        return opcode, SimpleNamespace(data=data)


@pytest.fixture
def readable() -> Iterator[socket.socket]:
    near, far = socket.socketpair()
    with near, far:
        far.send(b"always readable")
        yield near


def opened_on(connection: Flood | Burst, monkeypatch: pytest.MonkeyPatch) -> ExecStream:
    monkeypatch.setattr("kubernetes.stream.ws_client.create_websocket", lambda *_: connection)
    monkeypatch.setattr(exec_, "stream", lambda *_, **__: _CLIENT(None, "", {}, capture_all=True, binary=True))
    return open_exec(client.CoreV1Api(), "a/b", "c", ["d"], stdin=False, timeout_seconds=1)


def test_a_sender_that_never_pauses_does_not_hold_its_reader(
    readable: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = opened_on(Flood(readable), monkeypatch)

    opened.update(timeout=0)

    assert opened.read_channel(STDOUT) == b"line\n"


def test_what_came_last_is_read_where_its_sender_has_gone(
    readable: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = opened_on(Burst(readable), monkeypatch)
    updates = 0
    while opened.is_open():
        opened.update(timeout=0)
        updates += 1

    assert updates == 3
    assert (opened.read_channel(STDOUT), opened.read_channel(STATUS)) == (b"line\n", b"{}")


def test_what_was_read_is_kept_nowhere_else(readable: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bytes] = []
    monkeypatch.setattr("kubernetes.stream.ws_client.BytesIO", lambda: SimpleNamespace(write=taken.append))

    opened_on(Flood(readable), monkeypatch).update(timeout=0)

    assert not taken
