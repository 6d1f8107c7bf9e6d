"""The pool on its own, with machines that are a few words of state."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.errors import SandboxDied, TemplateError
from forge.sandbox import pool as pool_module
from forge.sandbox.base import SandboxSpec
from forge.sandbox.pool import OLDEST_S, TEND_S, Pool, PoolPlan
from forge.testing.clock import FakeClock

BASE = SandboxSpec()
OTHER = SandboxSpec(template="other")


async def until(so: Callable[[], bool]) -> None:
    """Let other tasks have their turns until something is so."""
    for _ in range(10_000):
        if so():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never was so")


class Machine:
    """A machine that remembers what was asked of it."""

    def __init__(self, spec: SandboxSpec) -> None:
        self.spec = spec
        self.told: list[str] = []
        self.well = True

    async def warm_up(self) -> None:
        await self._do("warm")

    async def renew(self, spec: SandboxSpec) -> None:
        await self._do(f"renew {spec.template}")

    async def _do(self, what: str) -> None:
        await asyncio.sleep(0)
        assert "stop" not in self.told
        if not self.well:
            raise SandboxDied("it is not well")
        self.told.append(what)

    async def stop(self) -> None:
        self.told.append("stop")

    def private_mib(self) -> int:
        return 40


class House:
    """A pool, what it made, and its hands."""

    def __init__(self, plan: PoolPlan) -> None:
        self.made: list[Machine] = []
        self.broken: set[str] = set()
        self.clock = FakeClock()
        self.pool = Pool(self.make, plan, self.kind, self.clock)

    async def make(self, spec: SandboxSpec) -> Machine:
        await asyncio.sleep(0)
        if spec.template in self.broken:
            raise TemplateError("it cannot be made")
        self.made.append(Machine(spec))
        return self.made[-1]

    @staticmethod
    def kind(spec: SandboxSpec) -> SandboxSpec | None:
        return None if spec.template == "never" else replace(spec)

    async def until(self, **counts: int) -> None:
        """Let the pool work until so many are warm."""
        await until(lambda: self.pool.counts() == counts)

    @property
    def alive(self) -> list[Machine]:
        return [machine for machine in self.made if "stop" not in machine.told]


@contextlib.asynccontextmanager
async def house(machines: int = 2, ceiling_mib: int = 1000) -> AsyncIterator[House]:
    built = House(PoolPlan(machines, ceiling_mib))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(built.pool.run())
        try:
            yield built
        finally:
            running.cancel()
    assert built.pool.counts() == {}


async def test_what_is_asked_for_is_kept_warm_and_made_again():
    """The first wish finds nothing; the next is served, and its place is filled again."""
    async with house() as home:
        assert await home.pool.take(BASE) is None
        await home.until(base=2)
        taken = await home.pool.take(BASE)
        assert taken is not None
        assert taken.told == ["warm", "renew base"]
        await home.until(base=2)
        assert len(home.made) == 3


async def test_no_machine_is_handed_out_twice():
    """Ten wishes at once get ten machines or nothing, never the same one."""
    async with house(machines=4) as home:
        home.pool.want(BASE)
        await home.until(base=4)
        async with asyncio.TaskGroup() as tasks:
            wishes = [tasks.create_task(home.pool.take(BASE)) for _ in range(10)]
        taken = [wish.result() for wish in wishes if wish.result() is not None]
        assert len(taken) == 4
        assert len(set(map(id, taken))) == 4


async def test_a_machine_that_is_not_well_is_never_handed_out():
    """It is stopped, and the next one takes its place."""
    async with house() as home:
        home.pool.want(BASE)
        await home.until(base=2)
        home.made[1].well = False
        assert await home.pool.take(BASE) is home.made[0]
        assert home.made[1].told[-1] == "stop"


async def test_a_machine_that_does_not_answer_is_stopped(monkeypatch):
    """Checking before handing out has a deadline of its own."""
    monkeypatch.setattr(pool_module, "_RENEW_S", 0.01)
    async with house(machines=1) as home:
        home.pool.want(BASE)
        await home.until(base=1)

        async def never(_: SandboxSpec) -> None:
            await asyncio.Event().wait()

        home.made[0].renew = never  # type: ignore[method-assign]
        assert await home.pool.take(BASE) is not home.made[0]
        assert home.made[0].told[-1] == "stop"


async def test_a_wish_that_is_cancelled_leaves_no_machine_behind():
    """Nobody owns a machine whose person left while it was renewed, so it is stopped."""
    async with house(machines=1) as home:
        home.pool.want(BASE)
        await home.until(base=1)
        wish = asyncio.ensure_future(home.pool.take(BASE))
        await asyncio.sleep(0)
        wish.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wish
        assert home.made[0].told[-1] == "stop"


async def test_the_ceiling_holds_and_the_kind_asked_for_last_wins():
    """Two of the new kind fit once two of the old one are gone."""
    async with house(machines=2, ceiling_mib=100) as home:
        home.pool.want(BASE)
        await home.until(base=2)
        home.pool.want(OTHER)
        await home.until(other=2)
        assert sum(machine.private_mib() for machine in home.alive) <= 100


async def test_a_kind_that_cannot_be_made_is_not_tried_for_ever():
    """It is tried again when somebody asks again."""
    async with house() as home:
        home.broken.add("base")
        assert await home.pool.take(BASE) is None
        await home.until()
        home.broken.clear()
        assert await home.pool.take(BASE) is None
        await home.until(base=2)


async def test_a_wish_of_no_kind_is_not_kept():
    """What cannot be shared is made fresh each time."""
    async with house() as home:
        assert await home.pool.take(SandboxSpec(template="never")) is None
        assert home.pool.counts() == {}


async def test_what_is_left_alone_is_touched_and_what_is_old_is_replaced():
    """Warm machines are tended, and none grows older than the limit."""
    async with house(machines=1) as home:
        home.pool.want(BASE)
        await home.until(base=1)
        first = home.made[0]
        home.clock.advance(TEND_S)
        home.pool.want(BASE)
        await until(lambda: first.told.count("warm") == 2)
        home.clock.advance(OLDEST_S)
        home.pool.want(BASE)
        await until(lambda: "stop" in first.told)
        home.pool.want(BASE)
        await home.until(base=1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["take", "want", "tire", "wait"]), st.sampled_from([BASE, OTHER])
        ),
        max_size=30,
    )
)
def test_whatever_is_asked_nothing_is_shared_lost_or_over_the_ceiling(steps):
    """Any mix of wishes: each machine is on one shelf, with one owner, or stopped."""

    async def walk() -> None:
        async with house(machines=2, ceiling_mib=130) as home:
            owned: list[Machine] = []
            for step, spec in steps:
                if step == "take" and (machine := await home.pool.take(spec)):
                    assert machine not in owned
                    assert machine.spec == spec
                    owned.append(machine)
                elif step == "want":
                    home.pool.want(spec)
                elif step == "tire":
                    for machine in home.alive:
                        machine.well = machine in owned
                for _ in range(5):
                    await asyncio.sleep(0)
                pooled = [machine for machine in home.alive if machine not in owned]
                assert len(pooled) * 40 <= 130 + 40  # one may be on its way
        assert set(map(id, home.alive)) == set(map(id, owned))

    asyncio.run(walk())
