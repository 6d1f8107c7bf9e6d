"""Ports of a hostile machine: lists that lie, connections that break their promise, and a guest
that listens where it should not lead anywhere.
"""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from forge.errors import (
    GuestViolation,
    PortUnreachable,
    SandboxError,
    SandboxStopped,
    SandboxUnresponsive,
)
from forge.sandbox.agent import deadlines
from forge.sandbox.base import Sandbox
from forge.sandbox.commands import NO_DEADLINE, Command
from forge.testing.guest import fake_guest, never
from talking import Wired, pieces, shell

PORT = {"port": 80, "address": "127.0.0.1", "pid": 7, "process": "web"}


@asynccontextmanager
async def guest_that(**verbs):
    async with asyncio.timeout(30), fake_guest(verbs) as guest, asyncio.TaskGroup() as tasks:
        agent = Wired(guest.fd, lambda _: None)
        tasks.create_task(agent.run())
        try:
            yield agent
        finally:
            agent.close()


def listing(data: bytes):
    async def answer(stream):
        await stream.send(1, data)
        await stream.message({}, fin=True)

    return answer


@pytest.fixture
def impatient(monkeypatch):
    for name in ("MARGIN_S", "QUICK_S", "WATCH_S", "DIAL_S"):
        monkeypatch.setattr(deadlines, name, 0.2)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", 0), ("port", 65_536), ("port", "80"), ("port", None), ("port", True),
        ("address", "example.org"), ("address", 5), ("address", "1" * 10_000), ("address", ""),
        ("pid", 0), ("pid", "1"), ("pid", -1), ("process", None), ("process", "x" * 65),
    ],
)  # fmt: skip
async def test_a_port_that_is_none_is_a_lie(key, value):
    """Every field is checked; the honest row passes."""
    async with guest_that(ports=listing(json.dumps(PORT).encode() + b"\n")) as agent:
        (port,) = await agent.ports.list()
        assert (port.port, port.pid, port.process) == (80, 7, "web")
    row = json.dumps(PORT | {key: value}).encode() + b"\n"
    async with guest_that(ports=listing(row)) as agent:
        with pytest.raises(GuestViolation):
            await agent.ports.list()


@pytest.mark.parametrize("data", [b"x", b"[]\n", b"{}\n", b"\n" * 2000, b"[" * 100_000 + b"\n"])
async def test_a_list_that_is_none_is_a_lie(data):
    """Broken, bottomless or without end."""
    async with guest_that(ports=listing(data)) as agent:
        with pytest.raises(GuestViolation):
            await agent.ports.list()


async def test_a_list_without_end_is_a_lie():
    """It is cut off at its limit."""

    async def flood(stream):
        while True:
            await stream.send(1, b"x" * 1_000_000)

    async with guest_that(ports=flood) as agent:
        with pytest.raises(GuestViolation):
            await agent.ports.list()


async def test_a_process_cannot_steer_a_terminal_by_its_name():
    """Control characters of a name are shown as blanks."""
    row = json.dumps(PORT | {"process": "\x1b[2Jweb\n"}).encode() + b"\n"
    async with guest_that(ports=listing(row)) as agent:
        (port,) = await agent.ports.list()
        assert port.process == " [2Jweb "


@pytest.mark.parametrize("lane", [0, 2, 3, 200])
async def test_content_on_another_lane_is_a_lie(lane):
    """A connection has one."""

    async def answer(stream):
        await stream.message({})
        await stream.send(lane, b"x")
        await stream.given_up()

    async with guest_that(connect=answer) as agent:
        connection = await agent.ports.connect(80)
        with pytest.raises(GuestViolation):
            await connection.read()
        connection.close()


async def test_a_connection_that_begins_with_its_end_or_with_data_is_a_lie():
    """The first message says that there is one."""

    async def end(stream):
        await stream.message({}, fin=True)

    async def data(stream):
        await stream.send(1, b"x")
        await stream.given_up()

    for answer in (end, data):
        async with guest_that(connect=answer) as agent:
            with pytest.raises(GuestViolation):
                await agent.ports.connect(80)


