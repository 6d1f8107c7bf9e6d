"""Pipes between the agent and the processes it runs, read and written without blocking."""

import array
import asyncio
import fcntl
import os
import termios

_PIECE = 32 * 1024


class Reading:
    """The agent's end of a pipe that a process writes to; `ready` is set when there is more."""

    def __init__(self, fd: int, ready: asyncio.Event) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.ended = False
        self._ready = ready
        self._loop = asyncio.get_running_loop()
        self._watching = False
        self.watch()

    def watch(self) -> None:
        """Set `ready` when more arrives."""
        if not self._watching and not self.ended:
            self._watching = True
            self._loop.add_reader(self.fd, self._on_readable)

    def _on_readable(self) -> None:
        # One wake-up is enough: a reader that waits for credit must not spin the loop.
        self._loop.remove_reader(self.fd)
        self._watching = False
        self._ready.set()

    def waiting(self) -> int:
        """How many bytes can be read now."""
        count = array.array("i", [0])
        fcntl.ioctl(self.fd, termios.FIONREAD, count)
        return count[0]

    def take(self, most: int = _PIECE) -> bytes:
        """Some bytes, or b'' when there are none now or ever; `ended` tells which."""
        try:
            data = os.read(self.fd, min(most, _PIECE))
        except BlockingIOError:
            return b""
        self.ended = not data
        return data

    def close(self) -> None:
        """Give the pipe back."""
        if self.fd >= 0:
            if self._watching:
                self._loop.remove_reader(self.fd)
            os.close(self.fd)
            self.fd = -1
            self.ended = True


async def write_all(fd: int, data: bytes) -> bool:
    """Write to a process's input; False once it reads no more. `fd` does not block."""
    loop = asyncio.get_running_loop()
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            writable = asyncio.Event()
            loop.add_writer(fd, writable.set)
            try:
                await writable.wait()
            finally:
                loop.remove_writer(fd)
        except BrokenPipeError:
            return False
    return True
