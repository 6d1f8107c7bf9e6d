"""The `worker` provider: machines that another Forge makes, wherever a command leads to it.

The command is started when it is first needed, and anew after it ended: a worker's machines end
with it. One task keeps each connection; `open_provider` owns them all, and leaving it ends them.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from forge.errors import ForgeError, SandboxUnresponsive
from forge.ids import SandboxId
from forge.sandbox.base import MachineInfo, Probe, Sandbox, SandboxFacts, SandboxSpec, Snapshot
from forge.sandbox.worker import deadlines, protocol
from forge.sandbox.worker.child import Notify, running
from forge.sandbox.worker.line import WorkerLine
from forge.sandbox.worker.sandbox import WorkerSandbox
from forge.tasks import together

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
    async with together() as tasks:
        provider = WorkerProvider(command, environment, notify, tasks)
        try:
            yield provider
        finally:
            await provider.close()


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
        self._machines: dict[str, WorkerSandbox] = {}
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
        request = {"verb": "create", "spec": protocol.to_json(spec)}
        (machine,) = await self.take(await self._worker(), request)
        machine.line.max_output = spec.limits.max_output_bytes
        return machine

    async def take(self, worker: WorkerLine, request: dict[str, Any]) -> tuple[WorkerSandbox, ...]:
        """Ask a verb that makes machines, and keep them. Given up meanwhile, none is left."""
        started = time.monotonic()
        made: tuple[WorkerSandbox, ...] = ()
        try:
            async with worker.handed_over(request, deadlines.CREATE_S) as there:
                took_ms = (time.monotonic() - started) * 1000
                made = tuple(self._keep_machine(worker, facts, took_ms) for facts in there)
        except BaseException:
            for machine in made:
                self.give_up(machine)
            raise
        return made

    async def list(self) -> tuple[MachineInfo, ...]:
        """See `forge.sandbox.base.SandboxProvider.list`."""
        worker = await self._worker()
        answer = await worker.ask({"verb": "list"}, deadlines.STOP_S)
        return worker.checked(tuple[MachineInfo, ...], answer.get("machines"))

    async def open(self, sandbox_id: SandboxId) -> Sandbox:
        """See `forge.sandbox.base.SandboxProvider.open`."""
        if sandbox_id in self._machines:
            return self._machines[sandbox_id]
        worker = await self._worker()
        answer = await worker.ask({"verb": "open", "machine": sandbox_id}, deadlines.SAVE_S)
        there = worker.checked(tuple[SandboxFacts, ...], answer.get("machines"))
        if [facts.id for facts in there] != [sandbox_id]:
            raise worker.violated("another machine than was asked for")
        machine = self._keep_machine(worker, there[0], there[0].create_ms)
        worker.know(sandbox_id, "paused")
        return machine

    async def remove(self, sandbox_id: SandboxId) -> None:
        """See `forge.sandbox.base.SandboxProvider.remove`."""
        worker = await self._worker()
        await worker.ask({"verb": "remove", "machine": sandbox_id}, deadlines.STOP_S)
        machine = self._machines.get(sandbox_id)
        if machine is not None:
            machine.line.close()
            self.forget(machine)

    async def snapshots(self) -> tuple[Snapshot, ...]:
        """See `forge.sandbox.base.SandboxProvider.snapshots`."""
        worker = await self._worker()
        answer = await worker.ask({"verb": "snapshots"}, deadlines.STOP_S)
        return worker.checked(tuple[Snapshot, ...], answer.get("snapshots"))

    async def remove_snapshot(self, name: str) -> None:
        """See `forge.sandbox.base.SandboxProvider.remove_snapshot`."""
        worker = await self._worker()
        await worker.ask({"verb": "remove_snapshot", "name": name}, deadlines.STOP_S)

    async def reap(self) -> int:
        """See `forge.sandbox.base.SandboxProvider.reap`: a worker does so itself, as it starts."""
        return 0

    async def close(self) -> None:
        """See `forge.sandbox.base.SandboxProvider.close`."""
        for machine in self._machines.values():
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

    def forget(self, machine: WorkerSandbox) -> None:
        """A machine is gone."""
        self._machines.pop(machine.facts.id, None)

    def give_up(self, machine: WorkerSandbox) -> None:
        """Have a machine destroyed by the worker without waiting for it."""

        async def destroying() -> None:
            try:
                await machine.destroy()
            except ForgeError as error:
                self._notify(f"A broken machine may be left at the worker: {error.message}")

        if machine.facts.id in self._machines:
            self._tasks.create_task(destroying())

    def _keep_machine(
        self, worker: WorkerLine, facts: SandboxFacts, took_ms: float
    ) -> WorkerSandbox:
        machine = WorkerSandbox(self, worker, replace(facts, provider=NAME, create_ms=took_ms))
        self._machines[facts.id] = machine
        return machine

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
