"""Runs as the floors above see them: start one and watch it, list them, look at one, tidy up.

    async with service.start(RunWish(prompt="…")) as run:
        async for record in run:
            ...

Leaving the block ends the run: if it is still going, it is cancelled, and the block is left when
its machine is stopped and its ledger closed. `run.cancel()` does the same and lets the reader see
the last records.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from forge.errors import LedgerCorrupt, LedgerUnwritable
from forge.events import Record
from forge.ids import RunId, new_run_id
from forge.ledger.fold import RunView, fold
from forge.ledger.read import LedgerReader, RunSummary
from forge.runs.channel import Channel
from forge.runs.driver import RunDriver
from forge.runs.owner import is_alive
from forge.runs.wish import RunWish, checked
from forge.tasks import together

LOG = logging.getLogger(__name__)


class RunHandle:
    """A run that is going on: its id, its records as they become durable, and a way to end it.

    Iterating raises LedgerUnwritable where the ledger could not be written.
    """

    def __init__(self, run_id: RunId, channel: Channel, task: "asyncio.Task[None]") -> None:
        self.id = run_id
        self._channel = channel
        self._task = task

    def __aiter__(self) -> AsyncIterator[Record]:
        return self._channel

    def cancel(self) -> None:
        """Ask the run to end; its last records follow. Asking again, or too late, does nothing."""
        if not self._task.done() and not self._task.cancelling():
            self._task.cancel()


class RunService:
    """Starts, lists, shows and recovers runs. It holds nothing open but the runs it started."""

    def __init__(self, driver: RunDriver, reader: LedgerReader) -> None:
        self._driver = driver
        self._reader = reader

    @asynccontextmanager
    async def start(self, wish: RunWish) -> AsyncIterator[RunHandle]:
        """Start a run and own it until the block is left.

        Raises:
            InputRefused, PathRefused: the wish cannot be carried out; nothing was made.
        """
        files = await checked(wish)
        run_id, channel = new_run_id(self._driver.clock.now()), Channel()

        async def drive() -> None:
            try:
                await self._driver.drive(run_id, wish, files, channel)
            except LedgerUnwritable as error:
                channel.close(error)

        async with together() as group:
            task = group.create_task(drive())
            # Not in `drive`: a task that is cancelled before its first step runs none of it.
            task.add_done_callback(lambda _: channel.close())
            handle = RunHandle(run_id, channel, task)
            try:
                yield handle
            finally:
                channel.leave()
                handle.cancel()

    async def list_runs(
        self, *, limit: int = 50, before: RunId | None = None
    ) -> tuple[RunSummary, ...]:
        """The newest runs first; `before` goes on after a page's last id."""
        return await self._reader.runs(limit=limit, before=before)

    async def show(self, prefix: str) -> RunView:
        """The run whose id begins with `prefix`, its chain checked.

        Raises:
            RunNotFound: there is none, or more than one.
            LedgerCorrupt: its events do not match their chain.
        """
        return fold(await self.records(prefix))

    async def records(self, prefix: str) -> tuple[Record, ...]:
        """The records of the run whose id begins with `prefix`, their chain checked.

        Raises:
            RunNotFound, LedgerCorrupt: as in `show`.
        """
        found = await self._reader.find(prefix)
        await self._reader.verify(found.id)
        return await self._reader.records(found.id)

    async def recover(self) -> tuple[RunId, ...]:
        """Close the runs that dead processes left open, as interrupted; returns which.

        Another process may do the same at once: whoever is second leaves a run to the first.
        """
        closed: list[RunId] = []
        for run in await self._reader.running():
            if is_alive(run.owner):
                continue
            try:
                records = await self._reader.records(run.id)
                await self._driver.close_interrupted(run.id, records)
            except (LedgerCorrupt, LedgerUnwritable) as error:
                LOG.warning("the run %s was not closed: %s", run.id, error.message)
            else:
                closed.append(run.id)
        return tuple(closed)
