"""A machine while it runs: its QEMU, its agent's line, the memory it started from; and saving it.

`started` makes one from what was saved, and undoes what it did where it fails. See
`machines.engine.Running` for the contract.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from forge.errors import NoSpace, SandboxDied, SandboxError, TemplateError
from forge.sandbox import records
from forge.sandbox.agent.connection import Connection
from forge.sandbox.cpu_share import Share, groups, make_group
from forge.sandbox.machines import saved
from forge.sandbox.machines.engine import DATA, Clone
from forge.sandbox.machines.template import copy_sparse
from forge.sandbox.machines.thread import Check, in_thread
from forge.sandbox.processes import cpu_seconds
from forge.sandbox.qemu import memory
from forge.sandbox.qemu.argv import Shape
from forge.sandbox.qemu.launch import Launched, Layout, launch
from forge.sandbox.qemu.slots import VolumeFds
from forge.sandbox.qemu.splice import splice
from forge.sandbox.volumes import HeldVolume


def shape_of(clone: Clone) -> Shape:
    """What a machine has in common with whatever it was saved from."""
    return Shape(clone.accelerator, clone.limits.memory_mib, clone.limits.cpus)


@dataclass(frozen=True, slots=True)
class Running:
    """A machine that runs. `base` is a descriptor of the memory file that it started from."""

    clone: Clone
    launched: Launched
    agent: Connection
    base: int
    folder: Path
    share: Share

    @property
    def pid(self) -> int:
        """See `machines.engine.Running.pid`."""
        return self.launched.vmm.pid

    @property
    def cpu_seconds(self) -> float:
        """Processor time it has used, its VMM included.

        Raises:
            OSError: it has ended.
        """
        return cpu_seconds(self.launched.vmm.pid)

    @property
    def traffic(self) -> tuple[int, int]:
        """See `machines.engine.Running.traffic`."""
        return self.agent.traffic

    async def go(self) -> None:
        """See `machines.engine.Running.go`."""
        await self.launched.monitor.go()

    async def go_on(self) -> None:
        """See `machines.engine.Running.go_on`."""
        await self.launched.monitor.go()

    async def read(self) -> None:
        """See `machines.engine.Running.read`."""
        await self.agent.run()

    async def save(self, into: Path, *, goes_on: bool) -> bytes:
        """See `machines.engine.Running.save`."""
        return await saved_to(self, into, goes_on=goes_on)

    async def limit(self, volumes: int) -> None:
        """Hold its disks to their pace; `volumes` is how many it has.

        Raises:
            SandboxDied: QEMU refused it.
        """
        limits = self.clone.limits
        if limits.disk_mib_s or limits.disk_iops:
            names = ("agent", "root", "data", *(f"vol{slot}" for slot in range(volumes)))
            monitor = self.launched.monitor
            await monitor.limit_disks(names, limits.disk_mib_s, limits.disk_iops)

    async def close(self, why: SandboxError | None = None) -> None:
        """End it; calls under way raise `why`, or `SandboxStopped`."""
        self.agent.close(why)
        self.launched.vmm.kill()
        try:
            await asyncio.shield(self.launched.close())
        finally:
            self.share.close()
            os.close(self.base)


async def started(
    clone: Clone,
    folder: Path,
    on_broken: Callable[[SandboxError], None],
    volumes: tuple[HeldVolume, ...] = (),
) -> Running:
    """Load what was saved into a QEMU in the machine's own folder. It stands still until told.

    Its QEMU inherits the volumes' descriptors, and with them the locks.

    Raises:
        ProgramMissing, NoSpace: the host cannot start it.
        SandboxDied: QEMU ended, or did not take the state.
    """
    async with contextlib.AsyncExitStack() as undo:
        try:
            if clone.data != folder / DATA:
                await asyncio.to_thread(copy_sparse, clone.data, folder / DATA)
            base = os.open(clone.memory, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NoSpace(f"a machine's disk could not be made: {error.strerror}") from error
        undo.callback(os.close, base)
        layout = Layout(
            image=clone.image,
            memory=clone.memory,
            data=folder / DATA,
            folder=folder,
            shape=shape_of(clone),
            disk_mib=clone.limits.disk_mib,
            boot=False,
            volumes=tuple(VolumeFds(each.reading, each.writing) for each in volumes),
            largest_mib=max((each.size_mib for each in volumes), default=0),
        )
        launched = await launch(layout)
        undo.push_async_callback(launched.close)
        try:
            records.write_record(folder, launched.vmm.pid)
            await launched.monitor.load_state(clone.state)
        except OSError as error:
            os.close(launched.agent_fd)
            raise NoSpace(f"a machine could not be noted down: {error.strerror}") from error
        except BaseException:
            os.close(launched.agent_fd)
            raise
        limits, vmm = clone.limits, launched.vmm
        agent = Connection(launched.agent_fd, on_broken, max_output=limits.max_output_bytes)
        undo.pop_all()
    percent = limits.cpu_percent
    group = make_group(groups(), folder.name, percent) if percent else None
    share = Share(group, percent, vmm.pid, lambda: cpu_seconds(vmm.pid), vmm.send)
    return Running(clone, launched, agent, base, folder, share)


async def saved_to(running: Running, into: Path, *, goes_on: bool) -> bytes:
    """Write a machine's memory, disk and device state into a folder; returns the state.

    It stands still while what changed is copied. Where `goes_on`, or where this fails, it then runs
    again; where it fails, what was begun gives its space back. The folder may be its own, where it
    started from: then the memory is mended in place, in which nothing that the machine still reads
    is changed.

    Raises:
        NoSpace: the host cannot write it.
        TemplateError: QEMU's device state is of no form that Forge knows.
        SandboxDied, SandboxUnresponsive, GuestViolation, GuestRefused: see `sandbox.base`.
    """
    own = running.clone.memory == into / "memory"
    monitor = running.launched.monitor
    try:
        with _target(into, undone=not own) as target:
            async with running.agent.quieted(), _standing(running, goes_on=goes_on):
                state = splice(running.clone.state, await monitor.devices())
                runs = await in_thread(lambda check: _freeze(running, into, target, check))
                if not goes_on and not own:
                    await _fill(running, target, runs)
                if not goes_on:
                    _finish(into, state)
            if goes_on:
                await _fill(running, target, runs)
                _finish(into, state)
    except ValueError as error:
        raise TemplateError(f"the machine could not be saved: {error}") from error
    except memory.Unread as error:
        raise SandboxDied(f"the machine ended while it was saved: {error}") from error
    except OSError as error:
        raise NoSpace(f"the machine could not be saved: {error.strerror}") from error
    return state


@contextlib.contextmanager
def _target(into: Path, *, undone: bool) -> Iterator[int]:
    """The memory file to write. Where the block fails, what was begun goes."""
    target = os.open(into / "memory", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield target
    except BaseException:
        saved.discard(into, all_of_it=undone)
        raise
    finally:
        os.close(target)


@contextlib.asynccontextmanager
async def _standing(running: Running, *, goes_on: bool) -> AsyncIterator[None]:
    await running.launched.monitor.halt()
    try:
        yield
    except BaseException:
        # Whatever failed, the machine is whole. One that has ended cannot go on, and its line says.
        with contextlib.suppress(SandboxDied):
            await running.launched.monitor.go()
        raise
    if goes_on:
        await running.launched.monitor.go()


def _freeze(running: Running, into: Path, target: int, check: Check) -> list[memory.Run]:
    """Copy what the machine may change once it goes on: its own pages, and its disk."""
    os.ftruncate(target, os.fstat(running.base).st_size)
    runs = memory.overlay(running.launched.vmm.pid, running.base, target, check)
    if into != running.folder:
        copy_sparse(running.folder / DATA, into / DATA)
    return runs


async def _fill(running: Running, target: int, runs: list[memory.Run]) -> None:
    await in_thread(lambda check: memory.fill(running.base, target, runs, check))


def _finish(into: Path, state: bytes) -> None:
    saved.share(into / "memory")
    temporary = into / "state.tmp"
    temporary.write_bytes(state)
    temporary.replace(into / "state")
