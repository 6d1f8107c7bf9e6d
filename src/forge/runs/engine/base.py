"""The contract of an engine: it calls `drive(run_id)` until the run is over.

`drive` goes on from the run's ledger, so delivering a run twice, or again after a crash, is
harmless: a run that is over is left alone, and of two who carry out the same run the ledger lets
one go on. An engine may therefore deliver at least once and need not know what a run is. Whoever
opens an engine closes it; closing cancels what is carried out here, and the runs are handed over:
they stay open on their ledgers, for the next process.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from forge.ids import RunId

Drive = Callable[[RunId], Awaitable[None]]
"""Carry out a run from its ledger to its end. Raises LedgerError where the ledger does not go on,
and CancelledError where it was cancelled before the run was over."""


class RunEngine(Protocol):
    """Delivers runs. All calls return at once; none waits for a run."""

    async def submit(self, run_id: RunId) -> None:
        """Have the run carried out. A run that is under way here is left alone.

        Raises:
            LedgerError: the engine could not keep the order.
        """

    async def cancel(self, run_id: RunId) -> None:
        """Never start, or start again, a run that a person stopped. Whoever carries it out ends it.

        Raises:
            LedgerError: the engine could not keep the order.
        """

    async def resume(self, run_id: RunId) -> None:
        """Have the run carried out by this process, whatever the engine remembers of it.

        Raises:
            LedgerError: the engine could not keep the order.
        """

    async def list(self) -> tuple[RunId, ...]:
        """The runs that are carried out by this process now."""

    async def wait(self, run_id: RunId) -> None:
        """Return once this process does not carry out the run, any more or at all."""
