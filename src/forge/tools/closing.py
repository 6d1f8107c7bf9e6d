"""Closing an iterator that someone else's contract gives us: the caller closes, also when it stops
early or is cancelled, because what is behind it (a file in a machine, a call that costs money)
must not wait for the garbage collector.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


@asynccontextmanager
async def closing(iterator: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Give `iterator`; close it at the end where it can be closed."""
    try:
        yield iterator
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()
