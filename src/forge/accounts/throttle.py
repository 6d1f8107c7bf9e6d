"""How often a login may fail: per account and per address, so that guessing takes years.

Counted in this process alone. Only failures count, so nobody is kept out by logging in often; a
stranger can keep an account's owner waiting for a minute at a time, never lock it.
"""

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from forge.clock import Clock
from forge.errors import TooMany

PER_ACCOUNT: RateLimitItem = RateLimitItemPerMinute(5)
PER_ADDRESS: RateLimitItem = RateLimitItemPerMinute(30)


class Throttle:
    """Failed attempts of the last minute."""

    def __init__(self, clock: Clock) -> None:
        self._failures = MovingWindowRateLimiter(MemoryStorage())
        self._clock = clock

    async def check(self, account: str, address: str) -> None:
        """Let an attempt through, or not.

        Raises:
            TooMany: too many failed in the last minute.
        """
        for limit, key in ((PER_ACCOUNT, account), (PER_ADDRESS, address)):
            if not await self._failures.test(limit, key):
                reset, _ = await self._failures.get_window_stats(limit, key)
                wait = max(1.0, reset - self._clock.now().timestamp())
                raise TooMany("Too many attempts to log in have failed.", retry_after_s=wait)

    async def failed(self, account: str, address: str) -> None:
        """Count a failure."""
        await self._failures.hit(PER_ACCOUNT, account)
        await self._failures.hit(PER_ADDRESS, address)
