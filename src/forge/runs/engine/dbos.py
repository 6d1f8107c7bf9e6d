"""The engine of servers: DBOS keeps, in tables of its own, which runs were ordered and by whom they
are carried out.

A run is one DBOS workflow without steps: its only work is `drive`, which goes on from the ledger.
So nothing of a run is kept twice, and DBOS's rules on replay have nothing to replay. What this
engine makes of DBOS, and why:

- Workflows start at once in this process, not through a queue that is polled.
- Each start of a process is an executor of its own, so a run is never taken for one's own by
  someone else. What a dead executor left is found on the ledger by `forge.runs.service` and resumed
  here as a new workflow; the old one is cancelled. This needs no service of DBOS's makers.
- The serializer is JSON, as the default one runs code that is in the database, and the version is
  explicit, as the default one changes with every edit.
- SQLite is opened here, in WAL mode; on PostgreSQL the tables have a schema of their own.
- DBOS lives in a thread and a loop of its own: it replaces the pool of threads of whichever loop it
  is called in, and takes that with it when it ends. Only `drive` runs in the loop of everyone else.

DBOS is one in a process. `open_dbos` owns it, its threads and its database. That a workflow is over
says that this process carries the run out no more; how the run stands, the ledger says.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID
from sqlalchemy.exc import SQLAlchemyError

from forge.errors import LedgerUnwritable
from forge.ids import RunId
from forge.runs.engine.base import Drive
from forge.runs.engine.inline import InlineEngine, open_inline

VERSION = "forge-runs-1"
"""Of what a workflow is given: changed only where an older Forge could not carry it out."""

SCHEMA = "forge_engine"
SETTLE_S = 5.0
"""How long DBOS may take to note what is over: a few writes."""

_BUSY_S = 10
_PENDING = "PENDING"

T = TypeVar("T")


class DbosEngine:
    """Orders in DBOS, tasks in this process's loop. Made by `open_dbos`."""

    def __init__(self, inline: InlineEngine, aside: "_Aside") -> None:
        self._inline, self._aside = inline, aside
        self._given: dict[str, asyncio.Event] = {}
        self._workflow: Any = None

    async def submit(self, run_id: RunId) -> None:
        """See `forge.runs.engine.base.RunEngine.submit`."""
        await self._start(run_id, run_id)

    async def cancel(self, run_id: RunId) -> None:
        """See `forge.runs.engine.base.RunEngine.cancel`."""
        await self._aside.ask(self._forget(run_id))

    async def resume(self, run_id: RunId) -> None:
        """See `forge.runs.engine.base.RunEngine.resume`."""
        if run_id in await self._inline.list():
            return
        before = await self._aside.ask(self._forget(run_id))
        await self._start(run_id, f"{run_id}.{before + 1}")

    async def list(self) -> tuple[RunId, ...]:
        """See `forge.runs.engine.base.RunEngine.list`."""
        return await self._inline.list()

    async def wait(self, run_id: RunId) -> None:
        """See `forge.runs.engine.base.RunEngine.wait`."""
        await self._inline.wait(run_id)

    async def launch(self, executor: str, where: Path | str, own: sqlalchemy.Engine | None) -> None:
        """Start DBOS, to call this engine for what is ordered.

        Raises:
            LedgerUnwritable: DBOS's tables cannot be used.
        """
        loop = asyncio.get_running_loop()

        async def workflow(run_id: str, delivery: str) -> None:
            # DBOS calls this in a loop of its own; the run's things belong to ours.
            carried = asyncio.run_coroutine_threadsafe(self._carry_out(run_id, delivery), loop)
            await asyncio.wrap_future(carried)

        self._workflow = await self._aside.ask(_launch(workflow, executor, where, own))

    async def _start(self, run_id: RunId, delivery: str) -> None:
        async def start() -> None:
            with SetWorkflowID(delivery):
                await DBOS.start_workflow_async(self._workflow, run_id, delivery)

        under_way = self._given[delivery] = asyncio.Event()
        try:
            await self._aside.ask(start())
            await self._inline.submit(run_id)
        finally:
            under_way.set()

    async def _carry_out(self, run_id: str, delivery: str) -> None:
        """What a workflow is: as long as the run is carried out here."""
        if (under_way := self._given.pop(delivery, None)) is not None:
            await under_way.wait()
        else:
            await self._inline.submit(RunId(run_id))  # found by DBOS itself
        await self._inline.wait(RunId(run_id))

    async def _forget(self, run_id: RunId) -> int:
        """Cancel what was ordered of this run; returns how often it was."""
        ordered = await DBOS.list_workflows_async(
            workflow_id_prefix=run_id, load_input=False, load_output=False
        )
        for workflow in ordered:
            if workflow.status == _PENDING:
                await DBOS.cancel_workflow_async(workflow.workflow_id)
        return len(ordered)


