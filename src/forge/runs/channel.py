"""Records on their way from the driver to the one who watches the run.

The driver's side never loses a record and, once the run is ending, never waits: `publish` only
puts it down, and `room` is where the driver waits while the reader is far behind, which in turn
makes the guest wait. A reader who leaves lets the driver go on alone; the ledger has it all.
"""

import asyncio
from collections import deque

from forge.errors import ForgeError
from forge.events import Record

FAR_BEHIND = 256
"""How many records may wait for a reader before the run waits too."""


class Channel:
    """Holds the records that were not read yet. It is not bound to any task."""

    def __init__(self) -> None:
        self._waiting: deque[Record] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._left = False
        self._over = False
        self._error: ForgeError | None = None

    def publish(self, record: Record) -> None:
        """Put a record down for the reader."""
        if self._left:
            return
        self._waiting.append(record)
        self._news.set()
        if len(self._waiting) >= FAR_BEHIND:
            self._room.clear()

    async def room(self) -> None:
        """Wait while the reader is far behind; not at all if it has left."""
        await self._room.wait()

    def close(self, error: ForgeError | None = None) -> None:
        """No more records follow; the reader is told of `error` after the last one. Only the first
        call counts.
        """
        if self._over:
            return
        self._over, self._error = True, error
        self._news.set()

    def leave(self) -> None:
        """The reader goes; what is not read is dropped."""
        self._left = True
        self._waiting.clear()
        self._room.set()

    def __aiter__(self) -> "Channel":
        return self

    async def __anext__(self) -> Record:
        while not self._waiting:
            if self._over:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        record = self._waiting.popleft()
        if len(self._waiting) < FAR_BEHIND // 2:
            self._room.set()
        return record
