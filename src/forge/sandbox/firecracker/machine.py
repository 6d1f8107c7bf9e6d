"""One cloned machine: made from a template, owned by one task, gone without a trace.

       create                     stop, or the machine breaks
    ────────────▶ running ─────────────────────────────────────▶ gone

The owner task (`own`) reads the agent's line for the machine's whole life; however it ends,
Firecracker is killed and the machine's folder removed before `gone` is set.
"""

import asyncio
import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from forge.errors import SandboxError, SandboxUnresponsive
from forge.sandbox import records
from forge.sandbox.agent.code import AgentInterpreter
from forge.sandbox.agent.commands import AgentCommands
from forge.sandbox.agent.connection import Connection
from forge.sandbox.agent.files import AgentFiles
from forge.sandbox.base import SandboxFacts
from forge.sandbox.firecracker.config import DATA, STATE, load_calls
from forge.sandbox.firecracker.launch import Launched, launch, lay_out
from forge.sandbox.firecracker.warm import Cold
from forge.sandbox.qemu.template import Template, copy_sparse

_CONNECT_S = 10.0  # a restored guest listens already; this is for a host under heavy load
_STOP_S = 15.0  # killing Firecracker and removing its folder takes milliseconds


class FirecrackerSandbox:
    """A machine under Firecracker; see `forge.sandbox.base.Sandbox` for the contract.

    Args:
        folder: the machine's own; removed at its end.
        launched: its process; closed at its end.
        fd: connected to its agent; owned from here on.
        facts: what it is.
    """

    def __init__(self, folder: Path, launched: Launched, fd: int, facts: SandboxFacts) -> None:
        self.facts = facts
        self.gone = asyncio.Event()
        self._folder = folder
        self._launched = launched
        self._end = asyncio.Event()
        self._agent = Connection(fd, self._on_broken)
        self.commands = AgentCommands(self._agent)
        self.files = AgentFiles(self._agent)
        self.code = AgentInterpreter(self._agent)

    def _on_broken(self, _: SandboxError) -> None:
        self._end.set()

    async def own(self) -> None:
        """Be the machine's one task, from its first answer to its end."""
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._agent.run())
                await self._end.wait()
                reading.cancel()
        finally:
            self._agent.close()
            self._launched.vmm.kill()
            try:
                await asyncio.shield(self._launched.close())
            finally:
                shutil.rmtree(self._folder, ignore_errors=True)
                self.gone.set()

    async def wake(self) -> None:
        """Give the machine facts of its own.

        Raises:
            SandboxDied, SandboxUnresponsive, GuestViolation: it did not take them.
        """
        await self._agent.restore(self.facts.id.replace("_", "-"), time.time_ns())

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
