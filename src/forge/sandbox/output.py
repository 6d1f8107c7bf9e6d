"""What a machine shows while it works: bytes that were printed, and rich displays.

A `Sink` takes them one by one, in order. While it waits the guest waits too (flow control), so
output without end neither fills the host's memory nor holds up another call.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

StreamName = Literal["stdout", "stderr"]
DisplayChange = Literal["new", "update", "clear"]
MimeBundle = dict[str, str]
"""Jupyter's MIME bundle. Text types are text, binary types base64, JSON types JSON text."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a command or code printed, as raw bytes.

    `dropped` is a mark: that many bytes of older output, of both streams, are no longer there.
    """

    stream: StreamName
    data: bytes
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Display:
    """A rich result that code displayed, in order with its output. `main`: it is the value of the
    cell's last expression, not something that the cell asked to be shown.

    `id` is the code's own name for it, at most 128 characters of anything, or empty. `change` says
    what it is to what came before: one more (`new`), the content that now belongs in the place of
    the displays of its id (`update`), or, with no data, that what the cell has shown may go
    (`clear`). Whoever shows them may heed that or not: each arrives once, and none is taken back.
    """

    data: MimeBundle
    main: bool = False
    id: str = ""
    change: DisplayChange = "new"


Sink = Callable[[Output | Display], Awaitable[None]]
"""Where live output goes. While a sink waits, the guest's output waits too (flow control)."""
