"""A guest without a machine: the other end of a socket pair, speaking the real wire, as scripted.

For tests of the host's side of the wire. Verbs are answered by functions that get the real
`Stream`, so a guest may be honest, slow, mute, or lie; bytes in a function's place are put on the
line as they are, behind the wire's back. `stop_reading` and `hang_up` do what they say. Leaving
`fake_guest` closes its end; the descriptor it gives belongs to whoever connects to it.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from forge_guest.wire.channel import Channel, ChannelClosed, Stream, StreamReset
from forge_guest.wire.frames import WireError
from forge_guest.wire.transport import FdTransport

Verb = Callable[[Stream], Awaitable[None]] | bytes
"""Answers one request: a function, or the very bytes to send."""


class _Gated(FdTransport):
    """A descriptor that is read only while the gate is open."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self) -> bytes:
        """See `FdTransport.read`."""
        await self.gate.wait()
        return await super().read()


class FakeGuest:
    """A guest's end of the line; made by `fake_guest`.

    Attributes:
        fd: the host's end, for whoever connects to this guest.
        requests: every request so far.
        given_up: (verb, code) of every stream that the host gave up while it was answered.
    """

    def __init__(self, verbs: Mapping[str, Verb], tasks: asyncio.TaskGroup) -> None:
        ours, theirs = socket.socketpair()
        self.fd = theirs.detach()
        self.requests: list[dict[str, Any]] = []
        self.given_up: list[tuple[str, str]] = []
        self._verbs = verbs
        self._tasks = tasks
        self._changed = asyncio.Event()
        self._transport = _Gated(ours.detach())
        self.channel = Channel(self._transport, host=False, on_open=self._accept)
        self._tampered = False
        tasks.create_task(self._read())

    async def _read(self) -> None:
        try:
            await self.channel.run()
        except WireError:
            # Who sent what the wire forbids gets answers that its own end cannot make sense of.
            if not self._tampered:
                raise

    def _accept(self, stream: Stream) -> None:
        self.requests.append(stream.request)
        self._changed.set()
        self._tasks.create_task(self._answer(stream))

    async def _answer(self, stream: Stream) -> None:
        verb = str(stream.request.get("verb"))
        answer = self._verbs.get(verb)
        try:
            if answer is None:
                stream.reset("refused", f"no verb {verb}")
            elif isinstance(answer, bytes):
                self._tampered = True
                self._transport.write(answer)
                await stream.given_up()
            else:
                await answer(stream)
        except StreamReset as reset:
            self.given_up.append((verb, reset.code))
            self._changed.set()
        except ChannelClosed:
            return

    async def until(self, so: Callable[["FakeGuest"], bool]) -> None:
        """Wait until something is true of the requests or of what was given up."""
        while not so(self):
            self._changed.clear()
            await self._changed.wait()

    def stop_reading(self) -> None:
        """Read nothing more; what the host sends piles up at its end."""
        self._transport.gate.clear()

    def hang_up(self) -> None:
        """End the connection."""
        self.channel.close(ChannelClosed("the guest hung up"))
        self._transport.gate.set()


@contextlib.asynccontextmanager
async def fake_guest(verbs: Mapping[str, Verb]) -> AsyncIterator[FakeGuest]:
    """A guest that answers `verbs` and refuses all others."""
    async with asyncio.TaskGroup() as tasks:
        guest = FakeGuest(verbs, tasks)
        try:
            yield guest
        finally:
            guest.hang_up()


async def received(stream: Stream) -> bytes:
    """Everything that the host sends on a stream, up to its end."""
    data = bytearray()
    while (item := await stream.receive()) is not None:
        data += getattr(item, "data", b"")
    return bytes(data)


async def never(stream: Stream) -> None:
    """Answer nothing, until the host gives up."""
    await stream.given_up()
