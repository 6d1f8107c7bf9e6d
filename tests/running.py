"""Everything a run needs, for real, in one temporary folder: for the tests of runs."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import migrated
from forge.budget.prices import PriceTable
from forge.clock import SystemClock
from forge.events import Record, RunFinished
from forge.ids import RunId
from forge.ledger.append import LedgerWriter
from forge.ledger.read import LedgerReader
from forge.models.offline import OfflineModel
from forge.runs.driver import RunDriver
from forge.runs.machines import open_machines_of
from forge.runs.measured import RunMeasures
from forge.runs.orders import Orders
from forge.runs.owner import this_process
from forge.runs.service import RunService, open_runs
from forge.runs.wish import RunWish, Upload
from forge.store.blobs import BlobStore
from forge.store.database import Database
from forge.testing.sandbox import LocalProvider


class House:
    """A service, and what it is made of."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        driver: RunDriver,
        service: RunService,
        measures: RunMeasures,
    ):
        self.folder, self.database, self.measures = folder, database, measures
        self.driver, self.service, self.reader = driver, service, driver.reader
        self.blobs: BlobStore = driver.blobs  # type: ignore[assignment]
        self.provider: LocalProvider = driver.machines._provider  # type: ignore[assignment]

    async def run(self, wish: RunWish) -> list[Record]:
        async with self.service.start(wish) as run:
            return [record async for record in run]

    async def settled(self, run_id: RunId) -> RunFinished:
        """The last event of a run whose ledger is whole and whose machines are gone."""
        await self.reader.verify(run_id)
        last = (await self.reader.records(run_id))[-1].event
        assert isinstance(last, RunFinished)
        for sandbox in self.provider.made:
            assert sandbox.stopped
            assert not sandbox._processes
            assert not sandbox.home.exists()
        return last


def place_in(folder: Path) -> Path | str:
    """Where a folder's database is: see the fixture `either_database`."""
    url = folder / "database.url"
    return url.read_text() if url.exists() else migrated.put(folder / "forge.db")


@asynccontextmanager
async def house(
    folder: Path, *, provider: Any = None, model: Any = None, engine: Any = None, **other: Any
) -> AsyncIterator[House]:
    """A house until the block is left; `other` are fields of the driver."""
    clock = other.pop("clock", None) or SystemClock()
    asked, measures = model or OfflineModel(), RunMeasures()
    more = {} if engine is None else {"open_engine": engine}
    async with (
        Database.open(place_in(folder)) as database,
        open_machines_of(provider or LocalProvider()) as machines,
    ):
        given = {
            "machines": machines,
            "model_of": lambda _: asked,
            "ledger": LedgerWriter(database, clock),
            "reader": LedgerReader(database),
            "blobs": BlobStore(folder / "blobs"),
            "prices": PriceTable(None),
            "clock": clock,
            "owner": this_process(),
            "route": "agent",
            "watch": measures.watch,
            **other,
        }
        driver = RunDriver(**given)
        async with open_runs(driver, Orders(database, clock), **more) as service:
            yield House(folder, database, driver, service, measures)


def file(name: str, content: bytes, later: bytes | None = None) -> Upload:
    """A file to give; with `later` it is not what it was said to be."""

    async def opened() -> AsyncGenerator[bytes, None]:
        yield content if later is None else later

    return Upload(name, len(content), opened)
