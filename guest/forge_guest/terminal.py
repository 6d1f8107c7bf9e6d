"""A terminal for a process: a pair of the template's own devpts, whose far end a program controls.

The agent holds the device file system itself from its start, so that what a person with root mounts
over `/dev/pts`, or puts in its place, leads the agent nowhere. It keeps a far end open as well:
a process that closes and opens its terminal in odd orders never looks like one that has ended.
"""

import fcntl
import os
import struct
import termios

from forge_guest.mounts import ROOT, UID

_TTY_GROUP = 5
_SIZE = struct.Struct("HHHH")
_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441
_CONTROL_CHARACTERS = 6


class Terminals:
    """Where terminals come from; holds the template's devpts for the agent's whole life."""

    def __init__(self) -> None:
        self._devpts = os.open(f"{ROOT}/dev/pts", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def open(self, columns: int, rows: int, *, root: bool) -> "Terminal":
        """Make a terminal of this size, owned by the person or by root.

        Raises:
            OSError: there are too many.
        """
        flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        near = os.open("ptmx", flags, dir_fd=self._devpts)
        try:
            fcntl.ioctl(near, _TIOCSPTLCK, struct.pack("i", 0))
            far = fcntl.ioctl(near, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            os.close(near)
            raise
        os.fchown(far, 0 if root else UID, _TTY_GROUP)
        terminal = Terminal(near, far)
        terminal.resize(columns, rows)
        return terminal


class Terminal:
    """One terminal; owns both its ends until `close`, which hangs it up."""

    def __init__(self, near: int, far: int) -> None:
        self.near = near
        self.far = far

    def resize(self, columns: int, rows: int) -> None:
        """Change its size; the kernel tells the processes in its foreground (`SIGWINCH`)."""
        fcntl.ioctl(self.near, termios.TIOCSWINSZ, _SIZE.pack(rows, columns, 0, 0))

    def end_of_input(self) -> bytes:
        """The character that ends input, as the program has set it."""
        characters = termios.tcgetattr(self.near)[_CONTROL_CHARACTERS]
        return bytes(characters[termios.VEOF])

    def close(self) -> None:
        """Give both ends back; calling it again does nothing."""
        for fd in (self.near, self.far):
            if fd >= 0:
                os.close(fd)
        self.near = self.far = -1
