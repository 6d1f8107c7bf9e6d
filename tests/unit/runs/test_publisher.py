"""Whoever follows a run gets each record once and in order, however they come and go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forge.clock import SystemClock
from forge.errors import LedgerUnwritable, RunNotFound, SlowReader
from forge.events import AnyEvent, Caps, Notice, RunFinished, RunStarted, Totals
from forge.ids import RunId, new_run_id
from forge.ledger.append import Appender, LedgerWriter
from forge.ledger.read import LedgerReader
from forge.runs.publisher import PAGE, Publisher
from forge.store.database import Database
from running import place_in

pytestmark = pytest.mark.usefixtures("either_database")

STARTED = RunStarted(prompt="p", model="m", template="b", caps=Caps())
END = RunFinished(status="done", answer="", totals=Totals())


class Run:
    """A run that a test carries out by hand, here or as if elsewhere."""

    def __init__(self, publisher: Publisher, run_id: RunId, appender: Appender) -> None:
        self.publisher, self.id, self.appender = publisher, run_id, appender

    async def say(self, *events: AnyEvent, here: bool = True) -> None:
        for record in await self.appender.append(*events):
            if here:
                self.publisher.publish(record)

    async def followed(self) -> None:
        """Return once someone follows it live."""
        async with asyncio.timeout(30):
            while not self.publisher._lines:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0)

    async def read(self, after: int = 0, most: int = 10**9) -> list[int]:
        seen: list[int] = []
        async with aclosing(self.publisher.follow(self.id, after=after)) as records:
            async for record in records:
                seen.append(record.seq)
                if len(seen) == most:
                    break
        return seen


@asynccontextmanager
async def begun(folder: Path, **sizes: int) -> AsyncIterator[Run]:
    async with Database.open(place_in(folder)) as database:
        clock, publisher = SystemClock(), Publisher(LedgerReader(database), **sizes)
        run_id = new_run_id(clock.now())
        appender, _ = await LedgerWriter(database, clock).begin(run_id, "owner", STARTED)
        yield Run(publisher, run_id, appender)


def notices(count: int) -> list[AnyEvent]:
    return [Notice(text=str(number)) for number in range(count)]


@pytest.mark.parametrize("here", [True, False])
async def test_a_follower_replays_then_goes_live(tmp_path: Path, here: bool):
    """Records of before and of later, of this process and of another: each once, in order."""
    async with begun(tmp_path) as run, asyncio.TaskGroup() as group:
        await run.say(*notices(PAGE + 3), here=here)
        followers = [group.create_task(run.read(after)) for after in (0, 1, PAGE, PAGE + 4)]
        for event in [*notices(5), END]:
            await run.say(event, here=here)
            await asyncio.sleep(0)
    whole = list(range(1, PAGE + 11))
    assert [task.result() for task in followers] == [
        whole, whole[1:], whole[PAGE:], whole[PAGE + 4 :],
    ]  # fmt: skip


async def test_a_run_that_is_over_is_replayed_from_anywhere_and_ends(tmp_path: Path):
    """Also from its last record, and from beyond it."""
    async with begun(tmp_path) as run:
        await run.say(*notices(2), END)
        assert await run.read() == [1, 2, 3, 4]
        assert await run.read(after=3) == [4]
        assert await run.read(after=4) == []
        assert await run.read(after=99) == []
        run.id = RunId("run_none")
        with pytest.raises(RunNotFound):
            await run.read()


async def test_a_slow_follower_is_let_go_and_can_come_back(tmp_path: Path):
    """The run never waits for it; what it missed is on the ledger."""
    async with begun(tmp_path, line=3) as run:
        async with aclosing(run.publisher.follow(run.id)) as records:
            assert (await anext(records)).seq == 1
            async with asyncio.TaskGroup() as group:
                live = group.create_task(anext(records))
                await run.followed()
                await run.say(Notice(text="x"))
            assert live.result().seq == 2
            await run.say(*notices(4))  # nobody reads
            with pytest.raises(SlowReader) as raised:
                await anext(records)
        assert raised.value.after == 2
        await run.say(END)
        assert await run.read(after=raised.value.after) == [3, 4, 5, 6, 7]
        assert run.publisher._lines == {}


async def test_a_follower_hears_why_a_run_cannot_go_on(tmp_path: Path):
    """An error of the driver comes after the last record that is durable."""
    async with begun(tmp_path) as run:

        async def fail() -> None:
            with run.publisher.carrying(run.id):
                await run.say(Notice(text="x"))
                await run.followed()
                raise LedgerUnwritable("full")

        async def fails() -> None:
            with pytest.raises(LedgerUnwritable):
                await fail()

        seen: list[int] = []

        async def hears() -> None:
            async with aclosing(run.publisher.follow(run.id)) as records:
                async for record in records:
                    seen.append(record.seq)  # noqa: PERF401 - it is cut off by an error

        async def is_told() -> None:
            with pytest.raises(LedgerUnwritable, match="full"):
                await hears()

        async with asyncio.TaskGroup() as group:
            group.create_task(is_told())
            group.create_task(fails())
        assert seen == [1, 2]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    bursts=st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=8),
    stays=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    after=st.integers(0, 12),
    line=st.integers(2, 8),
)
async def test_whatever_the_disconnects_nothing_is_lost_or_repeated(
    tmp_path: Path, bursts: list[tuple[int, bool]], stays: list[int], after: int, line: int
):
    """A follower that breaks off and comes back at will, with whatever it saw last, ends up with
    exactly the records after the first one it named.
    """
    async with begun(tmp_path, line=line) as run:

        async def write() -> None:
            for count, here in bursts:
                await run.say(*notices(count), here=here)
                await asyncio.sleep(0)
            await run.say(END)

        async def follow() -> list[int]:
            seen, visit = [], 0
            while True:
                most, visit = stays[visit % len(stays)], visit + 1
                try:
                    got = await run.read(seen[-1] if seen else after, most)
                except SlowReader:
                    continue
                seen += got
                if len(got) < most:
                    return seen

        async with asyncio.TaskGroup() as group:
            followers = [group.create_task(follow()) for _ in range(3)]
            group.create_task(write())
        last = 2 + sum(count for count, _ in bursts)
        for follower in followers:
            assert follower.result() == list(range(after + 1, last + 1))


async def test_who_follows_from_outside_is_let_go_at_the_end_and_others_are_not(tmp_path: Path):
    """A server that stops ends its streams at once; they come back to the next one. Whoever notes
    what runs come to goes on until the runs themselves are handed over.
    """
    async with begun(tmp_path) as run:

        async def outside() -> int:
            async with aclosing(run.publisher.follow(run.id, outside=True)) as records:
                with pytest.raises(SlowReader) as gone:
                    async for _ in records:
                        pass
            return gone.value.after

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            one, own = group.create_task(outside()), group.create_task(run.read())
            await run.followed()
            while len(run.publisher._lines[run.id]) < 2:  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0)
            run.publisher.let_go()
            assert await one == 1
            assert await outside() == 1
            await run.say(END)
            assert await own == [1, 2]
