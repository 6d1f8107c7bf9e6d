"""A machine while it runs under Firecracker; `started` makes one from what was saved.

    <machine's folder>/
        memory data.img      what it started from (memory: where it was paused), and its disk
        vmm/                 where its process stands (`launch`); gone when it is closed

Firecracker ends every vsock connection where a machine is saved, in the machine that goes on and in
its copies. So each save ends the line, and the calls on it; the agent waits for its next host, and
a new line is made before anybody else is served.

What the process wrote is copied, never followed or kept as it is: a VMM that its guest has taken
over may hold it open, or put something else in its place.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from forge.errors import NoSpace, SandboxDied, SandboxError, SandboxPaused, TemplateError
from forge.sandbox import records
from forge.sandbox.agent.connection import Connection
from forge.sandbox.cpu_share import Share, groups, make_group
from forge.sandbox.firecracker.config import (
    MEMORY,
    RESUME,
    STATE,
    limit_calls,
    load_calls,
    save_calls,
)
from forge.sandbox.firecracker.launch import Boot, Launched, launch, lay_out
from forge.sandbox.firecracker.warm import copy_without_zeroes
from forge.sandbox.machines import saved
from forge.sandbox.machines.engine import DATA, Clone
from forge.sandbox.machines.template import copy_sparse
from forge.sandbox.machines.thread import Check, in_thread
from forge.sandbox.processes import cpu_seconds

_CONNECT_S = 10.0  # a restored guest listens already; this is for a host under heavy load
_FULL = ("os error 28", "os error 27", "os error 122")  # no space, too large, over quota


class Running:
    """See `machines.engine.Running` for the contract.

    Args:
        clone: what it started from.
        launched: its process, which has loaded it; owned from here on.
        share: its share of processor time; owned from here on.
        on_broken: called once when the machine must be destroyed.
    """

    def __init__(
        self,
        clone: Clone,
        launched: Launched,
        share: Share,
        on_broken: Callable[[SandboxError], None],
    ) -> None:
        self.share = share
        self._clone = clone
        self.launched = launched
        self._folder = launched.room.folder
        self._on_broken = on_broken
        self._lines: asyncio.Queue[Connection | None] = asyncio.Queue()
        self._agent: Connection | None = None
        self._former = (0, 0)

    @property
    def agent(self) -> Connection:
        """See `machines.engine.Running.agent`."""
        assert self._agent is not None
        return self._agent

    @property
    def pid(self) -> int:
        """See `machines.engine.Running.pid`."""
        return self.launched.vmm.pid

    @property
    def cpu_seconds(self) -> float:
        """See `machines.engine.Running.cpu_seconds`."""
        return cpu_seconds(self.pid)

    @property
    def traffic(self) -> tuple[int, int]:
        """See `machines.engine.Running.traffic`."""
        sent, received = self.agent.traffic
        return self._former[0] + sent, self._former[1] + received

    async def go(self) -> None:
        """See `machines.engine.Running.go`."""
        # What it writes from here on is the machine's disk; what was saved is left behind.
        link = self._folder / "data.tmp"
        try:
            link.unlink(missing_ok=True)
            link.hardlink_to(self.launched.room.inside / DATA)
            link.replace(self._folder / DATA)
        except OSError as error:
            raise NoSpace(f"the machine's disk could not be linked: {error.strerror}") from error
        await self.launched.api.ask(RESUME)
        await self._call()

    async def read(self) -> None:
        """See `machines.engine.Running.read`."""
        while (line := await self._lines.get()) is not None:
            await line.run()

    async def limit(self, volumes: int) -> None:
        """See `machines.engine.Running.limit`; each disk is held to it by itself."""
        del volumes
        for call in limit_calls(self._clone.limits.disk_mib_s, self._clone.limits.disk_iops):
            await self.launched.api.ask(call)

    async def save(self, into: Path, *, goes_on: bool) -> bytes:
        """See `machines.engine.Running.save`."""
        if self._agent is not None:
            self._agent.close(SandboxPaused("the machine was saved while the call was under way"))
        inside = self.launched.room.inside
        try:
            async with self._standing(goes_on=goes_on):
                if into != self._folder:
                    await in_thread(lambda _: copy_sparse(self._folder / DATA, into / DATA))
                if not goes_on:
                    return await in_thread(lambda check: _keep(inside, into, check))
            return await in_thread(lambda check: _keep(inside, into, check))
        except OSError as error:
            raise NoSpace(f"the machine could not be saved: {error.strerror}") from error
        finally:
            for name in (MEMORY, STATE):
                (inside / name).unlink(missing_ok=True)

    async def close(self, why: SandboxError | None = None) -> None:
        """See `machines.engine.Running.close`."""
        if self._agent is not None:
            self._agent.close(why)
        self._lines.put_nowait(None)
        self.launched.vmm.kill()
        try:
            await asyncio.shield(self.launched.close())
        finally:
            self.share.close()
            shutil.rmtree(self.launched.room.inside, ignore_errors=True)
            _reclaim(self._folder / DATA)

    async def _call(self) -> None:
        fd = await self.launched.connect(_CONNECT_S)
        if self._agent is not None:
            self._former = self.traffic
        limits = self._clone.limits
        self._agent = Connection(fd, self._on_broken, max_output=limits.max_output_bytes)
        self._lines.put_nowait(self._agent)

    @contextlib.asynccontextmanager
    async def _standing(self, *, goes_on: bool) -> AsyncIterator[None]:
        """Saved inside, and standing still for the block; then it goes on, or where this fails."""
        inside = self.launched.room.inside
        for name in (MEMORY, STATE):
            (inside / name).unlink(missing_ok=True)
        try:
            for call in save_calls():
                await self.launched.api.ask(call)
            yield
        except SandboxDied as error:
            await self.go_on()
            raise self._not_saved(error) from error
        except BaseException:
            await self.go_on()
            raise
        if goes_on:
            await self.go_on()

    async def go_on(self) -> None:
        """See `machines.engine.Running.go_on`."""
        try:
            await self.launched.api.ask(RESUME)
            await self._call()
        except SandboxError as error:
            self._on_broken(error)
            raise

    def _not_saved(self, error: SandboxDied) -> SandboxError | TemplateError | NoSpace:
        if self.launched.vmm.ended.is_set():
            return SandboxDied("the machine ended while it was saved")
        kind = NoSpace if any(each in error.message for each in _FULL) else TemplateError
        return kind(f"the machine could not be saved: {error.message}")


async def started(
    boot: Boot, clone: Clone, folder: Path, on_broken: Callable[[SandboxError], None]
) -> Running:
    """Load what was saved into a Firecracker in the machine's own folder. It stands still until
    told to go.

    Raises:
        ProgramMissing, NoSpace, HostUnfit: the host cannot start it.
        SandboxDied: Firecracker ended, or did not take the state.
    """
    limits = clone.limits
    async with contextlib.AsyncExitStack() as undo:
        inside = folder / "vmm"
        shutil.rmtree(inside, ignore_errors=True)  # of an owner that was killed
        undo.callback(shutil.rmtree, inside, ignore_errors=True)
        try:
            room = lay_out(folder, boot, clone.image, limits.memory_mib, limits.disk_mib)
            await asyncio.to_thread(copy_sparse, clone.data, inside / DATA)
            (inside / STATE).write_bytes(clone.state)
            room.admit(inside / DATA)
            room.admit(inside / STATE)
            memory = os.open(clone.memory, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NoSpace(f"a machine's disk could not be made: {error.strerror}") from error
        try:
            launched = await launch(boot, room, memory)
            undo.push_async_callback(launched.close)
            records.write_record(folder, launched.vmm.pid)
            for call in load_calls(memory):
                await launched.api.ask(call)
        finally:
            os.close(memory)
        undo.pop_all()
    vmm, percent = launched.vmm, limits.cpu_percent
    group = make_group(groups(), folder.name, percent) if percent else None
    share = Share(group, percent, vmm.pid, lambda: cpu_seconds(vmm.pid), vmm.send)
    return Running(clone, launched, share, on_broken)


def _keep(inside: Path, into: Path, check: Check) -> bytes:
    """Copy what was saved out of the process's reach; returns the state."""
    for name in (MEMORY, STATE):
        temporary = into / f"{name}.tmp"
        temporary.unlink(missing_ok=True)
        copy_without_zeroes(inside / name, temporary, check)
    saved.share(into / f"{MEMORY}.tmp")
    for name in (MEMORY, STATE):
        (into / f"{name}.tmp").replace(into / name)
    return (into / STATE).read_bytes()


def _reclaim(disk: Path) -> None:
    """Have a disk back that was the process's own, whatever that let others do to it."""
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(disk, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchown(fd, os.geteuid(), os.getegid())
            os.fchmod(fd, 0o600)
        finally:
            os.close(fd)
