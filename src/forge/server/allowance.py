"""How much one person may ask of the server: requests a minute, and runs at once.

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

from forge.clock import Clock
from forge.errors import TooMany
from forge.ids import UserId
from forge.runs.service import RunService

RUN_S = 5.0
"""When to look again whether a run has ended: they take seconds to minutes."""


class Allowance:
    """What everybody is allowed; 0 is no limit.

    Args:
        requests: in a minute, of one person.
        runs: at once, of one person.
    """

    def __init__(self, service: RunService, clock: Clock, *, requests: int, runs: int) -> None:
        self._service, self._clock, self.requests, self.runs = service, clock, requests, runs
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
        """
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
