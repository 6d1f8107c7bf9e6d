"""The wire in asyncio: a `Channel` owns one connection, a `Stream` one conversation on it.

The channel's `run` is the one task that reads. Sending waits for credit; receiving grants it. A
channel that ends, for whatever reason, ends every stream with `ChannelClosed`.
"""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Protocol

from forge_guest.wire.frames import HEADER, MAX_PAYLOAD, WireError
from forge_guest.wire.greeting import NONCE_BYTES, Greeting
from forge_guest.wire.session import (
    LARGEST_DATA,
    Credited,
    Data,
    Greeted,
    Happening,
    Message,
    Opened,
    Reset,
    Session,
)

CHUNK = LARGEST_DATA - HEADER.size
"""Bytes of data sent in one frame: with its header two pieces of what a serial port takes at once,
large enough to be cheap, small enough to share the line."""


class ChannelClosed(Exception):
    """The connection is over; what was asked may or may not have happened."""


class StreamReset(Exception):
    """The other side gave this stream up."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class ByteTransport(Protocol):
    """A reliable, ordered stream of bytes in both directions."""

    async def read(self) -> bytes:
        """Some bytes; b'' at the end."""

    def write(self, data: bytes) -> None:
        """Queue bytes to be sent."""

    def discard(self) -> None:
        """Drop what is queued and was not sent."""

    async def drain(self) -> None:
        """Wait until the queue is short."""

    def close(self) -> None:
        """End the connection; calling it again does nothing."""


class Stream:
    """One conversation. Exactly one task receives; any may send."""

    def __init__(self, channel: "Channel", number: int, request: dict[str, Any]) -> None:
        self.number = number
        self.request = request
        self._channel = channel
        self._inbox: deque[Data | Message] = deque()
        self._ended: Exception | None = None
        self._finished = False
        self._arrived = asyncio.Event()
        self._credited = asyncio.Event()
        self._over = asyncio.Event()
        self._call: Callable[[], None] | None = None

    async def send(self, lane: int, data: bytes, *, fin: bool = False) -> None:
        """Send bytes on a lane, waiting for credit; `fin` ends this direction with the last.

        Raises:
            StreamReset, ChannelClosed: the stream is over.
        """
        for start in range(0, max(len(data), fin), CHUNK):
            piece = data[start : start + CHUNK]
            await self._wait_credit(len(piece) + 1)
            last = fin and start + CHUNK >= len(data)
            frame = self._channel.session.data(self.number, lane, piece, fin=last)
            self._channel.retire(self)
            await self._channel.put(frame)

    async def message(self, value: dict[str, Any], *, fin: bool = False) -> None:
        """Send a JSON object, waiting for credit; `fin` ends this direction.

        Raises:
            ValueError: it is larger than a frame.
            StreamReset, ChannelClosed: the stream is over.
        """
        # A message's size is known only once encoded; a whole frame's credit always suffices.
        await self._wait_credit(MAX_PAYLOAD)
        frame = self._channel.session.message(self.number, value, fin=fin)
        self._channel.retire(self)
        await self._channel.put(frame)

    async def finish(self) -> None:
        """End this direction without a message."""
        await self.send(0, b"", fin=True)

    async def receive(self) -> Data | Message | None:
        """The next happening on this stream; None once the other side has finished.

        Raises:
            StreamReset, ChannelClosed: the stream is over.
        """
        while (item := self.arrived()) is None:
            if self._ended is not None:
                raise self._ended
            if self._finished:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        # Nothing was awaited since: a receiver that is cancelled has lost nothing.
        return item

    def arrived(self) -> Data | Message | None:
        """The next happening that is here already, or None; for whoever cannot wait."""
        if not self._inbox:
            return None
        item = self._inbox.popleft()
        self._channel.grant(self, item.cost)
        return item

    async def given_up(self) -> NoReturn:
        """Wait until the stream is over before its time, and raise why.

        Raises:
            StreamReset, ChannelClosed: the stream is over.
        """
        while self._ended is None:
            self._over.clear()
            await self._over.wait()
        raise self._ended

    def check(self) -> None:
        """Raise why the stream is over before its time, if it is.

        Raises:
            StreamReset, ChannelClosed: the stream is over.
        """
        if self._ended is not None:
            raise self._ended

    @contextlib.contextmanager
    def calling(self, tell: Callable[[], None]) -> Iterator[None]:
        """While the block runs, have `tell` called when the stream is over before its time; for
        whoever waits for something else, and then asks `check`. It costs no task.
        """
        self._call = tell
        try:
            yield
        finally:
            self._call = None

    def reset(self, code: str, message: str) -> None:
        """Give the stream up; nothing more arrives on it. Where it is over, this does nothing."""
        if self._ended is None:
            self._channel.give_up(self, code, message)
            self._inbox.clear()
            self.end(ChannelClosed("this end gave the stream up"))

    async def _wait_credit(self, size: int) -> None:
        while True:
            if self._ended is not None:
                raise self._ended
            if not self._channel.may_send(self):
                raise ChannelClosed("this end of the stream has finished")
            if self._channel.session.credit(self.number) >= size:
                return
            self._credited.clear()
            await self._credited.wait()

    def deliver(self, happening: Data | Message | Credited) -> None:
        """Take what the channel read for this stream."""
        if isinstance(happening, Credited):
            self._credited.set()
            return
        if not (isinstance(happening, Data) and happening.fin and not happening.data):
            self._inbox.append(happening)
        self._finished = self._finished or happening.fin
        self._arrived.set()

    def end(self, error: Exception) -> None:
        """Say that nothing more will come; what arrived before is still received."""
        self._ended = self._ended or error
        self._arrived.set()
        self._credited.set()
        self._over.set()
        if self._call is not None:
            self._call()


class Channel:
    """One connection, owned by the task that runs `run`.

    Args:
        transport: the bytes; closed when the channel ends.
        host: whether this is the host's end.
        on_open: called for each stream the other side opens; None refuses them all.
    """

    def __init__(
        self,
        transport: ByteTransport,
        *,
        host: bool,
        on_open: Callable[[Stream], None] | None = None,
    ) -> None:
        self.session = Session(host=host)
        self._transport = transport
        self._on_open = on_open
        self._streams: dict[int, Stream] = {}
        self._closed: Exception | None = None
        self._held: bytearray | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.quiet_since = asyncio.get_running_loop().time()
        self._greeting = Greeting(os.urandom(NONCE_BYTES)) if host else None
        if self._greeting is not None:
            transport.write(self._greeting.frame)

    async def run(self) -> None:
        """Read until the other side ends the connection.

        Raises:
            WireError: the other side broke a rule. The connection is closed by then.
        """
        reason: Exception = ChannelClosed("the connection ended")
        try:
            while data := await self._transport.read():
                heard = data if self._greeting is None else self._greeting.feed(data)
                for happening in self.session.feed(heard):
                    self._dispatch(happening)
                # Reading does not wait while there is more: a flood must not hold up the loop.
                await asyncio.sleep(0)
        except WireError as error:
            reason = error
            raise
        finally:
            self.close(reason)

    @property
    def closed(self) -> bool:
        """Whether the connection is over."""
        return self._closed is not None

    def close(self, reason: Exception) -> None:
        """End the connection and every stream on it; calling it again does nothing."""
        if self._closed is not None:
            return
        self._closed = reason
        self._transport.close()
        self._flowing.set()
        self._end_streams(str(reason))

    def _end_streams(self, reason: str) -> None:
        for stream in self._streams.values():
            stream.end(ChannelClosed(reason))
        self._streams.clear()

    async def open(self, request: dict[str, Any], *, fin: bool = False) -> Stream:
        """Open a stream with a request.

        Raises:
            ValueError: the request is larger than a frame.
            TooManyStreams: too many are open already.
            ChannelClosed: the connection is over.
        """
        if self._closed is not None:
            raise ChannelClosed(str(self._closed))
        number, frame = self.session.open(request, fin=fin)
        stream = Stream(self, number, request)
        self._streams[number] = stream
        try:
            await self.put(frame)
        except asyncio.CancelledError:
            stream.reset("cancelled", "opened and given up at once")
            raise
        return stream

    async def put(self, frame: bytes) -> None:
        """Send an encoded frame."""
        if self._closed is not None:
            raise ChannelClosed(str(self._closed))
        self._write(frame)
        await self._flowing.wait()
        await self._transport.drain()

    def _write(self, frame: bytes) -> None:
        if self._held is None:
            self._transport.write(frame)
        else:
            self._held += frame

    # -- standing still, for whoever copies the other side -----------------------------------------

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def hold(self, request: dict[str, Any]) -> Stream:
        """Send one last request and keep back whatever would follow it, until `release`.

        Once it is answered the other side has taken all that this end ever sent.

        Raises:
            TooManyStreams: too many are open already.
            ChannelClosed: the connection is over.
        """
        if self._closed is not None:
            raise ChannelClosed(str(self._closed))
        number, frame = self.session.open(request, fin=True)
        self._streams[number] = stream = Stream(self, number, request)
        self._write(frame)
        self._flowing.clear()
        self._held = bytearray()
        return stream

    def release(self) -> None:
        """Send what was kept back, and go on."""
        held, self._held = self._held, None
        if held:
            self._transport.write(bytes(held))
        self._flowing.set()

    def _forget(self, number: int) -> None:
        del self._streams[number]
        self.quiet_since = asyncio.get_running_loop().time()

    def _knows(self, stream: Stream) -> bool:
        # After a new HELLO another stream may bear the number of one that somebody still holds.
        return self._streams.get(stream.number) is stream

    def may_send(self, stream: Stream) -> bool:
        """Whether this end has not finished with a stream."""
        return self._knows(stream) and self.session.alive(stream.number)

    def grant(self, stream: Stream, cost: int) -> None:
        """Let the other side send on in place of what was received.

        Not awaited: one small frame for each half window received cannot pile up.
        """
        if self._knows(stream):
            self._write(self.session.consumed(stream.number, cost))

    def give_up(self, stream: Stream, code: str, message: str) -> None:
        """Reset one stream from this end."""
        if self._knows(stream):
            self._forget(stream.number)
            self._write(self.session.reset(stream.number, code, message))

    def retire(self, stream: Stream) -> None:
        """Forget a stream that both sides are done with; its inbox lives on with its reader."""
        if self._knows(stream) and self.session.over(stream.number):
            self._forget(stream.number)

    def _dispatch(self, happening: Happening) -> None:
        if isinstance(happening, Opened):
            self._accept(happening)
            return
        if isinstance(happening, Greeted):
            self._end_streams("a host connected anew")
            # What the former host would have been sent is of no use to this one.
            self._transport.discard()
            self._transport.write(happening.reply)
            return
        stream = self._streams.get(happening.stream)
        if stream is None:
            return
        if isinstance(happening, Reset):
            self._forget(happening.stream)
            self._write(happening.reply)
            stream.end(StreamReset(happening.code, happening.message))
            return
        stream.deliver(happening)
        # The session has read ahead: only what is delivered tells that a stream is over.
        if not isinstance(happening, Credited) and happening.fin:
            self.retire(stream)

    def _accept(self, opened: Opened) -> None:
        if self._on_open is None:
            raise WireError("this end takes no requests")
        stream = Stream(self, opened.stream, opened.request)
        stream._finished = opened.fin  # noqa: SLF001 -- a channel makes its streams
        self._streams[opened.stream] = stream
        self._on_open(stream)
