"""Two pipes as one byte transport: a worker's standard input and output, seen from either end."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

_READ = 64 * 1024


class PipesTransport:
    """A reader and a writer of asyncio as a `forge_guest.wire.channel.ByteTransport`.

    Closing ends the writing alone; whoever owns the task that reads cancels it.

    Args:
        reader: where bytes come from.
        writer: where they go; closed by `close`.
        already: bytes that were read from `reader` before.
        at_end: awaited before the end is told, so that its reason can be known by then.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        already: bytes = b"",
        at_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._already = already
        self._at_end = at_end

    async def read(self) -> bytes:
        """Some bytes; b'' once the other side has gone."""
        data, self._already = self._already, b""
        if data:
            return data
        with contextlib.suppress(ConnectionError):
            data = await self._reader.read(_READ)
        if not data and self._at_end is not None:
            await self._at_end()
        return data

    def write(self, data: bytes) -> None:
        """Queue bytes to be sent; after the end, nothing is."""
        if data and not self._writer.is_closing():
            self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the queue is short."""
        # The reader learns of the end, and says so.
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    def close(self) -> None:
        """End the writing; calling it again does nothing."""
        self._writer.close()