class _Aside:
    """DBOS's own loop, in a thread of its own. Made by `_aside`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Have something done there.

        Raises:
            LedgerUnwritable: DBOS's database does not answer.
        """
        try:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
        except SQLAlchemyError as error:
            raise LedgerUnwritable(f"The engine's tables cannot be used: {error}.") from error

    async def settle(self) -> None:
        """Wait until what is under way there is over, but not for long."""

        async def others() -> None:
            mine = asyncio.current_task()
            left = [task for task in asyncio.all_tasks() if task is not mine]
            if left:
                await asyncio.wait(left, timeout=SETTLE_S)

        await self.ask(others())


@asynccontextmanager
async def _aside() -> AsyncIterator[_Aside]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="forge-dbos", daemon=True)
    thread.start()
    try:
        yield _Aside(loop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join, SETTLE_S)
        loop.close()


@asynccontextmanager
async def open_dbos(
    drive: Drive,
    *,
    executor: str,
    where: Path | str,
    alive: Callable[[str], Awaitable[bool]],
) -> AsyncIterator[DbosEngine]:
    """An engine until the block is left; then its runs are handed over.

    Args:
        drive: carries out a run.
        executor: the name of this start of this process, used by no other.
        where: DBOS's own SQLite file, or the URL of a PostgreSQL database.
        alive: whether the executor of this name still lives.

    Raises:
        LedgerUnwritable: DBOS's tables cannot be used.
    """
    async with open_inline(drive) as inline, _aside() as aside:
        own = await asyncio.to_thread(_database, where) if isinstance(where, Path) else None
        engine = DbosEngine(inline, aside)
        try:
            await engine.launch(executor, where, own)
            await aside.ask(_forget_the_dead(alive, asyncio.get_running_loop()))
            yield engine
        finally:
            await inline.close()
            for run_id in await inline.list():
                await inline.wait(run_id)
            await aside.settle()
            await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
            if own is not None:
                await asyncio.to_thread(own.dispose)


async def _launch(
    workflow: Any, executor: str, where: Path | str, engine: sqlalchemy.Engine | None
) -> Any:
    config: DBOSConfig = {
        "name": "forge",
        "executor_id": executor,
        "application_version": VERSION,
        "serializer": DBOSPortableJSONSerializer(),
        "run_migrations": True,
        "enable_otlp": False,
        "log_level": "WARNING",
        "max_executor_threads": 8,
        "use_listen_notify": False,
    }
    if engine is not None:
        config["system_database_engine"] = engine
        config["system_database_url"] = f"sqlite:///{where}"
    else:
        config["system_database_url"] = str(where)
        config["dbos_system_schema"] = SCHEMA
        config["sys_db_pool_size"] = 4
    DBOS(config=config)
    registered = DBOS.workflow(name="forge.run")(workflow)
    await asyncio.to_thread(DBOS.launch)
    return registered


def _database(path: Path) -> sqlalchemy.Engine:
    """DBOS's own SQLite file, opened so that readers do not wait for writers."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_S})

    @sqlalchemy.event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    return engine


async def _forget_the_dead(
    alive: Callable[[str], Awaitable[bool]], home: asyncio.AbstractEventLoop
) -> None:
    """Cancel what executors that are gone left; what of it is still open, the ledger knows."""

    async def lives(executor: str) -> bool:
        return await alive(executor)

    for workflow in await DBOS.list_workflows_async(status=_PENDING, load_input=False):
        asked = asyncio.run_coroutine_threadsafe(lives(workflow.executor_id or ""), home)
        if not await asyncio.wrap_future(asked):
            await DBOS.cancel_workflow_async(workflow.workflow_id)
