"""The engine of one process: each run is a task of it, and ends with it.

Nothing is remembered but the ledger: what a dead process left open is found there and resumed or
closed by `forge.runs.service`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from forge.errors import ForgeError
from forge.ids import RunId
from forge.runs.engine.base import Drive
from forge.tasks import together

LOG = logging.getLogger(__name__)


class InlineEngine:
    """Owns the tasks of the runs that this process carries out. Made by `open_inline`."""

    def __init__(self, drive: Drive, group: asyncio.TaskGroup) -> None:
        self._drive, self._group = drive, group
        self._tasks: dict[RunId, asyncio.Task[None]] = {}
        self._closed = False

    async def submit(self, run_id: RunId) -> None:
        """See `forge.runs.engine.base.RunEngine.submit`."""
        if run_id in self._tasks or self._closed:
            return
        task = self._group.create_task(self._carry_out(run_id), name=f"drive {run_id}")
        self._tasks[run_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(run_id, None))

    async def cancel(self, run_id: RunId) -> None:
        """Nothing is queued here: a run is under way, or over."""

    async def resume(self, run_id: RunId) -> None:
        """See `forge.runs.engine.base.RunEngine.resume`."""
        await self.submit(run_id)

    async def list(self) -> tuple[RunId, ...]:
        """See `forge.runs.engine.base.RunEngine.list`."""
        return tuple(self._tasks)

    async def wait(self, run_id: RunId) -> None:
        """See `forge.runs.engine.base.RunEngine.wait`."""
        if (task := self._tasks.get(run_id)) is not None:
            await asyncio.wait({task})

    async def close(self) -> None:
        """Cancel what is under way; nothing begins any more."""
        self._closed = True
        for task in self._tasks.values():
            task.cancel()

    async def _carry_out(self, run_id: RunId) -> None:
        try:
            await self._drive(run_id)
        except ForgeError as error:
            # Of one run; the others go on. Whoever follows the run was told already.
            LOG.error("the run %s could not be carried on: %s", run_id, error.message)  # noqa: TRY400 - expected, and told in words


@asynccontextmanager
async def open_inline(drive: Drive) -> AsyncIterator[InlineEngine]:
    """An engine until the block is left; then its runs are handed over."""
    async with together() as group:
        engine = InlineEngine(drive, group)
        try:
            yield engine
        finally:
            await engine.close()
