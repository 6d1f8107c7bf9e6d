"""Warm machines: made before they are wanted, handed out once, never taken back.

    making ──▶ warm ──▶ handed out        a person's machine from here on; the pool forgets it
                 │
                 └────▶ stopped           unwell, too old, or no longer wanted

A clone under emulation starts with none of its code translated, so a fresh machine's first answers
are slow. A warm one has answered already. What a person could tell from a fresh one is renewed when
it is handed out (`Warm.renew`), and a machine that fails at that is stopped and never seen.

One task (`run`) makes, tends and ends warm machines; `take` only picks one up. The ceiling counts
what the machines really take of this host's memory, measured as each one is warm. Which kinds are
kept is what was asked for last: a kind nobody asks for any more makes room for one that is.

Whoever opens a pool runs `run` in a task and ends it by cancelling; it stops what it holds.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from forge.clock import Clock
from forge.errors import ForgeError, SandboxError
from forge.sandbox.base import SandboxSpec

TEND_S = 30.0
"""Between two rounds. A machine left alone for minutes is slow again: its pages were put away."""

OLDEST_S = 900.0
"""A warm machine is replaced at this age, so that nothing that ages in it is ever handed out."""

_RENEW_S = 5.0  # it takes milliseconds; a machine that needs longer is no better than a fresh one
_AFTER_S = (
    0.5  # after one was handed out, before another is made: its person's first call goes first
)


class Warm(Protocol):
    """What a pool asks of a machine."""

    async def warm_up(self) -> None:
        """Do once what a person's first calls would do, and leave no trace a person could see.

        Raises:
            SandboxError: it is not well.
        """

    async def renew(self, spec: SandboxSpec) -> None:
        """Give it facts of its own, as a fresh machine gets: randomness, clock, names, environment.

        Raises:
            SandboxError: it is not well.
        """

    async def stop(self) -> None:
        """Destroy it."""

    def private_mib(self) -> int:
        """What it takes of this host's memory that it shares with nobody, in MiB."""


M = TypeVar("M", bound=Warm)


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """How much to keep warm: machines of each kind, and MiB of memory for all; 0: no pool."""

    machines: int
    ceiling_mib: int


@dataclass(slots=True)
class _Kept(Generic[M]):
    machine: M
    made: float
    mib: int


@dataclass(slots=True)
class _Shelf(Generic[M]):
    """The warm machines of one kind, the warmest last."""

    name: str
    spec: SandboxSpec
    kept: list[_Kept[M]] = field(default_factory=list)
    broken: bool = False


class Pool(Generic[M]):
    """See the module.

    Args:
        make: makes a fresh machine of a kind.
        plan: how much to keep.
        kind: the wish that stands for all wishes one machine could serve; None: this one is
            served by a fresh machine alone.
        clock: the time.
    """

    def __init__(
        self,
        make: Callable[[SandboxSpec], Awaitable[M]],
        plan: PoolPlan,
        kind: Callable[[SandboxSpec], SandboxSpec | None],
        clock: Clock,
    ) -> None:
        self._make = make
        self._plan = plan
        self._kind = kind
        self._clock = clock
        self._shelves: OrderedDict[str, _Shelf[M]] = OrderedDict()
        self._wanted = asyncio.Event()

    def want(self, spec: SandboxSpec) -> None:
        """Keep machines of this kind from now on."""
        kind = self._kind(spec)
        if kind is not None and self._plan.machines:
            name = repr(kind)
            self._shelves.setdefault(name, _Shelf(name, kind)).broken = False
            self._shelves.move_to_end(name)
            self._wanted.set()

    async def take(self, spec: SandboxSpec) -> M | None:
        """A warm machine for this wish, the caller's from here on; None where there is none.

        A machine that is not well is stopped, and the next one is tried.
        """
        self.want(spec)
        kind = self._kind(spec)
        shelf = self._shelves.get(repr(kind)) if kind is not None else None
        while shelf is not None and shelf.kept:
            machine = shelf.kept.pop().machine
            async with contextlib.AsyncExitStack() as undo:
                undo.push_async_callback(machine.stop)
                with contextlib.suppress(SandboxError, TimeoutError):
                    async with asyncio.timeout(_RENEW_S):
                        await machine.renew(spec)
                    undo.pop_all()
                    return machine
        return None

    def counts(self) -> dict[str, int]:
        """How many machines are warm, by template."""
        found: dict[str, int] = {}
        for shelf in self._shelves.values():
            if shelf.kept:
                found[shelf.spec.template] = found.get(shelf.spec.template, 0) + len(shelf.kept)
        return found

    async def run(self) -> None:
        """Make, tend and replace warm machines until cancelled; then stop those that are left."""
        tended = self._clock.monotonic()
        try:
            while True:
                await self._fill()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TEND_S):
                        await self._wanted.wait()
                        self._wanted.clear()
                        await self._clock.sleep(_AFTER_S)
                if self._clock.monotonic() - tended >= TEND_S:
                    await self._tend()
                    tended = self._clock.monotonic()
        finally:
            await asyncio.shield(self._empty())

    async def _tend(self) -> None:
        """Stop what is old or unwell, and touch the rest so that it stays quick."""
        for shelf in tuple(self._shelves.values()):
            for _ in range(len(shelf.kept)):
                if not shelf.kept:
                    break  # somebody took the rest meanwhile
                # Off the shelf while it is touched: nobody is handed a machine that is busy.
                each = shelf.kept.pop(0)
                old = self._clock.monotonic() - each.made > OLDEST_S
                if old or not await self._touched(each.machine):
                    await each.machine.stop()
                else:
                    shelf.kept.append(each)

    @staticmethod
    async def _touched(machine: M) -> bool:
        try:
            await machine.warm_up()
        except SandboxError:
            return False
        return True

    async def _fill(self) -> None:
        """Fill the shelves, what was asked for last first."""
        for shelf in reversed(tuple(self._shelves.values())):
            while self._lacks(shelf) and await self._room_for(shelf):
                try:
                    await self._shelve(shelf, await self._make(shelf.spec))
                except ForgeError:
                    # Whoever asks for such a machine next is told why, and it is tried again then.
                    shelf.broken = True

    def _lacks(self, shelf: _Shelf[M]) -> bool:
        current = self._shelves.get(shelf.name) is shelf
        return current and not shelf.broken and len(shelf.kept) < self._plan.machines

    async def _shelve(self, shelf: _Shelf[M], machine: M) -> None:
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(machine.stop)
            await machine.warm_up()
            kept = _Kept(machine, self._clock.monotonic(), machine.private_mib())
            undo.pop_all()
        shelf.kept.append(kept)

    async def _room_for(self, shelf: _Shelf[M]) -> bool:
        """Whether one more fits, after kinds that were asked for less lately gave up theirs."""
        order = list(self._shelves.values())
        older = order[: order.index(shelf)]
        while not (fits := self._fits()) and older:
            if older[0].kept:
                await older[0].kept.pop(0).machine.stop()
            else:
                del self._shelves[older.pop(0).name]
        return fits

    def _fits(self) -> bool:
        known = [each.mib for shelf in self._shelves.values() for each in shelf.kept]
        # The largest there is stands for the one to come; the first of all is always tried.
        return sum(known) + max(known, default=1) <= self._plan.ceiling_mib

    async def _empty(self) -> None:
        for shelf in self._shelves.values():
            while shelf.kept:
                await shelf.kept.pop().machine.stop()
