"""Opens what a machine needs, starts its QEMU, and connects to it.

The VMM is handed descriptors and pairs of connected sockets: no path, no port, nothing that
another process on the host could find and connect to.
"""

import os
import socket
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

from forge.errors import HostUnfit, SandboxDied
from forge.sandbox import vmm
from forge.sandbox.images.store import Image
from forge.sandbox.qemu.argv import PROGRAM, Boot, Descriptors, Shape, machine_argv
from forge.sandbox.qemu.monitor import Monitor
from forge.sandbox.qemu.slots import VolumeFds
from forge.sandbox.vmm import Start, Vmm


@dataclass(frozen=True, slots=True)
class Layout:
    """A machine's files and sizes. `boot` is False for a clone, which is already booted."""

    image: Image
    shape: Shape
    memory: Path
    data: Path
    folder: Path
    disk_mib: int
    boot: bool
    tsc_khz: int = 0
    volumes: tuple[VolumeFds, ...] = ()
    largest_mib: int = 0

    @property
    def console(self) -> Path:
        """What the kernel printed while booting."""
        return self.folder / "console.log"


@dataclass(frozen=True, slots=True)
class Launched:
    """A QEMU that answers QMP, and the host's end of its agent's line. `close` ends both."""

    vmm: Vmm
    monitor: Monitor
    agent_fd: int

    async def close(self) -> None:
        """End QEMU. The agent's descriptor belongs to whoever took it."""
        await self.monitor.close()
        await self.vmm.close()


async def launch(layout: Layout) -> Launched:
    """Start a machine's QEMU and wait for its greeting.

    Raises:
        ProgramMissing: QEMU or what confines it is not installed.
        HostUnfit: the host cannot open its files.
        NoSpace: the host cannot start a process.
        SandboxDied: QEMU ended or did not answer; the message holds what it printed.
    """
    program = vmm.find_program(PROGRAM)
    async with AsyncExitStack() as undo:
        with ExitStack() as opened:
            qmp, their_qmp = _pair(opened)
            undo.callback(qmp.close)
            agent, their_agent = _pair(opened)
            undo.callback(agent.close)
            try:
                fds, boot = _open_files(opened, layout, their_qmp, their_agent)
            except OSError as error:
                raise HostUnfit(f"a machine's files cannot be opened: {error}") from error
            argv = machine_argv(program, layout.shape, fds, boot)
            every_fd = fds.every()
            if boot is not None:
                every_fd += [boot.kernel, boot.initrd, boot.console]
            start = Start(
                argv,
                every_fd,
                layout.folder,
                layout.shape.memory_mib,
                max(layout.disk_mib, layout.largest_mib),
            )
            process = vmm.start(start, vmm.identity(layout.shape.accelerator))
            undo.push_async_callback(process.close)
        monitor = Monitor(qmp)
        undo.push_async_callback(monitor.close)
        try:
            await monitor.connect()
        except SandboxDied as error:
            await process.close()
            raise SandboxDied(f"a machine did not start: {process.why()}") from error
        undo.pop_all()
    return Launched(process, monitor, agent.detach())


def _pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    stack.enter_context(theirs)
    return ours, theirs


def _open_files(
    stack: ExitStack, layout: Layout, qmp: socket.socket, agent: socket.socket
) -> tuple[Descriptors, Boot | None]:
    def opened(path: Path, flags: int = os.O_RDONLY) -> int:
        fd = os.open(path, flags | os.O_CLOEXEC)
        stack.callback(os.close, fd)
        return fd

    image = layout.image
    fds = Descriptors(
        qmp=qmp.fileno(),
        agent=agent.fileno(),
        memory=opened(layout.memory, os.O_RDWR),
        agent_image=opened(image.agent),
        root_image=opened(image.root),
        data=opened(layout.data, os.O_RDWR),
        data_read_only=opened(layout.data),
        volumes=layout.volumes,
    )
    if not layout.boot:
        return fds, None
    console = opened(layout.console, os.O_WRONLY | os.O_CREAT)
    return fds, Boot(
        opened(image.vmlinuz), opened(image.initrd), console, image.root_kind, layout.tsc_khz
    )
