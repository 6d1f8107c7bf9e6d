"""Any file descriptor as a byte transport: a host's socket, a guest's serial port, two pipes.

A serial port gives at most a page at a time and takes at most 32 KiB, and under emulation each call
of the kernel is dear. So one call asks for many pages, and one offers many pieces of that size: the
kernel goes on from piece to piece as long as each is filled or taken whole. What was not taken is
kept as it is, never copied together.
"""

import asyncio
import os
from collections import deque

_PAGE = 4096
_PAGES = 16
_TAKEN = 32 * 1024
_OFFERED = 16  # pieces at once
_HIGH_WATER = 256 * 1024


class FdTransport:
    """Owns a descriptor that can be read, written and polled; it is made non-blocking.

    Args:
        fd: the descriptor; closed by `close`.
        out: another one for writing, where `fd` is for reading alone; closed too.
    """

    def __init__(self, fd: int, out: int | None = None) -> None:
        self._fd = fd
        self._out = fd if out is None else out
        for each in (self._fd, self._out):
            os.set_blocking(each, False)
        self._loop = asyncio.get_running_loop()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._waiting: deque[memoryview] = deque()
        self._unsent = 0
        self._space = memoryview(bytearray(_PAGE * _PAGES))
        self._pages = [self._space[at : at + _PAGE] for at in range(0, _PAGE * _PAGES, _PAGE)]
        self._loop.add_reader(self._fd, self._readable.set)

    async def read(self) -> bytes:
        """Some bytes; b'' once the other side has gone."""
        while self._fd >= 0:
            try:
                return bytes(self._space[: os.readv(self._fd, self._pages)])
            except BlockingIOError:
                self._readable.clear()
            except ConnectionError:
                break
            await self._readable.wait()
        return b""

    def write(self, data: bytes) -> None:
        """Send now what fits, and keep the rest; after the end, nothing is sent."""
        if self._fd < 0 or not data:
            return
        self._waiting.append(memoryview(data))
        self._unsent += len(data)
        if len(self._waiting) == 1:
            self._sent(self._try())
            if self._waiting:
                self._loop.add_writer(self._out, self._flush)
        if self._unsent > _HIGH_WATER:
            self._writable.clear()

    def discard(self) -> None:
        """Drop what was kept because it did not fit."""
        self._waiting.clear()
        self._unsent = 0
        self._loop.remove_writer(self._out)
        self._writable.set()

    async def drain(self) -> None:
        """Wait until little is left unsent."""
        await self._writable.wait()

    def close(self) -> None:
        """Give the descriptor back; calling it again does nothing."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self.discard()
            for each in {self._fd, self._out}:
                os.close(each)
            self._fd = self._out = -1
            self._readable.set()

    def _flush(self) -> None:
        self._sent(self._try())
        if not self._waiting:
            self._loop.remove_writer(self._out)
        if self._unsent <= _HIGH_WATER:
            self._writable.set()

    def _try(self) -> int:
        try:
            return os.writev(self._out, self._pieces())
        except BlockingIOError:
            return 0
        except ConnectionError:
            return self._unsent  # the reader learns of the end; what was under way is lost anyway

    def _pieces(self) -> list[memoryview]:
        pieces: list[memoryview] = []
        for view in self._waiting:
            for start in range(0, len(view), _TAKEN):
                pieces.append(view[start : start + _TAKEN])
                if len(pieces) == _OFFERED:
                    return pieces
        return pieces

    def _sent(self, size: int) -> None:
        self._unsent -= size
        while size:
            first = self._waiting[0]
            if size < len(first):
                self._waiting[0] = first[size:]
                return
            size -= len(first)
            self._waiting.popleft()
