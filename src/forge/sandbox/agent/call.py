"""One call to a guest's agent: a stream, its deadline, and the translation of its refusals.

A call waits for the guest at most its deadline. Only time spent waiting *for the guest* counts, so
a caller that takes its time with the output is not held against the machine. A guest cannot use
that to go on for ever: what may come once the deadline has passed by the clock is bounded, pieces
are never empty, and messages beside the last are few. Leaving a call gives its stream up, which
makes the guest end what it was doing.

Some calls last as long as a program in the machine pleases (`lasting`): they wait without end, and
the connection asks the machine now and then whether it is still there.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol, TypeVar

from forge.errors import ForgeError, SandboxError, SandboxStopped
from forge.sandbox.agent import answers
from forge.sandbox.agent.clipping import Clipped
from forge.sandbox.output import Output, Sink, StreamName
from forge.tasks import together
from forge_guest.wire.channel import CHUNK, ChannelClosed, Stream, StreamReset
from forge_guest.wire.session import Data, Message

_MAX_LATE = 4 * 1024 * 1024  # a window and two full pipes, of at most a mebibyte each, with room
_MAX_MESSAGES = 16  # beside the last; no verb sends more than one

_STREAMS: dict[int, StreamName] = {1: "stdout", 2: "stderr"}
_DISPLAY = 3
_LISTING = 1

_A = TypeVar("_A")
_T = TypeVar("_T")


class Line(Protocol):
    """What a call needs to know of its connection."""

    max_output: int
    """How many bytes one call may show; 0: no limit."""

    async def open(self, request: dict[str, Any], *, fin: bool) -> Stream:
        """Open a stream; raises the error to show where that cannot be done."""

    def lasting(self) -> contextlib.AbstractContextManager[None]:
        """While the block runs, find out by asking whether the machine still answers."""

    def gone(self) -> SandboxError:
        """The connection ended: the error to raise."""

    def overdue(self, verb: str, deadline_s: float) -> SandboxError:
        """The guest did not answer in time: the error to raise."""

    def violated(self, why: str) -> SandboxError:
        """The guest lied: the error to raise."""

    def refused(self, reset: StreamReset) -> ForgeError:
        """The guest gave the call up: the error to raise."""


class Call:
    """One stream to a guest's agent; a context manager.

    Args:
        line: the connection.
        request: with its `verb`.
        deadline_s: how long to wait for the guest, in all.
        fin: nothing follows the request.
        stall: the deadline starts anew with every piece that is moved; for files, which may take
            long as long as they move.
    """

    def __init__(
        self,
        line: Line,
        request: dict[str, Any],
        deadline_s: float,
        *,
        fin: bool = False,
        stall: bool = False,
    ) -> None:
        self._line = line
        self._request = request
        self._deadline_s = deadline_s
        self._left_s: float | None = deadline_s
        self._messages = 0
        self._closed = False
        self._fin = fin
        self._stall = stall
        self._stream: Stream | None = None
        self._late = _Late(deadline_s)
        self.dropped = 0

    async def __aenter__(self) -> "Call":
        self._stream = await self._within(self._line.open(self._request, fin=self._fin))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the stream up where it is not over; calling it again does nothing."""
        self._closed = True
        # Where both sides have finished this does nothing. A guest that finished before us takes
        # no more of what we send, and learns here that nothing more will come.
        if self._stream is not None:
            self._stream.reset("cancelled", "the host gave up")

    @contextlib.contextmanager
    def lasting(self) -> Iterator[None]:
        """From here on, wait for the guest without end, as long as the machine answers."""
        self._left_s = None
        with self._line.lasting():
            yield

    @contextlib.asynccontextmanager
    async def feeding(self, data: bytes | AsyncIterator[bytes]) -> AsyncIterator[None]:
        """Send `data` and finish while the block receives: a guest need not take all of it."""
        async with together() as tasks:
            feeder = tasks.create_task(self._feed(data))
            yield
            feeder.cancel()

    async def _feed(self, data: bytes | AsyncIterator[bytes]) -> None:
        assert self._stream is not None
        # Whoever receives learns of the stream's end too, and says so.
        with contextlib.suppress(StreamReset, ChannelClosed):
            if isinstance(data, bytes):
                await self._stream.send(0, data, fin=True)
                return
            async for piece in data:
                await self._stream.send(0, piece)
            await self._stream.finish()

    async def send_piece(self, data: bytes) -> None:
        """Send some bytes; the guest must take them within the deadline."""
        assert self._stream is not None
        for start in range(0, len(data), CHUNK):
            await self._within(self._stream.send(0, data[start : start + CHUNK]))
            self._moved()

    async def finish(self) -> None:
        """Say that nothing more will be sent."""
        assert self._stream is not None
        await self._within(self._stream.finish())

    async def item(self) -> Data | Message:
        """The next thing the guest sends; whoever is cancelled here has lost nothing."""
        assert self._stream is not None
        item = await self._within(self._stream.receive())
        if item is None:
            raise self._line.violated("an answer without its last message")
        if isinstance(item, Data):
            if not item.data:
                raise self._line.violated("an empty piece")
            self._moved()
        else:
            self._messages += 1
        if self._messages > _MAX_MESSAGES:
            raise self._line.violated("messages without end")
        if not self._stall and self._left_s is not None and self._late.after(item):
            raise self._line.overdue(self._request["verb"], self._deadline_s)
        return item

    async def items(self) -> AsyncGenerator[Data | Message, None]:
        """What the guest sends; a message is the last, and always there."""
        while True:
            item = await self.item()
            yield item
            if isinstance(item, Message) and item.fin:
                return

    async def first(self) -> dict[str, Any]:
        """The first message of an answer, which does not end it."""
        item = await self.item()
        if not isinstance(item, Message) or item.fin:
            raise self._line.violated("an answer without its first message")
        return item.value

    async def listing(self) -> bytes:
        """An answer that is a listing, up to its last message."""
        listing = bytearray()
        async with contextlib.aclosing(self.items()) as items:
            async for item in items:
                if isinstance(item, Data):
                    listing += item.data
                    if len(listing) > answers.MAX_LISTING or item.lane != _LISTING:
                        raise self._line.violated("a listing without end, or that is none")
        return bytes(listing)

    async def final(self) -> dict[str, Any]:
        """The last message."""
        value: dict[str, Any] = {}
        async with contextlib.aclosing(self.items()) as items:
            async for item in items:
                value = item.value if isinstance(item, Message) else value
        return value

    async def follow(self, sink: Sink, records: answers.Records | None = None) -> dict[str, Any]:
        """Pass output on to a sink until the last message; displays only into `records`.

        What is over the line's limit is dropped with a mark, and counted in `dropped`.
        """
        final: dict[str, Any] = {}
        clipped = Clipped(sink, self._line.max_output)
        async with contextlib.aclosing(self.items()) as items:
            async for item in items:
                if isinstance(item, Message):
                    final = item.value
                elif item.lane in _STREAMS:
                    await clipped(Output(_STREAMS[item.lane], item.data))
                elif item.lane == _DISPLAY and records is not None:
                    for display in self.checked(records.feed, item.data):
                        await clipped(display)
                else:
                    raise self._line.violated(f"output on lane {item.lane}")
        await clipped.finish()
        self.dropped = clipped.dropped
        return final

    def checked(self, parse: Callable[[_A], _T], answer: _A) -> _T:
        """What `parse` makes of an answer; one that is malformed ends the machine."""
        try:
            return parse(answer)
        except answers.Malformed as error:
            raise self._line.violated(str(error)) from error

    def _moved(self) -> None:
        if self._stall:
            self._left_s = self._deadline_s

    async def _within(self, waiting: Awaitable[_T]) -> _T:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self._left_s):
                return await waiting
        except TimeoutError as error:
            raise self._line.overdue(self._request["verb"], self._deadline_s) from error
        except StreamReset as reset:
            raise self._line.refused(reset) from None
        except ChannelClosed as error:
            if self._closed:
                raise SandboxStopped("this end of the call was closed") from None
            raise self._line.gone() from error
        finally:
            if self._left_s is not None:
                self._left_s -= loop.time() - started


class _Late:
    """Counts what comes after the deadline by the clock, however long the caller took."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._ends: float | None = None
        self._taken = 0

    def after(self, item: Data | Message) -> bool:
        """Take one item; whether it is more than may still be under way."""
        now = asyncio.get_running_loop().time()
        if self._ends is None:
            self._ends = now + self._deadline_s
        if now > self._ends:
            self._taken += item.cost
        return self._taken > _MAX_LATE
