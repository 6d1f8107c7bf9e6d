"""The work of `remove`: a whole tree, however deep or large, symlinks not followed.

Runs as a job. Names are read in portions, so memory does not grow with a folder; what lies deeper
than a few levels is first moved up, so neither do open descriptors. What somebody puts there
meanwhile is removed too, for a while.
"""

import contextlib
import errno
import itertools
import os
import stat
from typing import Any

from forge_guest.linux import open_plain
from forge_guest.refusal import Refused

_PORTION = 10_000
_DEEP = 32
_PASSES = 100
_numbers = itertools.count(1)


def remove(parent: int, name: bytes) -> dict[str, Any]:
    """Remove what is called `name` in an open folder.

    Raises:
        OSError: something cannot be removed; what came before is gone.
        Refused: somebody fills the folder faster than it empties.
    """
    facts = os.lstat(name, dir_fd=parent)
    if not stat.S_ISDIR(facts.st_mode):
        os.unlink(name, dir_fd=parent)
        return {"removed": True}
    fd = open_plain(parent, name, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for _ in range(_PASSES):
            _empty(fd, fd, 0)
            try:
                os.rmdir(name, dir_fd=parent)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
            else:
                return {"removed": True}
    finally:
        os.close(fd)
    raise Refused("refused", "it is being filled while it is removed")


def _empty(fd: int, top: int, depth: int) -> None:
    for _ in range(_PASSES):
        with os.scandir(fd) as found:
            entries = [
                (os.fsencode(entry.name), entry.is_dir(follow_symlinks=False))
                for entry in itertools.islice(found, _PORTION)
            ]
        if not entries:
            return
        for name, is_folder in entries:
            with contextlib.suppress(FileNotFoundError):
                if is_folder:
                    _remove_folder(fd, name, top, depth)
                else:
                    os.unlink(name, dir_fd=fd)


def _remove_folder(fd: int, name: bytes, top: int, depth: int) -> None:
    try:
        os.rmdir(name, dir_fd=fd)
    except NotADirectoryError:
        os.unlink(name, dir_fd=fd)
        return
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
    else:
        return
    if depth >= _DEEP:
        os.rename(name, b".forge-deep-%d" % next(_numbers), src_dir_fd=fd, dst_dir_fd=top)
        return
    below = open_plain(fd, name, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _empty(below, top, depth + 1)
    finally:
        os.close(below)
    try:
        os.rmdir(name, dir_fd=fd)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
            raise
