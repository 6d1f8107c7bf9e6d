"""What every engine of runs keeps, whoever makes it. An implementation's tests call each check with
a function that opens the engine for a `drive`.

    @pytest.mark.parametrize("check", CHECKS)
    async def test_an_engine_keeps_its_contract(check): await check(open_mine)
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

from forge.errors import LedgerUnwritable
from forge.ids import RunId, new_run_id
from forge.runs.engine.base import Drive, RunEngine

Open = Callable[[Drive], AbstractAsyncContextManager[RunEngine]]

_DEADLINE_S = 30.0
"""Deliveries take milliseconds; this is for a busy host."""


class _Runs:
    """Runs that a check lets end; it counts how often each was delivered."""

    def __init__(self) -> None:
        self.delivered: dict[RunId, int] = {}
        self.cut_off: list[RunId] = []
        self.news = asyncio.Condition()
        self.over: set[RunId] = set()

    async def drive(self, run_id: RunId) -> None:
        try:
            async with self.news:
                self.delivered[run_id] = self.delivered.get(run_id, 0) + 1
                self.news.notify_all()
                await self.news.wait_for(lambda: run_id in self.over)
        except asyncio.CancelledError:
            self.cut_off.append(run_id)
            raise

    async def begun(self, run_id: RunId, times: int = 1) -> None:
        async with asyncio.timeout(_DEADLINE_S), self.news:
            await self.news.wait_for(lambda: self.delivered.get(run_id, 0) >= times)

    async def end(self, run_id: RunId) -> None:
        async with self.news:
            self.over.add(run_id)
            self.news.notify_all()


def _new() -> RunId:
    return new_run_id(datetime.now(UTC))


async def a_run_is_carried_out_and_listed(open_engine: Open) -> None:
    """From its order to its end, and not any longer."""
    runs, run_id = _Runs(), _new()
    async with open_engine(runs.drive) as engine:
        await engine.submit(run_id)
        await runs.begun(run_id)
        assert await engine.list() == (run_id,)
        await runs.end(run_id)
        async with asyncio.timeout(_DEADLINE_S):
            await engine.wait(run_id)
        assert await engine.list() == ()
        await engine.wait(run_id)


async def a_run_under_way_is_not_delivered_again(open_engine: Open) -> None:
    """However often it is ordered."""
    runs, run_id = _Runs(), _new()
    async with open_engine(runs.drive) as engine:
        for order in (engine.submit, engine.submit, engine.resume):
            await order(run_id)
        await runs.begun(run_id)
        await runs.end(run_id)
        async with asyncio.timeout(_DEADLINE_S):
            await engine.wait(run_id)
    assert runs.delivered == {run_id: 1}


async def runs_go_on_at_once(open_engine: Open) -> None:
    """None waits for another."""
    runs, ids = _Runs(), [_new() for _ in range(20)]
    async with open_engine(runs.drive) as engine:
        for run_id in ids:
            await engine.submit(run_id)
        for run_id in ids:
            await runs.begun(run_id)
        assert set(await engine.list()) == set(ids)
        for run_id in ids:
            await runs.end(run_id)


async def a_run_that_fails_harms_no_other(open_engine: Open) -> None:
    """Its ledger could not be written; the engine goes on, and can be given it again."""
    runs, bad, good = _Runs(), _new(), _new()

    async def drive(run_id: RunId) -> None:
        await runs.drive(run_id)
        if run_id == bad:
            raise LedgerUnwritable("This one cannot be written.")

    async with open_engine(drive) as engine:
        await engine.submit(good)
        await engine.submit(bad)
        await runs.begun(bad)
        await runs.end(bad)
        async with asyncio.timeout(_DEADLINE_S):
            await engine.wait(bad)
        assert await engine.list() == (good,)
        await engine.resume(bad)
        await runs.begun(bad, times=2)
        await runs.end(good)


async def a_cancelled_run_is_left_to_its_driver(open_engine: Open) -> None:
    """The driver ends it; cancelling does not cut it off, and cancelling nothing does nothing."""
    runs, run_id = _Runs(), _new()
    async with open_engine(runs.drive) as engine:
        await engine.cancel(_new())
        await engine.submit(run_id)
        await runs.begun(run_id)
        await engine.cancel(run_id)
        assert await engine.list() == (run_id,)
        await runs.end(run_id)
        async with asyncio.timeout(_DEADLINE_S):
            await engine.wait(run_id)
    assert runs.cut_off == []
    assert runs.delivered == {run_id: 1}


async def what_is_under_way_at_the_end_can_be_resumed(open_engine: Open) -> None:
    """Leaving the engine cuts runs off and waits for them; another one takes them up again."""
    runs, run_id, other = _Runs(), _new(), _new()
    async with open_engine(runs.drive) as engine:
        await engine.submit(run_id)
        await runs.begun(run_id)
    assert runs.cut_off == [run_id]
    async with open_engine(runs.drive) as engine:
        await engine.resume(run_id)
        await engine.resume(other)  # one that this engine has never heard of
        await runs.begun(run_id, times=2)
        await runs.begun(other)
        await runs.end(run_id)
        await runs.end(other)
        async with asyncio.timeout(_DEADLINE_S):
            await engine.wait(run_id)
            await engine.wait(other)


CHECKS: tuple[Callable[[Open], Awaitable[None]], ...] = (
    a_run_is_carried_out_and_listed,
    a_run_under_way_is_not_delivered_again,
    runs_go_on_at_once,
    a_run_that_fails_harms_no_other,
    a_cancelled_run_is_left_to_its_driver,
    what_is_under_way_at_the_end_can_be_resumed,
)
