"""The relay carries bytes both ways, ends both sides, and survives a server that is not there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.machine import relay

_HERE = Path("/proc/self/ns/net")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextlib.asynccontextmanager
async def _relayed(target_port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    port = _free_port()
    serving = asyncio.create_task(relay.serve(port, _HERE, "127.0.0.1", target_port))
    try:
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0)
        yield reader, writer
        writer.close()
    finally:
        serving.cancel()


@pytest.fixture(autouse=True)
def _plain_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entering a namespace needs root; which namespace the socket is in is tested with real ones, end to end."""
    monkeypatch.setattr(relay, "socket_in", lambda _: socket.socket(socket.AF_INET, socket.SOCK_STREAM))


def test_bytes_go_both_ways_and_the_end_is_passed_on() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()

    async def talk() -> bytes:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server, _relayed(server.sockets[0].getsockname()[1]) as (reader, writer):
            writer.write(b"hello" * 100_000)
            writer.write_eof()
            return await reader.read()

    assert asyncio.run(asyncio.wait_for(talk(), 10)) == b"HELLO" * 100_000


def test_a_server_that_is_not_there_ends_the_connection() -> None:
    async def talk() -> bytes:
        async with _relayed(_free_port()) as (reader, _):
            return await reader.read()

    assert asyncio.run(asyncio.wait_for(talk(), 10)) == b""
