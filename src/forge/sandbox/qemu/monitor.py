"""QMP, QEMU's control protocol, with a deadline on every command.

Device state travels through a pair of sockets whose one end is handed to QEMU over QMP, so the
VMM needs neither a path nor the right to start a program.
"""

import asyncio
import contextlib
import logging
import os
import socket
from typing import cast

from qemu.qmp import ExecuteError, QMPClient, QMPError, Runstate

from forge.errors import SandboxDied

_COMMAND_S = 10.0  # QMP answers in milliseconds; this is for a host under heavy load
_STATE_LIMIT = 16 * 1024 * 1024  # device state is about 64 KiB
_DEVICES_SET = 1_000_000  # no descriptor that QEMU inherited has this number
_CAPABILITIES: dict[str, object] = {
    "capabilities": [
        {"capability": "x-ignore-shared", "state": True},  # memory stays in its own file
        {"capability": "events", "state": True},
    ]
}

# QEMU's library logs every broken connection; Forge reports it as an error of its own.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


def _first(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


class Monitor:
    """A QMP session over a connected socket; `close` ends it."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._fd_sender = control.dup()
        self._client = QMPClient("forge")

    async def connect(self) -> None:
        """Wait for QEMU's greeting.

        Raises:
            SandboxDied: QEMU ended, or did not answer.
        """
        try:
            async with asyncio.timeout(_COMMAND_S):
                await self._client.connect(self._control)
        except (QMPError, TimeoutError, OSError, EOFError) as error:
            raise SandboxDied(f"QEMU did not answer on its control socket: {error}") from error
        except AssertionError as error:  # the library asserts that it is still there by now
            raise SandboxDied("QEMU ended right after its greeting") from error

    async def execute(self, command: str, arguments: dict[str, object] | None = None) -> object:
        """Run one command.

        Raises:
            SandboxDied: QEMU refused it, ended, or did not answer.
        """
        try:
            async with asyncio.timeout(_COMMAND_S):
                return await self._client.execute(command, arguments)
        except ExecuteError as error:
            raise SandboxDied(f"QEMU refused {command}: {error}") from error
        except (QMPError, TimeoutError, OSError, EOFError) as error:
            raise SandboxDied(f"QEMU did not carry out {command}: {error}") from error

    async def limit_disks(self, names: tuple[str, ...], mib_s: int, iops: int) -> None:
        """Let these disks together move no more than this per second; 0 is no limit.

        Raises:
            SandboxDied: QEMU refused it.
        """
        rates = {"bps": mib_s << 20, "bps_rd": 0, "bps_wr": 0}
        rates |= {"iops": iops, "iops_rd": 0, "iops_wr": 0}
        for name in names:
            disk = {"id": f"disk-{name}", "group": "machine"}
            await self.execute("block_set_io_throttle", {**disk, **rates})

    async def save_state(self) -> bytes:
        """Stop the machine and return its device state; its memory stays in its own file.

        Raises:
            SandboxDied: it could not be saved.
        """
        await self.execute("stop")
        await self.execute("migrate-set-capabilities", _CAPABILITIES)
        ours = await self._hand_over("state")
        try:
            await self.execute("migrate", {"uri": "fd:state"})
            return await self._receive(ours)
        finally:
            ours.close()

    async def devices(self) -> bytes:
        """The state of a stopped machine's devices, which it may go on from. See `saved.splice`.

        Raises:
            SandboxDied: QEMU refused, ended, or wrote too much.
        """
        kept = os.memfd_create("devices", os.MFD_CLOEXEC)
        try:
            # QEMU matches a descriptor of a set by how it was opened, and asks for writing alone.
            theirs = os.open(f"/proc/self/fd/{kept}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                self._send(theirs)
            finally:
                os.close(theirs)
            await self.execute("add-fd", {"fdset-id": _DEVICES_SET})
            # Not live: QEMU would give up its disks, for another to take over.
            arguments = {"filename": f"/dev/fdset/{_DEVICES_SET}", "live": False}
            try:
                await self.execute("xen-save-devices-state", arguments)
            except BaseException:
                # A QEMU that has ended refuses, which must not take a cancellation's place.
                with contextlib.suppress(SandboxDied):
                    await self.execute("remove-fd", {"fdset-id": _DEVICES_SET})
                raise
            await self.execute("remove-fd", {"fdset-id": _DEVICES_SET})
            size = os.fstat(kept).st_size
            if size > _STATE_LIMIT:
                raise SandboxDied("QEMU's device state is too large")
            return os.pread(kept, size, 0)
        finally:
            os.close(kept)

    async def halt(self) -> None:
        """Stop the machine's processor; its disk is written by then.

        Raises:
            SandboxDied: QEMU refused or ended.
        """
        await self.execute("stop")

    async def go(self) -> None:
        """Let the machine run.

        Raises:
            SandboxDied: QEMU refused or ended.
        """
        await self.execute("cont")

    async def load_state(self, state: bytes) -> None:
        """Load a device state into a waiting machine, which stands still until `go`.

        Raises:
            SandboxDied: it could not be loaded.
        """
        await self.execute("migrate-set-capabilities", _CAPABILITIES)
        ours = await self._hand_over("state")
        try:
            async with asyncio.timeout(_COMMAND_S), asyncio.TaskGroup() as tasks:
                tasks.create_task(asyncio.get_running_loop().sock_sendall(ours, state))
                tasks.create_task(self._load())
        except (ExceptionGroup, TimeoutError, OSError) as error:
            raise SandboxDied(f"the saved state was not taken: {_first(error)}") from error
        finally:
            ours.close()

    async def _load(self) -> None:
        with self._client.listener("MIGRATION") as moves:
            await self.execute("migrate-incoming", {"uri": "fd:state"})
            # A listener is not told of a connection's end.
            async with asyncio.TaskGroup() as tasks:
                ending = tasks.create_task(self._ended())
                async for move in moves:
                    status = cast("dict[str, str]", move["data"])["status"]
                    if status == "completed":
                        break
                    if status == "failed":
                        raise SandboxDied("QEMU could not load the saved state")
                ending.cancel()

    async def _ended(self) -> None:
        while self._client.runstate is Runstate.RUNNING:
            await self._client.runstate_changed()
        raise SandboxDied("QEMU ended while it loaded the saved state")

    async def _hand_over(self, name: str) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            self._send(theirs.fileno())
            await self.execute("getfd", {"fdname": name})
            undo.pop_all()
        return ours

    def _send(self, fd: int) -> None:
        try:
            socket.send_fds(self._fd_sender, [b" "], [fd])
        except OSError as error:
            raise SandboxDied(f"QEMU took no descriptor: {error.strerror}") from error

    async def _receive(self, ours: socket.socket) -> bytes:
        state = bytearray()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_COMMAND_S):
                while data := await loop.sock_recv(ours, 65536):
                    state += data
                    if len(state) > _STATE_LIMIT:
                        raise SandboxDied("QEMU's device state is too large")
        except TimeoutError as error:
            raise SandboxDied("QEMU did not finish its device state") from error
        return bytes(state)

    async def close(self) -> None:
        """End the session; the VMM is not asked to do anything."""
        try:
            async with asyncio.timeout(_COMMAND_S):
                await self._client.disconnect()
        except (QMPError, TimeoutError, OSError, EOFError):
            self._control.close()  # the VMM is gone, which is how most sessions end
        finally:
            self._fd_sender.close()
