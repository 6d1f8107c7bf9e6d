"""The line to one guest's agent: who reads it, when it is broken, and what is asked before use.

Provider-independent: whoever can start a machine and give a connected descriptor gets the whole
contract from here. Everything that arrives is hostile and is checked before it is used; what breaks
the wire's rules ends the machine with `GuestViolation`.

Each call waits for the guest at most its own deadline plus a margin (`call` says how that is
counted). A guest that lets it pass is destroyed.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from forge.errors import (
    ForgeError,
    GuestRefused,
    GuestViolation,
    InputRefused,
    SandboxDied,
    SandboxError,
    SandboxStopped,
    SandboxUnresponsive,
)
from forge.sandbox.agent import answers, deadlines
from forge.sandbox.agent.call import Call
from forge.sandbox.metrics import Claims
from forge_guest.wire.channel import Channel, ChannelClosed, Stream, StreamReset
from forge_guest.wire.frames import WireError
from forge_guest.wire.session import TooManyStreams
from forge_guest.wire.transport import FdTransport

AGENT_VERSION = 1
"""Of the verbs this host speaks."""


class Counted(FdTransport):
    """A transport that counts its bytes."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.sent = self.received = 0

    async def read(self) -> bytes:
        """See `FdTransport.read`."""
        data = await super().read()
        self.received += len(data)
        return data

    def write(self, data: bytes) -> None:
        """See `FdTransport.write`."""
        self.sent += len(data)
        super().write(data)


class Connection:
    """A connection to one machine's agent; a `Line` for its calls.

    Args:
        fd: a connected descriptor; owned from here on.
        on_broken: called once when the machine must be destroyed.
        max_output: how many bytes one call may show; 0: no limit.
    """

    def __init__(
        self, fd: int, on_broken: Callable[[SandboxError], None], *, max_output: int = 0
    ) -> None:
        self.max_output = max_output
        self._counted = Counted(fd)
        self._channel = Channel(self._counted, host=True)
        self._on_broken = on_broken
        self._broken: SandboxError | None = None
        self._stopped: SandboxError | None = None
        self._lasting = 0
        self._watched = asyncio.Event()

    @property
    def calls(self) -> int:
        """How many calls are under way."""
        return self._channel.streams

    @property
    def quiet_since(self) -> float:
        """When the last call ended, by the event loop's clock."""
        return self._channel.quiet_since

    @property
    def alive(self) -> bool:
        """Whether calls can be made."""
        return self._broken is None and self._stopped is None

    @property
    def ended(self) -> bool:
        """Whether the line itself is closed."""
        return self._channel.closed

    async def run(self) -> None:
        """Read until the connection ends; one task runs this for the machine's whole life."""
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch())
            await self._read()
            watching.cancel()

    async def _read(self) -> None:
        try:
            await self._channel.run()
        except WireError as error:
            self._break(GuestViolation(f"the machine broke the wire's rules: {error}"))
        else:
            self._break(SandboxDied("the machine ended while it was in use"))

    def close(self, why: SandboxError | None = None) -> None:
        """End the connection; calls under way raise `why`, or `SandboxStopped`."""
        self._stopped = self._stopped or why or SandboxStopped("the machine was stopped")
        self._channel.close(ChannelClosed(self._stopped.message))

    def _break(self, error: SandboxError) -> SandboxError:
        if self._broken is None and not self._stopped:
            self._broken = error
            self._on_broken(error)
            self._channel.close(ChannelClosed(str(error)))
        return self._broken or self._stopped or error

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
        async with Call(self, request, deadlines.PREPARE_S, fin=True) as call:
            return call.checked(answers.failures, await call.final())

    async def restore(self, hostname: str, now_ns: int, env: Mapping[str, str]) -> None:
        """Give a restored machine facts of its own: randomness, clock, name, id, variables.

        Raises:
            SandboxDied, SandboxUnresponsive, GuestViolation: it did not apply all of them.
        """
        request = {
            "verb": "restore",
            "entropy": secrets.token_hex(64),
            "realtime_ns": now_ns,
            "hostname": hostname,
            "machine_id": secrets.token_hex(16),
            "env": dict(env),
        }
        try:
            reply = await self._ask(request, deadlines.QUICK_S)
        except GuestRefused as error:
            raise self._break(
                GuestViolation(f"a restored machine kept old facts: {error.message}")
            ) from error
        if reply.get("restored") is not True:
            raise self._break(GuestViolation("a restored machine did not apply its facts"))

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes sent to the guest and received from it."""
        return self._counted.sent, self._counted.received

    async def usage(self) -> Claims:
        """What the guest says that it uses."""
        request = {"verb": "usage"}
        async with Call(self, request, deadlines.QUICK_S, fin=True) as call:
            return call.checked(answers.claims, await call.final())

    async def ping(self) -> None:
        """One round trip."""
        await self._ask({"verb": "ping"}, deadlines.QUICK_S)

    @contextlib.asynccontextmanager
    async def quieted(self) -> AsyncIterator[None]:
        """Hold back what would be sent, once the guest has taken all that was, for the block.

        Raises:
            GuestRefused: too many calls are under way.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see `sandbox.base`.
        """
        try:
            asked = self._channel.hold({"verb": "ping"})
        except TooManyStreams as error:
            raise GuestRefused(f"the machine has too many calls under way: {error}") from error
        except ChannelClosed as error:
            raise self.gone() from error
        try:
            await self._taken(asked)
            yield
        finally:
            self._channel.release()

    async def _taken(self, asked: Stream) -> None:
        try:
            async with asyncio.timeout(deadlines.QUICK_S):
                while await asked.receive() is not None:
                    continue
        except TimeoutError as error:
            raise self.overdue("ping", deadlines.QUICK_S) from error
        except StreamReset as error:
            raise self.violated("it refuses a ping") from error
        except ChannelClosed as error:
            raise self.gone() from error

    async def _watch(self) -> None:
        """Ask now and then, while calls wait without a deadline; one that fails is the last."""
        with contextlib.suppress(SandboxError):  # whoever waits is told, by the connection's end
            while True:
                await self._watched.wait()
                await asyncio.sleep(deadlines.WATCH_S)
                if self._lasting:
                    await self.ping()

    # -- for calls -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def lasting(self) -> Iterator[None]:
        """See `Line.lasting`."""
        self._lasting += 1
        self._watched.set()
        try:
            yield
        finally:
            self._lasting -= 1
            if not self._lasting:
                self._watched.clear()

    def violated(self, why: str) -> SandboxError:
        """The guest lied: the machine is destroyed and this is the error to raise."""
        return self._break(GuestViolation(f"the machine's agent lied: {why}"))

    def overdue(self, verb: str, deadline_s: float) -> SandboxError:
        """The guest did not answer: the machine is destroyed and this is the error to raise."""
        return self._break(
            SandboxUnresponsive(f"the machine did not answer {verb} within {deadline_s:.0f} s")
        )

    def refused(self, reset: StreamReset) -> ForgeError:
        """The guest gave a call up: the error to raise."""
        return answers.refusal(reset)

    async def open(self, request: dict[str, Any], *, fin: bool) -> Stream:
        """Open a stream for a request.

        Raises:
            InputRefused: the request is too large for one frame.
            GuestRefused: too many calls are under way.
            SandboxStopped, SandboxDied: the machine has gone.
        """
        if self._stopped is not None and self._broken is None:
            raise self._stopped
        if self._broken is not None:
            raise SandboxStopped(f"this machine is no longer there: {self._broken.message}")
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
