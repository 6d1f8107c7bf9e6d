"""Many machines: fifty made at once and destroyed, and a thousand that must share no luck.

What is counted should be 0: failures, processes, files and descriptors left over, and values that
were drawn twice.
"""

import asyncio
import json
import time
from pathlib import Path

from forge.sandbox.base import SandboxSpec
from forge.sandbox.images.stock import Images
from forge.sandbox.machines.machine import Machine
from forge.sandbox.machines.provider import MachineProvider
from forge.sandbox.output import Display, Output
from forge.sandbox.qemu.provider import open_provider
from forge.settings import read_settings

AT_ONCE = 50
COPIES = 1000
_BATCH = 8
LUCK = """
import json, os, random, ssl, uuid
import numpy as np
print(json.dumps([random.random(), float(np.random.random()), str(uuid.uuid1()),
    str(uuid.uuid4()), os.urandom(16).hex(), ssl.RAND_bytes(16).hex(),
    open('/etc/machine-id').read(), os.uname().nodename]))
"""


class Heard:
    """What a machine printed."""

    def __init__(self) -> None:
        self.text = b""

    async def __call__(self, item: Output | Display) -> None:
        """Take one item."""
        if isinstance(item, Output):
            self.text += item.data


def _report(name: str, value: float, unit: str, n: int) -> None:
    print(json.dumps({"name": name, "value": round(value, 2), "unit": unit, "n": n}))


def _names(folder: Path | str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


async def _make(provider: MachineProvider) -> Machine | None:
    try:
        machine = await provider.create(SandboxSpec())
    except Exception as error:  # noqa: BLE001 -- whatever fails is counted
        print(f"failed: {error!r}")
        return None
    assert isinstance(machine, Machine)
    return machine


async def _at_once(provider: MachineProvider, home: Path) -> None:
    fds, folders = len(_names("/proc/self/fd")), _names(home / "machines")
    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        making = [tasks.create_task(_make(provider)) for _ in range(AT_ONCE)]
    made = [task.result() for task in making if task.result() is not None]
    _report("fifty machines made at once, all", time.perf_counter() - started, "s", AT_ONCE)
    pids = [machine.pid for machine in made if machine]
    async with asyncio.TaskGroup() as tasks:
        for machine in made:
            tasks.create_task(machine.stop()) if machine else None
    left = sum(Path(f"/proc/{pid}").exists() for pid in pids)
    _report("fifty at once: failures", AT_ONCE - len(made), "machines", AT_ONCE)
    _report("fifty at once: processes left", left, "processes", AT_ONCE)
    more = len(_names(home / "machines") - folders)
    _report("fifty at once: folders left", more, "folders", AT_ONCE)
    _report("fifty at once: descriptors left", len(_names("/proc/self/fd")) - fds, "fds", 1)


async def _luck(provider: MachineProvider) -> None:
    drawn: list[list[object]] = []

    async def one() -> None:
        machine = await _make(provider)
        if machine is not None:
            heard = Heard()
            await machine.code.run(LUCK, heard, deadline_s=60)
            drawn.append(json.loads(heard.text))
            await machine.stop()

    for start in range(0, COPIES, _BATCH):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(_BATCH, COPIES - start)):
                tasks.create_task(one())
    repeated = sum(len(drawn) - len(set(values)) for values in zip(*drawn, strict=True))
    _report("clones of one template: values drawn twice", repeated, "values", len(drawn))


async def main() -> None:
    """Measure on this host, with the base template."""
    settings = read_settings()
    image = Images(settings.home).find("base")
    async with open_provider(settings.home, lambda _: image, lambda _: None) as provider:
        first = await _make(provider)
        assert first is not None
        await first.stop()
        await _at_once(provider, settings.home)
        await _luck(provider)


asyncio.run(main())