async def test_messages_without_end_are_a_lie():
    """A connection is bytes."""

    async def chatter(stream):
        while True:
            await stream.message({})

    async with guest_that(connect=chatter) as agent:
        connection = await agent.ports.connect(80)
        with pytest.raises(GuestViolation):
            await connection.read()
        connection.close()


async def test_a_guest_that_does_not_connect_is_destroyed(impatient):
    """Connecting has a deadline."""
    async with guest_that(connect=never) as agent:
        with pytest.raises(SandboxUnresponsive):
            await agent.ports.connect(80)


async def test_a_guest_that_falls_silent_under_a_reader_is_found_out(impatient):
    """Reading has none; but the machine is asked whether it is there."""

    async def silent(stream):
        await stream.message({})
        await stream.given_up()

    async with guest_that(connect=silent, ping=never) as agent:
        connection = await agent.ports.connect(80)
        with pytest.raises(SandboxError):
            await connection.read()
        connection.close()
        with pytest.raises(SandboxStopped):
            await agent.ports.list()


async def test_closing_under_a_reader_ends_the_reader_alone():
    """The machine is not blamed for it, and goes on."""

    async def silent(stream):
        await stream.message({})
        await stream.given_up()

    async with guest_that(connect=silent, ports=listing(b"")) as agent:
        connection = await agent.ports.connect(80)

        async def reading():
            with pytest.raises(SandboxStopped):
                await connection.read()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reading())
            await asyncio.sleep(0)
            connection.close()
        for call in (connection.read(), connection.write(b"x")):
            with pytest.raises(SandboxStopped):
                await call
        assert await agent.ports.list() == ()


async def test_writing_after_ones_own_end_is_refused_and_harms_nothing():
    """The caller's mistake; the machine goes on."""

    async def polite(stream):
        await stream.message({})
        while await stream.receive() is not None:
            continue
        await stream.message({}, fin=True)

    async with guest_that(connect=polite, ports=listing(b"")) as agent:
        connection = await agent.ports.connect(80)
        await connection.finish()
        with pytest.raises(SandboxStopped):
            await connection.write(b"x")
        assert await connection.read() == b""
        connection.close()
        assert await agent.ports.list() == ()


@pytest.mark.vm
async def test_the_agent_itself_cannot_be_connected_to(qemu: Sandbox):
    """It listens on nothing, on no kind of socket, and connects to loopback alone."""
    _, text = await shell(
        qemu, "ls -l /proc/1/fd | grep -c socket; cat /proc/net/unix | grep -c ' 00010000 '",
        root=True,
    )  # fmt: skip
    assert text.split()[1] == "0"
    assert await qemu.ports.list() == ()
    for port in (1, 22, 80, 1024, 8000, 40_000, 65_535):
        with pytest.raises(PortUnreachable):
            await qemu.ports.connect(port)


@pytest.mark.vm
async def test_a_crowd_of_sockets_and_descriptors_does_not_hold_the_agent_up(qemu: Sandbox):
    """Thousands of open files and listening sockets: the list is bounded and comes in time."""
    crowd = """
import os, resource, socket, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
kept = []
for port in range(10000, 11500):
    server = socket.socket(); server.bind(('127.0.0.1', port)); server.listen(); kept.append(server)
for _ in range(8):
    if os.fork() == 0: break
kept += [open('/dev/null') for _ in range(2000)]
time.sleep(300)
"""
    await qemu.files.write("crowd.py", pieces(crowd.encode()))
    pid = await qemu.commands.start(Command(("python3", "crowd.py"), NO_DEADLINE))
    until = "until [ $(grep -c ' 0A ' /proc/net/tcp) -ge 1500 ]; do sleep 0.2; done"
    assert (await shell(qemu, until, deadline_s=120))[0].ok
    found = await qemu.ports.list()
    assert len(found) == 1024
    await qemu.commands.signal(pid, 9)
    assert (await shell(qemu, "echo on"))[1] == "on\n"
