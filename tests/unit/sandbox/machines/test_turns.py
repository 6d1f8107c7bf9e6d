"""A machine's clock: what is due is done, and whoever ends the machine for it is heard."""

import asyncio
from types import SimpleNamespace

import pytest

from forge.sandbox.base import SandboxSpec
from forge.sandbox.machines.turns import Turns


@pytest.mark.timeout(60)
async def test_what_is_due_holds_nobody_up_where_it_waits_for_nothing():
    """An act that only says that the machine is over returns at once, again and again."""
    over = asyncio.Event()

    async def act(_: bool) -> None:
        over.set()

    line = SimpleNamespace(calls=1, quiet_since=0.0)
    turns = Turns(SandboxSpec(lifetime_s=0.01, on_timeout="kill"), lambda: line, act)
    turns.begin()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(turns.run())
        await over.wait()
        watching.cancel()
    assert watching.cancelled()
