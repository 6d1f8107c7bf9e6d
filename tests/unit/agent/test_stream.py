"""Emitting coroutines become one iterator, in order, with nobody left behind."""

import asyncio
from contextlib import aclosing

import pytest

from forge.agent.stream import streamed
from forge.events import Notice
from forge.tools.output import Emit


async def test_emit_returns_when_the_reader_has_dealt_with_the_event():
    """What must be durable before something happens is: the reader's work comes first."""
    story: list[str] = []

    async def work(emit: Emit) -> None:
        for name in "ab":
            await emit(Notice(text=name))
            story.append(f"after {name}")

    async for event in streamed(work):
        assert isinstance(event, Notice)
        await asyncio.sleep(0)
        story.append(f"dealt with {event.text}")
    assert story == ["dealt with a", "after a", "dealt with b", "after b"]


async def test_an_error_of_the_work_reaches_the_reader_after_its_events():
    """The error arrives as itself, not in a group."""

    async def work(emit: Emit) -> None:
        await emit(Notice(text="a"))
        raise ZeroDivisionError

    seen: list[str] = []

    async def read() -> None:
        async for event in streamed(work):
            seen[:] = [*seen, event.type]

    with pytest.raises(ZeroDivisionError):
        await read()
    assert seen == ["notice"]


async def test_closing_early_cancels_the_work_and_waits_for_it():
    """A reader that stops leaves nothing running."""
    ended = False

    async def work(emit: Emit) -> None:
        nonlocal ended
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(emit(Notice(text="a")))
        finally:
            await asyncio.sleep(0)
            ended = True

    async with aclosing(streamed(work)) as events:
        async for _ in events:
            break
    assert ended


async def test_a_reader_cancelled_while_waiting_ends_the_work():
    """Cancelling the reading task cancels the work inside before it goes on."""
    started, ended = asyncio.Event(), asyncio.Event()

    async def work(_emit: Emit) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def read() -> None:
        async with aclosing(streamed(work)) as events:
            async for _ in events:
                raise AssertionError("nothing was emitted")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(read())
        await started.wait()
        task.cancel()
    assert ended.is_set()
    assert task.cancelled()
