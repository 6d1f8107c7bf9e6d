"""Receipts: one request for each key, in whichever process, and its answer sealed."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from forge.accounts.receipts import KEPT_FOR, UNDER_WAY_FOR, Receipt, Receipts
from forge.errors import Conflict, InputRefused, RequestUnderWay
from forge.ids import UserId
from forge.store.database import Database
from forge.store.tables import IDEMPOTENCY
from forge.testing.clock import FakeClock

ADA, BOB = UserId("usr_ada"), UserId("usr_bob")
ANSWER = Receipt("digest", 201, '{"key": "fgk_shown_once"}')
MASTER = b"k" * 32


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_of_many_at_once_one_is_carried_out(database: Database, clock: FakeClock):
    """Also where each is another process: the database decides."""
    rooms = [Receipts(database, clock, MASTER) for _ in range(8)]
    first, busy = [], []

    async def asks(room: Receipts) -> None:
        try:
            first.append(await room.claim(ADA, "k"))
        except RequestUnderWay as error:
            busy.append(error)

    async with asyncio.TaskGroup() as tasks:
        for room in rooms:
            tasks.create_task(asks(room))
    assert first == [None]
    assert len(busy) == 7


async def test_an_answer_is_kept_for_a_day_and_is_nobody_elses(
    database: Database, clock: FakeClock
):
    """Another's key of the same name is another key."""
    receipts = Receipts(database, clock, MASTER)
    assert await receipts.claim(ADA, "k") is None
    await receipts.keep(ADA, "k", ANSWER)
    assert await receipts.claim(ADA, "k") == ANSWER
    assert await receipts.claim(BOB, "k") is None
    clock.advance((KEPT_FOR + timedelta(seconds=1)).total_seconds())
    assert await receipts.claim(ADA, "k") is None


async def test_what_came_to_nothing_can_be_sent_again(database: Database, clock: FakeClock):
    """At once where it failed; later where the process died. An answer is never released."""
    receipts = Receipts(database, clock, MASTER)
    assert await receipts.claim(ADA, "k") is None
    await receipts.release(ADA, "k")
    assert await receipts.claim(ADA, "k") is None
    clock.advance((UNDER_WAY_FOR - timedelta(seconds=1)).total_seconds())
    with pytest.raises(RequestUnderWay):
        await receipts.claim(ADA, "k")
    clock.advance(2)
    assert await receipts.claim(ADA, "k") is None
    await receipts.keep(ADA, "k", ANSWER)
    await receipts.release(ADA, "k")
    assert await receipts.claim(ADA, "k") == ANSWER


async def test_what_is_shown_once_is_not_readable_in_the_database(
    database: Database, clock: FakeClock
):
    """Nor moved to another's key, nor opened with another master key."""
    receipts = Receipts(database, clock, MASTER)
    await receipts.claim(ADA, "k")
    await receipts.keep(ADA, "k", ANSWER)
    async with database.reading() as connection:
        row = (await connection.execute(select(IDEMPOTENCY))).one()
    assert "fgk_" not in str(row)
    await receipts.claim(BOB, "k")
    async with database.writing() as connection:
        moved = IDEMPOTENCY.update().where(IDEMPOTENCY.c.user_id == BOB)
        await connection.execute(moved.values(done=True, status=201, body=row.body))
    with pytest.raises(Conflict, match="another master key"):
        await receipts.claim(BOB, "k")
    with pytest.raises(Conflict, match="another master key"):
        await Receipts(database, clock, b"x" * 32).claim(ADA, "k")


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "ключ", "a\0b"])
async def test_a_key_is_a_short_word(database: Database, clock: FakeClock, key: str):
    """What no header or database holds is refused."""
    with pytest.raises(InputRefused):
        await Receipts(database, clock, MASTER).claim(ADA, key)
