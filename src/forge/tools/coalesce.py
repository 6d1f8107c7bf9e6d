"""Many small pieces of text become few larger ones, without waiting long or changing their order.

A model's words and a program's output arrive in pieces of a few bytes; each event of a run is made
durable, so each must be worth it. Pieces of one kind (one `key`) are gathered until the kind
changes, the text is long enough, or the first of them is `delay_s` old. A task group inside owns
the timer; leaving the context hands over what is left.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from types import TracebackType
from typing import Generic, Self, TypeVar

from forge.clock import Clock

K = TypeVar("K", bound=Hashable)


class Coalescer(Generic[K]):
    """Gathers text and hands it to `emit` in the order it came.

    Args:
        emit: takes a kind and its gathered text; `add` waits while it is busy.
        clock: what measures `delay_s`.
        delay_s: how long, in seconds, a piece may wait for company.
        size: how many characters are enough to hand over at once.
    """

    def __init__(
        self,
        emit: Callable[[K, str], Awaitable[None]],
        clock: Clock,
        *,
        delay_s: float,
        size: int = 32_768,
    ) -> None:
        self._emit = emit
        self._clock = clock
        self._delay_s = delay_s
        self._size = size
        self._key: K | None = None
        self._pieces: list[str] = []
        self._length = 0
        self._busy = asyncio.Lock()
        self._waiting = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._timer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._timer = self._group.create_task(self._watch())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not isinstance(error, asyncio.CancelledError):
                await self.flush()
        finally:
            assert self._timer is not None
            self._timer.cancel()
            await self._group.__aexit__(None, None, None)

    async def add(self, key: K, text: str) -> None:
        """Take a piece; empty ones change nothing."""
        if not text:
            return
        async with self._busy:
            if self._pieces and key != self._key:
                await self._hand_over()
            self._key = key
            self._pieces.append(text)
            self._length += len(text)
            if self._length >= self._size:
                await self._hand_over()
            else:
                self._waiting.set()

    async def flush(self) -> None:
        """Hand over what is gathered now, so that something else may come after it."""
        async with self._busy:
            await self._hand_over()

    async def _hand_over(self) -> None:
        if not self._pieces:
            return
        text, key = "".join(self._pieces), self._key
        self._pieces, self._length = [], 0
        self._waiting.clear()
        assert key is not None
        await self._emit(key, text)

    async def _watch(self) -> None:
        while True:
            await self._waiting.wait()
            await self._clock.sleep(self._delay_s)
            await self.flush()
