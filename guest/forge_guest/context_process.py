"""One context's process seen from the agent: its pipes, its control socket, and its end.

It runs a person's code and may send anything; what it sends is bounded and checked here. What the
messages mean is in `interpreter/context.py`, whichever language the process speaks.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from forge_guest.cgroups import Group
from forge_guest.pipes import Reading
from forge_guest.running import STDERR, STDOUT
from forge_guest.wire.channel import Stream

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes. The agent holds it several times over, in the memory kept for it."""

_LENGTH = struct.Struct(">I")


class ContextLost(Exception):
    """A context's process ended, or sent what it may not."""


class ContextProcess:
    """Owns the process with all its descendants, and the agent's ends; `close` ends all of them.

    Args:
        pid: the process.
        group: where it and all that it starts live.
        control: the agent's end of its control socket.
        out, err: the agent's ends of its pipes.
        by_message: it is interrupted by a message rather than by a signal.
        how_it_ended: answers in words, soon after its end.
    """

    def __init__(  # noqa: PLR0913 -- what a process is made of
        self,
        pid: int,
        group: Group,
        control: socket.socket,
        *,
        out: int,
        err: int,
        by_message: bool,
        how_it_ended: Callable[[], Awaitable[str | None]],
    ) -> None:
        self.stale = False
        self.ready = asyncio.Event()
        self.how_it_ended = how_it_ended
        self._pid = pid
        self._group = group
        self._by_message = by_message
        self._control = control
        self._sending = asyncio.Lock()
        self._inbox = bytearray()
        control.setblocking(False)
        self._messages = Reading(os.dup(control.fileno()), self.ready.set)
        self._pipes = (
            (STDOUT, Reading(out, self.ready.set)),
            (STDERR, Reading(err, self.ready.set)),
        )

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message.

        Raises:
            ContextLost: the process has gone.
        """
        payload = json.dumps(message).encode()
        loop = asyncio.get_running_loop()
        try:
            async with self._sending:
                await loop.sock_sendall(self._control, _LENGTH.pack(len(payload)) + payload)
        except OSError as error:
            raise ContextLost(str(error)) from error

    def next_message(self) -> dict[str, Any] | None:
        """The next message, if a whole one has arrived.

        Raises:
            ContextLost: the process has gone, or sent what it may not.
        """
        while not self._messages.ended and (data := self._messages.take()):
            self._inbox += data
            if len(self._inbox) > _LENGTH.size + MAX_MESSAGE:
                break
        self._messages.watch()
        if len(self._inbox) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._inbox)
            if length > MAX_MESSAGE:
                raise ContextLost("it sent a message that is too large")
            end = _LENGTH.size + length
            if len(self._inbox) >= end:
                payload = bytes(self._inbox[_LENGTH.size : end])
                del self._inbox[:end]
                return _parse(payload)
        if self._messages.ended:
            raise ContextLost("it closed its line to the agent")
        return None

    async def settled(self) -> Any:
        """Wait until it says that it is done with what it was doing; returns how.

        Raises:
            ContextLost: the process has gone, or sent what it may not.
        """
        while (message := self.next_message()) is None or "done" not in message:
            if message is not None:
                await self.send({"shown": 1})
            elif not await self.move_output(None, everything=False):
                await self.ready.wait()
            self.ready.clear()
        return message["done"]

    async def move_output(self, stream: Stream | None, *, everything: bool) -> bool:
        """Pass on what was printed; `everything` there is now, or a piece of each. Whether any."""
        moved = False
        for lane, pipe in self._pipes:
            left = pipe.waiting() if everything else 1
            while left > 0 and not pipe.ended and (data := pipe.take()):
                moved = True
                left -= len(data)
                if stream is not None:
                    await stream.send(lane, data)
            pipe.watch()
        return moved

    async def interrupt(self) -> None:
        """Interrupt what runs; nothing happens between cells."""
        if self._by_message:
            with contextlib.suppress(ContextLost):
                await self.send({"interrupt": 1})
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGINT)

    def kill(self) -> None:
        """End the process and everything it started."""
        self._group.kill()

    def close(self) -> None:
        """End it, and give everything back."""
        self.kill()
        self._messages.close()
        self._control.close()
        for _, pipe in self._pipes:
            pipe.close()


def _parse(payload: bytes) -> dict[str, Any]:
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ContextLost("it sent a message that is not JSON") from error
    if not isinstance(message, dict):
        raise ContextLost("it sent a message that is not an object")
    return message
