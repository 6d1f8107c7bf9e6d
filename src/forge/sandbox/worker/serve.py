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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Protocol, cast, runtime_checkable

from forge.errors import ForgeError, InputRefused, SandboxStopped
from forge.ids import SandboxId
from forge.sandbox.agent.answers import Malformed
from forge.sandbox.agent.call import Line
from forge.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from forge.sandbox.worker import protocol
from forge.sandbox.worker.relay import pass_on
from forge.sandbox.worker.states import States
from forge.sandbox.worker.transport import PipesTransport
from forge.tasks import together
from forge_guest.wire.channel import Channel, ChannelClosed, Stream, StreamReset
from forge_guest.wire.frames import WireError

Verb = Callable[[Stream], Awaitable[None]]


@runtime_checkable
class Lined(Protocol):
    """What it takes to pass a machine on."""

    @property
    def line(self) -> Line:
        """The line to the machine's agent."""


class Machine(Sandbox, Lined, Protocol):
    """A machine that can be passed on."""


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
        self._states = States(self._machines)
        self.verbs: dict[str, Verb] = {
            "probe": self._probe,
            "watch": self._states.tell_on,
            "create": self._create,
            "open": self._open,
            "fork": self._fork,
            "pause": self._pause,
            "resume": self._resume,
            "snapshot": self._snapshot,
            "metrics": self._metrics,
            "destroy": self._destroy,
            "list": self._list,
            "remove": self._remove,
            "snapshots": self._snapshots,
            "remove_snapshot": self._remove_snapshot,
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
                await self._states.tell()
                await stream.message(protocol.error_json(_as_ours(error)), fin=True)

    async def _carry_out(self, stream: Stream) -> None:
        name = str(stream.request.get("verb"))
        verb = self.verbs.get(name)
        if verb is None:
            raise InputRefused(f"this worker has no verb {protocol.printable(name, 40)!r}")
        await verb(stream)

    async def _finish(self, stream: Stream, answer: dict[str, Any]) -> None:
        await self._states.tell()
        await stream.message({"answer": answer}, fin=True)

    # -- machines ----------------------------------------------------------------------------------

    async def _create(self, stream: Stream) -> None:
        spec = protocol.from_json(SandboxSpec, stream.request["spec"])
        await self._hand_over(stream, (await self._provider.create(spec),))

    async def _fork(self, stream: Stream) -> None:
        env = stream.request.get("env")
        if env is not None:
            env = protocol.from_json(dict[str, str], env)
        count = protocol.from_json(int, stream.request.get("count", 1))
        await self._hand_over(stream, await self._machine(stream).fork(count, env=env))

    async def _open(self, stream: Stream) -> None:
        """A paused machine is nobody's until it is used: where the client gives up, it stays."""
        name = SandboxId(str(stream.request["machine"]))
        machine = self._machines.get(name)
        if machine is None:
            machine = self._machines[name] = _passable(await self._provider.open(name))
        await self._finish(stream, _facts((machine,)))

    async def _hand_over(self, stream: Stream, made: tuple[Sandbox, ...]) -> None:
        """Give machines to the client: they are ours, and are stopped, until the client's FIN."""
        async with contextlib.AsyncExitStack() as undo:
            for machine in made:
                undo.push_async_callback(machine.stop)
            for machine in made:
                self._machines[machine.facts.id] = _passable(machine)
                undo.callback(self._machines.pop, machine.facts.id, None)
            await stream.message({"answer": _facts(made)})
            while await stream.receive() is not None:
                continue  # what a client sends here says nothing
            undo.pop_all()
        await self._finish(stream, {})

    async def _pause(self, stream: Stream) -> None:
        await self._machine(stream).pause()
        await self._finish(stream, {})

    async def _resume(self, stream: Stream) -> None:
        await self._machine(stream).resume()
        await self._finish(stream, {})

    async def _snapshot(self, stream: Stream) -> None:
        made = await self._machine(stream).snapshot(str(stream.request["name"]))
        await self._finish(stream, protocol.to_json(made))

    async def _metrics(self, stream: Stream) -> None:
        claims = protocol.from_json(bool, stream.request.get("claims", True))
        read = await self._machine(stream).metrics(claims=claims)
        await self._finish(stream, protocol.to_json(read))

    async def _destroy(self, stream: Stream) -> None:
        machine = self._machines.get(str(stream.request["machine"]))
        if machine is not None:
            await machine.stop()
            await self._states.tell()
            self._machines.pop(machine.facts.id, None)
        await self._finish(stream, {})

    async def _relay(self, stream: Stream) -> None:
        """Be a client's line to one machine's agent, for one call."""
        try:
            machine = self._machine(stream)
            request = stream.request["request"]
            if not isinstance(request, dict) or request.get("verb") in protocol.LIFE_VERBS:
                raise InputRefused("this is not asked of a machine's agent through a worker")
            await pass_on(stream, machine.line, request, self._states.tell)
        except ForgeError as error:
            await self._states.tell()
            stream.reset(protocol.OWN + error.code, error.message)

    def _machine(self, stream: Stream) -> Machine:
        name = str(stream.request["machine"])
        if name not in self._machines:
            raise SandboxStopped(f"there is no machine {protocol.printable(name, 40)!r} here")
        return self._machines[name]

    # -- the provider ------------------------------------------------------------------------------

    async def _probe(self, stream: Stream) -> None:
        verdict = await self._provider.probe(fresh=stream.request.get("fresh") is True)
        await self._finish(stream, protocol.to_json(verdict))

    async def _list(self, stream: Stream) -> None:
        found = [protocol.to_json(each) for each in await self._provider.list()]
        await self._finish(stream, {"machines": found})

    async def _remove(self, stream: Stream) -> None:
        name = SandboxId(str(stream.request["machine"]))
        await self._provider.remove(name)
        self._machines.pop(name, None)
        await self._finish(stream, {})

    async def _snapshots(self, stream: Stream) -> None:
        found = [protocol.to_json(each) for each in await self._provider.snapshots()]
        await self._finish(stream, {"snapshots": found})

    async def _remove_snapshot(self, stream: Stream) -> None:
        await self._provider.remove_snapshot(str(stream.request["name"]))
        await self._finish(stream, {})


@contextlib.asynccontextmanager
async def _until_given_up(stream: Stream) -> AsyncIterator[None]:
    """Cancel the block when the client gives its stream up.

    Raises:
        StreamReset, ChannelClosed: it did.
    """
    async with together() as both:
        watching = both.create_task(stream.given_up())
        yield
        watching.cancel()


def _passable(machine: Sandbox) -> Machine:
    if not isinstance(machine, Lined):
        raise InputRefused(f"machines of {machine.facts.provider!r} cannot be passed on")
    return cast("Machine", machine)


def _facts(machines: Iterable[Sandbox]) -> dict[str, Any]:
    return {"machines": [protocol.to_json(each.facts) for each in machines]}


def _as_ours(error: Exception) -> ForgeError:
    if isinstance(error, ForgeError):
        return error
    return InputRefused(f"the worker was asked what it cannot make sense of: {error!r:.200}")


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
