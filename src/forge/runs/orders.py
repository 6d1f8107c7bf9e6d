"""What people tell a run while it goes on: say something, approve or deny a call, stop.

    steer, decide, stop ─► run_orders (durable) ─► desk ─► the run's seat ─► its driver ─► ledger

An order is durable before the person hears that it was taken, and reaches the run in whichever
process carries it out, also after a restart. One task for each process reads the orders of all runs
that it carries out, every `LOOK_S` and at once when one is given here. What comes of an order goes
on the ledger with the order's id, then the order is ticked off: a crash between the two repeats
nothing, because the run knows from its ledger which orders it has taken.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import insert, select, update

from forge.agent.person import Words
from forge.clock import Clock, stamp
from forge.errors import ForgeError
from forge.events import ApprovalDecided, ApprovalRequested
from forge.ids import RunId, UserId, new_id
from forge.store.database import Database
from forge.store.tables import RUN_ORDERS
from forge.tasks import together

LOOK_S = 0.25
"""How often orders that another process took are looked for: a stop is answered within a second."""

Kind = Literal["steer", "approve", "deny", "stop"]


class Order(NamedTuple):
    """Something a person told a run. `body` holds `text`, or `call_id` and `why`."""

    id: str
    run_id: RunId
    by: UserId | None
    kind: Kind
    body: dict[str, str]


class Orders:
    """The durable orders. It holds nothing open between calls."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def give(self, run_id: RunId, kind: Kind, by: UserId | None, **body: str) -> Order:
        """Make an order durable.

        Raises:
            LedgerUnwritable, NoSpace, HostUnfit: it could not be.
        """
        now = self._clock.now()
        order = Order(new_id("ord", now), run_id, by, kind, body)
        async with self._database.writing() as connection:
            await connection.execute(
                insert(RUN_ORDERS).values(
                    id=order.id,
                    run_id=run_id,
                    created_at=stamp(now),
                    user_id=by,
                    kind=kind,
                    body=json.dumps(body),
                )
            )
        return order

    async def open(self, run_ids: Iterable[RunId]) -> tuple[Order, ...]:
        """The orders of these runs that were not ticked off, oldest first."""
        query = (
            select(RUN_ORDERS)
            .where(RUN_ORDERS.c.run_id.in_(tuple(run_ids)), RUN_ORDERS.c.taken_at.is_(None))
            .order_by(RUN_ORDERS.c.id)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(
            Order(row.id, RunId(row.run_id), row.user_id, row.kind, json.loads(row.body))
            for row in rows
        )

    async def tick_off(self, order_ids: Iterable[str]) -> None:
        """Note that what came of these orders is on the ledger.

        Raises:
            LedgerUnwritable, NoSpace, HostUnfit: it could not be noted.
        """
        async with self._database.writing() as connection:
            await connection.execute(
                update(RUN_ORDERS)
                .where(RUN_ORDERS.c.id.in_(tuple(order_ids)))
                .values(taken_at=stamp(self._clock.now()))
            )


class Seat:
    """Where a run's driver hears of people. One task asks it; the desk hands it orders."""

    def __init__(self, clock: Clock) -> None:
        self.stopped = False
        self._clock = clock
        self._stop: Callable[[], object] | None = None
        self._seen: set[str] = set()
        self._words: list[Words] = []
        self._decisions: dict[str, Order] = {}
        self._news = asyncio.Condition()
        self._closed = False

    def knows(self, order_ids: Iterable[str]) -> None:
        """These orders were taken already."""
        self._seen.update(order_ids)

    async def hand(self, order: Order) -> None:
        """Take an order; one that it knows does nothing."""
        if order.id in self._seen:
            return
        self._seen.add(order.id)
        match order.kind:
            case "stop":
                self.stop()
            case "steer":
                self._words.append(Words(order.body.get("text", ""), order.by, order.id))
            case "approve" | "deny":
                async with self._news:
                    self._decisions.setdefault(order.body.get("call_id", ""), order)
                    self._news.notify_all()

    def arm(self, stop: Callable[[], object]) -> None:
        """From now on a stop calls `stop`, once; at once where it came already."""
        self._stop = stop
        if self.stopped:
            stop()

    def stop(self) -> None:
        """End the run as cancelled; not once it is ending anyway."""
        if self.stopped or self._closed:
            return
        self.stopped = True
        if self._stop is not None:
            self._stop()

    def close(self) -> None:
        """The run is ending: nothing stops it any more."""
        self._closed = True

    def words(self) -> tuple[Words, ...]:
        """What people said since it was last asked."""
        said, self._words = tuple(self._words), []
        return said

    async def decision(self, request: ApprovalRequested) -> ApprovalDecided:
        """Wait for a person's decision on a call, until the request expires; then it is no."""

        def decided(approved: bool, **more: Any) -> ApprovalDecided:
            return ApprovalDecided(
                step=request.step, call_id=request.call_id, approved=approved, **more
            )

        async with self._news:
            while (order := self._decisions.pop(request.call_id, None)) is None:
                left = _seconds(self._clock.now(), request.expires_at)
                if left <= 0:
                    return decided(False, why="Nobody decided in time.")
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._news.wait()
        return decided(
            order.kind == "approve",
            by=order.by,
            why=order.body.get("why", ""),
            order_id=order.id,
        )


class Desk:
    """Hands the orders of the runs of this process to their seats. Made by `open_desk`."""

    def __init__(self, orders: Orders, clock: Clock) -> None:
        self._orders, self._clock = orders, clock
        self._seats: dict[RunId, Seat] = {}
        self._early: set[RunId] = set()
        self._given = asyncio.Event()

    @asynccontextmanager
    async def seat(self, run_id: RunId) -> AsyncIterator[Seat]:
        """A run's seat while it is carried out here."""
        seat = self._seats[run_id] = Seat(self._clock)
        if run_id in self._early:
            seat.stop()
        self._given.set()
        try:
            yield seat
        finally:
            del self._seats[run_id]
            self._early.discard(run_id)

    async def give(self, run_id: RunId, kind: Kind, by: UserId | None, **body: str) -> None:
        """Make an order durable, and hand it over where its run is carried out here.

        Raises:
            LedgerUnwritable, NoSpace, HostUnfit: it could not be.
        """
        order = await self._orders.give(run_id, kind, by, **body)
        if (seat := self._seats.get(run_id)) is not None:
            await seat.hand(order)

    def stop(self, run_id: RunId) -> None:
        """Stop a run that is carried out here, or soon will be, at once and without an order."""
        if (seat := self._seats.get(run_id)) is not None:
            seat.stop()
        else:
            self._early.add(run_id)

    def forget(self, run_id: RunId) -> None:
        """The run is not carried out here any more."""
        self._early.discard(run_id)

    async def tick_off(self, order_ids: Iterable[str]) -> None:
        """See `Orders.tick_off`."""
        await self._orders.tick_off(order_ids)

    async def clear(self, run_id: RunId) -> None:
        """Tick off what a run that is over did not take."""
        await self._orders.tick_off([order.id for order in await self._orders.open((run_id,))])

    async def run(self) -> None:
        """Look for orders, without end."""
        while True:
            if not self._seats:
                await self._given.wait()
            self._given.clear()
            with suppress(ForgeError):  # a busy database; the next look finds them
                for order in await self._orders.open(self._seats):
                    if (seat := self._seats.get(order.run_id)) is not None:
                        await seat.hand(order)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._given.wait()


@asynccontextmanager
async def open_desk(orders: Orders, clock: Clock) -> AsyncIterator[Desk]:
    """A desk that looks for orders until the block is left."""
    desk = Desk(orders, clock)
    async with together() as group:
        looking = group.create_task(desk.run())
        try:
            yield desk
        finally:
            looking.cancel()


def _seconds(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()
