"""Linux calls that Python's standard library lacks, through the C library."""

import ctypes
import errno
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_NOATIME, MS_BIND = 1, 2, 4, 32, 1024, 4096
_SYS_OPENAT2 = 437
_M_TRIM_THRESHOLD = -1
_RESOLVE_NO_XDEV, _RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS = 0x01, 0x02, 0x04
_RESOLVE_BENEATH, _RESOLVE_IN_ROOT = 0x08, 0x10
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
    return _open(root, path, (flags, mode), _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)


def open_below(base: int, path: bytes, flags: int, mode: int = 0) -> int:
    """openat2(2) below `base`: whatever would lead out of it fails instead.

    Raises:
        OSError: the kernel refused; EXDEV where the path leads out.
    """
    return _open(base, path, (flags, mode), _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)


def open_plain(base: int, path: bytes, flags: int) -> int:
    """openat2(2) below `base`, through no symlink and into no other file system.

    Raises:
        OSError: the kernel refused; ELOOP at a symlink, EXDEV where something is mounted.
    """
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_XDEV
    return _open(base, path, (flags, 0), resolve)


def _open(base: int, path: bytes, flags: tuple[int, int], resolve: int) -> int:
    how = _OPEN_HOW.pack(flags[0] | os.O_CLOEXEC, flags[1], resolve)
    number = errno.EAGAIN
    for _ in range(16):
        # The kernel asks to try again where a rename raced with the resolution.
        fd = _libc.syscall(_SYS_OPENAT2, base, path, how, len(how))
        if fd >= 0:
            return int(fd)
        number = ctypes.get_errno()
        if number != errno.EAGAIN:
            break
    raise OSError(number, os.strerror(number), os.fsdecode(path))


def inotify_open() -> int:
    """inotify_init1(2): a blocking instance.

    Raises:
        OSError: the person has too many.
    """
    return _checked(_libc.inotify_init1(os.O_CLOEXEC))


def inotify_add(inotify: int, path: bytes, mask: int) -> int:
    """inotify_add_watch(2).

    Raises:
        OSError: the kernel refused.
    """
    return _checked(_libc.inotify_add_watch(inotify, path, mask))


def inotify_remove(inotify: int, watch: int) -> None:
    """inotify_rm_watch(2); a watch that is gone already is no error."""
    _libc.inotify_rm_watch(inotify, watch)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def keep_memory(size: int) -> None:
    """Keep so many bytes that were freed, rather than give them back to the kernel at once.

    Under emulation the faults of taking pages anew for every frame cost more than moving it.
    """
    _libc.mallopt(_M_TRIM_THRESHOLD, size)
