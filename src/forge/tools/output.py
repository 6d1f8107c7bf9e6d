"""One tool call's output on its way to three readers: the person, the ledger and the model.

The person and the ledger get everything as events, gathered into few (see `coalesce`), up to
`kept` characters; then one mark says so and the rest is dropped, while the guest goes on under
flow control. The model gets the head and the tail with a mark in between that says what is
missing. Bytes are read as UTF-8 across the borders of pieces; what is not UTF-8 becomes U+FFFD.
Nothing else is changed.
"""

import codecs
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from forge.clock import Clock
from forge.events import AnyEvent, ToolDisplayed, ToolOutput
from forge.sandbox.output import Display, MimeBundle
from forge.sandbox.output import Output as Printed
from forge.tools.coalesce import Coalescer

Emit = Callable[[AnyEvent], Awaitable[None]]
StreamName = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """How much of one call's output goes where, in characters, and how long small pieces wait for
    company, in seconds.
    """

    shown: int = 16_000
    kept: int = 4 << 20
    delay_s: float = 0.04


class Clip:
    """Text with its middle left out: keeps the first and the last half of `size` characters."""

    def __init__(self, size: int) -> None:
        self._half = max(1, size // 2)
        self._head = ""
        self._tail: deque[str] = deque()
        self._tail_length = 0
        self._total = 0

    def add(self, text: str) -> None:
        """Take more text."""
        self._total += len(text)
        room = self._half - len(self._head)
        if room > 0:
            self._head, text = self._head + text[:room], text[room:]
        text = text[-self._half :]
        if not text:
            return
        self._tail.append(text)
        self._tail_length += len(text)
        while self._tail_length - len(self._tail[0]) >= self._half:
            self._tail_length -= len(self._tail.popleft())

    @property
    def text(self) -> str:
        """What is kept, with a mark where something is missing."""
        tail = "".join(self._tail)[-self._half :]
        missing = self._total - len(self._head) - len(tail)
        if missing == 0:
            return self._head + tail
        mark = f"\n… [clipped: {missing} of {self._total} characters, head and tail kept] …\n"
        return self._head + mark + tail


class CallOutput:
    """The output of one call, as a context: inside it output is taken, leaving it hands over what
    is still gathered. `text` is what the model is shown.
    """

    def __init__(
        self, step: int, call_id: str, emit: Emit, clock: Clock, limits: OutputLimits
    ) -> None:
        self._step = step
        self._call_id = call_id
        self._emit = emit
        self._left = limits.kept
        self._clip = Clip(limits.shown)
        self._last = "\n"
        self._decoders = {
            name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")
        }
        self._gathered: Coalescer[StreamName] = Coalescer(
            self._printed, clock, delay_s=limits.delay_s
        )

    async def __aenter__(self) -> Self:
        await self._gathered.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                await self.finish()
        finally:
            await self._gathered.__aexit__(kind, error, trace)

    @property
    def text(self) -> str:
        """What the model is shown of it so far."""
        return self._clip.text

    async def sink(self, item: Printed | Display) -> None:
        """Take live output of a machine."""
        if isinstance(item, Display):
            await self._display(item)
        else:
            await self._take(item.stream, self._decoders[item.stream].decode(item.data))

    async def write(self, text: str, *, stream: StreamName = "stdout") -> None:
        """Take text of the tool itself."""
        await self._take(stream, text)

    async def note(self, text: str) -> None:
        """Tell the model something on a line of its own; no one else is shown it."""
        self._show(text if self._last == "\n" else f"\n{text}")

    async def finish(self) -> None:
        """Take the bytes of a character that was never completed."""
        for name in ("stdout", "stderr"):
            await self._take(name, self._decoders[name].decode(b"", final=True))

    async def _take(self, stream: StreamName, text: str) -> None:
        if not text:
            return
        self._show(text)
        if self._left > 0:
            await self._gathered.add(stream, text[: self._left])
            await self._count(len(text))

    async def _display(self, shown: Display) -> None:
        data = shown.data
        for line in shown_of(data):
            await self.note(line)
        size = sum(len(kind) + len(value) for kind, value in data.items())
        if 0 < size <= self._left:
            await self._gathered.flush()
            await self._emit(
                ToolDisplayed(
                    step=self._step,
                    call_id=self._call_id,
                    data=data,
                    display_id=shown.id,
                    update=shown.change == "update",
                )
            )
        if self._left > 0:
            await self._count(size)

    async def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            self._left = 0
            await self._gathered.add("stderr", "\n… [too much output: the rest is not kept] …\n")

    def _show(self, text: str) -> None:
        if text:
            self._clip.add(text)
            self._last = text[-1]

    async def _printed(self, stream: StreamName, text: str) -> None:
        await self._emit(
            ToolOutput(step=self._step, call_id=self._call_id, stream=stream, text=text)
        )


def shown_of(data: MimeBundle) -> list[str]:
    """What a model is told of a rich result: its plain text, and of images that they were shown."""
    lines = [data["text/plain"]] if "text/plain" in data else []
    for kind, value in data.items():
        if kind.startswith("image/"):
            size = len(value) if kind.endswith("+xml") else len(value.rstrip("=\n")) * 3 // 4
            lines.append(f"[{kind[:80]} displayed, {size} bytes]")
        elif "text/plain" not in data:
            lines.append(f"[{kind[:80]} displayed, {len(value)} characters]")
    return lines
