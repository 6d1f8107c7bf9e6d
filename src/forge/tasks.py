"""Tasks that belong together, with their failure as it is.

`asyncio.TaskGroup` raises a group even of one failure; whoever calls wants to catch that by its
type. Of several one is raised, and the others are written down with it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks, which leaving the block waits for; a failure cancels block and tasks.

    Raises:
        Exception: what failed, itself: the first of the tasks, or else the block. What failed
            besides is in its notes.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as failures:
        first, *others = failures.exceptions
        for other in others:
            first.add_note(f"At the same time: {other!r}")
        raise first from first.__cause__
