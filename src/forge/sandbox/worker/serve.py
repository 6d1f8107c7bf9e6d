"""The worker: the guest's end of a wire on standard input and output, with a provider behind it.

Its own verbs are the provider's. One more, `agent`, opens a stream to a machine's own agent and
passes everything on in both directions, each piece once there is credit for it at the other side,
so that who does not read holds up that stream and nothing else. Nothing is buffered but what is
under way.

Whoever speaks to a worker is its person: it may do what the account may that started it. A machine
is not: what it says is passed on, but can never pass for the worker's own word.

When the input ends, everything under way is ended and the provider's owner stops its machines.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, runtime_checkable

from forge.errors import ForgeError, InputRefused, SandboxStopped
from forge.sandbox.agent.answers import Malformed
from forge.sandbox.agent.call import Line
from forge.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from forge.sandbox.worker import protocol
from forge.sandbox.worker.transport import PipesTransport
from forge_guest.wire.channel import Channel, ChannelClosed, Stream, StreamReset
from forge_guest.wire.frames import WireError
from forge_guest.wire.session import Data, Message

Verb = Callable[[Stream], Awaitable[None]]


@runtime_checkable
class Machine(Sandbox, Protocol):
    """A machine that can be passed on: its agent has a line."""

    @property
    def line(self) -> Line:
        """The line to its agent."""


class Worker:
    """Answers a client: one task per stream, one verb per request.

    Args:
        provider: makes the machines; stopped by its owner.
        tasks: where streams are answered.
    """

    def __init__(self, provider: SandboxProvider, tasks: asyncio.TaskGroup) -> None:
        self._provider = provider
        self._tasks = tasks
        self._machines: dict[str, Machine] = {}
        self.verbs: dict[str, Verb] = {
            "probe": self._probe,
            "create": self._create,
            "destroy": self._destroy,
            "agent": self._relay,
        }

    def accept(self, stream: Stream) -> None:
        """Start answering a stream."""
        self._tasks.create_task(self._answer(stream))

    async def _answer(self, stream: Stream) -> None:
        try:
            async with _until_given_up(stream):
                await self._carry_out(stream)
        except (StreamReset, ChannelClosed):
            return
        except (ForgeError, Malformed, KeyError, TypeError, ValueError) as error:
            with contextlib.suppress(StreamReset, ChannelClosed):
                await stream.message(protocol.error_json(_as_ours(error)), fin=True)

    async def _carry_out(self, stream: Stream) -> None:
        name = str(stream.request.get("verb"))
        verb = self.verbs.get(name)
        if verb is None:
            raise InputRefused(f"this worker has no verb {protocol.printable(name, 40)!r}")
        await verb(stream)

    async def _probe(self, stream: Stream) -> None:
        verdict = await self._provider.probe(fresh=stream.request.get("fresh") is True)
        await _finish(stream, protocol.to_json(verdict))

    async def _create(self, stream: Stream) -> None:
        spec = protocol.from_json(SandboxSpec, stream.request["spec"])
        await self._hand_over(stream, await self._provider.create(spec))

    async def _hand_over(self, stream: Stream, machine: Sandbox) -> None:
        """Give a machine to the client: it is ours, and is stopped, until the client's FIN."""
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(machine.stop)
            if not isinstance(machine, Machine):
                raise InputRefused(f"machines of {machine.facts.provider!r} cannot be passed on")
            self._machines[machine.facts.id] = machine
            undo.callback(self._machines.pop, machine.facts.id, None)
            await stream.message({"answer": protocol.to_json(machine.facts)})
            while await stream.receive() is not None:
                continue  # what a client sends here says nothing
            undo.pop_all()
        await _finish(stream, {})

    async def _destroy(self, stream: Stream) -> None:
        machine = self._machines.pop(str(stream.request["machine"]), None)
        if machine is not None:
            await machine.stop()
        await _finish(stream, {})

    async def _relay(self, stream: Stream) -> None:
        """Be a client's line to one machine's agent, for one call."""
        try:
            machine = self._machine(stream)
            request = stream.request["request"]
            if not isinstance(request, dict) or request.get("verb") in protocol.LIFE_VERBS:
                raise InputRefused("this is not asked of a machine's agent through a worker")
            await _pass_on(stream, machine.line, request)
        except ForgeError as error:
            stream.reset(protocol.OWN + error.code, error.message)

    def _machine(self, stream: Stream) -> Machine:
        name = str(stream.request["machine"])
        if name not in self._machines:
            raise SandboxStopped(f"there is no machine {protocol.printable(name, 40)!r} here")
        return self._machines[name]


