"""Ctrl-C and SIGTERM, answered in order: first the run ends, then its machine, then Forge.

A signal never interrupts what is under way; it asks, once. What it asks is the caller's: by default
the whole command is cancelled, and while a run is watched, the run is. A second signal asks nothing
more, since ending is under way and bounded; the person is told so. The exit code says which signal.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from forge.cli.exits import Exit

_CODES = {signal.SIGINT: Exit.INTERRUPTED, signal.SIGTERM: Exit.TERMINATED}


class Stopping:
    """What a signal does now, and whether one came."""

    def __init__(self, ask: Callable[[], object], say: Callable[[str], None]) -> None:
        self.asked: Exit | None = None
        self._ask, self._say = ask, say

    @contextmanager
    def by(self, ask: Callable[[], object]) -> Iterator[None]:
        """While in this block, a signal asks this instead."""
        before, self._ask = self._ask, ask
        try:
            yield
        finally:
            self._ask = before

    def on_signal(self, number: signal.Signals) -> None:
        """Take a signal. One that asks for the whole command to end outranks one for a run."""
        if self.asked is not None:
            self._say("Stopping already: the machine is being removed and the ledger closed.")
            return
        self.asked = _CODES[number]
        self._say("Stopping …")
        self._ask()


@contextmanager
def stopping(say: Callable[[str], None]) -> Iterator[Stopping]:
    """Take signals until the block is left; by default they cancel the calling task."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    state = Stopping(task.cancel, say)
    for number in _CODES:
        loop.add_signal_handler(number, state.on_signal, number)
    try:
        yield state
    finally:
        for number in _CODES:
            loop.remove_signal_handler(number)
