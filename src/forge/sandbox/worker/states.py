"""Where a worker's machines are in their lives, told to its client as it changes.

Machines pause, stop and break on their own. What changed is told before the last frame of whatever
is answered, so that a client that has its answer knows the state it led to; and what happens beside
any call is looked for a few times a second, as a machine tells nobody.
"""

import asyncio
from collections.abc import MutableMapping
from typing import Generic, TypeVar

from forge.sandbox.base import Sandbox
from forge_guest.wire.channel import ChannelClosed, Stream, StreamReset

LOOK_S = 0.2
"""A person who waits for a machine to pause by itself sees no delay."""


_M = TypeVar("_M", bound=Sandbox)


class States(Generic[_M]):
    """Tells one client. `machines` are the worker's, by id; those that are gone leave it here."""

    def __init__(self, machines: MutableMapping[str, _M]) -> None:
        self._machines = machines
        self._told: dict[str, str] = {}
        self._stream: Stream | None = None
        self._turn = asyncio.Lock()

    async def tell_on(self, stream: Stream) -> None:
        """Be the verb `watch`: tell every change on this stream, until it is given up."""
        self._stream, self._told = stream, {}
        while self._stream is stream:
            await self.tell()
            await asyncio.sleep(LOOK_S)

    async def tell(self) -> None:
        """Tell what changed since it was told last, if anybody wants to know."""
        async with self._turn:
            now = {name: machine.state for name, machine in self._machines.items()}
            for name in now.keys() | self._told.keys():
                state = now.get(name, "gone")
                if self._stream is not None and self._told.get(name) != state:
                    await self._say(self._stream, name, state)
            self._told = {name: state for name, state in now.items() if state != "gone"}
            for name in now.keys() - self._told.keys():
                self._machines.pop(name, None)

    async def _say(self, stream: Stream, name: str, state: str) -> None:
        try:
            await stream.message({"machine": name, "state": state})
        except (StreamReset, ChannelClosed):
            self._stream = None  # nobody wants to know any more
