"""`forge demo`: a machine's whole life, step by step, each with the time it took."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from forge.cli import words
from forge.cli.exits import Exit
from forge.cli.live import displayed
from forge.cli.render import Screen
from forge.cli.stopping import stopping
from forge.errors import GuestRefused
from forge.sandbox.base import Sandbox
from forge.sandbox.output import Display, Output
from forge.settings import Settings
from forge.wiring import TEMPLATE, Machines, open_machines

PROGRAM = """\
import platform, sys
import pandas as pd, matplotlib.pyplot as plt

print("Python", platform.python_version(), "on", platform.platform())
sales = pd.DataFrame({"month": ["Jan", "Feb", "Mar"], "revenue": [120, 95, 151]})
sales.plot.bar(x="month", y="revenue").figure.savefig("revenue.png")
sales
"""
_NAME, _CHART = "program.py", "revenue.png"
_RUN_S = 120.0  # 0.2 s here; emulation on a loaded host takes many times that
_LARGEST = 8 << 20


class _Steps:
    """Prints each step's name, then how long it took."""

    def __init__(self, screen: Screen) -> None:
        self._screen, self._number = screen, 0

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        self._number += 1
        self._screen.line(f"{self._number}. {what}", "bold cyan")
        begun = time.monotonic()
        yield
        self._screen.line(f"   took {words.duration(time.monotonic() - begun)}", "dim")


async def demo(settings: Settings, screen: Screen) -> Exit:
    """Probe, create, write Python, execute, read an artifact, clean up."""
    with stopping(screen.notice) as stop:
        try:
            async with open_machines(settings, screen.notice) as machines:
                await _demo(machines, screen)
        except asyncio.CancelledError:
            if stop.asked is None:
                raise
            return stop.asked
    screen.line("✓ Done: nothing of the machine is left.", "bold green")
    return Exit.DONE


async def _demo(machines: Machines, screen: Screen) -> None:
    steps = _Steps(screen)
    with steps.step("Probe: what can this host do?"):
        verdict = await machines.prepare(screen.building)
        screen.line(f"   {verdict.version}, accelerator {verdict.accelerator}")
    with steps.step("Create a machine"):
        sandbox = await machines.provider.create(await machines.spec(TEMPLATE))
        screen.line(f"   {sandbox.facts.id}, a clone of the template {sandbox.facts.template}")
    try:
        await _use(sandbox, steps, screen)
    finally:
        with steps.step("Clean up: stop the machine, remove its disk"):
            await sandbox.stop()


async def _use(sandbox: Sandbox, steps: _Steps, screen: Screen) -> None:
    with steps.step(f"Write Python into it ({_NAME})"):
        await sandbox.files.write(_NAME, _once(PROGRAM.encode()))
    screen.code(PROGRAM, "python")
    with steps.step("Execute it"):
        gutter = screen.gutter()

        async def sink(item: Output | Display) -> None:
            if isinstance(item, Output):
                gutter.write(item.data.decode(errors="replace"))
            else:
                gutter.write(displayed(item.data))

        source = (await _read(sandbox, _NAME)).decode()
        result = await sandbox.code.run(source, sink, deadline_s=_RUN_S)
        if result.error is not None or result.status != "ok":
            why = result.error.traceback if result.error else result.status
            raise GuestRefused(f"The program did not end well: {why}")
    with steps.step(f"Read the artifact ({_CHART})"):
        chart = await _read(sandbox, _CHART)
        digest = hashlib.sha256(chart).hexdigest()
        screen.line(f"   {_CHART}: {words.size(len(chart))}, sha256 {digest}")


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _read(sandbox: Sandbox, path: str) -> bytes:
    return b"".join([piece async for piece in sandbox.files.read(path, limit=_LARGEST)])
