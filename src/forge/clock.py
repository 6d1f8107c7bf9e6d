"""Time as something that is given.

Whoever waits or measures takes a `Clock`, so tests turn the hands themselves and nothing in Forge
sleeps for real in a test. `SystemClock` is the only place that asks the operating system; `now` is
for stamps a person reads, `monotonic` for durations, which must never run backwards.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


def stamp(at: datetime) -> str:
    """A time as it is stored, and hashed: ISO 8601 in UTC with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


class Clock(Protocol):
    """A source of time and of waiting."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds from an unknown start; never goes backwards."""

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""


class SystemClock:
    """The operating system's own time."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds from an unknown start; never goes backwards."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        await asyncio.sleep(seconds)
