"""A run's life, owned by one task: the only one that appends to its ledger.

    ledger ─ begin or go on ─ live (see `forge.runs.life`) ─ stop ─ run.finished
                               └── a cap, an error, a stop ──┘

A driver is told a run's id and nothing else: what was asked, and how far it came, is on the ledger.
Each event is durable before anyone is shown it. Once the run is under way it ends, whatever
happens, with the machine stopped and `run.finished` as the last event. Two things leave it open:
a ledger that cannot be written, and a cancel of the driver itself, as when this process shuts down.
Then the machine is stopped, and whoever comes next goes on from the ledger.

A person's stop is answered at any point, and the last event is there within a second, also where
stopping the machine takes longer. Finishing is not interrupted by a second stop.

This is one of the three boundaries where any exception may be caught (see architecture.md).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from forge.about import about
from forge.agent.router import Wanted
from forge.budget.prices import PriceTable
from forge.clock import Clock
from forge.errors import CapReached, FileNotFound, ForgeError, LedgerUnwritable
from forge.events import (
    AnyEvent,
    ApprovalDecided,
    Caps,
    Fault,
    MessageSteered,
    Record,
    RunFinished,
    RunResumed,
    RunStarted,
    RunStatus,
)
from forge.ids import RunId, UserId
from forge.ledger.append import Appender, LedgerWriter
from forge.ledger.fold import Folder, RunView, fold
from forge.ledger.read import LedgerReader
from forge.models.base import Model
from forge.runs.artifacts import ArtifactLimits, Blobs
from forge.runs.life import Life, Parts
from forge.runs.machines import ConversationMachines
from forge.runs.orders import Desk, Seat
from forge.runs.publisher import Publisher
from forge.runs.routing import is_offline
from forge.runs.unbroken import unbroken
from forge.runs.watching import Watch, nobody

LOG = logging.getLogger(__name__)

STOP_S = 0.5
"""How long the last event waits for the machine's end: a person who stops a run waits for it."""

TRIES = 8
"""How often a run is tried to be taken over from someone who still appends: each try loses only to
an append at the same moment."""

MOST_INTERRUPTIONS = 10
"""How often a run is resumed after interruptions: one that takes its process down with it would do
so for ever."""


@dataclass(frozen=True, slots=True)
class RunDriver:
    """What runs are carried out with. Everything in it has its own owner; it frees nothing.
    `route` is the way of runs that name none, `small_model` who answers in words (empty: the run's
    own model), `watch` who watches them.
    """

    machines: ConversationMachines
    model_of: Callable[[str], Model]
    ledger: LedgerWriter
    reader: LedgerReader
    blobs: Blobs
    prices: PriceTable
    clock: Clock
    owner: str
    artifacts: ArtifactLimits = field(default_factory=ArtifactLimits)
    approve_s: float = 3600.0
    route: Wanted = "auto"
    small_model: str = ""
    watch: Watch = nobody

    async def begin(
        self, run_id: RunId, started: RunStarted, user_id: UserId | None = None
    ) -> Record:
        """Open a run's ledger.

        Raises:
            LedgerUnwritable: it could not be made durable.
        """
        _, first = await self.ledger.begin(run_id, self.owner, started, user_id)
        return first

    async def reopen(
        self, run_id: RunId, *, caps: Caps | None = None, by: str | None = None
    ) -> tuple[Record, RunView] | None:
        """Have a run go on from here: whoever carries it out until now cannot append to it any
        more. None where it is over and no `caps` are given to go on with.

        Raises:
            RunNotFound, LedgerCorrupt: its ledger cannot be gone on from.
            LedgerUnwritable: nothing can be appended to it.
        """
        for attempt in range(1, TRIES + 1):
            records = await self.reader.records(run_id)
            view = fold(records)
            if view.status != "running" and caps is None:
                return None
            resumed = RunResumed(
                attempt=view.attempt + 1,
                why="interrupted" if caps is None else "asked",
                caps=caps,
                by=by,
            )
            try:
                (record,) = await self.ledger.resume(run_id, records[-1]).append(resumed)
            except LedgerUnwritable:
                if attempt == TRIES:
                    raise
            else:
                return record, view
        raise AssertionError("unreachable")

    async def drive(self, run_id: RunId, publisher: Publisher, desk: Desk) -> None:
        """Carry out a run, from wherever its ledger ends, to its last event.

        Raises:
            RunNotFound, LedgerCorrupt: its ledger cannot be gone on from.
            LedgerUnwritable: an event could not be made durable; the machine was stopped.
            CancelledError: this task was cancelled; the machine was stopped, the run is open.
        """
        with about(run_id=run_id), publisher.carrying(run_id):
            async with desk.seat(run_id) as seat:
                await self._drive(run_id, publisher, seat, desk)

    async def close_interrupted(self, run_id: RunId, records: Iterable[Record]) -> Record:
        """Give a run whose owner is gone its last event, with all that it came to so far.

        Raises:
            LedgerUnwritable: it cannot be written, or someone else has written it meanwhile.
            LedgerCorrupt: there are no records.
        """
        kept = tuple(records)
        view = fold(kept)
        (record,) = await self.ledger.resume(run_id, kept[-1]).append(
            RunFinished(status="interrupted", answer=view.answer, totals=view.totals())
        )
        return record

    async def _drive(self, run_id: RunId, publisher: Publisher, seat: Seat, desk: Desk) -> None:
        run = await self._open(run_id, publisher, desk)
        if run is None:
            return
        try:
            await self._carry_out(run, run_id, seat)
        finally:
            run.watcher.left()

    async def _carry_out(self, run: "_Open", run_id: RunId, seat: Seat) -> None:
        seat.knows(run.view.orders)
        if run.view.interruptions > MOST_INTERRUPTIONS:
            await unbroken(run.finish(Ending("interrupted", Fault.of(_too_often()))))
            return
        try:
            earlier = [fold(await self.reader.records(each)) for each in run.view.started.earlier]
            life = Life(self._parts(run.view), run, seat)
        except ForgeError as error:
            await unbroken(run.finish(Ending("failed", Fault.of(error))))
            return
        try:
            ending = await self._live(life, earlier, run_id, seat)
        except (asyncio.CancelledError, LedgerUnwritable):
            await unbroken(life.stop())
            raise
        seat.close()
        await unbroken(self._end(life, run, ending))

    async def _live(
        self, life: Life, earlier: list[RunView], run_id: RunId, seat: Seat
    ) -> "Ending":
        """Live, and say how it ended.

        Raises:
            LedgerUnwritable, CancelledError: it has not ended.
        """
        task = asyncio.current_task()
        assert task is not None
        try:
            seat.arm(task.cancel)
            await life.live(earlier)
        except asyncio.CancelledError:
            # The person's stop is answered here; one more cancel is this process going down.
            if not seat.stopped or task.uncancel() > 0:
                raise
            return Ending("cancelled")
        except LedgerUnwritable:
            raise
        except ForgeError as error:
            return Ending(_status(error, life.attempt), Fault.of(error))
        except Exception as error:
            LOG.exception("the run %s failed", run_id)
            return Ending("failed", Fault.of(unforeseen(error)))
        return Ending("done")

    async def _open(self, run_id: RunId, publisher: Publisher, desk: Desk) -> "_Open | None":
        """The run's ledger, to append to; None where the run is over."""
        records = await self.reader.records(run_id)
        if not isinstance(records[-1].event, RunStarted | RunResumed | RunFinished):
            if (reopened := await self.reopen(run_id)) is None:
                return None
            publisher.publish(reopened[0])
            records = await self.reader.records(run_id)
        if isinstance(records[-1].event, RunFinished):
            return None
        return _Open(self, records, publisher, desk)

    async def _end(self, life: Life, run: "_Open", ending: "Ending") -> None:
        """Stop the machine and append the last event, whichever takes longer."""
        failed: ForgeError | None = None
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(life.stop())
            await asyncio.wait({stopping}, timeout=STOP_S)
            try:
                await run.finish(ending, life)
            except ForgeError as error:
                failed = error  # raised in a group, it would not come out as itself
        if failed is not None:
            raise failed

    def _parts(self, view: RunView) -> Parts:
        model = self.model_of(view.started.model)
        small = view.started.small_model or self.small_model
        own = is_offline(model) or not small
        return Parts(
            machines=self.machines,
            model=model,
            small=model if own else self.model_of(small),
            model_of=self.model_of,
            blobs=self.blobs,
            prices=self.prices,
            clock=self.clock,
            artifacts=self.artifacts,
            approve_s=self.approve_s,
        )


