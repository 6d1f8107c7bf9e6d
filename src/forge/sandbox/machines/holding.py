"""The volumes of machines: held while one runs, noted while one is paused, given back at its end.

    <home>/volumes/<name>/paused/<machine>    `rw` or `ro`: a machine that had it when it was paused

The lock on a volume's file ends with the VMM that holds it, and a paused machine has none. So a
machine leaves a note before it is paused, which counts as long as the machine's folder is there:
what it will go on with must not change under it.
"""

import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

from forge.errors import InputRefused, NoSpace, SandboxError
from forge.sandbox import room
from forge.sandbox.agent.connection import Connection
from forge.sandbox.agent.volumes import AgentVolumes
from forge.sandbox.base import Limits, Sandbox, SandboxSpec
from forge.sandbox.volumes import HeldVolume, VolumeStore, check_mounts


def serial(slot: int) -> str:
    """The serial by which the guest knows a slot's disk."""
    return f"forge-vol{slot}"


class Holding:
    """See the module. It holds nothing open between calls.

    Args:
        home: Forge's own folder.
    """

    def __init__(self, home: Path) -> None:
        self._store = VolumeStore(home)

    def check(self, spec: SandboxSpec) -> None:
        """Refuse what no machine of this host can have.

        Raises:
            InputRefused: a limit or a volume's place is out of range.
            NameUnknown: there is no such volume.
        """
        spec.limits.check(os.cpu_count() or 1)
        check_mounts(spec.volumes)
        for mount in spec.volumes:
            self._store.show(mount.name)

    def promise(self, folder: Path, limits: Limits, free_mib: int) -> None:
        """Promise a machine its memory and disk.

        Raises:
            NoSpace: this host has no room for it.
        """
        wanted = room.Promise(limits.memory_mib, limits.disk_mib)
        try:
            room.promise(folder, wanted, room.host(free_mib))
        except OSError as error:
            raise NoSpace(f"a machine could not be made: {error.strerror}") from error

    async def mend(
        self, spec: SandboxSpec, create: Callable[[SandboxSpec], Awaitable[Sandbox]]
    ) -> None:
        """Replay the journals that a crash left in volumes which are only to be read.

        Whoever may not write one could not, and would see it half-written. A machine does it: the
        host does not look into volumes.
        """
        for mount in spec.volumes:
            if mount.read_only and not self._store.show(mount.name).clean:
                writing = (replace(mount, read_only=False),)
                await (await create(SandboxSpec(limits=spec.limits, volumes=writing))).stop()

    @contextlib.contextmanager
    def held(self, spec: SandboxSpec, machine: str) -> Iterator[tuple[HeldVolume, ...]]:
        """A machine's volumes, locked; what inherits them in the block keeps the locks.

        Raises:
            NameUnknown, VolumeBusy: one cannot be had.
        """
        with contextlib.ExitStack() as stack:
            volumes = []
            for mount in spec.volumes:
                volume = self._store.hold(mount.name, read_only=mount.read_only, machine=machine)
                stack.callback(volume.close)
                volumes.append(volume)
                if not mount.read_only:
                    self._store.mark(mount.name, clean=False)
            yield tuple(volumes)

    async def mount(self, spec: SandboxSpec, agent: Connection) -> None:
        """Have a fresh machine mount its volumes.

        Raises:
            VolumeUnusable: its kernel does not take one.
            SandboxDied, SandboxUnresponsive, GuestViolation: it failed over it.
        """
        if spec.volumes:
            slots = ((serial(slot), each) for slot, each in enumerate(spec.volumes))
            await AgentVolumes(agent).mount(tuple(slots))

    def note(self, spec: SandboxSpec, machine: str) -> None:
        """Keep a machine's volumes for it while it is paused.

        Raises:
            NoSpace: the host cannot write it down.
        """
        try:
            for mount in spec.volumes:
                self._store.note(mount.name, machine, read_only=mount.read_only)
        except OSError as error:
            raise NoSpace(f"the machine could not be paused: {error.strerror}") from error

    async def give_back(self, spec: SandboxSpec, agent: Connection) -> None:
        """Have a guest write its volumes out. One that cannot loses what it had not synced, and the
        volume's journal is replayed at the next use.
        """
        written = [each.name for each in spec.volumes if not each.read_only]
        with contextlib.suppress(SandboxError):
            if written and await AgentVolumes(agent).unmount():
                for name in written:
                    self._store.mark(name, clean=True)

    def check_copy(self, spec: SandboxSpec) -> None:
        """Refuse to copy a machine that has volumes: two kernels would write one filesystem, or
        one would read it while another, later, writes.

        Raises:
            InputRefused: it has some.
        """
        if spec.volumes:
            names = ", ".join(mount.name for mount in spec.volumes)
            raise InputRefused(
                f"a machine with volumes ({names}) cannot be forked or kept as a snapshot",
                hint="Copy what you need to its own disk in a machine without volumes.",
            )
