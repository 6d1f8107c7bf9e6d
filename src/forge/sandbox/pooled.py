"""A provider that hands out warm machines where it has some, and fresh ones otherwise.

It wraps any provider whose machines can be renewed. Warm machines belong to the pool until they are
handed out: they are not listed, cannot be opened, and end with the block of `open_pooled`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Protocol, cast

from forge.clock import Clock
from forge.errors import GuestRefused, MachineUnknown
from forge.ids import SandboxId
from forge.sandbox.agent.code import AgentInterpreter
from forge.sandbox.base import (
    MachineInfo,
    Probe,
    Sandbox,
    SandboxProvider,
    SandboxSpec,
    Snapshot,
)
from forge.sandbox.commands import Command
from forge.sandbox.output import Display, Output
from forge.sandbox.pool import Pool, PoolPlan

_CELLS = (
    "import pandas as pd, numpy as np\npd.DataFrame({'a': [1, 2, 3]}).describe()",
    "print('', end='')\n1 + 1",
)
"""What most first cells do: import, print, show a table and a value."""

_WARM_S = 20.0  # it takes a tenth of a second; this is for a busy host


class Renewable(Sandbox, Protocol):
    """A machine that can become another wish's, and rehearse."""

    @property
    def code(self) -> AgentInterpreter:
        """See `forge.sandbox.base.Sandbox.code`."""

    async def renew(self, spec: SandboxSpec) -> None:
        """See `forge.sandbox.pool.Warm.renew`."""


class WarmSandbox:
    """A machine of the pool; see `forge.sandbox.pool.Warm`."""

    def __init__(self, sandbox: Renewable, kind: SandboxSpec) -> None:
        self.sandbox = sandbox
        self._kind = kind
        self._mib = 0

    async def warm_up(self) -> None:
        """Go through what comes when it is handed out: facts, a person's first cells, a command."""
        await self.sandbox.renew(self._kind)
        with contextlib.suppress(GuestRefused):  # a template need not have an interpreter
            for cell in _CELLS:
                await self.sandbox.code.rehearse(cell, deadline_s=_WARM_S)
        with contextlib.suppress(GuestRefused):
            await self.sandbox.commands.run(Command(("true",), _WARM_S), _unheard)
        self._mib = (await self.sandbox.metrics(claims=False)).memory_private_bytes >> 20

    async def renew(self, spec: SandboxSpec) -> None:
        """Give it facts of its own."""
        await self.sandbox.renew(spec)

    async def stop(self) -> None:
        """Destroy it."""
        await self.sandbox.stop()

    def private_mib(self) -> int:
        """Measured when it was last warmed."""
        return self._mib


async def _unheard(_: Output | Display) -> None:
    return None


def kind_of(spec: SandboxSpec) -> SandboxSpec | None:
    """The wish that stands for all that one machine could serve: variables come when it is handed
    out; a volume must be there when a machine starts.
    """
    return None if spec.volumes else replace(spec, env={})


class PooledProvider:
    """See `forge.sandbox.base.SandboxProvider` for the contract; made by `open_pooled`."""

    def __init__(self, provider: SandboxProvider, plan: PoolPlan, clock: Clock) -> None:
        self._provider = provider
        self._pooled: set[SandboxId] = set()
        self.pool = Pool(self._make, plan, kind_of, clock)

    @property
    def name(self) -> str:
        """See `forge.sandbox.base.SandboxProvider.name`."""
        return self._provider.name

    async def _make(self, spec: SandboxSpec) -> WarmSandbox:
        # Whoever opens a pool opens it over a provider whose machines have `renew`.
        sandbox = cast("Renewable", await self._provider.create(spec))
        self._pooled.add(sandbox.facts.id)
        return WarmSandbox(sandbox, spec)

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """See `forge.sandbox.base.SandboxProvider.create`."""
        warm = await self.pool.take(spec)
        if warm is None:
            return await self._provider.create(spec)
        self._pooled.discard(warm.sandbox.facts.id)
        return warm.sandbox

    async def probe(self, *, fresh: bool = False) -> Probe:
        """See `forge.sandbox.base.SandboxProvider.probe`."""
        return await self._provider.probe(fresh=fresh)

    async def list(self) -> tuple[MachineInfo, ...]:
        """See `forge.sandbox.base.SandboxProvider.list`; without the pool's."""
        return tuple(each for each in await self._provider.list() if each.id not in self._pooled)

    async def open(self, sandbox_id: SandboxId) -> Sandbox:
        """See `forge.sandbox.base.SandboxProvider.open`."""
        self._check(sandbox_id)
        return await self._provider.open(sandbox_id)

    async def remove(self, sandbox_id: SandboxId) -> None:
        """See `forge.sandbox.base.SandboxProvider.remove`."""
        self._check(sandbox_id)
        await self._provider.remove(sandbox_id)

    def _check(self, sandbox_id: SandboxId) -> None:
        if sandbox_id in self._pooled:
            raise MachineUnknown(f"there is no paused machine {sandbox_id} here")

    async def snapshots(self) -> tuple[Snapshot, ...]:
        """See `forge.sandbox.base.SandboxProvider.snapshots`."""
        return await self._provider.snapshots()

    async def remove_snapshot(self, name: str) -> None:
        """See `forge.sandbox.base.SandboxProvider.remove_snapshot`."""
        await self._provider.remove_snapshot(name)

    async def reap(self) -> int:
        """See `forge.sandbox.base.SandboxProvider.reap`."""
        return await self._provider.reap()

    async def close(self) -> None:
        """See `forge.sandbox.base.SandboxProvider.close`; the pool's end with it."""
        await self._provider.close()


@contextlib.asynccontextmanager
async def open_pooled(
    provider: SandboxProvider, plan: PoolPlan, clock: Clock
) -> AsyncIterator[PooledProvider]:
    """A pool over a provider whose machines can be renewed, for the block."""
    pooled = PooledProvider(provider, plan, clock)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(pooled.pool.run())
        try:
            yield pooled
        finally:
            running.cancel()
