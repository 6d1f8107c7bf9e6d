"""Ports: found, connected to, raw both ways, each direction ended by itself."""

import asyncio

from forge.errors import InputRefused, PortUnreachable, SandboxStopped
from forge.sandbox.base import Sandbox
from forge.sandbox.commands import NO_DEADLINE, Command
from forge.sandbox.ports import PortConnection
from forge.testing.sandbox_conformance.watching import PATIENCE_S, Check, Seen, refused, write

_SERVER = b"""
import socket, sys, threading, time
port, host, kind = int(sys.argv[1]), sys.argv[2], sys.argv[3]
family = socket.AF_INET6 if ':' in host else socket.AF_INET
server = socket.socket(family)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((host, port))
server.listen(64)
print('listening', flush=True)

def echo(link):
    while data := link.recv(65536):
        link.sendall(data)
    link.sendall(b'END')
    link.close()

def flood(link):
    while True:
        link.sendall(b'x' * 65536)

def cut(link):
    import struct
    link.recv(1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    link.close()

def mute(link):
    time.sleep(600)

def talker(link):
    link.sendall(b'bye')
    link.shutdown(socket.SHUT_WR)
    total = 0
    while data := link.recv(65536):
        total += len(data)
    print('heard', total, flush=True)

while True:
    link, _ = server.accept()
    threading.Thread(target=globals()[kind], args=(link,), daemon=True).start()
"""


async def serve(sandbox: Sandbox, port: int, kind: str, host: str = "127.0.0.1") -> int:
    """Have a program in the machine listen; its number."""
    await write(sandbox, "server.py", _SERVER)
    argv = ("python3", "server.py", str(port), host, kind)
    pid = await sandbox.commands.start(Command(argv, NO_DEADLINE))
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(sandbox.commands.attach(pid, seen))
        async with asyncio.timeout(PATIENCE_S):
            await seen.first.wait()
        listening.cancel()
    assert seen.stdout == b"listening\n", seen.stderr
    return pid


async def everything(connection: PortConnection) -> bytes:
    """All that a program sends."""
    data = bytearray()
    async with asyncio.timeout(PATIENCE_S):
        while piece := await connection.read():
            data += piece
    return bytes(data)


async def a_listening_port_is_found(sandbox: Sandbox) -> None:
    """With address and process; a fresh machine listens on nothing."""
    assert await sandbox.ports.list() == ()
    pid = await serve(sandbox, 8123, "echo")
    (port,) = await sandbox.ports.list()
    assert (port.port, port.address, port.pid, port.process) == (8123, "127.0.0.1", pid, "python3")


async def bytes_pass_both_ways_and_each_end_by_itself(sandbox: Sandbox) -> None:
    """Raw bytes, more than any window; our end is read, and the program still answers."""
    await serve(sandbox, 8123, "echo")
    connection = await sandbox.ports.connect(8123)
    sent = bytes(range(256)) * 4096
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(everything(connection))
        await connection.write(sent)
        await connection.finish()
        await connection.finish()
    assert reading.result() == sent + b"END"
    assert await connection.read() == b""
    connection.close()


async def a_program_may_finish_first(sandbox: Sandbox) -> None:
    """It says its end and goes on reading."""
    pid = await serve(sandbox, 8123, "talker")
    connection = await sandbox.ports.connect(8123)
    assert await everything(connection) == b"bye"
    await connection.write(b"y" * 500_000)
    await connection.finish()
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(sandbox.commands.attach(pid, seen))
        async with asyncio.timeout(PATIENCE_S):
            while b"heard" not in seen.stdout:
                seen.first.clear()
                await seen.first.wait()
        listening.cancel()
    assert b"heard 500000" in seen.stdout
    connection.close()


async def where_nothing_listens_is_named(sandbox: Sandbox) -> None:
    """Refused by name, numbers that are no ports too; the machine goes on."""
    await refused(PortUnreachable, sandbox.ports.connect(8124))
    for port in (0, -1, 65_536):
        await refused(InputRefused, sandbox.ports.connect(port))
    assert await sandbox.ports.list() == ()


async def a_connection_broken_off_is_named(sandbox: Sandbox) -> None:
    """The program resets it: an error, not an end."""
    await serve(sandbox, 8123, "cut")
    connection = await sandbox.ports.connect(8123)
    await connection.write(b"x")
    await refused(PortUnreachable, connection.read())
    connection.close()


async def a_flood_waits_for_its_reader(sandbox: Sandbox) -> None:
    """It is held back, other calls are not, and closing ends it."""
    await serve(sandbox, 8123, "flood")
    connection = await sandbox.ports.connect(8123)
    assert await connection.read()
    assert len(await sandbox.ports.list()) == 1
    for _ in range(50):
        assert await connection.read()
    connection.close()
    connection.close()
    await refused(SandboxStopped, connection.read())


async def a_program_that_never_answers_holds_nobody(sandbox: Sandbox) -> None:
    """Reading may be given up and tried again; writing waits once it takes no more."""
    await serve(sandbox, 8123, "mute")
    connection = await sandbox.ports.connect(8123)
    for _ in range(2):
        try:
            async with asyncio.timeout(0.2):
                raise AssertionError(await connection.read())
        except TimeoutError:
            assert len(await sandbox.ports.list()) == 1
    try:
        async with asyncio.timeout(2):
            await connection.write(b"x" * 64_000_000)
            raise AssertionError("a program that does not read took 64 MB")
    except TimeoutError:
        assert len(await sandbox.ports.list()) == 1
    connection.close()


async def the_other_loopback_is_tried_too(sandbox: Sandbox) -> None:
    """A program that listens on `::1` alone is reached, where the machine's kernel has it."""
    seen = Seen()
    asked = Command(("test", "-e", "/proc/net/tcp6"), PATIENCE_S)
    if not (await sandbox.commands.run(asked, seen)).ok:
        await refused(PortUnreachable, sandbox.ports.connect(8123))
        return
    await serve(sandbox, 8123, "echo", "::1")
    connection = await sandbox.ports.connect(8123)
    await connection.finish()
    assert await everything(connection) == b"END"
    assert [each.address for each in await sandbox.ports.list()] == ["::1"]
    connection.close()


CHECKS: tuple[Check, ...] = (
    a_listening_port_is_found,
    bytes_pass_both_ways_and_each_end_by_itself,
    a_program_may_finish_first,
    where_nothing_listens_is_named,
    a_connection_broken_off_is_named,
    a_flood_waits_for_its_reader,
    a_program_that_never_answers_holds_nobody,
    the_other_loopback_is_tried_too,
)
