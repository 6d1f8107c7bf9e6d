"""Whether and when a failed model call is made again. Pure, but for the chance it is given."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from forge.errors import ModelError, ModelRateLimited


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how soon a failed call is made again. Seconds.

    A wait is `first_s`, doubled each time, less up to half of it by chance, so that many who
    failed together do not return together. A provider that says how long to wait is obeyed, up to
    `longest_s`; beyond that nobody is still waiting, so the call is given up at once.
    """

    attempts: int = 3
    first_s: float = 1.0
    longest_s: float = 60.0
    chance: Callable[[], float] = field(default=random.SystemRandom().random)

    def wait(self, error: ModelError, attempt: int) -> float | None:
        """Seconds until the next attempt; None if there is none."""
        if not error.retry or attempt >= self.attempts:
            return None
        asked = error.retry_after_s if isinstance(error, ModelRateLimited) else None
        if asked is not None:
            return max(0.0, asked) if asked <= self.longest_s else None
        full = min(self.first_s * 2.0 ** (attempt - 1), self.longest_s)
        return full * (1 - self.chance() / 2)

    def given_up(self, error: ModelError) -> ModelError:
        """The error to end with: one that was not waited out says so."""
        asked = error.retry_after_s if isinstance(error, ModelRateLimited) else None
        if asked is None or asked <= self.longest_s:
            return error
        return type(error)(
            f"{error.message} It asks to wait {asked:.0f} s, longer than the "
            f"{self.longest_s:.0f} s that Forge waits.",
            hint=error.hint,
        )
