"""Makes what is saved of a paused machine durable, in the background, for as long as it is paused.

See `saved` for what that is. Whoever pauses the machine calls `begin`, whoever wakes it or ends it
`give_up`, after which the folder is left alone.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from forge.sandbox.machines.saved import Sealing
from forge.sandbox.machines.thread import GivenUp


class Seals:
    """One machine's.

    Args:
        folder: the machine's own.
        failed: told why the host could not do it.
    """

    def __init__(self, folder: Path, failed: Callable[[str], None]) -> None:
        self._folder = folder
        self._failed = failed
        self._sealing = Sealing(folder)
        self._task: asyncio.Task[None] | None = None

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Make durable what is saved now."""
        self._sealing = Sealing(self._folder)
        self._task = tasks.create_task(self._run(self._sealing))

    def give_up(self) -> None:
        """Write nothing any more."""
        self._sealing.give_up()

    async def done(self) -> None:
        """Wait until what was begun is done, or could not be."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self, sealing: Sealing) -> None:
        try:
            await asyncio.to_thread(sealing.run)
        except (GivenUp, FileNotFoundError):
            return  # it runs again, or is gone
        except OSError as error:
            self._failed(error.strerror or str(error))