class Ending(NamedTuple):
    """How a run ends."""

    status: RunStatus
    error: Fault | None = None


def _status(error: ForgeError, attempt: int) -> RunStatus:
    """What a run comes to that ends with an error. A file that is not there is a blob that is gone
    (those of a machine are the model's business), so an interrupted run cannot go on.
    """
    if isinstance(error, CapReached):
        return "capped"
    return "interrupted" if isinstance(error, FileNotFound) and attempt > 1 else "failed"


def unforeseen(error: Exception) -> ForgeError:
    """An exception that nobody foresaw, without its text: that may hold what is secret."""
    return ForgeError(f"Forge itself failed ({type(error).__name__}); its log says where.")


def _too_often() -> ForgeError:
    return ForgeError(
        f"The run was interrupted {MOST_INTERRUPTIONS} times in a row and is not resumed again.",
        hint="Look at Forge's log for what ended its process, then ask again in a new run.",
    )


class _Open:
    """A run's ledger while this process appends to it: append, fold and publish together."""

    def __init__(
        self, driver: RunDriver, records: tuple[Record, ...], publisher: Publisher, desk: Desk
    ) -> None:
        self._driver, self._publisher, self._desk = driver, publisher, desk
        self._folder = Folder(records[0])
        for record in records[1:]:
            self._folder.add(record)
        self._appender: Appender = driver.ledger.resume(records[0].run_id, records[-1])
        self.watcher = driver.watch(records)

    @property
    def view(self) -> RunView:
        """What the run has come to."""
        return self._folder.view

    async def record(self, event: AnyEvent) -> None:
        """See `forge.runs.life.Ledger.record`."""
        await unbroken(self._append(event))

    async def finish(self, ending: Ending, life: Life | None = None) -> None:
        """Append the last event."""
        now = self._driver.clock.now()
        await self._append(
            RunFinished(
                status=ending.status,
                answer=self.view.answer,
                error=ending.error,
                totals=life.totals(now) if life else self.view.totals(now),
            )
        )

    async def _append(self, event: AnyEvent) -> None:
        begun = time.perf_counter()
        records = await self._appender.append(event)
        took = time.perf_counter() - begun
        for record in records:
            self._folder.add(record)
            self._publisher.publish(record)
            self.watcher.saw(record, took)
        if isinstance(event, MessageSteered | ApprovalDecided) and event.order_id:
            await self._desk.tick_off((event.order_id,))
