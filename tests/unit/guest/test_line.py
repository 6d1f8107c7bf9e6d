"""Waiting for a host that comes and goes: over real sockets, with the real agent's channel."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from forge.errors import SandboxDied
from forge.sandbox.agent.connection import Connection
from forge_guest.line import accepted
from forge_guest.wire.channel import Channel, Stream
from forge_guest.wire.transport import FdTransport

HOST, STRANGER = "127.0.0.1", "127.0.0.2"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """What stands for vsock: addresses are pairs of a peer and its port, too."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as waiting:
        waiting.bind(("127.0.0.1", 0))
        yield waiting


async def guest(listener: socket.socket) -> None:
    """The loop of `forge_guest.serve`, with one verb."""

    async def answer(stream: Stream) -> None:
        await stream.message({"version": 1, "uptime_s": 1.0}, fin=True)

    async with asyncio.TaskGroup() as tasks:
        async for fd in accepted(listener, HOST):
            channel = Channel(
                FdTransport(fd),
                host=False,
                on_open=lambda stream: tasks.create_task(answer(stream)) and None,
            )
            await channel.run()


async def connected(listener: socket.socket, source: str) -> socket.socket:
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.bind((source, 0))
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, listener.getsockname())
    return client


@contextlib.asynccontextmanager
async def running(listener: socket.socket):
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(guest(listener))
        await asyncio.sleep(0)
        yield tasks
        serving.cancel()


async def ask(tasks: asyncio.TaskGroup, client: socket.socket) -> Connection:
    agent = Connection(client.detach(), lambda _: None)
    tasks.create_task(agent.run())
    await agent.handshake(10.0)
    return agent


async def test_a_host_that_goes_away_is_followed_by_the_next(listener: socket.socket):
    """As after a snapshot: the old connection is broken, the next one begins anew."""
    async with running(listener) as tasks:
        for _ in range(3):
            agent = await ask(tasks, await connected(listener, HOST))
            agent.close()


async def test_a_connection_that_is_reset_does_not_end_the_agent(listener: socket.socket):
    """A VMM resets what was open when it took its snapshot."""
    async with running(listener) as tasks:
        with await connected(listener, HOST) as first:
            # Linger of nothing: closing sends a reset instead of an end.
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        (await ask(tasks, await connected(listener, HOST))).close()


async def test_a_program_in_the_machine_is_turned_away(listener: socket.socket):
    """Only the host's own address is answered; the agent goes on waiting for it."""
    async with running(listener) as tasks:
        stranger = Connection((await connected(listener, STRANGER)).detach(), lambda _: None)
        reading = tasks.create_task(stranger.run())
        with pytest.raises(SandboxDied):
            await stranger.handshake(10.0)
        await reading
        (await ask(tasks, await connected(listener, HOST))).close()
