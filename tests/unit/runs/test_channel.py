"""Records reach the reader in order and none is lost; a reader who leaves holds nobody up."""

import asyncio

import pytest

from forge.errors import LedgerUnwritable
from forge.events import Notice, Record
from forge.ids import RunId
from forge.runs.channel import FAR_BEHIND, Channel
from forge.testing.clock import FakeClock


def record(seq: int) -> Record:
    event, at = Notice(text="x"), FakeClock().now()
    return Record(run_id=RunId("run_1"), seq=seq, at=at, event=event, prev="", hash="")


async def test_every_record_arrives_in_order_while_both_sides_wait_for_each_other():
    """A thousand records pass through a channel that holds far fewer."""
    channel = Channel()
    longest = 0

    async def write() -> None:
        nonlocal longest
        for seq in range(1000):
            channel.publish(record(seq))
            longest = max(longest, len(channel._waiting))
            await channel.room()
        channel.close()

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        assert [item.seq async for item in channel] == list(range(1000))
    assert longest <= FAR_BEHIND


async def test_a_writer_without_a_reader_goes_on():
    """After the reader has left, publishing keeps nothing and waits for nothing."""
    channel = Channel()
    for seq in range(FAR_BEHIND):
        channel.publish(record(seq))
    channel.leave()
    async with asyncio.timeout(5):
        await channel.room()
    channel.publish(record(0))
    channel.close()
    assert [item async for item in channel] == []


async def test_the_error_comes_after_the_last_record_and_only_the_first_close_counts():
    """What was durable is shown before the reader hears why it ended."""
    channel, seen = Channel(), []
    channel.publish(record(1))
    channel.close(LedgerUnwritable("full"))
    channel.close()
    seen.append((await anext(channel)).seq)
    with pytest.raises(LedgerUnwritable):
        await anext(channel)
    assert seen == [1]
