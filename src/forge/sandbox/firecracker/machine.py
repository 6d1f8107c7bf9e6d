"""One cloned machine: made from a template, owned by one task, gone without a trace.

       create                     stop, the machine breaks, or its time is over
    ────────────▶ running ────────────────────────────────────────────────────▶ gone

It is never paused, kept or copied: that is QEMU's so far, and is refused here. The owner task
(`own`) reads the agent's line for the machine's whole life; however it ends, Firecracker is killed
and the machine's folder removed before `gone` is set.
"""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from forge.errors import InputRefused, SandboxError, SandboxStopped, SandboxUnresponsive
from forge.sandbox import lifecycle, records
from forge.sandbox.agent.code import AgentInterpreter
from forge.sandbox.agent.commands import AgentCommands
from forge.sandbox.agent.connection import Connection
from forge.sandbox.agent.files import AgentFiles
from forge.sandbox.agent.ports import AgentPorts
from forge.sandbox.base import Sandbox, SandboxFacts, SandboxSpec, Snapshot
from forge.sandbox.firecracker.config import DATA, STATE, load_calls
from forge.sandbox.firecracker.launch import Launched, launch, lay_out
from forge.sandbox.firecracker.warm import Cold
from forge.sandbox.lifecycle import State
from forge.sandbox.machines.template import Template, copy_sparse
from forge.sandbox.metrics import Metrics

QEMU_CAN = "QEMU's machines can: choose them with FORGE_SANDBOX (docs/providers.md)."

_CONNECT_S = 10.0  # a restored guest listens already; this is for a host under heavy load
_STOP_S = 15.0  # killing Firecracker and removing its folder takes milliseconds


class FirecrackerSandbox:
    """A machine under Firecracker; see `forge.sandbox.base.Sandbox` for the contract.

    Args:
        folder: the machine's own; removed at its end.
        launched: its process; closed at its end.
        fd: connected to its agent; owned from here on.
        facts: what it is.
        spec: what was wished for.
    """

    def __init__(
        self, folder: Path, launched: Launched, fd: int, facts: SandboxFacts, spec: SandboxSpec
    ) -> None:
        self.facts = facts
        self.state: State = "creating"
        self.gone = asyncio.Event()
        self._folder = folder
        self._spec = spec
        self._launched = launched
        self._end = asyncio.Event()
        self._agent = Connection(fd, self._on_broken)
        self.commands = AgentCommands(self._agent)
        self.files = AgentFiles(self._agent)
        self.code = AgentInterpreter(self._agent)
        self.ports = AgentPorts(self._agent)

    def _on_broken(self, _: SandboxError) -> None:
        self._end.set()

    async def own(self) -> None:
        """Be the machine's one task, from its first answer to its end."""
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._agent.run())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._spec.lifetime_s or None):
                        await self._end.wait()
                reading.cancel()
        finally:
            self.state = lifecycle.move(self.state, "stopping")
            self._agent.close()
            self._launched.vmm.kill()
            try:
                await asyncio.shield(self._launched.close())
            finally:
                shutil.rmtree(self._folder, ignore_errors=True)
                self.state = lifecycle.move(self.state, "gone")
                self.gone.set()

    async def wake(self) -> None:
        """Give the machine facts of its own.

        Raises:
            SandboxDied, SandboxUnresponsive, GuestViolation: it did not take them.
        """
        name = self.facts.id.replace("_", "-")
        await self._agent.restore(name, time.time_ns(), self._spec.env)
        self.state = lifecycle.move(self.state, "running")

    async def pause(self) -> None:
        """Refused; see `forge.sandbox.base.Sandbox.pause`.

        Raises:
            InputRefused: always, while it runs.
            SandboxStopped: it is gone.
        """
        raise self._refused("paused")

    async def resume(self) -> None:
        """See `forge.sandbox.base.Sandbox.resume`: a machine that runs is left alone.

        Raises:
            SandboxStopped: it is gone.
        """
        if self._end.is_set():
            raise SandboxStopped("the machine was stopped")

    async def snapshot(self, name: str) -> Snapshot:
        """Refused, as `pause` is; see `forge.sandbox.base.Sandbox.snapshot`."""
        raise self._refused(f"kept as {name[:80]!r}")

    async def fork(
        self, count: int = 1, *, env: Mapping[str, str] | None = None
    ) -> tuple[Sandbox, ...]:
        """Refused, as `pause` is; see `forge.sandbox.base.Sandbox.fork`."""
        del env
        raise self._refused(f"copied {count} times")

    async def metrics(self, *, claims: bool = True) -> Metrics:
        """Refused; see `forge.sandbox.base.Sandbox.metrics`.

        Raises:
            InputRefused: always, while it runs.
            SandboxStopped: it is gone.
        """
        del claims
        raise self._refused("measured")

    def _refused(self, what: str) -> SandboxError | InputRefused:
        if self._end.is_set():
            return SandboxStopped("the machine was stopped")
        return InputRefused(f"a machine under Firecracker cannot be {what} yet", hint=QEMU_CAN)

    async def stop(self) -> None:
        """See `forge.sandbox.base.Sandbox.stop`."""
        self._agent.close()
        self._end.set()
        try:
            async with asyncio.timeout(_STOP_S):
                await self.gone.wait()
        except TimeoutError as error:
            raise SandboxUnresponsive("a machine's Firecracker could not be killed") from error


@dataclass(frozen=True, slots=True)
class Clone:
    """What a clone is made from."""

    cold: Cold
    template: Template


async def start_clone(clone: Clone, folder: Path) -> tuple[Launched, int]:
    """Start a clone in its own, recorded folder; its process, and a line to its agent.

    Raises:
        ProgramMissing, NoSpace, HostUnfit, SandboxDied: see `launch` and `lay_out`.
        SandboxUnresponsive: its agent did not listen.
        OSError: the host cannot write the machine's disk.
    """
    cold, template = clone.cold, clone.template
    room = lay_out(folder, cold.boot, cold.image, cold.memory_mib, cold.disk_mib)
    copy_sparse(template.data, room.inside / DATA)
    (room.inside / STATE).write_bytes(template.state)
    room.admit(room.inside / DATA)
    room.admit(room.inside / STATE)
    async with contextlib.AsyncExitStack() as undo:
        memory = os.open(template.memory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            launched = await launch(cold.boot, room, memory)
            undo.push_async_callback(launched.close)
            records.write_record(folder, launched.vmm.pid)
            for call in load_calls(memory):
                await launched.api.ask(call)
        finally:
            os.close(memory)
        fd = await launched.connect(_CONNECT_S)
        undo.pop_all()
    return launched, fd
