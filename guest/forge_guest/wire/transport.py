"""Any file descriptor as a byte transport: a host's socket, a guest's serial port, two pipes."""

import asyncio
import os

_READ = 64 * 1024
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
        self._pending = bytearray()
        self._loop.add_reader(self._fd, self._readable.set)

    async def read(self) -> bytes:
        """Some bytes; b'' once the other side has gone."""
        while self._fd >= 0:
            try:
                return os.read(self._fd, _READ)
            except BlockingIOError:
                self._readable.clear()
            except ConnectionError:
                break
            await self._readable.wait()
        return b""

    def write(self, data: bytes) -> None:
        """Send now what fits, and keep the rest; after the end, nothing is sent."""
        if not self._pending:
            data = data[self._try(data) :]
        if data:
            self._pending += data
            self._loop.add_writer(self._out, self._flush)
            if len(self._pending) > _HIGH_WATER:
                self._writable.clear()

    def discard(self) -> None:
        """Drop what was kept because it did not fit."""
        self._pending.clear()
        self._loop.remove_writer(self._fd)
        self._writable.set()

    async def drain(self) -> None:
        """Wait until little is left unsent."""
        await self._writable.wait()

    def close(self) -> None:
        """Give the descriptor back; calling it again does nothing."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._out)
            for each in {self._fd, self._out}:
                os.close(each)
            self._fd = self._out = -1
            self._pending.clear()
            self._readable.set()
            self._writable.set()

    def _flush(self) -> None:
        del self._pending[: self._try(bytes(self._pending[: 4 * _READ]))]
        if not self._pending:
            self._loop.remove_writer(self._out)
        if len(self._pending) <= _HIGH_WATER:
            self._writable.set()

    def _try(self, data: bytes) -> int:
        if not data or self._fd < 0:
            return len(data)
        try:
            return os.write(self._out, data)
        except BlockingIOError:
            return 0
        except ConnectionError:
            return len(data)  # the reader learns of the end; what was under way is lost either way
