"""Blocking work beside the event loop, which ends soon after nobody waits for it any more."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

Check = Callable[[], None]
"""Asked between two pieces of work; raises `GivenUp` where nobody waits."""


class GivenUp(Exception):
    """Nobody wants any more what was under way."""


async def in_thread(work: Callable[[Check], _T]) -> _T:
    """Do blocking work in a thread that ends soon after nobody waits for it any more."""
    given_up = threading.Event()

    def check() -> None:
        if given_up.is_set():
            raise GivenUp

    doing = asyncio.get_running_loop().run_in_executor(None, work, check)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        given_up.set()
        await asyncio.wait([doing])
        if not doing.cancelled():
            doing.exception()
        raise
