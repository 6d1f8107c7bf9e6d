"""The virtio-serial port as a byte transport: a character device that never blocks the agent."""

import asyncio
import os

_READ = 64 * 1024
_HIGH_WATER = 256 * 1024


class PortTransport:
    """Owns the port's file descriptor.

    Args:
        path: the device, `/dev/virtio-ports/…` or `/dev/vport0p1`.
    """

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._loop = asyncio.get_running_loop()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._pending = bytearray()
        self._loop.add_reader(self._fd, self._readable.set)

    async def read(self) -> bytes:
        """Some bytes; b'' once the host has gone."""
        while True:
            try:
                return os.read(self._fd, _READ)
            except BlockingIOError:
                self._readable.clear()
            await self._readable.wait()

    def write(self, data: bytes) -> None:
        """Send now what the port takes, and keep the rest."""
        if not self._pending:
            data = data[self._try(data) :]
        if data:
            self._pending += data
            self._loop.add_writer(self._fd, self._flush)
            if len(self._pending) > _HIGH_WATER:
                self._writable.clear()

    async def drain(self) -> None:
        """Wait until little is left unsent."""
        await self._writable.wait()

    def close(self) -> None:
        """Give the port back; calling it again does nothing."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            os.close(self._fd)
            self._fd = -1
            self._readable.set()
            self._writable.set()

    def _flush(self) -> None:
        del self._pending[: self._try(bytes(self._pending[: 4 * _READ]))]
        if not self._pending:
            self._loop.remove_writer(self._fd)
        if len(self._pending) <= _HIGH_WATER:
            self._writable.set()

    def _try(self, data: bytes) -> int:
        if not data:
            return 0
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
