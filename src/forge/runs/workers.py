"""Servers that carry out runs, and whether they are still alive.

A worker is one start of a server, by a name used once. It has a row in `workers` with the process
that it is (see `forge.runs.owner`) and the time of its last heartbeat. On the same boot of the same
host its process is looked at, so a death is known at once; elsewhere a worker is dead when its
heart has not beaten for `DEAD_S`. Should one only have been away for so long, nothing is harmed:
the ledger refuses what it appends to a run that was taken over.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import delete, insert, select, update

import forge
from forge.clock import Clock, stamp
from forge.errors import ForgeError
from forge.ids import new_id
from forge.runs.owner import is_alive, same_boot, this_process
from forge.store.database import Database
from forge.store.tables import WORKERS
from forge.tasks import together

LOG = logging.getLogger(__name__)

BEAT_S = 5.0
"""How often a heart beats."""

DEAD_S = 30.0
"""How long a heart may stand still: longer than a busy database or a suspended host's waking."""

PREFIX = "wrk"


class Workers:
    """The table of workers. It holds nothing open between calls."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def join(self) -> str:
        """Make this process a worker; returns its name."""
        now = self._clock.now()
        name = new_id(PREFIX, now)
        async with self._database.writing() as connection:
            await connection.execute(
                insert(WORKERS).values(
                    id=name,
                    host=this_process(),
                    started_at=stamp(now),
                    beat_at=stamp(now),
                    version=forge.__version__,
                )
            )
        return name

    async def beat(self, name: str) -> None:
        """Note that the worker lives."""
        async with self._database.writing() as connection:
            await connection.execute(
                update(WORKERS).where(WORKERS.c.id == name).values(beat_at=stamp(self._clock.now()))
            )

    async def leave(self, name: str) -> None:
        """Forget a worker: it is dead from now on."""
        async with self._database.writing() as connection:
            await connection.execute(delete(WORKERS).where(WORKERS.c.id == name))

    async def alive(self, owner: str) -> bool:
        """Whether an owner of runs lives: a worker by its name, or a process of this host."""
        if not is_worker(owner):
            return is_alive(owner)
        async with self._database.reading() as connection:
            found = (await connection.execute(select(WORKERS).where(WORKERS.c.id == owner))).first()
        if found is None:
            return False
        if same_boot(found.host):
            return is_alive(found.host)
        still = self._clock.now() - datetime.fromisoformat(found.beat_at)
        return still.total_seconds() < DEAD_S


def is_worker(owner: str) -> bool:
    """Whether an owner is a server, whose runs go on without whoever asked for them."""
    return owner.startswith(f"{PREFIX}_")


@asynccontextmanager
async def working(workers: Workers) -> AsyncIterator[str]:
    """Be a worker until the block is left; gives its name."""
    name = await workers.join()

    async def beat() -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await workers.beat(name)
            except ForgeError as error:
                LOG.warning("a heartbeat was not written: %s", error.message)

    async with together() as group:
        beating = group.create_task(beat())
        try:
            yield name
        finally:
            beating.cancel()
            await workers.leave(name)
