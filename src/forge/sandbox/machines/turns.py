"""How long one machine has run, and been idle: its turn, and what ends it by itself.

`Turns` watches the clock and nothing else. Whoever owns the machine says when a turn begins and
ends, and does what is due.
"""

import asyncio
from collections.abc import Awaitable, Callable

from forge.sandbox.agent.connection import Connection
from forge.sandbox.base import SandboxSpec


class Turns:
    """Watches one machine's turns; `run` is its one task.

    Args:
        spec: what was wished of the machine.
        line: its connection, or None while it is paused.
        act: does what is due: `over` where its time is, else it was idle for as long as it may.
    """

    def __init__(
        self,
        spec: SandboxSpec,
        line: Callable[[], Connection | None],
        act: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._idle_s, self._life_s = spec.idle_s, spec.lifetime_s
        self._line = line
        self._act = act
        self._awake = asyncio.Event()
        self._since = 0.0

    def begin(self) -> None:
        """The machine runs: its turn begins, or begins anew."""
        self._since = asyncio.get_running_loop().time()
        self._awake.set()

    def go_on(self) -> None:
        """It was not paused after all: its turn is the one it was."""
        self._awake.set()

    def end(self) -> None:
        """It is being paused: nothing is due until it runs again."""
        self._awake.clear()

    async def run(self) -> None:
        """Do what is due, when it is, until cancelled."""
        idle_s, life_s = self._idle_s, self._life_s
        clock = asyncio.get_running_loop().time
        while idle_s or life_s:
            await self._awake.wait()
            line = self._line()
            assert line is not None
            idle = (clock() if line.calls else max(line.quiet_since, self._since)) + idle_s
            due = [*([idle] if idle_s else []), *([self._since + life_s] if life_s else [])]
            if min(due) > clock():
                await asyncio.sleep(min(due) - clock())
            else:
                await self._act(bool(life_s) and due[-1] <= clock())
                await asyncio.sleep(0)  # an act may wait for nothing, and its end must be heard
