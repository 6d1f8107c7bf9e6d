"""One call's output reaches the person whole, the ledger up to a limit, the model clipped."""

import asyncio
import base64
import itertools

from hypothesis import given
from hypothesis import strategies as st

from forge.events import AnyEvent, ToolDisplayed, ToolOutput
from forge.sandbox.output import Display, Output
from forge.testing.clock import FakeClock
from forge.tools.output import CallOutput, Clip, OutputLimits, shown_of


class Seen(list[AnyEvent]):
    async def emit(self, event: AnyEvent) -> None:
        await asyncio.sleep(0)
        self.append(event)

    def printed(self) -> str:
        return "".join(event.text for event in self if isinstance(event, ToolOutput))


def output_to(seen: Seen, **limits: int) -> CallOutput:
    return CallOutput(1, "c1", seen.emit, FakeClock(), OutputLimits(**limits))


@given(st.lists(st.text(max_size=30), max_size=20), st.integers(2, 40))
def test_a_clip_keeps_head_and_tail_and_counts_what_is_missing(pieces: list[str], size: int):
    """However the text was cut, the same clip comes out, and its numbers add up."""
    whole, clip = "".join(pieces), Clip(size)
    for piece in pieces:
        clip.add(piece)
    half = size // 2
    if len(whole) <= 2 * half:
        assert clip.text == whole
        return
    assert clip.text.startswith(whole[:half])
    assert clip.text.endswith(whole[-half:])
    mark = f"[clipped: {len(whole) - 2 * half} of {len(whole)} characters, head and tail kept]"
    assert mark in clip.text


@given(st.text(max_size=60), st.lists(st.integers(0, 240), max_size=8))
async def test_characters_cut_between_pieces_come_out_whole(text: str, cuts: list[int]):
    """UTF-8 is decoded across the borders of pieces."""
    data, seen = text.encode(), Seen()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    async with output_to(seen) as output:
        for start, end in itertools.pairwise(places):
            await output.sink(Output("stdout", data[start:end]))
    assert seen.printed() == output.text == text


async def test_bytes_that_are_no_text_are_replaced_and_a_cut_off_character_is_not_lost():
    """What is not UTF-8 becomes U+FFFD, also at the very end; nothing else is stripped."""
    seen = Seen()
    async with output_to(seen) as output:
        await output.sink(Output("stdout", b"\x1b[31m\xff\x00ok\r\n"))
        await output.sink(Output("stdout", "é".encode()[:1]))
    assert seen.printed() == "\x1b[31m\ufffd\x00ok\r\n\ufffd"


async def test_streams_and_displays_keep_their_order():
    """What was printed before a figure is before it, and stderr stays where it was."""
    seen = Seen()
    async with output_to(seen) as output:
        await output.sink(Output("stdout", b"a"))
        await output.sink(Output("stderr", b"b"))
        await output.sink(Display({"text/plain": "D"}))
        await output.sink(Output("stdout", b"c"))
    assert [event.type for event in seen] == [
        "tool.output", "tool.output", "tool.displayed", "tool.output",
    ]  # fmt: skip
    assert output.text == "ab\nDc"


async def test_an_updated_display_is_kept_as_one():
    """A later display says whose place it takes; that output may go changes nothing kept."""
    seen = Seen()
    async with output_to(seen) as output:
        await output.sink(Display({"text/plain": "1 of 2"}, id="bar"))
        await output.sink(Display({}, change="clear"))
        await output.sink(Display({"text/plain": "2 of 2"}, id="bar", change="update"))
    kept = [each for each in seen if isinstance(each, ToolDisplayed)]
    assert [(each.display_id, each.update) for each in kept] == [("bar", False), ("bar", True)]
    assert output.text == "1 of 2\n2 of 2"


async def test_output_without_end_is_kept_up_to_the_limit_with_one_mark():
    """After the limit one mark follows and nothing more; the model still sees the true end."""
    seen = Seen()
    async with output_to(seen, kept=1000, shown=100) as output:
        for number in range(5000):
            await output.sink(Output("stdout", b"%06d\n" % number))
        await output.sink(Display({"text/plain": "late"}))
    printed = seen.printed()
    assert printed.count("too much output") == 1
    assert len(printed) < 1100
    assert not any(isinstance(event, ToolDisplayed) for event in seen)
    assert "004999" in output.text
    assert "[clipped: " in output.text


async def test_a_figure_too_large_to_keep_is_marked():
    """A display beyond the limit is not kept, and a mark says that something is missing."""
    seen = Seen()
    async with output_to(seen, kept=1000) as output:
        await output.sink(Display({"image/png": "A" * 4000}))
    assert not any(isinstance(event, ToolDisplayed) for event in seen)
    assert "too much output" in seen.printed()


def test_a_model_is_shown_words_and_told_of_images():
    """Plain text as it is, images by type and size, other kinds only where there is no text."""
    png = base64.b64encode(b"x" * 100).decode()
    assert shown_of({"text/plain": "<Figure>", "image/png": png, "text/html": "<p>"}) == [
        "<Figure>",
        "[image/png displayed, 100 bytes]",
    ]
    assert shown_of({"text/html": "<p>"}) == ["[text/html displayed, 3 characters]"]
    assert shown_of({}) == []
