"""Small pieces become few larger ones, in order, and none waits long or is lost."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from forge.clock import SystemClock
from forge.testing.clock import FakeClock
from forge.tools.coalesce import Coalescer


class Gathered(list[tuple[str, str]]):
    async def emit(self, key: str, text: str) -> None:
        await asyncio.sleep(0)
        self.append((key, text))


class StoppedClock(FakeClock):
    """No timer of it ever ends."""

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        await asyncio.Event().wait()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.text(max_size=9)), max_size=40))
async def test_nothing_is_lost_and_the_order_is_kept(pieces: list[tuple[str, str]]):
    """Joined per run of one key, what comes out is what went in."""
    out = Gathered()
    async with Coalescer(out.emit, FakeClock(), delay_s=0.04, size=7) as gathered:
        for key, text in pieces:
            await gathered.add(key, text)

    def joined(items: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return [(key, letter) for key, text in items for letter in text]

    assert joined(out) == joined(pieces)


async def test_a_thousand_small_pieces_are_one():
    """While the timer has not run out, pieces of one kind are gathered."""
    out = Gathered()
    async with Coalescer(out.emit, StoppedClock(), delay_s=0.04) as gathered:
        for _ in range(1000):
            await gathered.add("a", "xy")
    assert out == [("a", "xy" * 1000)]


async def test_enough_text_is_handed_over_at_once():
    """Size alone is a reason, without any timer."""
    out = Gathered()
    async with Coalescer(out.emit, StoppedClock(), delay_s=0.04, size=10) as gathered:
        await gathered.add("a", "x" * 10)
        assert out == [("a", "x" * 10)]


async def test_a_lonely_piece_is_handed_over_when_its_time_is_up():
    """Nothing else has to happen for a first piece to be shown."""
    shown = asyncio.Event()

    async def emit(key: str, text: str) -> None:
        shown.set()

    async with (
        asyncio.timeout(60),
        Coalescer[str](emit, SystemClock(), delay_s=0.001) as gathered,
    ):
        await gathered.add("a", "x")
        await shown.wait()
