"""What a process printed and whoever listens: the last of it is kept, older output is forgotten.

    forgotten ──┬── kept ───────────────────────┬── not printed yet
              first     ▲ each listener's place  end

A tape has room while its slowest listener is near its end. With nobody listening there is always
room: the oldest is forgotten. Places are counts of bytes, of all lanes together, from the first.

A `Shelf` bounds all tapes together: where they hold too much, those that ended first forget theirs.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

KEPT = 1024 * 1024
"""Bytes of a background process's output that wait for whoever attaches."""

SHELF = 32 * 1024 * 1024
"""Bytes that all tapes hold together; what listeners have not heard yet comes on top."""

_AHEAD = 128 * 1024  # bytes that a process may be ahead of its slowest listener
_PIECE = 32 * 1024
_OVERHEAD = 128  # bytes that a piece takes beside its content, so that tiny ones are paid for


class Listener:
    """Someone's place on a tape, in bytes; `piece` and `offset` are the same place."""

    def __init__(self, place: int, piece: int) -> None:
        self.place = place
        self.piece = piece
        self.offset = 0
        self.news = asyncio.Event()


class Tape:
    """One process's output."""

    def __init__(self, shelf: "Shelf", kept: int) -> None:
        self._shelf = shelf
        self._kept = kept
        self._pieces: deque[tuple[int, bytearray]] = deque()
        self._listeners: set[Listener] = set()
        self._first = 0
        self._first_piece = 0
        self._end = 0
        self.size = 0

    @property
    def forgotten(self) -> int:
        """How many bytes are no longer there."""
        return self._first

    def room(self) -> bool:
        """Whether the process may print more."""
        return all(self._end - each.place < _AHEAD for each in self._listeners)

    def add(self, lane: int, data: bytes) -> None:
        """Keep what was printed."""
        before = self.size
        if self._pieces and self._pieces[-1][0] == lane and len(self._pieces[-1][1]) < _PIECE:
            self._pieces[-1][1].extend(data)
        else:
            self._pieces.append((lane, bytearray(data)))
            self.size += _OVERHEAD
        self._end += len(data)
        self.size += len(data)
        self._shelf.size += self.size - before
        while self.size > self._kept and self.forget():
            continue
        self._shelf.tidy()
        self.tell()

    def tell(self) -> None:
        """Wake every listener."""
        for each in self._listeners:
            each.news.set()

    def forget(self) -> bool:
        """Drop the oldest piece that every listener has heard; whether there was one."""
        if not self._pieces:
            return False
        length = len(self._pieces[0][1])
        if any(each.place < self._first + length for each in self._listeners):
            return False
        self._pieces.popleft()
        self._first += length
        self._first_piece += 1
        self.size -= length + _OVERHEAD
        self._shelf.size -= length + _OVERHEAD
        return True

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """A place at the oldest that is kept, until the block ends."""
        listener = Listener(self._first, self._first_piece)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            while self.size > self._kept and self.forget():
                continue

    def hear(self, listener: Listener) -> tuple[int, bytes] | None:
        """The next piece for a listener, which moves on; None where it has heard all."""
        if listener.piece < self._first_piece:
            listener.piece, listener.offset = self._first_piece, 0
        index = listener.piece - self._first_piece
        if index + 1 < len(self._pieces) and listener.offset == len(self._pieces[index][1]):
            index += 1
            listener.piece, listener.offset = listener.piece + 1, 0
        if index >= len(self._pieces):
            return None
        lane, piece = self._pieces[index]
        data = bytes(piece[listener.offset :])
        if not data:
            return None
        listener.offset += len(data)
        listener.place += len(data)
        return lane, data

    def leave(self) -> None:
        """Leave the shelf: nobody new will listen."""
        self._shelf.size -= self.size
        self._shelf = Shelf()
        self._shelf.size = self.size


class Shelf:
    """All tapes, those of processes that ended first."""

    def __init__(self) -> None:
        self.size = 0
        self._ended: deque[Tape] = deque()
        self._running: set[Tape] = set()

    def new(self, kept: int) -> Tape:
        """A tape for a process that starts."""
        tape = Tape(self, kept)
        self._running.add(tape)
        return tape

    def ended(self, tape: Tape) -> None:
        """Its process has ended; it is the first to forget from now on."""
        self._running.discard(tape)
        self._ended.append(tape)

    def remove(self, tape: Tape) -> None:
        """Nobody will ask for this tape any more."""
        if tape in self._ended:
            self._ended.remove(tape)
        self._running.discard(tape)
        tape.leave()

    def tidy(self) -> None:
        """Forget until all fit; what a listener has not heard yet is never forgotten."""
        while self.size > SHELF:
            largest = sorted(self._running, key=lambda tape: -tape.size)
            if not any(tape.forget() for tape in (*self._ended, *largest)):
                return
