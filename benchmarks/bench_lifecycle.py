"""A machine's life, measured: pause, resume, copies, and luck that copies must not share.

Prints one JSON object a line: name, value, unit and n.
"""

import asyncio
import json
import statistics
import time

from forge.sandbox.base import Limits, Sandbox, SandboxSpec
from forge.sandbox.images.stock import Images
from forge.sandbox.output import Display, Output
from forge.sandbox.qemu.provider import open_provider
from forge.settings import read_settings

SPEC = SandboxSpec(limits=Limits(memory_mib=512))
RUNS = 5
COPIES, ROUNDS = 8, 5
FILL = "kept = [bytes([n]) * (1 << 20) for n in range(100)]"  # beside the stack: 200 MiB in use
LUCK = "import os, random, uuid; (random.random(), os.urandom(16).hex(), str(uuid.uuid4()))"


async def _cell(machine: Sandbox, code: str) -> str:
    heard: list[str] = []

    async def hear(item: Output | Display) -> None:
        if isinstance(item, Display):
            heard.append(item.data["text/plain"])

    result = await machine.code.run(code, hear, deadline_s=60)
    assert result.status == "ok", result
    return "".join(heard)


def _report(name: str, value: float, unit: str, n: int) -> None:
    print(json.dumps({"name": name, "value": round(value, 2), "unit": unit, "n": n}), flush=True)


async def main() -> None:
    """Measure on this host, with the base template."""
    settings = read_settings()
    pauses: list[float] = []
    first: list[float] = []
    resumes: list[float] = []
    async with open_provider(settings.home, Images(settings.home).find, lambda _: None) as provider:
        for _ in range(RUNS):
            machine = await provider.create(SPEC)
            await _cell(machine, FILL)
            for turn in range(2):
                started = time.perf_counter()
                await machine.pause()
                (pauses if turn else first).append((time.perf_counter() - started) * 1000)
                started = time.perf_counter()
                await machine.resume()
                resumes.append((time.perf_counter() - started) * 1000)
            await machine.stop()
        _report("first pause, 200 MiB in use, p50", statistics.median(first), "ms", RUNS)
        _report("later pause, p50", statistics.median(pauses), "ms", RUNS)
        _report("resume, p50", statistics.median(resumes), "ms", len(resumes))
        machine = await provider.create(SPEC)
        forks, luck = [], []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            copies = await machine.fork(COPIES)
            luck += [await _cell(each, LUCK) for each in copies]
            forks.append((time.perf_counter() - started) * 1000)
            for each in copies:
                await each.stop()
        _report(f"fork into {COPIES}, all answering, p50", statistics.median(forks), "ms", ROUNDS)
        values = [part for each in luck for part in each.strip("()").split(", ")]
        _report("values drawn twice by copies", len(values) - len(set(values)), "values", len(luck))


asyncio.run(main())
