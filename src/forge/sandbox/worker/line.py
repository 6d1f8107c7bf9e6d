"""The client's lines: one to a worker, and one through it to each machine's agent.

Both are a `Line`, so everything the contract has (`forge.sandbox.agent`) works over a worker as it
does over a socket: what a machine answers is checked here, whoever passed it on. A worker is
trusted no more than a guest: it is bounded, has deadlines, and whatever it says is checked.

A machine's line is broken by what breaks its machine; a worker's by its end, a lie or a silence,
and with it the lines of all its machines.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from forge import errors
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
from forge.sandbox.agent import answers
from forge.sandbox.agent import deadlines as agent_deadlines
from forge.sandbox.agent.call import Call
from forge.sandbox.base import SandboxFacts
from forge.sandbox.lifecycle import State
from forge.sandbox.worker import protocol
from forge.sandbox.worker.child import Child
from forge.sandbox.worker.transport import PipesTransport
from forge_guest.wire.channel import Channel, ChannelClosed, Stream, StreamReset
from forge_guest.wire.frames import WireError
from forge_guest.wire.session import Data, Message, TooManyStreams

_FATAL = (SandboxDied, SandboxUnresponsive, SandboxStopped, GuestViolation)
"""What leaves no machine behind."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker says of one machine's life."""

    machine: str
    state: State


