"""A relay from the machine's loopback address into a lab's network namespace, one process a region.

Run as `python -m lab.machine.relay PORT NAMESPACE HOST TARGET_PORT`. It listens on 127.0.0.1:PORT of the machine and makes each onward
connection from a socket that lives in the namespace, so that kubectl, Pulumi and browsers reach a region's API server although no route
leads there.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from lab.machine.namespaces import socket_in


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except ConnectionError:
        writer.close()


async def serve(port: int, namespace: Path, host: str, target_port: int) -> None:
    """Relay until cancelled.

    Raises:
        OSError: the port is taken.
    """
    loop = asyncio.get_running_loop()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward = socket_in(namespace)
        onward.setblocking(False)
        try:
            await loop.sock_connect(onward, (host, target_port))
        except OSError:
            onward.close()
            writer.close()
            return
        target_reader, target_writer = await asyncio.open_connection(sock=onward)
        try:
            await asyncio.gather(_copy(reader, target_writer), _copy(target_reader, writer))
        finally:
            target_writer.close()
            writer.close()

    server = await asyncio.start_server(relay, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
