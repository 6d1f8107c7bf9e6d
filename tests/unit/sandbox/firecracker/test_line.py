"""Calling a guest through the VMM's socket: patient with a guest, not with a liar."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from answering import answering
from forge.errors import SandboxDied, SandboxUnresponsive
from forge.sandbox import vmm
from forge.sandbox.firecracker.line import connect
from forge.sandbox.vmm import Start, Vmm


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Vmm]:
    """Something that runs, in the VMM's place."""
    start = Start(("/bin/sleep", "600"), (), tmp_path, 256, 64, name="Firecracker")
    running = vmm.start(start, None)
    yield running
    await running.close()


async def receive(connection: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(connection, 100)


async def test_what_follows_the_greeting_is_the_guests(tmp_path: Path, process: Vmm) -> None:
    """The port is named, and not a byte behind the line is lost."""
    heard = []

    async def answer(connection: socket.socket) -> None:
        heard.append(await receive(connection))
        connection.sendall(b"OK 1073741824\nthe guest speaks")
        await receive(connection)

    async with answering(tmp_path / "v.sock", answer):
        fd = await connect(tmp_path / "v.sock", 1000, process, 5.0)
        with socket.socket(fileno=fd) as line:
            line.setblocking(True)
            assert await asyncio.to_thread(line.recv, 100) == b"the guest speaks"
    assert heard == [b"CONNECT 1000\n"]


async def test_a_guest_that_does_not_listen_yet_is_called_again(
    tmp_path: Path, process: Vmm
) -> None:
    """Firecracker hangs up on each call until the guest's agent is there."""
    calls = []

    async def answer(connection: socket.socket) -> None:
        calls.append(await receive(connection))
        if len(calls) == 4:
            connection.sendall(b"OK 1\n")
            await receive(connection)

    async with answering(tmp_path / "v.sock", answer):
        os.close(await connect(tmp_path / "v.sock", 1000, process, 5.0))
    assert len(calls) == 4


@pytest.mark.parametrize("said", [b"NO 1\n", b"OK x\n", b"OK \n", b"\n", b"OK 111111111111111111"])
async def test_another_answer_is_refused(tmp_path: Path, process: Vmm, said: bytes) -> None:
    """Nor is a line without end waited for."""

    async def answer(connection: socket.socket) -> None:
        await receive(connection)
        connection.sendall(said)
        await receive(connection)

    async with answering(tmp_path / "v.sock", answer):
        with pytest.raises(SandboxDied, match="something else than OK"):
            await connect(tmp_path / "v.sock", 1000, process, 5.0)


async def test_silence_ends_at_the_deadline(tmp_path: Path, process: Vmm) -> None:
    """A guest whose driver never comes up, or a VMM that takes the call and says nothing."""

    async def answer(connection: socket.socket) -> None:
        await receive(connection)
        await receive(connection)

    async with answering(tmp_path / "v.sock", answer):
        with pytest.raises(SandboxUnresponsive, match=r"on vsock within 0\.3 s"):
            await connect(tmp_path / "v.sock", 1000, process, 0.3)


async def test_a_vmm_that_ended_is_not_waited_for(tmp_path: Path, process: Vmm) -> None:
    """Nobody will ever listen: the answer says how it ended, long before the deadline."""
    await process.close()
    with pytest.raises(SandboxDied, match="Firecracker was killed by SIGKILL"):
        await connect(tmp_path / "v.sock", 1000, process, 250.0)


async def test_giving_up_frees_every_descriptor(tmp_path: Path, process: Vmm) -> None:
    """A caller that is cancelled in the middle of a call leaves none open."""

    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    called = asyncio.Event()

    async def answer(connection: socket.socket) -> None:
        await receive(connection)
        called.set()
        await receive(connection)

    before = opened()
    async with answering(tmp_path / "v.sock", answer), asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(connect(tmp_path / "v.sock", 1000, process, 60.0))
        await called.wait()
        calling.cancel()
    assert opened() == before
