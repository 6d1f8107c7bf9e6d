"""A server on a Unix socket that answers as a test says: real connections, every one closed."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

Handler = Callable[[socket.socket], Awaitable[None]]
"""Has one connection, non-blocking; it is closed when this returns."""


@contextlib.asynccontextmanager
async def answering(path: Path, handler: Handler) -> AsyncIterator[None]:
    """Serve every connection to `path` while inside; leaving ends those that still go on."""
    loop = asyncio.get_running_loop()

    async def one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionError):
            await handler(connection)

    async def accept(listener: socket.socket, tasks: asyncio.TaskGroup) -> None:
        while True:
            connection, _ = await loop.sock_accept(listener)
            connection.setblocking(False)
            tasks.create_task(one(connection))

    async def serve(listener: socket.socket) -> None:
        async with asyncio.TaskGroup() as tasks:
            await accept(listener, tasks)

    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)
        listener.listen(8)
        listener.setblocking(False)
        async with asyncio.TaskGroup() as around:
            serving = around.create_task(serve(listener))
            await asyncio.sleep(0)
            yield
            serving.cancel()
