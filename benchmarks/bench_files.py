"""Files, measured: how fast they move, beside a raw copy through the same virtual port.

The raw copy is as plain as one can be: on the same machine's port, with the agent stopped by a
debugger, a program of root's moves the bytes of a file with `os.read` and `os.write`, without
frames, checks, or anybody else to answer meanwhile: into a new file that is then made durable, as
`files.write` does, and out of the file that `files.read` reads. It takes what the port gives at
once (4 KiB) and gives what the port takes at once (32 KiB). The host's end of it is as plain. What
the port itself can move is measured too, by bytes that the machine makes up or drops.

Rounds alternate, and each figure is a median. Beside the clock's figure stands what the machine's
QEMU and this process spent of the processor, which others on a busy host change less.

Prints one JSON object a line: name, value, unit and how many times it was measured.
"""

import asyncio
import contextlib
import json
import os
import select
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

from forge.sandbox.base import SandboxSpec
from forge.sandbox.commands import Command
from forge.sandbox.images.stock import Images
from forge.sandbox.machines.machine import Machine
from forge.sandbox.output import Display, Output
from forge.sandbox.processes import cpu_seconds
from forge.sandbox.qemu.provider import open_provider
from forge.sandbox.qemu.running import Running
from forge.settings import read_settings

SIZE = 64 * 1024 * 1024
ROUNDS = 5
PIECE = 256 * 1024
MARK = b"the raw copier is here"
COPIER = """
import ctypes, os, sys, time
size, mark = int(sys.argv[1]), sys.argv[2].encode()
libc = ctypes.CDLL(None, use_errno=True)
pidfd = libc.syscall(434, 1, 0)
for number in range(3, 64):
    port = libc.syscall(438, pidfd, number, 0)
    if port >= 0 and 'vport' in os.readlink(f'/proc/self/fd/{port}'):
        break
print('here', flush=True)
time.sleep(0.5)  # the agent passes that on, and then has nothing more to say
assert libc.ptrace(16, 1, 0, 0) == 0
os.waitpid(1, 0x40000000)
os.set_blocking(port, True)
os.write(port, mark)
def ready():
    os.write(port, b'.')

def told():
    assert os.read(port, 1) == b'.'

left = size
while left:
    left -= len(os.read(port, 65536))
ready()
file = os.open('/home/user/raw', os.O_RDWR | os.O_CREAT | os.O_TRUNC)
left = size
while left:
    data = os.read(port, 65536)
    left -= os.write(file, data)
os.fsync(file)
ready()
os.unlink('/home/user/raw')
piece = bytes(32768)
told()
left = size
while left:
    left -= os.write(port, piece)
file = os.open('/home/user/large', os.O_RDONLY)
told()
left = size
while left:
    left -= os.write(port, os.read(file, 32768))
os.set_blocking(port, False)
libc.ptrace(17, 1, 0, 0)
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one transfer took: seconds by the clock, and of the processor in both processes."""

    clock: float
    host: float
    qemu: float


@contextlib.contextmanager
def _measured(pid: int, into: list[Spent]) -> Iterator[None]:
    clock, host, qemu = time.perf_counter(), time.process_time(), cpu_seconds(pid)
    yield
    into.append(
        Spent(time.perf_counter() - clock, time.process_time() - host, cpu_seconds(pid) - qemu)
    )


class Port:
    """The host's end of the port, used behind the back of whoever speaks the wire on it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, size: int) -> None:
        """Send so many bytes, and wait until they are taken."""
        piece = bytes(PIECE)
        while size:
            select.select([], [self._fd], [])
            size -= os.write(self._fd, piece[:size])
        assert self.take(1) == b"."

    def read(self, size: int) -> None:
        """Ask for so many bytes."""
        os.write(self._fd, b".")
        self.take(size)

    def take(self, size: int) -> bytes:
        """Take so many bytes; returns the last of them."""
        data = b""
        while size:
            select.select([self._fd], [], [])
            data = os.read(self._fd, min(PIECE, size))
            size -= len(data)
        return data


async def _raw(machine: Machine, found: dict[str, list[Spent]]) -> None:
    """Stop the agent, move the bytes both ways, and let it go on."""

    async def here(_: Output | Display) -> None:
        running = machine._running  # noqa: SLF001 -- nobody else may use the port like this
        assert isinstance(running, Running)
        port = Port(running.launched.agent_fd)
        assert port.take(len(MARK)) == MARK
        for name, act in (
            ("port, in", port.write),
            ("raw, in", port.write),
            ("port, out", port.read),
            ("raw, out", port.read),
        ):
            with _measured(machine.pid, found[name]):
                act(SIZE)

    argv = ("python3", "-c", COPIER, str(SIZE), MARK.decode())
    result = await machine.commands.run(Command(argv, 300, user="root"), here)
    assert result.ok


async def _content() -> AsyncIterator[bytes]:
    piece = bytes(PIECE)
    for _ in range(SIZE // PIECE):
        yield piece


async def _write(machine: Machine) -> None:
    assert await machine.files.write("large", _content()) == SIZE


async def _read(machine: Machine) -> None:
    size = 0
    async with contextlib.aclosing(machine.files.read("large")) as pieces:
        async for piece in pieces:
            size += len(piece)
    assert size == SIZE


def _report(name: str, value: float, unit: str) -> None:
    print(json.dumps({"name": name, "value": round(value, 2), "unit": unit, "n": ROUNDS}))


def _median(found: list[Spent], of: Callable[[Spent], float]) -> float:
    return statistics.median(of(each) for each in found)


def _compare(name: str, files: list[Spent], raw: list[Spent], port: list[Spent]) -> None:
    for kind, spent in ((f"files.{name}", files), ("raw copy", raw), ("port alone", port)):
        label = kind if spent is files else f"{kind} beside {name}"
        _report(f"{label}, p50", SIZE / 1e6 / _median(spent, lambda each: each.clock), "MB/s")
        _report(f"{label}: QEMU's processor, p50", _median(spent, lambda each: each.qemu), "s")
        _report(f"{label}: host's processor, p50", _median(spent, lambda each: each.host), "s")
    by_clock = statistics.median(b.clock / a.clock for a, b in zip(files, raw, strict=True))
    by_work = statistics.median(b.qemu / a.qemu for a, b in zip(files, raw, strict=True))
    _report(f"files.{name} over a raw copy, by the clock", by_clock, "x")
    _report(f"files.{name} over a raw copy, by QEMU's processor", by_work, "x")


async def main() -> None:
    """Measure on this host, with the base template."""
    settings = read_settings()
    image = Images(settings.home).find("base")
    found: dict[str, list[Spent]] = defaultdict(list)
    async with open_provider(settings.home, lambda _: image, lambda _: None) as provider:
        machine = await provider.create(SandboxSpec())
        assert isinstance(machine, Machine)
        for _ in range(ROUNDS):
            with _measured(machine.pid, found["write"]):
                await _write(machine)
            with _measured(machine.pid, found["read"]):
                await _read(machine)
            await _raw(machine, found)
        await machine.stop()
    _compare("write", found["write"], found["raw, in"], found["port, in"])
    _compare("read", found["read"], found["raw, out"], found["port, out"])


asyncio.run(main())
