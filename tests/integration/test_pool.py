"""The pool over real machines: quick, never shared, never with another's luck or secrets."""

import asyncio
import json

import pytest

from forge.clock import SystemClock
from forge.errors import MachineUnknown
from forge.ids import SandboxId
from forge.sandbox.base import SandboxSpec
from forge.sandbox.machines.provider import MachineProvider
from forge.sandbox.pool import PoolPlan
from forge.sandbox.pooled import PooledProvider, open_pooled
from talking import python, shell

pytestmark = pytest.mark.vm

LUCK = """
import json, os, random, uuid
import numpy as np
print(json.dumps([random.random(), float(np.random.random()), str(uuid.uuid4()),
    os.urandom(16).hex(), open('/etc/machine-id').read(), os.uname().nodename]))
"""


async def _warm(provider: PooledProvider, machines: int) -> None:
    async with asyncio.timeout(120):
        while provider.pool.counts() != {"base": machines}:  # noqa: ASYNC110 -- it has no bell
            await asyncio.sleep(0.05)


async def _ids(provider: MachineProvider | PooledProvider) -> set[str]:
    return {each.id for each in await provider.list()}


async def test_warm_machines_are_as_fresh_as_fresh_ones(qemu_provider: MachineProvider) -> None:
    """No variable, file or value of the warming is left, and no two draw the same luck."""
    async with open_pooled(qemu_provider, PoolPlan(3, 1000), SystemClock()) as provider:
        provider.pool.want(SandboxSpec())
        await _warm(provider, 3)
        drawn = []
        for number in range(3):
            machine = await provider.create(SandboxSpec(env={"SECRET": f"of {number}"}))
            _, heard = await python(
                machine, "print('_' in globals(), '<rehearsal>' in str(globals()))"
            )
            assert heard.text == "False False\n"
            _, heard = await python(machine, LUCK)
            drawn.append(json.loads(heard.text))
            _, heard = await python(machine, "print([n for n in dir() if n[0] != '_'])")
            assert json.loads(heard.text.replace("'", '"')) == sorted(
                ["display", "json", "np", "os", "random", "uuid"]
            )
            _, said = await shell(machine, "echo $SECRET; ls -A ~ | grep -v -e .cache -e .config")
            assert said == f"of {number}\n"
            contexts = await machine.code.contexts()
            assert [(each.id, each.cells) for each in contexts] == [
                ("default", 3),
                ("javascript", 0),
            ]
        for values in zip(*drawn, strict=True):
            assert len(set(values)) == 3, values


async def test_a_warm_machine_is_nobodys_until_it_is_handed_out(
    qemu_provider: MachineProvider,
) -> None:
    """It is not listed and cannot be opened; handed out, it can."""
    before = await _ids(qemu_provider)
    async with open_pooled(qemu_provider, PoolPlan(1, 1000), SystemClock()) as provider:
        provider.pool.want(SandboxSpec())
        await _warm(provider, 1)
        (hidden,) = await _ids(qemu_provider) - before
        assert await _ids(provider) == before
        with pytest.raises(MachineUnknown):
            await provider.open(SandboxId(hidden))
        machine = await provider.create(SandboxSpec())
        assert machine.facts.id == hidden
        assert hidden in await _ids(provider)


async def test_a_machine_that_died_in_the_pool_is_not_handed_out(
    qemu_provider: MachineProvider,
) -> None:
    """Its QEMU is killed while it waits; whoever asks next gets one that works."""
    before = await _ids(qemu_provider)
    async with open_pooled(qemu_provider, PoolPlan(1, 1000), SystemClock()) as provider:
        provider.pool.want(SandboxSpec())
        await _warm(provider, 1)
        (dead,) = await _ids(qemu_provider) - before
        await (await qemu_provider.open(SandboxId(dead))).stop()
        machine = await provider.create(SandboxSpec())
        assert machine.facts.id != dead
        assert (await shell(machine, "echo on"))[1] == "on\n"


async def test_the_pools_machines_end_with_it(qemu_provider: MachineProvider) -> None:
    """Leaving the block stops what nobody was handed, and nothing else."""
    before = await _ids(qemu_provider)
    async with open_pooled(qemu_provider, PoolPlan(2, 1000), SystemClock()) as provider:
        provider.pool.want(SandboxSpec())
        await _warm(provider, 2)
        machine = await provider.create(SandboxSpec())
    assert await _ids(qemu_provider) - before == {machine.facts.id}
    assert (await shell(machine, "echo on"))[1] == "on\n"
