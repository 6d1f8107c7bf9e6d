"""Output beyond a limit: dropped on the host, counted, and said."""

from hypothesis import given
from hypothesis import strategies as st

from forge.sandbox.agent.clipping import Clipped
from forge.sandbox.output import Display, Output
from talking import Heard


async def shown(limit, *items) -> tuple[Heard, Clipped]:
    heard = Heard()
    clipped = Clipped(heard, limit)
    for item in items:
        await clipped(item)
    await clipped.finish()
    return heard, clipped


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(1, 200))
def test_no_more_than_the_limit_passes_and_nothing_is_lost_uncounted(parts, limit):
    """What passes is the beginning; the rest is in `dropped`."""
    import asyncio

    heard, clipped = asyncio.run(shown(limit, *(Output("stdout", part) for part in parts)))
    whole = b"".join(parts)
    passed = b"".join(each.data for each in heard.outputs if each.stream == "stdout")
    assert passed == whole[:limit]
    assert clipped.dropped == max(0, len(whole) - limit)
    marks = [each.data for each in heard.outputs if each.stream == "stderr"]
    assert len(marks) == (1 if clipped.dropped else 0)


async def test_a_display_goes_whole_or_not_at_all():
    """Half an image is none; and nothing that comes after a gap is shown."""
    display = Display({"text/plain": "x" * 30})
    heard, clipped = await shown(50, display, display, Output("stdout", b"y"))
    assert len(heard.displays) == 1
    assert clipped.dropped == 31
    assert "31 more were dropped" in heard.text


async def test_without_a_limit_everything_passes():
    """And there is no mark."""
    heard, clipped = await shown(0, Output("stdout", b"x" * 10_000))
    assert (len(heard.text), clipped.dropped) == (10_000, 0)
