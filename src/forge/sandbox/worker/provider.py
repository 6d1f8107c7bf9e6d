"""The `worker` provider: machines that another Forge makes, wherever a command leads to it.

The command is started when it is first needed, and anew after it ended: a worker's machines end
with it. One task keeps each connection; `open_provider` owns them all, and leaving it ends them.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from forge.errors import ForgeError, SandboxDied, SandboxError, SandboxUnresponsive
from forge.sandbox.agent.call import Call
from forge.sandbox.agent.code import AgentInterpreter
from forge.sandbox.agent.commands import AgentCommands
from forge.sandbox.agent.files import AgentFiles
from forge.sandbox.base import Probe, Sandbox, SandboxFacts, SandboxSpec
from forge.sandbox.worker import deadlines, protocol
from forge.sandbox.worker.child import Notify, running
from forge.sandbox.worker.line import MachineLine, WorkerLine
from forge_guest.wire.session import Message

NAME = "worker"


@contextlib.asynccontextmanager
async def open_provider(
    command: Sequence[str], environment: Mapping[str, str], notify: Notify
) -> AsyncIterator["WorkerProvider"]:
    """A provider whose machines are made by the worker that a command leads to.

    Args:
        command: the program and its arguments.
        environment: what the command is given of this process's environment.
        notify: told what the command prints on standard error.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            provider = WorkerProvider(command, environment, notify, tasks)
            try:
                yield provider
            finally:
                await provider.close()
    except BaseExceptionGroup as failures:
        if len(failures.exceptions) == 1:
            raise failures.exceptions[0] from None
        raise


class WorkerSandbox:
    """A machine of a worker; see `forge.sandbox.base.Sandbox` for the contract."""

    def __init__(self, provider: "WorkerProvider", worker: WorkerLine, facts: SandboxFacts) -> None:
        self.facts = facts
        self._provider = provider
        self._worker = worker
        self.line = MachineLine(worker, facts.id, self._on_broken)
        self.commands = AgentCommands(self.line)
        self.files = AgentFiles(self.line)
        self.code = AgentInterpreter(self.line)

    def _on_broken(self, _: SandboxError) -> None:
        self._provider.give_up(self._worker, self)

    async def stop(self) -> None:
        """See `forge.sandbox.base.Sandbox.stop`."""
        self.line.close()
        await self._provider.destroy(self._worker, self)


class WorkerProvider:
    """See `forge.sandbox.base.SandboxProvider` for the contract."""

    name = NAME

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        notify: Notify,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._command = command
        self._environment = environment
        self._notify = notify
        self._tasks = tasks
        self._machines: set[WorkerSandbox] = set()
        self._connecting: asyncio.Future[WorkerLine] | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def probe(self, *, fresh: bool = False) -> Probe:
        """See `forge.sandbox.base.SandboxProvider.probe`; a worker that cannot be reached raises
        `WorkerUnreachable` or `WorkerForeign`, here and in `create`.
        """
        worker = await self._worker()
        found = await worker.ask_for(Probe, {"verb": "probe", "fresh": fresh}, deadlines.PROBE_S)
        return replace(found, provider=NAME, version=f"{found.version} ({found.provider} there)")

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """See `forge.sandbox.base.SandboxProvider.create`."""
        started = time.monotonic()
        worker = await self._worker()
        request = {"verb": "create", "spec": protocol.to_json(spec)}
        # A machine is the worker's own until we say with our FIN that we have it: one that is given
        # up meanwhile, however that crosses its answer, is destroyed there.
        async with (
            Call(worker, request, deadlines.CREATE_S) as call,
            contextlib.aclosing(call.items()) as items,
        ):
            first = await anext(items)
            if not isinstance(first, Message):
                raise worker.violated("a machine that is bytes")
            answer = call.checked(worker.answer, first.value)
            there = call.checked(lambda value: protocol.from_json(SandboxFacts, value), answer)
            facts = replace(there, provider=NAME, create_ms=(time.monotonic() - started) * 1000)
            machine = WorkerSandbox(self, worker, facts)
            self._machines.add(machine)
            try:
                await call.finish()
                async for _ in items:
                    continue
            except BaseException:
                self.give_up(worker, machine)
                raise
        return machine

    async def reap(self) -> int:
        """See `forge.sandbox.base.SandboxProvider.reap`: a worker does so itself, as it starts."""
        return 0

    async def close(self) -> None:
        """See `forge.sandbox.base.SandboxProvider.close`."""
        for machine in tuple(self._machines):
            machine.line.close()
        self._machines.clear()
        keeping, connecting = self._keeping, self._connecting
        if keeping is None or connecting is None:
            return
        if connecting.done() and connecting.exception() is None:
            connecting.result().close()
        else:
            keeping.cancel()
        await asyncio.wait((keeping,), timeout=2 * deadlines.CLOSE_S)

    async def destroy(self, worker: WorkerLine, machine: WorkerSandbox) -> None:
        """Destroy a machine at its worker, and wait until it is gone. One that went already, with
        its worker or without, is gone.

        Raises:
            SandboxUnresponsive: the worker did not say that it is; the worker is given up.
        """
        if machine not in self._machines or not worker.usable:
            self._machines.discard(machine)
            return
        try:
            await worker.ask({"verb": "destroy", "machine": machine.facts.id}, deadlines.STOP_S)
        except SandboxDied:
            return
        finally:
            self._machines.discard(machine)

    def give_up(self, worker: WorkerLine, machine: WorkerSandbox) -> None:
        """Have a machine destroyed by the worker without waiting for it."""

        async def destroying() -> None:
            try:
                await self.destroy(worker, machine)
            except ForgeError as error:
                self._notify(f"A broken machine may be left at the worker: {error.message}")

        if machine in self._machines:
            self._tasks.create_task(destroying())

    async def _worker(self) -> WorkerLine:
        """The connection, made where there is none. One that is being made outlives a caller that
        is cancelled: the next one gets it.
        """
        line = self._connecting
        if line is None or (line.done() and (line.exception() or not line.result().usable)):
            line = self._connecting = asyncio.get_running_loop().create_future()
            self._keeping = self._tasks.create_task(self._keep(line))
        return await asyncio.shield(line)

    async def _keep(self, ready: asyncio.Future[WorkerLine]) -> None:
        """Be a connection's one task, from the start of its command to its end."""
        try:
            async with running(self._command, self._environment, self._notify) as child:
                worker = WorkerLine(child, await child.greeted())
                ready.set_result(worker)
                await worker.own()
        except ForgeError as error:
            if ready.done():
                raise
            ready.set_exception(error)
            ready.exception()  # whoever waits gets it too; nobody need wait any more
        finally:
            if not ready.done():
                ready.set_exception(SandboxUnresponsive("the worker was closed while connecting"))
                ready.exception()
