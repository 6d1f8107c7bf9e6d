"""The host's side of every verb: a sandbox's operations, spoken to the guest's agent over the wire.

Provider-independent: whoever can start a machine and give a connected descriptor gets the whole
contract from here. Everything that arrives is hostile and is checked before it is used; what breaks
the wire's rules ends the machine with `GuestViolation`.

Each call waits for the guest at most its own deadline plus a margin (`call` says how that is
counted). A guest that lets it pass is destroyed.
"""

import asyncio
import posixpath
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar
from weakref import WeakValueDictionary

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
    HOME,
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
from forge.sandbox.call import Call
from forge_guest.wire.channel import Channel, ChannelClosed, Stream
from forge_guest.wire.frames import WireError
from forge_guest.wire.session import Data, Message, TooManyStreams
from forge_guest.wire.transport import FdTransport

AGENT_VERSION = 1
"""Of the verbs this host speaks."""

MARGIN_S = 10.0
"""What the guest may take beyond a deadline to say so: two seconds of grace, and a slow host."""

_QUICK_S = 15.0  # for verbs that take milliseconds; this is for a machine that is out of memory
_STALL_S = 60.0  # between two pieces of a file
_PREPARE_S = 240.0  # loading the scientific stack under emulation takes about 10 s
_CONTENT = 1
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
        # The guest counts a cell's deadline from its start; waiting for a turn is not its fault.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

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
            raise self.violated(f"it does not speak version {AGENT_VERSION} of the verbs")

    async def prepare(
        self, preload: tuple[str, ...], env: Mapping[str, str], processes: int, *, interpreter: bool
    ) -> tuple[str, ...]:
        """Get ready to be saved as a template; returns what could not be preloaded."""
        request = {
            "verb": "prepare",
            "preload": list(preload),
            "env": dict(env),
            "processes": processes,
            "interpreter": interpreter,
        }
        reply = await self._ask(request, _PREPARE_S)
        return self._checked(answers.failures, reply)

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
        _check_command(command)
        request = {
            "verb": "exec",
            "argv": list(command.argv),
            "cwd": posixpath.join(HOME, command.cwd),
            "env": dict(command.env),
            "user": command.user,
            "deadline_s": command.deadline_s,
        }
        async with (
            Call(self, request, command.deadline_s + MARGIN_S) as call,
            call.feeding(command.stdin),
        ):
            final = await self._follow(call, sink, None)
        return self._checked(answers.exec_result, final)

    async def run_code(
        self, code: str, sink: Sink, *, deadline_s: float, context: str = "default"
    ) -> CodeResult:
        """See `forge.sandbox.base.Sandbox.run_code`."""
        request = {"verb": "code", "context": context, "deadline_s": deadline_s}
        source = code.encode("utf-8", "surrogatepass")
        async with (
            self._turns.setdefault(context, asyncio.Lock()),
            Call(self, request, deadline_s + MARGIN_S) as call,
            call.feeding(source),
        ):
            final = await self._follow(call, sink, answers.Records())
        return self._checked(answers.code_result, final)

    async def write_file(self, path: str, content: AsyncIterator[bytes]) -> int:
        """See `forge.sandbox.base.Sandbox.write_file`."""
        _check_path(path)
        async with Call(self, {"verb": "write", "path": path}, _STALL_S, stall=True) as call:
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
            Call(self, request, _STALL_S, fin=True, stall=True) as call,
            aclosing(call.items()) as items,
        ):
            async for item in items:
                if isinstance(item, Data):
                    left -= len(item.data)
                    if left < 0 or item.lane != _CONTENT:
                        raise self.violated("a file that is larger than the limit, or is none")
                    yield item.data

    async def list_files(self, path: str, *, depth: int = 1) -> tuple[FileInfo, ...]:
        """See `forge.sandbox.base.Sandbox.list_files`."""
        _check_path(path)
        listing = bytearray()
        request = {"verb": "list", "path": path, "depth": depth}
        async with (
            Call(self, request, _STALL_S, fin=True, stall=True) as call,
            aclosing(call.items()) as items,
        ):
            async for item in items:
                if isinstance(item, Data):
                    listing += item.data
                    if len(listing) > answers.MAX_LISTING or item.lane != _CONTENT:
                        raise self.violated("a listing without end, or that is none")
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
            GuestRefused: too many calls are under way.
            SandboxStopped, SandboxDied: the machine has gone.
        """
        if self._broken or self._stopped:
            reason = f": {self._broken.message}" if self._broken else ""
            raise SandboxStopped(f"this machine is no longer there{reason}")
        try:
            return await self._channel.open(request, fin=fin)
        except ValueError as error:
            raise InputRefused(f"the request is too large: {error}") from error
        except TooManyStreams as error:
            raise GuestRefused(f"the machine has too many calls under way: {error}") from error
        except ChannelClosed as error:
            raise self.gone() from error

    def gone(self) -> SandboxError:
        """The connection ended: why."""
        return self._break(SandboxDied("the machine ended while it was in use"))

    async def _ask(self, request: dict[str, Any], deadline_s: float) -> dict[str, Any]:
        async with Call(self, request, deadline_s, fin=True) as call:
            return await call.final()

    def _checked(self, parse: Callable[[_A], _T], answer: _A) -> _T:
        try:
            return parse(answer)
        except answers.Malformed as error:
            raise self.violated(str(error)) from error

    async def _follow(
        self, call: Call, sink: Sink, records: answers.Records | None
    ) -> dict[str, Any]:
        """Pass output on to the sink until the final message; displays only into `records`."""
        final: dict[str, Any] = {}
        async with aclosing(call.items()) as items:
            async for item in items:
                if isinstance(item, Message):
                    final = item.value
                elif item.lane in _STREAMS:
                    await sink(Output(_STREAMS[item.lane], item.data))
                elif item.lane == _DISPLAY and records is not None:
                    for bundle in self._checked(records.feed, item.data):
                        await sink(Display(bundle))
                else:
                    raise self.violated(f"output on lane {item.lane}")
        return final


def _check_command(command: Command) -> None:
    if not command.argv or any("\0" in word for word in command.argv):
        raise InputRefused("a command needs a program, and no word of it may hold NUL")
    for name, value in command.env.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise InputRefused(f"{name[:100]!r} cannot be set in a command's environment")
    _check_path(command.cwd)


def _check_path(path: str) -> None:
    try:
        size = len(path.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as error:
        raise PathRefused("a path must be text, or bytes as surrogate escapes") from error
    if not path or "\0" in path or size > MAX_PATH_BYTES:
        raise PathRefused(
            f"a path must hold 1 to {MAX_PATH_BYTES} bytes and no NUL; this one has {size} bytes"
        )
