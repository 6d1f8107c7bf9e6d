"""Work that a cancel may not cut in two.

An append that is half known, a machine half stopped: such work is finished first, and the cancel
is delivered after it, however often it was asked for. Only for short work with a deadline of its
own, because nothing else can end it.
"""

import asyncio
from collections.abc import Awaitable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Outcome(Generic[T]):
    """What the work came to, kept from the task group, which would answer an error itself."""

    def __init__(self) -> None:
        self.value: T | None = None
        self.error: Exception | None = None

    async def of(self, work: Awaitable[T]) -> None:
        try:
            self.value = await work
        except Exception as error:  # noqa: BLE001 - raised again by `unbroken`, in the caller's task
            self.error = error


async def unbroken(work: Awaitable[T]) -> T:
    """Await `work` to its end even if this task is cancelled meanwhile, then pass the cancel on.

    Raises:
        CancelledError: the work is done, and a cancel came while it was.
    """
    outcome: _Outcome[T] = _Outcome()
    cancelled: asyncio.CancelledError | None = None
    async with asyncio.TaskGroup() as group:
        task = group.create_task(outcome.of(work))
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as cancel:
                cancelled = cancel
    if cancelled is not None:
        raise cancelled
    if outcome.error is not None:
        raise outcome.error
    return outcome.value  # type: ignore[return-value]  # None only where T allows it
