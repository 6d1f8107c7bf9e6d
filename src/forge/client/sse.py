"""Server-Sent Events out of bytes, as they arrive. Pure, and bounded: what is longer is refused.

Lines end with LF, CR or CRLF; an empty one ends an event (the HTML standard, 9.2.6). Comments
keep a connection alive and say nothing.
"""

from collections.abc import Iterator
from typing import NamedTuple

from forge.errors import ServerForeign

LONGEST = 64 << 20
"""How long one event may be, in bytes: a cell's largest chart, with room."""


class Message(NamedTuple):
    """An event: its name (`message` where it has none), its id and its data."""

    name: str
    id: str
    data: str


class Parser:
    """Takes bytes and gives the events that are whole."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._rest: list[bytes] = []
        self._size = 0
        self._name, self._id = "", ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The events that this piece completes.

        Raises:
            ServerForeign: an event is longer than any that Forge sends.
        """
        held = bool(self._rest) and self._rest[-1].endswith(b"\r")
        self._size += len(chunk)
        self._rest.append(chunk)
        if held or b"\n" in chunk or b"\r" in chunk:
            text = b"".join(self._rest)
            # A CR at the end may be half of a CRLF: it waits for what comes next.
            whole = max(text.rfind(b"\n"), text.rfind(b"\r", 0, len(text) - 1)) + 1
            self._rest = [text[whole:]]
            for line in text[:whole].splitlines():
                if line:
                    self._field(line.decode(errors="replace"))
                elif (message := self._complete()) is not None:
                    yield message
        if self._size > self._longest:
            raise ServerForeign(f"The server sent an event of more than {self._longest} bytes.")

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._name = value
            case "id":
                self._id = value

    def _complete(self) -> Message | None:
        data, name = self._data, self._name or "message"
        self._data, self._name = [], ""
        self._size = sum(len(each) for each in self._rest)
        return Message(name, self._id, "\n".join(data)) if data else None