class WorkerLine:
    """A connection to one worker; a `Line` for its own verbs.

    Attributes:
        max_output: 0: a worker's own verbs show no output.

    Args:
        child: the command, greeted already; closed by whoever started it, after `own`.
        transport: the line that followed its greeting.
    """

    max_output = 0

    def __init__(self, child: Child, transport: PipesTransport) -> None:
        self._states: dict[str, State] = {}
        self._watched: Stream | None = None
        self._child = child
        self._channel = Channel(transport, host=True)
        self._broken: SandboxError | None = None
        self._end = asyncio.Event()
        self._lasting: Counter[MachineLine] = Counter()

    @property
    def usable(self) -> bool:
        """Whether anything can still be asked."""
        return self._broken is None and not self._end.is_set()

    async def own(self) -> None:
        """Be the connection's one task, until it ends."""
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read())
                watching = tasks.create_task(self._watch())
                attending = tasks.create_task(self._attend())
                await self._end.wait()
                for task in (reading, watching, attending):
                    task.cancel()
        finally:
            self._channel.close(ChannelClosed("the worker was closed"))
            self._end.set()

    async def _read(self) -> None:
        try:
            await self._channel.run()
        except WireError as error:
            self._break(GuestViolation(f"the worker broke the wire's rules: {error}"))
        else:
            self.gone()

    async def _watch(self) -> None:
        """Keep `states`; the connection's end ends this too."""
        with contextlib.suppress(StreamReset, ChannelClosed, ForgeError):
            self._watched = await self.open({"verb": "watch"}, fin=True)
            while (item := await self._watched.receive()) is not None:
                self._told(item)

    async def _attend(self) -> None:
        """Ask machines now and then whether they are there, while calls wait without end."""
        while True:
            await asyncio.sleep(agent_deadlines.WATCH_S)
            for line in tuple(self._lasting):
                with contextlib.suppress(ForgeError):  # whoever waits is told, by the line's end
                    async with Call(
                        line, {"verb": "ping"}, agent_deadlines.QUICK_S, fin=True
                    ) as call:
                        await call.final()

    @contextlib.contextmanager
    def attended(self, line: "MachineLine") -> Iterator[None]:
        """Ask this machine now and then, for the block."""
        self._lasting[line] += 1
        try:
            yield
        finally:
            self._lasting[line] -= 1
            self._lasting += Counter()  # forgets who is down to nothing

    def _told(self, item: Data | Message) -> None:
        try:
            told = protocol.from_json(Told, item.value if isinstance(item, Message) else None)
        except answers.Malformed as error:
            self.violated(str(error))
        else:
            if told.machine in self._states:
                self._states[told.machine] = told.state

    def know(self, machine: str, state: State | None) -> None:
        """Keep a machine's state from here on, or, with None, no more."""
        self._states.pop(machine, None)
        if state is not None:
            self._states[machine] = state

    def state(self, machine: str) -> State:
        """What the worker last said of a machine. It says so before the answer of the call that
        led to it; what has arrived with that answer is looked at here, and not left to a task.
        """
        while self._watched is not None and (item := self._watched.arrived()) is not None:
            self._told(item)
        return self._states.get(machine, "gone")

    def close(self) -> None:
        """End the connection."""
        self._end.set()

    def _break(self, error: SandboxError) -> SandboxError:
        if self._broken is None:
            self._broken = error
            if not isinstance(error, SandboxDied):
                self._child.kill()  # who lies or says nothing is not asked to tidy up
            self._channel.close(ChannelClosed(error.message))
            self._end.set()
        return self._broken

    async def ask(self, request: dict[str, Any], deadline_s: float) -> dict[str, Any]:
        """Ask a verb of the worker itself; returns its answer.

        Raises:
            ForgeError: the worker's own error, whatever it was.
            SandboxDied, SandboxUnresponsive, GuestViolation: it gave no answer and is closed.
        """
        async with Call(self, request, deadline_s, fin=True) as call:
            return call.checked(self.answer, await call.final())

    async def ask_for(self, kind: type[_T], request: dict[str, Any], deadline_s: float) -> _T:
        """Ask a verb that answers with a value of the contract; raises as `ask` does."""
        return self.checked(kind, await self.ask(request, deadline_s))

    def checked(self, kind: type[_T], value: object) -> _T:
        """A value of the contract out of an answer; one that is none ends the worker."""
        try:
            return protocol.from_json(kind, value)
        except answers.Malformed as error:
            raise self.violated(str(error)) from error

    @contextlib.asynccontextmanager
    async def handed_over(
        self, request: dict[str, Any], deadline_s: float
    ) -> AsyncIterator[tuple[SandboxFacts, ...]]:
        """Ask a verb that makes machines; raises as `ask` does. They are the worker's own, and are
        destroyed there if we give up, until this block is left: then they are ours.
        """
        async with (
            Call(self, request, deadline_s) as call,
            contextlib.aclosing(call.items()) as items,
        ):
            first = await anext(items)
            if not isinstance(first, Message):
                raise self.violated("machines that are bytes")
            answer = call.checked(self.answer, first.value)
            yield self.checked(tuple[SandboxFacts, ...], answer.get("machines"))
            await call.finish()
            async for _ in items:
                continue

    @staticmethod
    def answer(message: dict[str, Any]) -> dict[str, Any]:
        """What a last message answers.

        Raises:
            Malformed: it is neither an answer nor an error.
            ForgeError: the error it names.
        """
        if "error" in message:
            raise protocol.error_from(message["error"])
        answer = message.get("answer")
        if not isinstance(answer, dict):
            raise answers.Malformed("an answer that is none")
        return answer

    # -- for calls -----------------------------------------------------------------------------

    async def open(self, request: dict[str, Any], *, fin: bool) -> Stream:
        """See `forge.sandbox.agent.call.Line.open`."""
        try:
            return await self._channel.open(request, fin=fin)
        except ValueError as error:
            raise InputRefused(f"the request is too large: {error}") from error
        except TooManyStreams as error:
            raise GuestRefused(f"the worker has too many calls under way: {error}") from error
        except ChannelClosed as error:
            raise self.gone() from error

    def lasting(self) -> contextlib.AbstractContextManager[None]:
        """See `forge.sandbox.agent.call.Line.lasting`; a worker's own verbs all have deadlines."""
        return contextlib.nullcontext()

    def gone(self) -> SandboxError:
        """See `forge.sandbox.agent.call.Line.gone`."""
        what = f"the worker's command {self._child.why()}{self._child.said()}"
        return self._break(SandboxDied(f"the worker is gone, and its machines with it: {what}"))

    def overdue(self, verb: str, deadline_s: float) -> SandboxError:
        """See `forge.sandbox.agent.call.Line.overdue`."""
        return self._break(
            SandboxUnresponsive(f"the worker did not answer {verb} within {deadline_s:.0f} s")
        )

    def violated(self, why: str) -> SandboxError:
        """See `forge.sandbox.agent.call.Line.violated`."""
        return self._break(GuestViolation(f"the worker lied: {why}"))

    def refused(self, reset: StreamReset) -> ForgeError:
        """See `forge.sandbox.agent.call.Line.refused`."""
        return _own_word(reset) or self.violated("it gave up a call of its own")


