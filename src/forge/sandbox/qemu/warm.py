"""Boots a machine cold: to warm and save it as a template, or only to see whether it boots."""

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from forge.errors import SandboxDied, SandboxError, SandboxUnresponsive
from forge.sandbox.agent.connection import Connection
from forge.sandbox.images.data_disk import make_data_disk
from forge.sandbox.images.store import Image
from forge.sandbox.qemu.argv import Shape
from forge.sandbox.qemu.launch import Launched, Layout, launch
from forge.sandbox.qemu.tsc import measure_khz
from forge.tasks import together


@dataclass(frozen=True, slots=True)
class Cold:
    """What to boot. Sizes are MiB."""

    image: Image
    shape: Shape
    disk_mib: int


@contextlib.asynccontextmanager
async def booted(cold: Cold, folder: Path, deadline_s: float) -> AsyncIterator["Warm"]:
    """A machine booted from its image in `folder`, up to the agent's first answer.

    Raises:
        SandboxDied, SandboxUnresponsive, GuestViolation: it did not boot; the message says what
            QEMU and the machine's console said.
        ProgramMissing, NoSpace: see `launch`.
        OSError: the host cannot write the machine's files.
    """
    layout = Layout(
        image=cold.image,
        shape=cold.shape,
        memory=folder / "memory",
        data=folder / "data.img",
        folder=folder,
        disk_mib=cold.disk_mib,
        boot=True,
        tsc_khz=measure_khz() if cold.shape.accelerator == "tcg" else 0,
    )
    with layout.memory.open("xb") as memory:
        os.ftruncate(memory.fileno(), cold.shape.memory_mib << 20)
        if os.geteuid() == 0:
            layout.memory.chmod(0o666)  # inside a folder that is closed to everybody
    await make_data_disk(layout.data, cold.disk_mib)
    launched = await launch(layout)
    agent = Connection(launched.agent_fd, _ignore)
    try:
        async with together() as tasks:
            reading = tasks.create_task(agent.run())
            await _first_answer(launched, agent, deadline_s, layout.console)
            yield Warm(launched, agent, layout)
            reading.cancel()
    finally:
        agent.close()
        await launched.close()


@dataclass(frozen=True, slots=True)
class Warm:
    """A machine that answers."""

    launched: Launched
    agent: Connection
    layout: Layout

    async def save(self, folder: Path) -> None:
        """Stop it for good and write its device state beside its memory.

        Raises:
            SandboxDied: it could not be saved.
        """
        state = await self.launched.monitor.save_state()
        (folder / "state").write_bytes(state)


def _ignore(_: SandboxError) -> None:
    """Whoever boots a machine learns of its end from the call under way."""


async def _first_answer(
    launched: Launched, agent: Connection, deadline_s: float, log: Path
) -> None:
    try:
        await agent.handshake(deadline_s)
    except SandboxUnresponsive as error:
        raise SandboxUnresponsive(
            f"the guest did not answer within {deadline_s:g} s of its start{_said(log)}"
        ) from error
    except SandboxDied as error:
        await launched.vmm.settle()
        why = launched.vmm.why()
        raise SandboxDied(f"the guest did not boot: {why}{_said(log)}") from error


def _said(log: Path) -> str:
    text = log.read_bytes()[-600:].decode(errors="replace").strip() if log.exists() else ""
    return f"; its console ended with: {text}" if text else "; its console stayed empty"