@contextlib.asynccontextmanager
async def _until_given_up(stream: Stream) -> AsyncIterator[None]:
    """Cancel the block when the client gives its stream up.

    Raises:
        StreamReset, ChannelClosed: it did.
    """
    try:
        async with asyncio.TaskGroup() as both:
            watching = both.create_task(stream.given_up())
            yield
            watching.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _finish(stream: Stream, answer: dict[str, Any]) -> None:
    await stream.message({"answer": answer}, fin=True)


def _as_ours(error: Exception) -> ForgeError:
    if isinstance(error, ForgeError):
        return error
    return InputRefused(f"the worker was asked what it cannot make sense of: {error!r:.200}")


async def _pass_on(stream: Stream, line: Line, request: dict[str, Any]) -> None:
    """Carry one call: everything from the client to the machine, and back.

    Raises:
        ForgeError: the line's error, where the call could not be carried to its end.
    """
    inner = await line.open(request, fin=False)
    try:
        async with asyncio.TaskGroup() as both:
            upward = both.create_task(_upward(stream, inner))
            await _downward(inner, stream, line)
            upward.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        inner.reset("cancelled", "the client gave up")


async def _upward(stream: Stream, inner: Stream) -> None:
    while (item := await stream.receive()) is not None:
        # A machine that takes no more says why on its way down.
        with contextlib.suppress(StreamReset, ChannelClosed):
            if await _copy(item, inner):
                return
    with contextlib.suppress(StreamReset, ChannelClosed):
        await inner.finish()


async def _downward(inner: Stream, stream: Stream, line: Line) -> None:
    while True:
        try:
            item = await inner.receive()
        except StreamReset as reset:
            # A machine's own code must not pass for ours.
            code = "refused" if reset.code.startswith(protocol.OWN) else reset.code
            stream.reset(code, reset.message)
            return
        except ChannelClosed as error:
            raise line.gone() from error
        if item is None:
            await stream.finish()
            return
        if isinstance(item, Data) and not item.data and not item.fin:
            raise line.violated("an empty piece")
        try:
            if await _copy(item, stream):
                return
        except ValueError as error:  # an agent writes JSON as we do: its messages fit as they did
            raise line.violated(f"a message that cannot be passed on: {error}") from error


async def _copy(item: Data | Message, to: Stream) -> bool:
    """Send on what was received; returns whether that ended the direction."""
    if isinstance(item, Message):
        await to.message(item.value, fin=item.fin)
    else:
        await to.send(item.lane, item.data)
        if item.fin:
            await to.finish()
    return item.fin


# -- standard input and output ---------------------------------------------------------------------


async def serve(provider: SandboxProvider) -> None:
    """Be a worker on standard input and output until the input ends.

    From here on whatever else prints goes to standard error.

    Raises:
        InputRefused: a person is at the other end, or a file; or the client broke the wire's rules.
    """
    if sys.stdin.isatty():
        raise InputRefused(
            "this speaks a protocol on standard input and output, which another Forge starts.",
            hint="Set FORGE_SANDBOX=worker and FORGE_WORKER to this command; see docs/worker.md.",
        )
    transport = standard_pipes()
    transport.write(protocol.greeting())
    # When the line ends so does every stream, and with it whatever is under way for it.
    async with asyncio.TaskGroup() as tasks:
        channel = Channel(transport, host=False, on_open=Worker(provider, tasks).accept)
        try:
            await channel.run()
        except WireError as error:
            raise InputRefused(f"the client broke the wire's rules: {error}") from error


def standard_pipes() -> PipesTransport:
    """The line to the client, taken away from everything else in this process.

    Raises:
        InputRefused: standard input or output is a file.
    """
    source, target = os.dup(sys.stdin.fileno()), os.dup(sys.stdout.fileno())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.close(nothing)
    try:
        return PipesTransport(source, target)
    except PermissionError as error:  # what the system cannot tell the readiness of
        raise InputRefused("standard input must be a pipe or a socket, not a file") from error
