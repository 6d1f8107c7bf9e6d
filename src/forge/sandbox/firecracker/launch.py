"""Starts the Firecracker process of one machine, in a folder that is all it sees of Forge's files.

    <machine's folder>/          closed to everybody but Forge
        vmm.log                  what Firecracker and, while it boots, the guest's console print
        vmm/                     where the process stands; its own where it has a user id of its own
            kernel initrd agent.img root.img    links to the image's files, read-only
            data.img             the machine's disk
            state                a template's device state (a clone's only)
            api.sock v.sock      made by Firecracker

The process is given names relative to where it stands, so it needs no right to walk into the
folders above; a template's memory and its own program come to it as descriptors.
"""

import asyncio
import os
import socket
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

from forge.errors import HostUnfit, SandboxDied
from forge.sandbox import vmm
from forge.sandbox.firecracker.api import Api, pinned
from forge.sandbox.firecracker.config import (
    API_SOCKET,
    DATA,
    DISKS,
    INITRD,
    KERNEL,
    PORT,
    VSOCK,
    machine_argv,
)
from forge.sandbox.firecracker.line import connect
from forge.sandbox.images.store import Image
from forge.sandbox.vmm import Identity, Start, Vmm

NAME = "Firecracker"
_API_S = 10.0  # its socket is there after 10 ms; this is for a host under heavy load
_PAUSE_S = 0.002


@dataclass(frozen=True, slots=True)
class Boot:
    """What every machine of a provider is started with: the program, and the unpacked kernel."""

    program: Path
    kernel: Path


@dataclass(frozen=True, slots=True)
class Room:
    """A machine's folder, laid out, and whose rights its process will have. Sizes are MiB."""

    folder: Path
    who: Identity | None
    memory_mib: int
    disk_mib: int

    @property
    def inside(self) -> Path:
        """Where the process stands."""
        return self.folder / "vmm"

    def admit(self, path: Path) -> None:
        """Let the process own a file of its room.

        Raises:
            OSError: the host refused.
        """
        if self.who is not None:
            os.chown(path, self.who.uid, self.who.gid, follow_symlinks=False)


def lay_out(folder: Path, boot: Boot, image: Image, memory_mib: int, disk_mib: int) -> Room:
    """Make the room of a machine's process; its disk is still to be put there.

    Raises:
        HostUnfit: the image lies on another file system, so its files cannot be linked.
        OSError: the host cannot make it.
    """
    device = "kvm" if Path("/dev/kvm").exists() else "none"
    room = Room(folder, vmm.identity(device), memory_mib, disk_mib)
    room.inside.mkdir(mode=0o700)
    room.admit(room.inside)
    files = {KERNEL: boot.kernel, INITRD: image.initrd}
    files |= {file: getattr(image, name) for name, file in DISKS if file != DATA}
    try:
        for name, source in files.items():
            (room.inside / name).hardlink_to(source.resolve())
    except OSError as error:
        raise HostUnfit(
            f"the image's files cannot be linked into {room.inside}: {error.strerror}",
            hint="Keep the folders `images` and `machines` of FORGE_HOME on one file system.",
        ) from error
    return room


@dataclass(frozen=True, slots=True)
class Launched:
    """A Firecracker that answers its API. `close` ends it."""

    vmm: Vmm
    api: Api
    room: Room

    async def connect(self, deadline_s: float) -> int:
        """A descriptor connected to the guest's agent; it belongs to the caller.

        Raises:
            SandboxDied, SandboxUnresponsive: see `line.connect`.
        """
        return await connect(self.room.inside / VSOCK, PORT, self.vmm, deadline_s)

    async def close(self) -> None:
        """End Firecracker. The agent's descriptor belongs to whoever took it."""
        await self.api.close()
        await self.vmm.close()


async def launch(boot: Boot, room: Room, memory: int | None = None) -> Launched:
    """Start Firecracker and wait until its API is there.

    Args:
        boot: what to start.
        room: where it will stand.
        memory: an open file that it may keep, where it is to load a saved machine.

    Raises:
        ProgramMissing: what confines it is not installed.
        NoSpace: the host cannot start a process.
        SandboxDied: it ended or did not answer; the message holds what it printed.
    """
    async with AsyncExitStack() as undo:
        with ExitStack() as opened:
            program = os.open(boot.program, os.O_RDONLY | os.O_CLOEXEC)
            opened.callback(os.close, program)
            start = Start(
                argv=machine_argv(f"/proc/self/fd/{program}"),
                fds=[program] if memory is None else [program, memory],
                folder=room.folder,
                memory_mib=room.memory_mib,
                file_mib=max(room.memory_mib, room.disk_mib),
                name=NAME,
                cwd=room.inside,
            )
            process = vmm.start(start, room.who)
            undo.push_async_callback(process.close)
        api = Api(await _socket(room.inside / API_SOCKET, process))
        undo.push_async_callback(api.close)
        await api.get("/version")
        undo.pop_all()
    return Launched(process, api, room)


async def _socket(path: Path, process: Vmm) -> int:
    try:
        async with asyncio.timeout(_API_S):
            while not process.ended.is_set():
                fd = _listening(path)
                if fd is not None:
                    return fd
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError as error:
        raise SandboxDied(
            f"Firecracker opened no API within {_API_S:g} s: {process.why()}"
        ) from error
    raise SandboxDied(f"a machine did not start: {process.why()}")


def _listening(path: Path) -> int | None:
    """The socket, once somebody listens: it has a name a moment before."""
    with ExitStack() as undo:
        try:
            fd = pinned(path)
            undo.callback(os.close, fd)
            caller = undo.enter_context(socket.socket(socket.AF_UNIX))
            caller.setblocking(False)
            caller.connect(f"/proc/self/fd/{fd}")
        except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
            return None
        caller.close()
        undo.pop_all()
    return fd
