"""`sandbox.ports` over the wire: a connection is a stream."""

from contextlib import AsyncExitStack, ExitStack

from forge.errors import InputRefused, SandboxStopped
from forge.sandbox.agent import answers, deadlines
from forge.sandbox.agent.call import Call, Line
from forge.sandbox.ports import MAX_PORT, ListeningPort
from forge_guest.wire.session import Message

_CONTENT = 1


class AgentPorts:
    """See `forge.sandbox.ports.Ports` for the contract."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def list(self) -> tuple[ListeningPort, ...]:
        """See `forge.sandbox.ports.Ports.list`."""
        async with Call(self._line, {"verb": "ports"}, deadlines.QUICK_S, fin=True) as call:
            return call.checked(answers.ports, await call.listing())

    async def connect(self, port: int) -> "AgentPortConnection":
        """See `forge.sandbox.ports.Ports.connect`."""
        if not 1 <= port <= MAX_PORT:
            raise InputRefused(f"a port is a number from 1 to {MAX_PORT}")
        request = {"verb": "connect", "port": port}
        call = Call(self._line, request, deadlines.DIAL_S + deadlines.MARGIN_S)
        async with AsyncExitStack() as undo:
            await undo.enter_async_context(call)
            await call.first()
            undo.pop_all()
        return AgentPortConnection(call, self._line)


class AgentPortConnection:
    """See `forge.sandbox.ports.PortConnection` for the contract; owns its call."""

    def __init__(self, call: Call, line: Line) -> None:
        self._call = call
        self._line = line
        self._read_all = False
        self._finished = False
        self._owned = ExitStack()
        self._owned.callback(call.close)
        self._owned.enter_context(call.lasting())

    async def read(self) -> bytes:
        """See `forge.sandbox.ports.PortConnection.read`."""
        while not self._read_all:
            item = await self._call.item()
            if isinstance(item, Message):
                self._read_all = item.fin
            elif item.lane == _CONTENT:
                return item.data
            else:
                raise self._line.violated(f"content on lane {item.lane}")
        return b""

    async def write(self, data: bytes) -> None:
        """See `forge.sandbox.ports.PortConnection.write`."""
        if self._finished:
            raise SandboxStopped("this connection was finished; nothing more can be written")
        await self._call.send_piece(data)

    async def finish(self) -> None:
        """See `forge.sandbox.ports.PortConnection.finish`."""
        if not self._finished:
            self._finished = True
            await self._call.finish()

    def close(self) -> None:
        """See `forge.sandbox.ports.PortConnection.close`."""
        self._owned.close()
