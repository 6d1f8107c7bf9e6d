"""One cloned machine: made from a template, owned by one task, gone without a trace.

       create                     stop, or the machine breaks
    ────────────▶ running ─────────────────────────────────────▶ gone

The owner task (`own`) reads the agent's line for the machine's whole life; however it ends, QEMU
is killed and the machine's folder removed before `gone` is set.
"""

import asyncio
import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from forge.errors import SandboxDied, SandboxError, SandboxStopped, SandboxUnresponsive
from forge.sandbox import records
from forge.sandbox.agent.code import AgentInterpreter
from forge.sandbox.agent.commands import AgentCommands
from forge.sandbox.agent.connection import Connection
from forge.sandbox.agent.files import AgentFiles
from forge.sandbox.agent.volumes import AgentVolumes
from forge.sandbox.base import Limits, SandboxFacts
from forge.sandbox.cpu_share import Share, groups, make_group
from forge.sandbox.images.store import Image
from forge.sandbox.metrics import CpuMeter, Metrics
from forge.sandbox.processes import cpu_seconds, memory, occupied
from forge.sandbox.qemu.argv import Shape
from forge.sandbox.qemu.launch import Launched, Layout, launch
from forge.sandbox.qemu.slots import VolumeFds, serial
from forge.sandbox.qemu.template import Template, copy_sparse
from forge.sandbox.volumes import HeldVolume, VolumeMount, VolumeStore

_STOP_S = 15.0  # killing QEMU and removing its folder takes milliseconds


@dataclass(frozen=True, slots=True)
class Clone:
    """What a clone is made from. Sizes are MiB."""

    image: Image
    shape: Shape
    template: Template
    disk_mib: int
    volumes: tuple[HeldVolume, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """What a machine was given beside its template: limits, and volumes in their slots' order."""

    limits: Limits
    mounts: tuple[VolumeMount, ...]
    store: VolumeStore


class QemuSandbox:
    """A machine under QEMU; see `forge.sandbox.base.Sandbox` for the contract."""

    def __init__(self, folder: Path, launched: Launched, facts: SandboxFacts, given: Given) -> None:
        self.facts = facts
        self._given = given
        self.gone = asyncio.Event()
        self._folder = folder
        self._launched = launched
        self._end = asyncio.Event()
        self._awake = asyncio.Event()
        limits, vmm = given.limits, launched.vmm
        self._agent = Connection(
            launched.agent_fd, self._on_broken, max_output=limits.max_output_bytes
        )
        group = make_group(groups(), facts.id) if limits.cpu_percent else None
        self._share = Share(group, limits.cpu_percent, vmm.pid, self._cpu_seconds, vmm.send)
        self._meter = CpuMeter(time.monotonic(), self._cpu_seconds())
        self._since = time.monotonic()
        self.commands = AgentCommands(self._agent)
        self.files = AgentFiles(self._agent)
        self.code = AgentInterpreter(self._agent)
        self._volumes = AgentVolumes(self._agent)

    @property
    def pid(self) -> int:
        """The VMM's process id."""
        return self._launched.vmm.pid

    def _on_broken(self, _: SandboxError) -> None:
        self._end.set()

    async def own(self) -> None:
        """Be the machine's one task, from its first answer to its end."""
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._agent.run())
                sharing = tasks.create_task(self._keep_share())
                await self._end.wait()
                reading.cancel()
                sharing.cancel()
        finally:
            self._agent.close()
            self._launched.vmm.kill()
            try:
                await asyncio.shield(self._launched.close())
            finally:
                self._share.close()
                shutil.rmtree(self._folder, ignore_errors=True)
                self.gone.set()

    async def _keep_share(self) -> None:
        await self._awake.wait()
        await self._share.run()

    def _cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)

    async def wake(self, template: Template) -> None:
        """Load the template's state, and give the machine facts of its own and its volumes.

        Raises:
            SandboxDied, SandboxUnresponsive, GuestViolation: it did not come up.
            VolumeUnusable: its kernel does not take a volume.
        """
        await self._launched.monitor.load_state(template.state)
        await self._agent.restore(self.facts.id.replace("_", "-"), time.time_ns())
        if self._given.mounts:
            slots = ((serial(slot), each) for slot, each in enumerate(self._given.mounts))
            await self._volumes.mount(tuple(slots))
        await self._limit_disks()
        self._since = time.monotonic()
        self._awake.set()

    async def _limit_disks(self) -> None:
        limits = self._given.limits
        if limits.disk_mib_s or limits.disk_iops:
            names = ("agent", "root", "data", *(f"vol{n}" for n in range(len(self._given.mounts))))
            monitor = self._launched.monitor
            await monitor.limit_disks(names, limits.disk_mib_s, limits.disk_iops)

    async def metrics(self, *, claims: bool = True) -> Metrics:
        """See `forge.sandbox.base.Sandbox.metrics`."""
        said = await self._agent.usage() if claims else None
        if self._end.is_set():
            raise SandboxStopped("this machine is no longer there")
        limits, (sent, received) = self._given.limits, self._agent.traffic
        try:
            now, used, held = time.monotonic(), self._cpu_seconds(), memory(self.pid)
            disk = occupied(self._folder / "data.img")
        except OSError as error:
            raise SandboxDied("the machine ended while it was measured") from error
        return Metrics(
            uptime_s=now - self._since,
            cpu_seconds=used,
            cpu_percent=self._meter.read(now, used),
            memory_rss_bytes=held.rss,
            memory_pss_bytes=held.pss,
            memory_private_bytes=held.private,
            memory_limit_bytes=limits.memory_mib << 20,
            disk_used_bytes=disk,
            disk_limit_bytes=limits.disk_mib << 20,
            sent_bytes=sent,
            received_bytes=received,
            claims=said,
        )

    async def stop(self) -> None:
        """See `forge.sandbox.base.Sandbox.stop`."""
        await self._give_volumes_back()
        self._agent.close()
        self._end.set()
        try:
            async with asyncio.timeout(_STOP_S):
                await self.gone.wait()
        except TimeoutError as error:
            raise SandboxUnresponsive("a machine's QEMU could not be killed") from error

    async def _give_volumes_back(self) -> None:
        """Have the guest write its volumes out. One that cannot loses what it had not synced, and
        the volume's journal is replayed at the next use.
        """
        written = [each.name for each in self._given.mounts if not each.read_only]
        with contextlib.suppress(SandboxError):
            if written and await self._volumes.unmount():
                for name in written:
                    self._given.store.mark(name, clean=True)

    async def ping(self) -> None:
        """One round trip to the agent."""
        await self._agent.ping()


async def start_clone(clone: Clone, folder: Path) -> Launched:
    """Start the QEMU of a clone in its own, recorded folder.

    Raises:
        ProgramMissing, NoSpace, SandboxDied: see `launch`.
        OSError: the host cannot write the machine's disk.
    """
    data = folder / "data.img"
    copy_sparse(clone.template.data, data)
    layout = Layout(
        image=clone.image,
        shape=clone.shape,
        memory=clone.template.memory,
        data=data,
        folder=folder,
        disk_mib=clone.disk_mib,
        boot=False,
        volumes=tuple(VolumeFds(volume.reading, volume.writing) for volume in clone.volumes),
        largest_mib=max((volume.size_mib for volume in clone.volumes), default=0),
    )
    async with contextlib.AsyncExitStack() as undo:
        launched = await launch(layout)
        undo.push_async_callback(launched.close)
        undo.callback(os.close, launched.agent_fd)
        records.write_record(folder, launched.vmm.pid)
        undo.pop_all()
    return launched
