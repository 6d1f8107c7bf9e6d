"""How much one person may ask of the server: requests a minute, runs at once, and what is kept.

One person's program that goes wild, or a key that got out, must not cost all others the server.
Requests are counted in this process alone; runs are counted where they are kept, whoever carries
them out. Whoever is refused is told after how many seconds to come back.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from forge.errors import StorageFull, TooMany
from forge.hosting import Hosted
from forge.ids import UserId

FULL_S = 3600.0
"""When to look again whether there is room: once a person has seen to it."""

RUN_S = 5.0
"""When to look again whether a run has ended: they take seconds to minutes."""


class Allowance:
    """What everybody is allowed; 0 is no limit.

    Args:
        requests: in a minute, of one person.
        runs: at once, of one person.
        storage: bytes of files of one person's, each content counted once.
    """

    def __init__(
        self, hosted: Hosted, *, requests: int = 0, runs: int = 0, storage: int = 0
    ) -> None:
        self._service, self._files = hosted.forge.service, hosted.files
        self._clock = hosted.clock
        self.requests, self.runs, self.storage = requests, runs, storage
        self._counted = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._per_minute: RateLimitItem = RateLimitItemPerMinute(max(1, requests))
        self._beginning: WeakValueDictionary[UserId, asyncio.Lock] = WeakValueDictionary()

    async def request(self, user_id: UserId) -> None:
        """Count a request of a person's.

        Raises:
            TooMany: there were too many within a minute.
        """
        if not self.requests or await self._counted.hit(self._per_minute, user_id):
            return
        reset, _ = await self._counted.get_window_stats(self._per_minute, user_id)
        raise TooMany(
            f"One person may send {self.requests} requests a minute here, and you have.",
            hint="Follow a run by its stream instead of asking again and again, or have the admin "
            "raise FORGE_MAX_REQUESTS.",
            retry_after_s=max(1.0, reset - self._clock.now().timestamp()),
        )

    @asynccontextmanager
    async def run(self, user_id: UserId) -> AsyncIterator[None]:
        """Begin a run of a person's in this block: of several at once, one after the other, so that
        each is counted.

        Raises:
            TooMany: as many go on already.
            StorageFull: there is no room for what it makes.
        """
        await self.room(user_id)
        if not self.runs:
            yield
            return
        lock = self._beginning.setdefault(user_id, asyncio.Lock())
        async with lock:
            if await self._service.count_open(user_id) >= self.runs:
                raise TooMany(
                    f"One person may have {self.runs} runs going on at once here, and you have.",
                    hint="Wait for one to end or stop one, or have the admin raise FORGE_MAX_RUNS.",
                    retry_after_s=RUN_S,
                )
            yield

    async def room(self, user_id: UserId) -> int | None:
        """How many bytes more a person may keep, at least one; None for any number.

        Raises:
            StorageFull: none.
        """
        if not self.storage:
            return None
        left = self.storage - await self._files.used(user_id)
        if left <= 0:
            raise self.full()
        return left

    def full(self) -> StorageFull:
        """What a person is told who keeps as much as one may."""
        return StorageFull(
            f"One person may keep {self.storage >> 20} MiB of files here, and there is no room "
            "left for this.",
            retry_after_s=FULL_S,
        )
