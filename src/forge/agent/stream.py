"""From a coroutine that emits events to an iterator of them.

Parts of a step run at once and each has something to tell; one reader takes the events in turn.
`emit` returns when the reader has come back for the next event, that is, when it has dealt with
this one: what must be durable before something happens is. Closing the iterator cancels the work
and waits for it; an error of the work is raised to the reader after its events.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import NamedTuple

from forge.events import AnyEvent
from forge.tools.output import Emit


class _Offer(NamedTuple):
    event: AnyEvent
    taken: asyncio.Future[None]


async def streamed(work: Callable[[Emit], Awaitable[None]]) -> AsyncGenerator[AnyEvent, None]:
    """Run `work` and yield what it emits. Read and closed by one task."""
    offers: asyncio.Queue[_Offer | None] = asyncio.Queue()
    failure: list[Exception] = []

    async def emit(event: AnyEvent) -> None:
        offer = _Offer(event, asyncio.get_running_loop().create_future())
        offers.put_nowait(offer)
        await offer.taken

    async def run() -> None:
        try:
            await work(emit)
        except Exception as error:  # noqa: BLE001 - carried to the reader, who answers it
            # Left to the task group it would cancel the reader in the middle of what it is doing.
            failure.append(error)
        finally:
            offers.put_nowait(None)

    async with asyncio.TaskGroup() as group:
        worker = group.create_task(run())
        try:
            while (offer := await offers.get()) is not None:
                yield offer.event
                if not offer.taken.done():
                    offer.taken.set_result(None)
        except GeneratorExit:
            # Through the group it would come out as an exception group, which `aclose` cannot take.
            worker.cancel()
    if failure:
        raise failure[0]
