"""Pipes between the agent and the processes it runs, read and written without blocking."""

import array
import asyncio
import fcntl
import os
import termios
from collections.abc import Callable

_PIECE = 32 * 1024


class Reading:
    """The agent's end of a pipe that a process writes to; `ready` is called when there is more."""

    def __init__(self, fd: int, ready: Callable[[], None]) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.ended = False
        self._ready = ready
        self._loop = asyncio.get_running_loop()
        self._watching = False
        self.watch()

    def watch(self) -> None:
        """Call `ready` once when more arrives."""
        if not self._watching and not self.ended:
            self._watching = True
            self._loop.add_reader(self.fd, self._on_readable)

    def _on_readable(self) -> None:
        # One wake-up is enough: a reader that waits for credit must not spin the loop.
        self._loop.remove_reader(self.fd)
        self._watching = False
        self._ready()

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
        except OSError:  # a terminal that was hung up
            data = b""
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


class Writing:
    """The agent's end of a pipe or terminal that a process reads from; owns the descriptor."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._ready = asyncio.Event()
        self.taken = 0

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return self._fd < 0

    async def write(self, data: bytes) -> bool:
        """Write all of it, counting in `taken`; False once nobody reads any more."""
        async with self._turn:
            view = memoryview(data)
            while view and not self.closed:
                try:
                    count = os.write(self._fd, view)
                except BlockingIOError:
                    await self._room()
                    continue
                except OSError:  # a broken pipe, or a terminal that was hung up
                    return False
                self.taken += count
                view = view[count:]
            return not view

    async def _room(self) -> None:
        fd = self._fd
        self._ready.clear()
        self._loop.add_writer(fd, self._ready.set)
        try:
            await self._ready.wait()
        finally:
            # Where it was closed meanwhile, the number may be another's by now.
            if self._fd == fd:
                self._loop.remove_writer(fd)

    def close(self) -> None:
        """Give the descriptor back; whoever waits to write learns of it."""
        if self._fd >= 0:
            self._loop.remove_writer(self._fd)
            os.close(self._fd)
            self._fd = -1
            self._ready.set()
