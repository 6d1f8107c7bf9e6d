"""Machines, measured: from the wish to a pandas result, memory at rest, ten at once.

Prints one JSON object a line: name, value, unit, n, and what was measured.
"""

import asyncio
import json
import statistics
import time
from pathlib import Path

from forge.sandbox.base import SandboxSpec
from forge.sandbox.images.stock import Images
from forge.sandbox.machines.machine import Machine
from forge.sandbox.machines.provider import MachineProvider
from forge.sandbox.output import Display, Output
from forge.sandbox.qemu.provider import open_provider
from forge.settings import read_settings

PANDAS = "import pandas as pd\npd.DataFrame({'a': [1, 2, 3]}).a.sum()"
RUNS = 20


async def _hear(_: Output | Display) -> None:
    return None


def _report(name: str, value: float, unit: str, n: int) -> None:
    print(json.dumps({"name": name, "value": round(value, 2), "unit": unit, "n": n}))


def _private_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) / 1024
    raise LookupError("Private_Dirty")


async def _make(provider: MachineProvider) -> Machine:
    machine = await provider.create(SandboxSpec())
    assert isinstance(machine, Machine)
    return machine


async def _one_by_one(provider: MachineProvider) -> None:
    created, results, idle, pings = [], [], [], []
    for _ in range(RUNS):
        started = time.perf_counter()
        machine = await _make(provider)
        created.append((time.perf_counter() - started) * 1000)
        idle.append(_private_mib(machine.pid))
        result = await machine.code.run(PANDAS, _hear, deadline_s=30)
        assert result.status == "ok"
        results.append((time.perf_counter() - started) * 1000)
        for _ in range(5):
            started = time.perf_counter()
            await machine.ping()
            pings.append((time.perf_counter() - started) * 1000)
        await machine.stop()
    _report("create from template, p50", statistics.median(created), "ms", RUNS)
    _report("create from template to a pandas result, p50", statistics.median(results), "ms", RUNS)
    _report("create from template to a pandas result, p95", sorted(results)[-2], "ms", RUNS)
    _report("private memory of an idle machine, p50", statistics.median(idle), "MiB", RUNS)
    _report("agent round trip, p50", statistics.median(pings), "ms", len(pings))


async def _ten_at_once(provider: MachineProvider) -> None:
    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        making = [tasks.create_task(_make(provider)) for _ in range(10)]
    machines = [task.result() for task in making]
    async with asyncio.TaskGroup() as tasks:
        answers = [
            tasks.create_task(machine.code.run(PANDAS, _hear, deadline_s=60))
            for machine in machines
        ]
    _report("ten machines made and answering, all", (time.perf_counter() - started) * 1000, "ms", 1)
    answered = sum(answer.result().status == "ok" for answer in answers)
    _report("machines alive and answering at once", answered, "machines", 10)
    after = statistics.median(_private_mib(machine.pid) for machine in machines)
    _report("private memory after a pandas result, p50", after, "MiB", 10)


async def main() -> None:
    """Measure on this host, with the base template."""
    settings = read_settings()
    image = Images(settings.home).find("base")
    async with open_provider(settings.home, lambda _: image, lambda _: None) as provider:
        await (await _make(provider)).stop()
        await _one_by_one(provider)
        await _ten_at_once(provider)


asyncio.run(main())
