"""Two pipes as one byte transport: a worker's standard input and output, seen from either end."""

from collections.abc import Awaitable, Callable

from forge_guest.wire.transport import FdTransport


class PipesTransport(FdTransport):
    """A line that may have been read before, and whose end takes a moment to be understood.

    Args:
        reading: where bytes come from; closed by `close`.
        writing: where they go; closed by `close`.
        at_end: awaited before the end is told, so that its reason can be known by then.
    """

    def __init__(
        self, reading: int, writing: int, at_end: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        super().__init__(reading, writing)
        self._unread = b""
        self._at_end = at_end

    def unread(self, data: bytes) -> None:
        """Give back what was read too much."""
        self._unread = data

    async def read(self) -> bytes:
        """Some bytes; b'' once the other side has gone."""
        data, self._unread = self._unread, b""
        data = data or await super().read()
        if not data and self._at_end is not None:
            await self._at_end()
        return data
