"""A proxy that loses answers: real TCP between a client and a server, cut after so many bytes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

Leave = Callable[[int], int | None]
"""How many bytes of the answer the connection of this number (from 0) passes on before it is cut;
None for all of them."""


class Proxy:
    """Where it listens, and how many connections came and were cut."""

    def __init__(self, port: int, leave: Leave) -> None:
        self._port, self._leave = port, leave
        self.carrying: set[asyncio.Task[None]] = set()
        self.url = ""
        self.came = self.cut = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either end has gone or it is cut."""
        task = asyncio.current_task()
        assert task is not None
        self.carrying.add(task)
        left, self.came = self._leave(self.came), self.came + 1
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            asking = asyncio.ensure_future(_pump(reader, back))
            with suppress(OSError, asyncio.CancelledError):
                if await _pump(there, writer, left):
                    self.cut += 1
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
        finally:
            for each in (writer, back):
                each.transport.abort()
                with suppress(OSError):
                    await each.wait_closed()
            self.carrying.discard(task)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None = None
) -> bool:
    """Pass bytes on; returns whether there were more than were to be."""
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece[:left])
            await writer.drain()
            if left is not None:
                left -= len(piece)
                if left <= 0:
                    return True
    return False


@asynccontextmanager
async def losing(port: int, leave: Leave) -> AsyncIterator[Proxy]:
    """A proxy to a port of this computer until the block is left."""
    proxy = Proxy(port, leave)
    server = await asyncio.start_server(proxy.carry, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        while proxy.carrying:
            for task in proxy.carrying:
                task.cancel()
            await asyncio.wait(tuple(proxy.carrying))
