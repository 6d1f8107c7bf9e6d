"""Work that must not be cut in two is not, and the cancel is delivered after it."""

import asyncio

import pytest

from forge.runs.unbroken import unbroken


async def test_the_result_and_the_error_pass_through():
    """Without a cancel it is a plain await."""

    async def gives() -> int:
        return 5

    async def breaks() -> None:
        raise ZeroDivisionError

    assert await unbroken(gives()) == 5
    with pytest.raises(ZeroDivisionError):
        await unbroken(breaks())


async def test_cancels_are_delivered_once_the_work_is_done():
    """However often it is cancelled, the work ends first and the task is cancelled after."""
    story: list[str] = []
    begun, go = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go.wait()
        story.append("done")

    async def caller() -> None:
        try:
            await unbroken(work())
        finally:
            story.append("left")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(caller())
        await begun.wait()
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        assert story == []
        go.set()
    assert story == ["done", "left"]
    assert task.cancelled()
