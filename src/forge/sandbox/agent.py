"""The host's side of every verb: a sandbox's operations, spoken to the guest's agent over the wire.

Provider-independent: whoever can start a machine and give a connected descriptor gets the whole
contract from here. Everything that arrives is hostile and is checked before it is used; what breaks
the wire's rules ends the machine with `GuestViolation`.

Each call waits for the guest at most its own deadline plus a margin; time in which a caller's sink
holds the output back does not count. A guest that lets it pass is destroyed.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from forge.errors import (
    FileNotFound,
    GuestRefused,
    GuestViolation,
    InputRefused,
    PathRefused,
    SandboxDied,
    SandboxError,
    SandboxStopped,
    SandboxUnresponsive,
)
from forge.sandbox import answers
from forge.sandbox.base import (
    MAX_PATH_BYTES,
    CodeResult,
    Command,
    Display,
    ExecResult,
    FileInfo,
    Output,
    Sink,
    StreamName,
)
from forge_guest.wire.channel import Channel, ChannelClosed, Stream, StreamReset
from forge_guest.wire.frames import WireError
from forge_guest.wire.session import Data, Message
from forge_guest.wire.transport import FdTransport

AGENT_VERSION = 1
"""Of the verbs this host speaks."""

MARGIN_S = 10.0
"""What the guest may take beyond a deadline to say so: two seconds of grace, and a slow host."""

_QUICK_S = 15.0  # for verbs that take milliseconds; this is for a machine that is out of memory
_STALL_S = 60.0  # between two pieces of a file
_PREPARE_S = 240.0  # loading the scientific stack under emulation takes about 10 s
_STREAMS: dict[int, StreamName] = {1: "stdout", 2: "stderr"}
_DISPLAY = 3

_A = TypeVar("_A")
_T = TypeVar("_T")


class Agent:
    """A connection to one machine's agent.

    Args:
        fd: a connected descriptor; owned from here on.
        on_broken: called once when the machine must be destroyed.
    """

    def __init__(self, fd: int, on_broken: Callable[[SandboxError], None]) -> None:
        self._channel = Channel(FdTransport(fd), host=True)
        self._on_broken = on_broken
        self._broken: SandboxError | None = None
        self._stopped = False

    async def run(self) -> None:
        """Read until the connection ends; one task runs this for the machine's whole life."""
        try:
            await self._channel.run()
        except WireError as error:
            self._break(GuestViolation(f"the machine broke the wire's rules: {error}"))
        else:
            self._break(SandboxDied("the machine ended while it was in use"))

    def close(self) -> None:
        """End the connection; calls under way raise `SandboxStopped`."""
        self._stopped = True
        self._channel.close(ChannelClosed("the machine was stopped"))

    def _break(self, error: SandboxError) -> SandboxError:
        if self._broken is None and not self._stopped:
            self._broken = error
            self._on_broken(error)
            self._channel.close(ChannelClosed(str(error)))
        return self._broken or SandboxStopped("the machine was stopped")

    # -- before anyone uses the machine ----------------------------------------------------------

    async def handshake(self, deadline_s: float) -> None:
        """Wait for the agent's first answer.

        Raises:
            SandboxDied, SandboxUnresponsive, GuestViolation: it did not give one.
        """
        reply = await self._ask({"verb": "ping"}, deadline_s)
        if reply.get("version") != AGENT_VERSION:
            raise self._break(GuestViolation(f"the agent speaks version {reply.get('version')!r}"))

    async def prepare(
        self, preload: tuple[str, ...], env: dict[str, str], processes: int, *, interpreter: bool
    ) -> tuple[str, ...]:
        """Get ready to be saved as a template; returns what could not be preloaded."""
        request = {
            "verb": "prepare",
            "preload": list(preload),
            "env": env,
            "processes": processes,
            "interpreter": interpreter,
        }
        reply = await self._ask(request, _PREPARE_S)
        return tuple(str(failure) for failure in reply.get("failures", ()))

    async def restore(self, hostname: str, now_ns: int) -> None:
        """Give a restored machine facts of its own: randomness, clock, name, id.

        Raises:
            SandboxDied, SandboxUnresponsive, GuestViolation: it did not apply all of them.
        """
        request = {
            "verb": "restore",
            "entropy": secrets.token_hex(64),
            "realtime_ns": now_ns,
            "hostname": hostname,
            "machine_id": secrets.token_hex(16),
        }
        try:
            reply = await self._ask(request, _QUICK_S)
        except GuestRefused as error:
            raise self._break(
                GuestViolation(f"a restored machine kept old facts: {error.message}")
            ) from error
        if reply.get("restored") is not True:
            raise self._break(GuestViolation("a restored machine did not apply its facts"))

    async def ping(self) -> None:
        """One round trip."""
        await self._ask({"verb": "ping"}, _QUICK_S)

    # -- the contract ----------------------------------------------------------------------------

    async def exec(self, command: Command, sink: Sink) -> ExecResult:
        """See `forge.sandbox.base.Sandbox.exec`."""
        if not command.argv or any("\0" in word for word in command.argv):
            raise InputRefused("a command needs a program, and no word of it may hold NUL")
        request = {
            "verb": "exec",
            "argv": list(command.argv),
            "cwd": command.cwd,
            "env": dict(command.env),
            "user": command.user,
            "deadline_s": command.deadline_s,
        }
        call = _Call(self, request, command.deadline_s + MARGIN_S)
        async with call:
            await call.send(command.stdin)
            final = await self._follow(call, sink)
        return self._checked(answers.exec_result, final)

    async def run_code(
        self, code: str, sink: Sink, *, deadline_s: float, context: str = "default"
    ) -> CodeResult:
        """See `forge.sandbox.base.Sandbox.run_code`."""
        request = {"verb": "code", "context": context, "deadline_s": deadline_s}
        call = _Call(self, request, deadline_s + MARGIN_S)
        async with call:
            await call.send(code.encode("utf-8", "surrogatepass"))
            final = await self._follow(call, sink)
        return self._checked(answers.code_result, final)

    async def write_file(self, path: str, content: AsyncIterator[bytes]) -> int:
        """See `forge.sandbox.base.Sandbox.write_file`."""
        _check_path(path)
        async with _Call(self, {"verb": "write", "path": path}, _STALL_S) as call:
            try:
                async for piece in content:
                    await call.send_piece(piece)
                await call.finish()
                reply = await call.final()
            except FileNotFound as error:
                raise GuestRefused(error.message) from error
        return self._checked(answers.size, reply)

    async def read_file(self, path: str, *, limit: int) -> AsyncGenerator[bytes, None]:
        """See `forge.sandbox.base.Sandbox.read_file`."""
        _check_path(path)
        request = {"verb": "read", "path": path, "limit": limit}
        left = limit
        async with (
            _Call(self, request, _STALL_S, fin=True) as call,
            aclosing(call.items()) as items,
        ):
            async for item in items:
                if isinstance(item, Data) and item.data:
                    left -= len(item.data)
                    if left < 0:
                        raise self.violated("a file is longer than the agent said")
                    yield item.data

    async def list_files(self, path: str, *, depth: int = 1) -> tuple[FileInfo, ...]:
        """See `forge.sandbox.base.Sandbox.list_files`."""
        _check_path(path)
        listing = bytearray()
        request = {"verb": "list", "path": path, "depth": depth}
        async with (
            _Call(self, request, _STALL_S, fin=True) as call,
            aclosing(call.items()) as items,
        ):
            async for item in items:
                if isinstance(item, Data):
                    listing += item.data
                    if len(listing) > answers.MAX_LISTING:
                        raise self.violated("a listing without end")
        return self._checked(answers.listing, bytes(listing))

    def violated(self, why: str) -> SandboxError:
        """The guest lied: the machine is destroyed and this is the error to raise."""
        return self._break(GuestViolation(f"the machine's agent lied: {why}"))

    def overdue(self, verb: str, deadline_s: float) -> SandboxError:
        """The guest did not answer: the machine is destroyed and this is the error to raise."""
        return self._break(
            SandboxUnresponsive(f"the machine did not answer {verb} within {deadline_s:.0f} s")
        )

    async def open(self, request: dict[str, Any], *, fin: bool) -> Stream:
        """Open a stream for a request.

        Raises:
            InputRefused: the request is too large for one frame.
            SandboxStopped, SandboxDied: the machine has gone.
        """
        if self._broken or self._stopped:
            reason = f": {self._broken.message}" if self._broken else ""
            raise SandboxStopped(f"this machine is no longer there{reason}")
        try:
            return await self._channel.open(request, fin=fin)
        except ValueError as error:
            raise InputRefused(f"the request is too large: {error}") from error
        except ChannelClosed as error:
            raise self.gone() from error

    def gone(self) -> SandboxError:
        """The connection ended: why."""
        return self._break(SandboxDied("the machine ended while it was in use"))

    async def _ask(self, request: dict[str, Any], deadline_s: float) -> dict[str, Any]:
        async with _Call(self, request, deadline_s, fin=True) as call:
            return await call.final()

    def _checked(self, parse: Callable[[_A], _T], answer: _A) -> _T:
        try:
            return parse(answer)
        except answers.Malformed as error:
            raise self.violated(str(error)) from error

    async def _follow(self, call: "_Call", sink: Sink) -> dict[str, Any]:
        """Pass output on to the sink until the final message."""
        records = answers.Records()
        async with aclosing(call.items()) as items:
            async for item in items:
                if isinstance(item, Message):
                    if item.fin:
                        return item.value
                elif item.lane in _STREAMS:
                    await sink(Output(_STREAMS[item.lane], item.data))
                elif item.lane == _DISPLAY:
                    for bundle in self._checked(records.feed, item.data):
                        await sink(Display(bundle))
        raise self.violated("an answer without its last message")


