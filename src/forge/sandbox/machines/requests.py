"""What is asked of a machine's one task: a queue, answered one request at a time, in order."""

import asyncio
from collections.abc import Awaitable, Callable

from forge.errors import ForgeError, SandboxError

Act = Callable[[], Awaitable[None]]


class Requests:
    """Whoever asks waits; the machine's owner calls `answer`, and at its end `refuse`."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[Act, asyncio.Future[None]]] = asyncio.Queue()

    async def ask(self, act: Act) -> None:
        """Have the owner do something; raises what it raises, or why it never will be done."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((act, done))
        await done

    async def answer(self, over: Callable[[], SandboxError]) -> None:
        """Do the next thing that is asked, once something is.

        Args:
            over: the error for whoever asked, should the owner be cancelled meanwhile.
        """
        act, done = await self._queue.get()
        try:
            await act()
        except ForgeError as error:
            if not done.done():
                done.set_exception(error)
        except BaseException:
            if not done.done():
                done.set_exception(over())
            raise
        else:
            if not done.done():
                done.set_result(None)

    def refuse(self, why: SandboxError) -> None:
        """Tell all that still wait."""
        while not self._queue.empty():
            _, done = self._queue.get_nowait()
            if not done.done():
                done.set_exception(why)
