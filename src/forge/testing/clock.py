"""A clock whose hands a test turns: waiting takes no time, and says how long it would have been."""

import asyncio
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Starts at noon on 1 January 2030; `sleep` moves the hands at once and is remembered."""

    def __init__(self) -> None:
        self._start = datetime(2030, 1, 1, 12, tzinfo=UTC)
        self._passed = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        """The time of day as the test set it."""
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        """Seconds the test let pass."""
        return self._passed

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass without anyone waiting."""
        self._passed += seconds

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass at once; other tasks have their turn."""
        self.slept.append(seconds)
        self._passed += seconds
        await asyncio.sleep(0)