class MachineLine:
    """A line through a worker to one machine's agent.

    Attributes:
        max_output: how many bytes one call may show; 0: no limit. Set by whoever made the machine.

    Args:
        worker: the connection.
        machine: the machine's id.
        on_broken: called once when the machine must be destroyed.
    """

    def __init__(
        self, worker: WorkerLine, machine: str, on_broken: Callable[[SandboxError], None]
    ) -> None:
        self.max_output = 0
        self._worker = worker
        self._machine = machine
        self._on_broken = on_broken
        self._broken: SandboxError | None = None
        self._stopped = False

    @property
    def over(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._stopped or self._broken is not None

    def close(self) -> None:
        """End the line: calls under way and later ones raise `SandboxStopped`."""
        self._stopped = True

    async def within(self, asking: Coroutine[Any, Any, _T]) -> _T:
        """Await what the worker is asked about this machine; what it says may break the line.

        Raises:
            ForgeError: the worker's error, or that this machine is over.
        """
        if self.over:
            asking.close()
            raise self._after()
        try:
            return await asking
        except _FATAL as error:
            raise self._break(error) from error

    def _after(self) -> SandboxStopped:
        reason = f": {self._broken.message}" if self._broken else ""
        return SandboxStopped(f"this machine is no longer there{reason}")

    def _break(self, error: SandboxError) -> SandboxError:
        if self._stopped:
            return SandboxStopped("the machine was stopped")
        if self._broken is None:
            self._broken = error
            self._on_broken(error)
        return self._broken

    async def open(self, request: dict[str, Any], *, fin: bool) -> Stream:
        """See `forge.sandbox.agent.call.Line.open`."""
        if self.over:
            raise self._after()
        wrapped = {"verb": "agent", "machine": self._machine, "request": request}
        try:
            return await self._worker.open(wrapped, fin=fin)
        except _FATAL as error:
            raise self._break(error) from error

    def lasting(self) -> contextlib.AbstractContextManager[None]:
        """See `forge.sandbox.agent.call.Line.lasting`."""
        return self._worker.attended(self)

    def gone(self) -> SandboxError:
        """See `forge.sandbox.agent.call.Line.gone`."""
        return self._break(self._worker.gone())

    def overdue(self, verb: str, deadline_s: float) -> SandboxError:
        """See `forge.sandbox.agent.call.Line.overdue`."""
        return self._break(
            SandboxUnresponsive(f"the machine did not answer {verb} within {deadline_s:.0f} s")
        )

    def violated(self, why: str) -> SandboxError:
        """See `forge.sandbox.agent.call.Line.violated`."""
        return self._break(GuestViolation(f"the machine's agent lied: {why}"))

    def refused(self, reset: StreamReset) -> ForgeError:
        """See `forge.sandbox.agent.call.Line.refused`."""
        own = _own_word(reset)
        if own is None:
            return answers.refusal(reset)
        return self._break(own) if isinstance(own, _FATAL) else own


def _own_word(reset: StreamReset) -> ForgeError | None:
    """The worker's own error in a RESET; None where it passes on what a machine said."""
    if not reset.code.startswith(protocol.OWN):
        return None
    kind = errors.of_code(reset.code.removeprefix(protocol.OWN))
    return kind(protocol.printable(reset.message))