class _Call:
    """One stream, its deadline, and the translation of its refusals; a context manager.

    Leaving it early gives the stream up, which makes the guest end what it was doing.
    """

    def __init__(
        self, agent: Agent, request: dict[str, Any], deadline_s: float, *, fin: bool = False
    ) -> None:
        self._agent = agent
        self._request = request
        self._deadline_s = deadline_s
        self._left_s = deadline_s
        self._fin = fin
        self._stream: Stream | None = None
        self._complete = False

    async def __aenter__(self) -> "_Call":
        self._stream = await self._agent.open(self._request, fin=self._fin)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None and not self._complete:
            self._stream.reset("cancelled", "the host gave up")

    async def send(self, data: bytes) -> None:
        """Send all there is to send, and finish."""
        await self.send_piece(data)
        await self.finish()

    async def send_piece(self, data: bytes) -> None:
        """Send some bytes; the guest must take them within the deadline."""
        assert self._stream is not None
        await self._within(self._stream.send(0, data))

    async def finish(self) -> None:
        """Say that nothing more will be sent."""
        assert self._stream is not None
        await self._within(self._stream.finish())

    async def items(self) -> AsyncGenerator[Data | Message, None]:
        """What the guest sends, up to its end."""
        assert self._stream is not None
        while (item := await self._within(self._stream.receive())) is not None:
            if isinstance(item, Message) and item.fin:
                self._complete = True
            if self._request["verb"] in ("read", "write", "list"):
                self._left_s = self._deadline_s  # a file may take long, a stall may not
            yield item

    async def final(self) -> dict[str, Any]:
        """The last message."""
        async with aclosing(self.items()) as items:
            async for item in items:
                if isinstance(item, Message) and item.fin:
                    return item.value
        raise self._agent.violated("an answer without its last message")

    async def _within(self, waiting: Awaitable[_T]) -> _T:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self._left_s):
                return await waiting
        except TimeoutError as error:
            raise self._agent.overdue(self._request["verb"], self._deadline_s) from error
        except StreamReset as reset:
            self._complete = True
            raise answers.refusal(reset) from None
        except ChannelClosed as error:
            raise self._agent.gone() from error
        finally:
            self._left_s -= loop.time() - started


def _check_path(path: str) -> None:
    size = len(path.encode("utf-8", "surrogateescape"))
    if not path or "\0" in path or size > MAX_PATH_BYTES:
        raise PathRefused(
            f"a path must hold 1 to {MAX_PATH_BYTES} bytes and no NUL; this one has {size} bytes"
        )
