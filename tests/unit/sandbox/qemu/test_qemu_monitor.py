"""QEMU's control socket, with a QEMU that ends at the wrong moment."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator

import pytest

from forge.errors import SandboxDied
from forge.sandbox.qemu.monitor import Monitor

GREETING = {"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 0}}, "capabilities": []}}


def _answer(asked: dict[str, object]) -> bytes:
    return json.dumps({"return": {}, "id": asked["id"]}).encode() + b"\r\n"


@contextlib.asynccontextmanager
async def _answering(commands: int, ends: asyncio.Event | None = None) -> AsyncIterator[Monitor]:
    """A monitor of a QEMU that carries out so many commands and then ends, at once or when told."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)
    connected = asyncio.Event()

    async def qemu() -> None:
        writer.write(json.dumps(GREETING).encode() + b"\r\n")
        await reader.read(4096)
        writer.write(b'{"return": {}}\r\n')
        await connected.wait()
        for _ in range(commands):
            # A descriptor comes with a blank of its own.
            said = (await reader.read(4096)).strip() or await reader.read(4096)
            writer.write(_answer(json.loads(said)))
        await writer.drain()
        if ends is not None:
            await ends.wait()
        writer.close()

    monitor = Monitor(ours)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(qemu())
        await monitor.connect()
        connected.set()
        yield monitor
    await monitor.close()


async def test_a_qemu_that_ends_while_it_loads_a_state_is_noticed_at_once() -> None:
    """After each command of a load: SandboxDied, for descriptors that nobody takes any more too,
    and by the connection's end rather than by the deadline of a command.
    """
    for commands in range(4):
        async with _answering(commands) as monitor, asyncio.timeout(9):
            with pytest.raises(SandboxDied):
                await monitor.load_state(b"state")


async def test_a_qemu_that_ended_takes_no_descriptor() -> None:
    """Its socket is broken before the session is: that is its end too, not the program's."""
    async with _answering(0) as monitor, asyncio.timeout(9):
        with pytest.raises(SandboxDied):
            await monitor.devices()


async def test_a_save_that_is_cancelled_as_its_qemu_ends_is_cancelled() -> None:
    """What it has to tidy up cannot be done any more, which is no answer to who cancelled it."""
    ends = asyncio.Event()
    async with _answering(1, ends) as monitor, asyncio.timeout(9):
        saving = asyncio.ensure_future(monitor.devices())
        await asyncio.wait([saving], timeout=0.1)
        saving.cancel()
        ends.set()
        await asyncio.wait([saving])
        assert saving.cancelled()


@pytest.mark.parametrize("answered", [True, False])
async def test_a_qemu_that_ends_while_it_is_greeted_is_a_dead_machine(answered: bool) -> None:
    """Killed before or right after it agreed to talk: SandboxDied, and nothing that is no error of
    Forge's, which would end whatever else the process has under way.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()

    async def qemu() -> None:
        with theirs:
            await loop.sock_sendall(theirs, json.dumps(GREETING).encode() + b"\r\n")
            await loop.sock_recv(theirs, 4096)
            if answered:
                await loop.sock_sendall(theirs, b'{"return": {}}\r\n')

    monitor = Monitor(ours)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(qemu())
        with pytest.raises(SandboxDied):
            await monitor.connect()
    await monitor.close()
