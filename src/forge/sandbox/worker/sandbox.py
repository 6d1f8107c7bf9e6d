"""A machine of a worker, as its client has it."""

from collections.abc import Mapping
from typing import Any, Protocol

from forge.errors import SandboxDied, SandboxError
from forge.sandbox.agent.code import AgentInterpreter
from forge.sandbox.agent.commands import AgentCommands
from forge.sandbox.agent.files import AgentFiles
from forge.sandbox.agent.ports import AgentPorts
from forge.sandbox.base import Sandbox, SandboxFacts, Snapshot
from forge.sandbox.lifecycle import State
from forge.sandbox.metrics import Metrics
from forge.sandbox.worker import deadlines
from forge.sandbox.worker.line import MachineLine, WorkerLine


class Keeper(Protocol):
    """Whoever keeps a worker's machines: its provider."""

    def give_up(self, machine: "WorkerSandbox") -> None:
        """Have a machine destroyed without waiting for it."""

    def forget(self, machine: "WorkerSandbox") -> None:
        """A machine is gone."""

    async def take(self, worker: WorkerLine, request: dict[str, Any]) -> tuple[Sandbox, ...]:
        """Ask a verb that makes machines, and keep them."""


class WorkerSandbox:
    """A machine of a worker; see `forge.sandbox.base.Sandbox` for the contract.

    Args:
        keeper: told when it is gone or must be destroyed.
        worker: the connection to the worker that has it.
        facts: what is true of it.
    """

    def __init__(self, keeper: Keeper, worker: WorkerLine, facts: SandboxFacts) -> None:
        self.facts = facts
        self._keeper = keeper
        self._worker = worker
        worker.know(facts.id, "running")
        self.line = MachineLine(worker, facts.id, self._on_broken)
        self.commands = AgentCommands(self.line)
        self.files = AgentFiles(self.line)
        self.code = AgentInterpreter(self.line)
        self.ports = AgentPorts(self.line)

    @property
    def state(self) -> State:
        """See `forge.sandbox.base.Sandbox.state`; what the worker last said."""
        if self.line.over or not self._worker.usable:
            return "gone"
        return self._worker.state(self.facts.id)

    def _on_broken(self, _: SandboxError) -> None:
        self._keeper.give_up(self)

    async def pause(self) -> None:
        """See `forge.sandbox.base.Sandbox.pause`."""
        await self._life("pause")

    async def resume(self) -> None:
        """See `forge.sandbox.base.Sandbox.resume`."""
        await self._life("resume")

    async def snapshot(self, name: str) -> Snapshot:
        """See `forge.sandbox.base.Sandbox.snapshot`."""
        request = {"verb": "snapshot", "machine": self.facts.id, "name": name}
        asking = self._worker.ask_for(Snapshot, request, deadlines.SAVE_S)
        return await self.line.within(asking)

    async def metrics(self, *, claims: bool = True) -> Metrics:
        """See `forge.sandbox.base.Sandbox.metrics`; measured by the worker, on its host."""
        request = {"verb": "metrics", "machine": self.facts.id, "claims": claims}
        asking = self._worker.ask_for(Metrics, request, deadlines.STOP_S)
        return await self.line.within(asking)

    async def fork(
        self, count: int = 1, *, env: Mapping[str, str] | None = None
    ) -> tuple[Sandbox, ...]:
        """See `forge.sandbox.base.Sandbox.fork`."""
        variables = None if env is None else dict(env)
        request = {"verb": "fork", "machine": self.facts.id, "count": count, "env": variables}
        return await self.line.within(self._keeper.take(self._worker, request))

    async def stop(self) -> None:
        """See `forge.sandbox.base.Sandbox.stop`."""
        self.line.close()
        await self.destroy()

    async def destroy(self) -> None:
        """Have the worker destroy it, and wait until it is gone. One that went already, with its
        worker or without, is gone.

        Raises:
            SandboxUnresponsive: the worker did not say that it is; the worker is given up.
        """
        if self._worker.state(self.facts.id) == "gone" or not self._worker.usable:
            self._keeper.forget(self)
            return
        request = {"verb": "destroy", "machine": self.facts.id}
        try:
            await self._worker.ask(request, deadlines.STOP_S)
        except SandboxDied:
            return
        finally:
            self._worker.know(self.facts.id, None)
            self._keeper.forget(self)

    async def _life(self, verb: str) -> None:
        request = {"verb": verb, "machine": self.facts.id}
        await self.line.within(self._worker.ask(request, deadlines.SAVE_S))
