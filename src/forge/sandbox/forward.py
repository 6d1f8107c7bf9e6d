"""A port of this host's loopback that leads to a port in a machine.

    client ─▶ 127.0.0.1:host_port ─▶ a stream of the agent's line ─▶ 127.0.0.1:port in the machine

Bytes pass as they are, and each direction ends by itself, so HTTP, WebSocket and any other protocol
over TCP works. Each side waits for the other: a program that floods its client is held back, not
kept in memory. A client whose port does not answer is cut off; a machine that has gone cuts off all
of them. Every connection takes one of the machine's streams, so there is a limit to them.

Leaving `forward` closes the port and every connection.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

from forge.errors import SandboxError
from forge.sandbox.base import Sandbox
from forge.sandbox.ports import PortConnection

MAX_CONNECTIONS = 128
"""At once and for each forwarded port: half of the machine's streams; more are cut off."""

_HOST = "127.0.0.1"
_PIECE = 64 * 1024
_CUT_OFF = struct.pack("ii", 1, 0)  # a socket that is closed with this resets its connection


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A port of this host that leads to one in a machine."""

    host: str
    host_port: int
    port: int


@contextlib.asynccontextmanager
async def forward(sandbox: Sandbox, port: int, host_port: int = 0) -> AsyncIterator[Forwarded]:
    """Forward a port of this host, on its loopback alone, into a machine; 0 chooses a free one.

    Nothing need listen in the machine yet.

    Raises:
        OSError: the port of this host is taken, or may not be used.
    """
    async with asyncio.TaskGroup() as tasks:
        relays: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(relays) >= MAX_CONNECTIONS:
                _cut_off(writer)
                return
            relay = tasks.create_task(_relay(sandbox, port, reader, writer))
            relays.add(relay)
            relay.add_done_callback(relays.discard)

        server = await asyncio.start_server(accept, _HOST, host_port, limit=_PIECE)
        try:
            yield Forwarded(_HOST, server.sockets[0].getsockname()[1], port)
        finally:
            server.close()
            for relay in relays:
                relay.cancel()


async def _relay(
    sandbox: Sandbox, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Be one client's connection, to its end."""
    try:
        connection = await sandbox.ports.connect(port)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_inward(reader, connection))
                tasks.create_task(_outward(connection, writer))
        finally:
            connection.close()
        writer.close()
    except* (SandboxError, OSError):
        # Either side broke it off, and the other learns that the same way.
        _cut_off(writer)
    finally:
        if not writer.is_closing():
            writer.transport.abort()


async def _inward(reader: asyncio.StreamReader, connection: PortConnection) -> None:
    while data := await reader.read(_PIECE):
        await connection.write(data)
    await connection.finish()


async def _outward(connection: PortConnection, writer: asyncio.StreamWriter) -> None:
    while data := await connection.read():
        writer.write(data)
        await writer.drain()
    writer.write_eof()


def _cut_off(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CUT_OFF)
    writer.transport.abort()
