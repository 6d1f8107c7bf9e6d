"""A server of runs in a process of its own, to be killed: a real model's wire to a scripted
provider, a real database, and machines without walls, or microVMs where it is given a home of
Forge's for them. It takes up what the one before it left.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import cast

from forge.budget.prices import PriceTable
from forge.clock import SystemClock
from forge.ids import RunId
from forge.ledger.append import LedgerWriter
from forge.ledger.read import LedgerReader
from forge.models.anthropic import AnthropicModel
from forge.runs.driver import RunDriver
from forge.runs.engine.dbos import open_dbos
from forge.runs.engine.inline import open_inline
from forge.runs.machines import open_machines_of
from forge.runs.orders import Orders
from forge.runs.service import RunService, open_runs
from forge.runs.wish import RunWish
from forge.runs.workers import Workers, working
from forge.sandbox.base import SandboxProvider
from forge.sandbox.images.stock import Images
from forge.sandbox.qemu.provider import open_provider
from forge.store.blobs import BlobStore
from forge.store.database import Database
from forge.testing.sandbox import LocalProvider


async def show(service: RunService, run_id: RunId) -> None:
    """Print the run's records as a person would see them: run, number, hash."""
    async for record in service.follow(run_id):
        print(run_id, record.seq, record.hash, flush=True)  # noqa: T201 - to whoever started it


@asynccontextmanager
async def provided(machines: str) -> AsyncIterator[SandboxProvider]:
    """Where machines come from."""
    if not machines:
        yield cast("SandboxProvider", LocalProvider())
        return
    home = Path(machines)
    async with open_provider(home, Images(home).find, lambda _: None) as provider:
        await provider.reap()
        yield provider


async def main(
    home: Path, where: str, engine: str, machines: str, url: str, key: str, runs: int
) -> None:
    """Resume what is open, begin `runs` more, and show all of them until they are over."""
    clock, model = SystemClock(), AnthropicModel("claude-sonnet-5-5", key, url)
    async with (
        Database.open(where or home / "forge.db") as database,
        provided(machines) as provider,
        open_machines_of(provider) as talks,
        working(workers := Workers(database, clock)) as owner,
    ):
        driver = RunDriver(
            machines=talks,
            model_of=lambda _: model,
            ledger=LedgerWriter(database, clock),
            reader=LedgerReader(database),
            blobs=BlobStore(home / "blobs"),
            prices=PriceTable(None),
            clock=clock,
            owner=owner,
        )
        opened = (
            open_inline
            if engine == "inline"
            else partial(
                open_dbos,
                executor=owner,
                where=where or home / "engine.db",
                alive=workers.alive,
            )
        )
        async with open_runs(driver, Orders(database, clock), opened, workers.alive) as service:
            open_before = (await service.recover(resume=True)).resumed
            print("ready", *open_before, flush=True)  # noqa: T201 - to whoever started it
            async with asyncio.TaskGroup() as group:
                for run_id in open_before:
                    group.create_task(show(service, run_id))
                for _ in range(runs):
                    run_id = await service.submit(RunWish("go"))
                    group.create_task(show(service, run_id))
    await model.close()


if __name__ == "__main__":
    home, where, engine, machines, url, key, runs = sys.argv[1:]
    asyncio.run(main(Path(home), where, engine, machines, url, key, int(runs)))
