"""Commands, measured: what Forge adds to a process, and how much output passes.

`exec` is from the wish to run `true` to its result. Of that, the machine spends `process` making,
running and collecting the process, as its agent measures it. `exec adds` is what is left beyond a
`ping`: both are medians of the same, alternating, rounds.

Prints one JSON object a line: name, value, unit and how many times it was measured.
"""

import asyncio
import json
import statistics
import time

from forge.sandbox.base import Sandbox, SandboxSpec
from forge.sandbox.commands import NO_DEADLINE, Command
from forge.sandbox.images.stock import Images
from forge.sandbox.machines.machine import Machine
from forge.sandbox.output import Display, Output
from forge.sandbox.qemu.provider import open_provider
from forge.settings import read_settings

RUNS = 200
WARM = 20
SIZE = 64 * 1024 * 1024
ECHO = """
import socket
server = socket.create_server(('127.0.0.1', 9000))
while True:
    link, _ = server.accept()
    while data := link.recv(1 << 16):
        link.sendall(data)
    link.close()
"""


async def _hear(_: Output | Display) -> None:
    return None


def _report(name: str, value: float, unit: str, n: int) -> None:
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, "n": n}))


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


async def _round_trips(machine: Machine) -> None:
    pings, execs, processes, adds = [], [], [], []
    for number in range(RUNS + WARM):
        started = time.perf_counter()
        await machine.ping()
        ping = _since(started)
        started = time.perf_counter()
        result = await machine.commands.run(Command(("/bin/true",), 30), _hear)
        spent = _since(started)
        assert result.ok
        if number >= WARM:
            pings.append(ping)
            execs.append(spent)
            processes.append(result.duration_ms)
            adds.append(spent - result.duration_ms - ping)
    _report("ping, p50", statistics.median(pings), "ms", RUNS)
    _report("exec of true, p50", statistics.median(execs), "ms", RUNS)
    _report("exec of true: the process itself, p50", statistics.median(processes), "ms", RUNS)
    _report("exec adds beyond process and ping, p50", statistics.median(adds), "ms", RUNS)


async def _throughput(machine: Sandbox) -> None:
    script = f"head -c {SIZE} /dev/zero"
    started = time.perf_counter()
    await machine.commands.run(Command(("sh", "-c", script), 120), _hear)
    _report("output of a command", SIZE / 1e6 / (_since(started) / 1000), "MB/s", 1)
    pid = await machine.commands.start(Command(("sh", "-c", f"read go; {script}"), NO_DEADLINE))
    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(machine.commands.attach(pid, _hear))
        await machine.commands.send(pid, b"\n")
    _report("output of a background process", SIZE / 1e6 / (_since(started) / 1000), "MB/s", 1)


async def _echo(machine: Sandbox) -> None:
    await machine.commands.start(Command(("python3", "-c", ECHO), NO_DEADLINE))
    until = "until grep -q ' 0A ' /proc/net/tcp; do sleep 0.1; done"
    await machine.commands.run(Command(("sh", "-c", until), 30), _hear)
    connection = await machine.ports.connect(9000)
    trips = []
    for _ in range(RUNS):
        started = time.perf_counter()
        await connection.write(b"x")
        assert await connection.read() == b"x"
        trips.append(_since(started))
    _report("a byte to a port and back, p50", statistics.median(trips), "ms", RUNS)
    size, seen = SIZE // 4, 0
    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(connection.write(bytes(size)))
        while seen < size:
            seen += len(await connection.read())
    _report("through a port and back", size / 1e6 / (_since(started) / 1000), "MB/s", 1)
    connection.close()


async def main() -> None:
    """Measure on this host, with the base template."""
    settings = read_settings()
    image = Images(settings.home).find("base")
    async with open_provider(settings.home, lambda _: image, lambda _: None) as provider:
        machine = await provider.create(SandboxSpec())
        assert isinstance(machine, Machine)
        await _round_trips(machine)
        await _throughput(machine)
        await _echo(machine)
        await machine.stop()


asyncio.run(main())
