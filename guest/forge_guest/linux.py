"""Linux calls that Python's standard library lacks, through the C library."""

import ctypes
import errno
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_NOATIME, MS_BIND = 1, 2, 4, 32, 1024, 4096
_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_IN_ROOT = 0x02, 0x10
_OPEN_HOW = struct.Struct("=QQQ")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Put a filesystem in its place.

    Raises:
        OSError: the kernel refused.
    """
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()
    )
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {target}: {os.strerror(number)}")


def unmount(target: str) -> None:
    """Take a filesystem away.

    Raises:
        OSError: the kernel refused; it is in use, perhaps.
    """
    if _libc.umount2(target.encode(), 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unmount {target}: {os.strerror(number)}")


def open_in_root(root: int, path: bytes, flags: int, mode: int = 0) -> int:
    """openat2(2) below `root`: absolute paths, `..` and symlinks cannot lead out of it.

    Raises:
        OSError: the kernel refused.
    """
    how = _OPEN_HOW.pack(flags | os.O_CLOEXEC, mode, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    number = errno.EAGAIN
    for _ in range(16):
        # The kernel asks to try again where a rename raced with the resolution.
        fd = _libc.syscall(_SYS_OPENAT2, root, path, how, len(how))
        if fd >= 0:
            return int(fd)
        number = ctypes.get_errno()
        if number != errno.EAGAIN:
            break
    raise OSError(number, os.strerror(number), os.fsdecode(path))
