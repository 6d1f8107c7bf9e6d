"""The person, as the loop hears of them while it goes on: words meant for the model, and decisions
on calls that may not be made without one.
"""

from typing import NamedTuple, Protocol

from forge.events import ApprovalDecided, ApprovalRequested
from forge.messages import ToolCall


class Words(NamedTuple):
    """Something a person said meanwhile, who, and by which order."""

    text: str
    by: str | None = None
    order_id: str = ""


class Waiting(NamedTuple):
    """A call that waits for a person, as the ledger has it: what was asked, and decided."""

    call: ToolCall
    asked: ApprovalRequested | None = None
    decided: ApprovalDecided | None = None


class Person(Protocol):
    """Who a run belongs to; `forge.runs.orders.Seat` is one."""

    def words(self) -> tuple[Words, ...]:
        """What they said since this was last asked."""

    async def decision(self, request: ApprovalRequested) -> ApprovalDecided:
        """Their decision; no, once the request has expired."""


class Nobody:
    """Nobody is there: nothing is said, and nothing is agreed to."""

    def words(self) -> tuple[Words, ...]:
        """Nothing."""
        return ()

    async def decision(self, request: ApprovalRequested) -> ApprovalDecided:
        """No."""
        return ApprovalDecided(
            step=request.step, call_id=request.call_id, approved=False, why="Nobody is there."
        )
