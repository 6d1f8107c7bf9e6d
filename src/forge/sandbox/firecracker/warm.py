"""Boots a machine cold: to warm and save it as a template, or only to see whether it boots."""

import asyncio
import contextlib
import errno
import os
import shutil
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from forge.errors import SandboxDied, SandboxError, SandboxUnresponsive
from forge.sandbox.agent.connection import Connection
from forge.sandbox.firecracker.config import DATA, MEMORY, STATE, boot_calls, save_calls
from forge.sandbox.firecracker.launch import Boot, Launched, launch, lay_out
from forge.sandbox.images.data_disk import make_data_disk
from forge.sandbox.images.store import Image
from forge.sandbox.machines.thread import Check
from forge.tasks import together

_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Cold:
    """What to boot. Sizes are MiB."""

    boot: Boot
    image: Image
    memory_mib: int
    disk_mib: int
    cpus: int = 1


@dataclass(frozen=True, slots=True)
class Warm:
    """A machine that answers."""

    launched: Launched
    agent: Connection

    async def save(self, folder: Path) -> None:
        """Stop it for good and keep its memory, device state and disk in `folder`.

        The files are copied: what the process may still hold open is not what is kept.

        Raises:
            SandboxDied: it could not be saved.
            OSError: the host cannot write it.
        """
        self.agent.close()
        for call in save_calls():
            await self.launched.api.ask(call)
        await self.launched.close()
        for name in (MEMORY, STATE, DATA):
            source = self.launched.room.inside / name
            await asyncio.to_thread(copy_without_zeroes, source, folder / name)
        shutil.rmtree(self.launched.room.inside)


@contextlib.asynccontextmanager
async def booted(cold: Cold, folder: Path, deadline_s: float) -> AsyncIterator[Warm]:
    """A machine booted from its image in `folder`, up to the agent's first answer.

    Raises:
        SandboxDied, SandboxUnresponsive, GuestViolation: it did not boot; the message says what
            Firecracker and the machine's console said.
        ProgramMissing, NoSpace, HostUnfit: see `launch` and `lay_out`.
        OSError: the host cannot write the machine's files.
    """
    room = lay_out(folder, cold.boot, cold.image, cold.memory_mib, cold.disk_mib)
    await make_data_disk(room.inside / DATA, cold.disk_mib)
    room.admit(room.inside / DATA)
    launched = await launch(cold.boot, room)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(launched.close)
        fd = await _started(launched, cold, deadline_s)
        agent = Connection(fd, _ignore)
        stack.callback(agent.close)
        async with together() as tasks:
            reading = tasks.create_task(agent.run())
            await _first_answer(launched, agent, deadline_s)
            yield Warm(launched, agent)
            reading.cancel()


async def _started(launched: Launched, cold: Cold, deadline_s: float) -> int:
    for call in boot_calls(cold.memory_mib, cold.image.root_kind, cold.cpus):
        await launched.api.ask(call)
    try:
        return await launched.connect(deadline_s)
    except SandboxUnresponsive as error:
        raise SandboxUnresponsive(
            f"the guest did not answer within {deadline_s:g} s of its start{_said(launched)}"
        ) from error


async def _first_answer(launched: Launched, agent: Connection, deadline_s: float) -> None:
    try:
        await agent.handshake(deadline_s)
    except SandboxDied as error:
        await launched.vmm.settle()
        why = launched.vmm.why()
        raise SandboxDied(f"the guest did not boot: {why}") from error


def _said(launched: Launched) -> str:
    log = launched.room.folder / "vmm.log"
    text = log.read_bytes()[-600:].decode(errors="replace").strip()
    return f"; its console ended with: {text}" if text else "; its console stayed empty"


def _ignore(_: SandboxError) -> None:
    """Whoever boots a machine learns of its end from the call under way."""


def _unfollowed(source: Path) -> FileIO:
    # Not waiting: opening a pipe would, for a writer that never comes.
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, f"{source.name} is not a plain file")
    return FileIO(fd)


def _ignored() -> None:
    """Somebody waits."""


def copy_without_zeroes(source: Path, target: Path, check: Check = _ignored) -> None:
    """Copy a file, leaving holes where it holds nothing but zeroes, as most of a memory does.

    Raises:
        OSError: the host cannot write it, or `source` is a link or no plain file.
    """
    nothing = bytes(_PIECE)
    with _unfollowed(source) as read, target.open("xb", buffering=0) as write:
        while piece := read.read(_PIECE):
            check()
            if piece == nothing[: len(piece)]:
                write.seek(len(piece), os.SEEK_CUR)
            else:
                write.write(piece)
        write.truncate()
