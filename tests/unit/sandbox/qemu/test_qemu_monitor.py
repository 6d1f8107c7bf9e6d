"""QEMU's control socket, with a QEMU that ends at the wrong moment."""

import asyncio
import json
import socket

import pytest

from forge.errors import SandboxDied
from forge.sandbox.qemu.monitor import Monitor

GREETING = {"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 0}}, "capabilities": []}}


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
