"""Runs as the floors above see them: submit one and follow it, steer it, stop it, look at it.

    run_id = await service.submit(RunWish(prompt="…"))
    async for record in service.follow(run_id):
        ...

A run that was submitted is on its ledger and goes on whoever follows it; `stop` ends it. The block
of `start` ties a run to whoever watches it instead: leaving the block ends the run, and the block
is left when its machine is stopped and its ledger closed.

Made by `open_runs`, which owns the tasks of the runs that this process carries out. Leaving it
hands them over: their machines are stopped, and the next process goes on from their ledgers.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import NamedTuple

from forge.errors import (
    Conflict,
    ForgeError,
    InputRefused,
    LedgerCorrupt,
    LedgerUnwritable,
    NothingWaits,
    RunOver,
    SlowReader,
)
from forge.events import Caps, Record
from forge.ids import RunId, UserId, new_run_id
from forge.ledger.fold import RunView, fold
from forge.ledger.read import LedgerReader, RunFilter, RunSummary, Verdict
from forge.runs.driver import RunDriver
from forge.runs.engine.base import Drive, RunEngine
from forge.runs.engine.inline import open_inline
from forge.runs.orders import Desk, Orders, open_desk
from forge.runs.owner import is_alive
from forge.runs.publisher import Publisher
from forge.runs.routing import is_offline
from forge.runs.unbroken import unbroken
from forge.runs.wish import RunWish, check, kept, started_of
from forge.runs.workers import is_worker
from forge.tasks import together

LOG = logging.getLogger(__name__)

LONGEST_WORDS = 100_000
"""How much a person may tell a run that goes on, in characters."""

RECOVER_S = 5.0
"""How often a server looks for runs that another one left."""

Alive = Callable[[str], Awaitable[bool]]
"""Whether an owner of runs is still there."""

OpenEngine = Callable[[Drive], AbstractAsyncContextManager[RunEngine]]


class RunHandle:
    """A run that is going on: its id, its records as they become durable, and a way to end it.

    Iterating raises LedgerUnwritable where the ledger could not be written.
    """

    def __init__(self, run_id: RunId, records: AsyncIterator[Record], stop: asyncio.Event) -> None:
        self.id = run_id
        self._records, self._stop = records, stop

    def __aiter__(self) -> AsyncIterator[Record]:
        return self._records

    def cancel(self) -> None:
        """Ask the run to end; its last records follow. Asking again, or too late, does nothing."""
        self._stop.set()


class Recovered(NamedTuple):
    """What became of the runs that dead processes left open."""

    resumed: tuple[RunId, ...] = ()
    closed: tuple[RunId, ...] = ()


class RunService:
    """Starts, steers, lists, shows and recovers runs. Made by `open_runs`."""

    def __init__(
        self,
        driver: RunDriver,
        engine: RunEngine,
        publisher: Publisher,
        desk: Desk,
        alive: Alive,
    ) -> None:
        self._driver, self._engine = driver, engine
        self._publisher, self._desk, self._alive = publisher, desk, alive
        self._beginning: set[RunId] = set()
        self._leaving = False

    @property
    def _reader(self) -> LedgerReader:
        return self._driver.reader

    async def submit(
        self, wish: RunWish, *, user_id: UserId | None = None, run_id: RunId | None = None
    ) -> RunId:
        """Begin a run, of this id where one is given; returns once it is on its ledger. A run that
        is there is carried out, also if this call is cancelled meanwhile.

        Raises:
            InputRefused, PathRefused: the wish cannot be carried out, or there is no such model;
                nothing was made.
            NoSpace, HostUnfit: its files cannot be kept.
            LedgerUnwritable: it could not be made durable.
        """
        check(wish)
        model = self._driver.model_of(wish.model)
        if wish.small_model and not is_offline(model):
            self._driver.model_of(wish.small_model)  # refused now rather than in the run
        files = await kept(wish, self._driver.blobs)
        chosen = run_id or new_run_id(self._driver.clock.now())

        started = started_of(wish, model.name, files, self._driver.route)

        async def begin() -> None:
            await self._driver.begin(chosen, started, user_id)
            await self._engine.submit(chosen)

        self._beginning.add(chosen)
        try:
            await unbroken(begin())
        finally:
            self._beginning.discard(chosen)
        return chosen

    async def follow(
        self, run_id: RunId, *, after: int = 0, outside: bool = False, live: bool = True
    ) -> AsyncGenerator[Record, None]:
        """A run's records numbered above `after`, each once and in order, until it is over; not
        `live`, those that there are now. The caller closes it. Who is `outside` this process is let
        go by `let_go`.

        Raises:
            RunNotFound: there is no such run.
            SlowReader: the follower read too slowly, or was let go; it can come back after its
                last record.
            LedgerError: the ledger cannot be read, or the run could not be written to it.
        """
        following = self._publisher.follow(run_id, after=after, outside=outside, live=live)
        async with aclosing(following) as records:
            async for record in records:
                yield record

    def let_go(self) -> None:
        """Let go of all who follow from outside: this process is about to end."""
        self._leaving = True
        self._publisher.let_go()

    @asynccontextmanager
    async def start(self, wish: RunWish) -> AsyncIterator[RunHandle]:
        """Start a run and own it until the block is left.

        Raises:
            InputRefused, PathRefused: the wish cannot be carried out; nothing was made.
        """
        run_id = new_run_id(self._driver.clock.now())
        try:
            await self.submit(wish, run_id=run_id)
        except asyncio.CancelledError:
            await self._end(run_id)
            raise
        asked = asyncio.Event()

        async def stop_when_asked() -> None:
            await asked.wait()
            self._desk.stop(run_id)

        async with together() as group:
            stopping = group.create_task(stop_when_asked())
            try:
                async with aclosing(self._patiently(run_id)) as records:
                    yield RunHandle(run_id, records, asked)
            finally:
                stopping.cancel()
                await self._end(run_id)

    async def _end(self, run_id: RunId) -> None:
        self._desk.stop(run_id)
        await unbroken(self._engine.wait(run_id))
        self._desk.forget(run_id)

    async def stop(self, run_id: RunId, *, by: UserId | None = None) -> None:
        """End a run: its model call is cancelled, what its code started is killed, and its last
        event, with what it cost, follows within a second. A run that is over is left alone.

        Raises:
            RunNotFound: there is no such run.
            LedgerUnwritable: the order could not be made durable.
        """
        if await self._goes_on(run_id):
            await self._desk.give(run_id, "stop", by)
            await self._engine.cancel(run_id)

    async def steer(self, run_id: RunId, text: str, *, by: UserId | None = None) -> None:
        """Tell a run something while it goes on; its model hears it at its next step.

        Raises:
            InputRefused: there is nothing in it, it is too long, or not text.
            RunNotFound, RunOver: there is no such run, or it is over.
            LedgerUnwritable: the order could not be made durable.
        """
        if not text.strip() or len(text) > LONGEST_WORDS:
            raise InputRefused(f"A run can be told from 1 to {LONGEST_WORDS} characters.")
        if not await self._goes_on(run_id):
            raise RunOver(f"The run {run_id} is over.")
        await self._desk.give(run_id, "steer", by, text=text)

    async def decide(
        self, run_id: RunId, call_id: str, approve: bool, *, by: UserId | None = None, why: str = ""
    ) -> None:
        """Approve or deny a call that waits. The first decision counts.

        Raises:
            NothingWaits: no such call waits in the run.
            InputRefused: `why` is too long.
            RunNotFound: there is no such run.
            LedgerUnwritable: the order could not be made durable.
        """
        if len(why) > LONGEST_WORDS:
            raise InputRefused(f"A reason has at most {LONGEST_WORDS} characters.")
        view = fold(await self._reader.records(run_id))
        waits = {
            tool.call_id
            for step in view.steps
            for tool in step.tools
            if tool.asked is not None and tool.decided is None
        }
        if view.status != "running" or call_id not in waits:
            raise NothingWaits(f"No call {call_id[:80]!r} waits in the run {run_id}.")
        await self._desk.give(
            run_id, "approve" if approve else "deny", by, call_id=call_id, why=why
        )

    async def resume(self, run_id: RunId, caps: Caps, *, by: UserId | None = None) -> None:
        """Go on with a run that a cap stopped, or that was interrupted, under new caps.

        Raises:
            RunNotFound: there is no such run.
            RunOver: it goes on, or it ended otherwise.
            LedgerUnwritable: it could not be made durable.
        """
        run = await self._reader.run(run_id)
        if run.status not in ("capped", "interrupted"):
            raise RunOver(f"The run {run_id} is {run.status}, so it cannot be resumed.")
        await self._desk.clear(run_id)
        await self._driver.ledger.claim(run_id, run.owner, self._driver.owner)
        await self._driver.reopen(run_id, caps=caps, by=by)
        await self._engine.resume(run_id)

    async def check(self) -> None:
        """See that this process takes up runs, and that others count on it.

        Raises:
            Conflict: it is about to end, or counts as gone, so that its runs are taken over.
            LedgerError: the list of those who carry out runs cannot be read.
        """
        if self._leaving or not await self._alive(self._driver.owner):
            raise Conflict("This process does not take up runs any more.")

    async def count_open(self, user_id: UserId | None = None) -> int:
        """How many runs are not over, one's own or all, whoever carries them out."""
        return await self._reader.count_open(user_id)

    async def list_runs(
        self, *, limit: int = 50, before: RunId | None = None, wanted: RunFilter | None = None
    ) -> tuple[RunSummary, ...]:
        """The newest runs first; `before` goes on after a page's last id."""
        return await self._reader.runs(limit=limit, before=before, wanted=wanted)

    async def verdict(self, run_id: RunId) -> Verdict:
        """Whether a run's chain is whole, or where it breaks.

        Raises:
            RunNotFound: there is no such run.
        """
        return await self._reader.verdict(run_id)

    async def find(self, prefix: str, *, user_id: UserId | None = None) -> RunSummary:
        """The run whose id begins with `prefix`; with `user_id` another's is not found.

        Raises:
            RunNotFound: there is none, or more than one.
        """
        return await self._reader.find(prefix, user_id=user_id)

    async def show(self, prefix: str, *, user_id: UserId | None = None) -> RunView:
        """The run whose id begins with `prefix`, its chain checked.

        Raises:
            RunNotFound: there is none, or more than one.
            LedgerCorrupt: its events do not match their chain.
        """
        return fold(await self.records(prefix, user_id=user_id))

    async def records(self, prefix: str, *, user_id: UserId | None = None) -> tuple[Record, ...]:
        """The records of the run whose id begins with `prefix`, their chain checked.

        Raises:
            RunNotFound, LedgerCorrupt: as in `show`.
        """
        found = await self._reader.find(prefix, user_id=user_id)
        await self._reader.verify(found.id)
        return await self._reader.records(found.id)

    async def recover(self, *, resume: bool = False) -> Recovered:
        """See to the runs that dead processes left open: resume them here, or close them as
        interrupted with all they came to. Of several processes that do so at once one does.
        """
        resumed: list[RunId] = []
        closed: list[RunId] = []
        for run in await self._reader.running():
            if not await self._is_left(run):
                continue
            if not resume and is_worker(run.owner):
                continue  # a server's: the next one goes on with it
            try:
                if not await self._driver.ledger.claim(run.id, run.owner, self._driver.owner):
                    continue
                if not resume:
                    await self._close(run.id)
                    closed.append(run.id)
                elif (reopened := await self._driver.reopen(run.id)) is not None:
                    self._publisher.publish(reopened[0])
                    await self._engine.resume(run.id)
                    resumed.append(run.id)
            except (LedgerCorrupt, LedgerUnwritable) as error:
                LOG.warning("the run %s was not recovered: %s", run.id, error.message)
        return Recovered(tuple(resumed), tuple(closed))

    async def keep_recovering(self) -> None:
        """Resume what dies elsewhere, without end."""
        while True:
            await asyncio.sleep(RECOVER_S)
            try:
                await self.recover(resume=True)
            except ForgeError as error:
                LOG.warning("runs were not looked through: %s", error.message)

    async def _is_left(self, run: RunSummary) -> bool:
        """Whether nobody carries out an open run."""
        if run.id in self._beginning or run.id in await self._engine.list():
            return False
        return run.owner == self._driver.owner or not await self._alive(run.owner)

    async def _close(self, run_id: RunId) -> None:
        records = await self._reader.records(run_id)
        self._publisher.publish(await self._driver.close_interrupted(run_id, records))

    async def _goes_on(self, run_id: RunId) -> bool:
        return (await self._reader.run(run_id)).status == "running"

    async def _patiently(self, run_id: RunId) -> AsyncGenerator[Record, None]:
        """Follow, and come back whenever this was too slow."""
        last = 0
        while True:
            try:
                async with aclosing(self._publisher.follow(run_id, after=last)) as records:
                    async for record in records:
                        yield record
                        last = record.seq
                return
            except SlowReader:
                LOG.debug("a slow reader of the run %s comes back after %s", run_id, last)


async def process_alive(owner: str) -> bool:
    """Whether an owner that is a process of this host is still there."""
    return is_alive(owner)


@asynccontextmanager
async def open_runs(
    driver: RunDriver,
    orders: Orders,
    open_engine: OpenEngine = open_inline,
    alive: Alive = process_alive,
) -> AsyncIterator[RunService]:
    """Runs until the block is left; those that go on then are handed over to the next process."""
    publisher = Publisher(driver.reader)
    async with open_desk(orders, driver.clock) as desk:

        async def drive(run_id: RunId) -> None:
            await driver.drive(run_id, publisher, desk)

        async with open_engine(drive) as engine:
            yield RunService(driver, engine, publisher, desk, alive)
