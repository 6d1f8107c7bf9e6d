"""A line to a machine that may be paused: each call wakes it first.

A machine has one connection at a time, and a new one after every pause. A call belongs to the
connection that it was opened on; asked why that ended, this line tells a pause from a broken
machine, and never lets an old call break a new connection.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from forge.errors import ForgeError, SandboxError, SandboxPaused, SandboxUnresponsive
from forge.sandbox.agent import answers
from forge.sandbox.agent.connection import Connection
from forge_guest.wire.channel import Stream, StreamReset


def paused() -> SandboxPaused:
    """The error of a call that a pause ended."""
    return SandboxPaused("the machine was paused while the call was under way")


class WakingLine:
    """See `forge.sandbox.agent.call.Line`.

    Args:
        awake: the machine's connection, once it runs; raises the error to show where it cannot.
        now: its connection at this moment, or None while there is none.
        over: why the machine has ended for good, or None.
        max_output: how many bytes one call may show; 0: no limit.
    """

    def __init__(
        self,
        awake: Callable[[], Awaitable[Connection]],
        now: Callable[[], Connection | None],
        over: Callable[[], SandboxError | None],
        max_output: int = 0,
    ) -> None:
        self.max_output = max_output
        self._awake = awake
        self._now = now
        self._over = over

    async def open(self, request: dict[str, Any], *, fin: bool) -> Stream:
        """See `Line.open`."""
        connection = await self._awake()
        return await connection.open(request, fin=fin)

    def lasting(self) -> AbstractContextManager[None]:
        """See `Line.lasting`."""
        connection = self._now()
        return nullcontext() if connection is None else connection.lasting()

    def gone(self) -> SandboxError:
        """See `Line.gone`."""
        connection = self._now()
        if connection is None:
            return self._over() or paused()
        return paused() if connection.alive and not connection.ended else connection.gone()

    def overdue(self, verb: str, deadline_s: float) -> SandboxError:
        """See `Line.overdue`."""
        connection = self._now()
        if connection is None:
            why = f"the machine did not wake for {verb} within {deadline_s:.0f} s"
            return self._over() or SandboxUnresponsive(why)
        return connection.overdue(verb, deadline_s)

    def violated(self, why: str) -> SandboxError:
        """See `Line.violated`."""
        connection = self._now()
        return (self._over() or paused()) if connection is None else connection.violated(why)

    def refused(self, reset: StreamReset) -> ForgeError:
        """See `Line.refused`."""
        return answers.refusal(reset)
