"""Work for a host that may give it up at any moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from forge_guest.wire.channel import Stream


@asynccontextmanager
async def abandoning(stream: Stream) -> AsyncIterator[asyncio.TaskGroup]:
    """End the block, and the tasks of the group it gets, as soon as the host gives the stream up.

    The block ends or cancels those tasks; leaving it waits for them.

    Raises:
        StreamReset, ChannelClosed: the host gave it up; or what the block or a task raised.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(stream.given_up())
            yield tasks
            watching.cancel()
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
