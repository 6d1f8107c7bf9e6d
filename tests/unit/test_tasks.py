"""Tasks together: one failure comes out as itself, and nothing is left running."""

import asyncio

import pytest

from forge.tasks import together


async def test_a_tasks_failure_ends_the_block_as_itself():
    """No group around it, its cause kept, and the block cancelled."""
    cause = ValueError("why")

    async def fail() -> None:
        raise KeyError("what") from cause

    async def both() -> None:
        async with together() as tasks:
            tasks.create_task(fail())
            await asyncio.Event().wait()

    with pytest.raises(KeyError, match="what") as caught:
        await both()
    assert caught.value.__cause__ is cause


async def test_a_blocks_failure_ends_the_tasks():
    """The other way round; where a task fails on its way out, the block's failure is not lost."""
    late = OSError("late")

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise late

    async def both() -> None:
        async with together() as tasks:
            tasks.create_task(hang())
            await asyncio.sleep(0)
            raise KeyError("first")

    with pytest.raises(OSError, match="late"):
        await both()
    assert late.__notes__ == ["At the same time: KeyError('first')"]


async def test_a_cancelled_block_is_cancelled():
    """A cancel from outside stays one."""

    async def wait() -> None:
        async with together() as tasks:
            tasks.create_task(asyncio.Event().wait())

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
