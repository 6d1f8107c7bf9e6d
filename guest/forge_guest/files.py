"""The `write`, `read` and `list` verbs: a person's files, under that person's own rights.

Every path is resolved by the kernel below the template's root (`openat2`, `RESOLVE_IN_ROOT`), with
the person's user id in effect, so no symlink or race leads to the agent's own root, and nothing is
read or written that the person could not.
"""

import contextlib
import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from typing import Any

from forge_guest.linux import open_in_root
from forge_guest.mounts import GID, HOME, ROOT, UID
from forge_guest.refusal import Refused, Verb
from forge_guest.wire.channel import Stream
from forge_guest.wire.session import Data

CONTENT = 1
MAX_ENTRIES = 10_000
MAX_PATH = 4096
_PIECE = 32 * 1024

_CODES = {
    errno.ENOENT: "not_found",
    errno.ENOSPC: "quota",
    errno.EDQUOT: "quota",
}


@contextlib.contextmanager
def as_person() -> Iterator[None]:
    """Take on the person's user id. Nothing may be awaited inside."""
    os.setegid(GID)
    os.seteuid(UID)
    try:
        yield
    except OSError as error:
        raise Refused(_CODES.get(error.errno or 0, "refused"), str(error.strerror)) from error
    finally:
        os.seteuid(0)
        os.setegid(0)


class Files:
    """Answers the verbs; owns a descriptor of the template's root."""

    def __init__(self) -> None:
        self._root = os.open(ROOT, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def verbs(self) -> dict[str, Verb]:
        """What is answered here."""
        return {"write": self.write, "read": self.read, "list": self.list}

    async def write(self, stream: Stream) -> None:
        """Write a file whole or not at all.

        Raises:
            Refused: it cannot be written, or does not fit.
        """
        path = _path(stream.request)
        folder, name = os.path.split(path)
        if name in (b"", b".", b".."):
            raise Refused("refused", "the path names no file")
        with as_person():
            parent = self._make_folders(folder)
        try:
            size = await self._receive_into(parent, name, stream)
        finally:
            os.close(parent)
        await stream.message({"size": size}, fin=True)

    async def _receive_into(self, parent: int, name: bytes, stream: Stream) -> int:
        temporary = b".forge-" + secrets.token_hex(8).encode()
        with as_person():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            fd = os.open(temporary, flags, 0o644, dir_fd=parent)
        kept = False
        try:
            size = await _receive(fd, stream)
            with as_person():
                os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            kept = True
        finally:
            os.close(fd)
            if not kept:
                with contextlib.suppress(Refused), as_person():
                    os.unlink(temporary, dir_fd=parent)
        return size

    def _make_folders(self, folder: bytes) -> int:
        """Open a folder, making what is missing of it; the caller closes it."""
        done = b"/"
        fd = open_in_root(self._root, done, os.O_PATH | os.O_DIRECTORY)
        for part in folder.split(b"/"):
            if part in (b"", b"."):
                continue
            done = os.path.join(done, part)
            try:
                following = open_in_root(self._root, done, os.O_PATH | os.O_DIRECTORY)
            except FileNotFoundError:
                try:
                    os.mkdir(part, 0o755, dir_fd=fd)
                    following = open_in_root(self._root, done, os.O_PATH | os.O_DIRECTORY)
                finally:
                    os.close(fd)
            except OSError:
                os.close(fd)
                raise
            else:
                os.close(fd)
            fd = following
        return fd

    async def read(self, stream: Stream) -> None:
        """Send a regular file's content.

        Raises:
            Refused: there is none, or it is larger than the request's limit.
        """
        path, limit = _path(stream.request), int(stream.request["limit"])
        with as_person():
            # Without O_NONBLOCK, opening a FIFO would stop the agent.
            fd = open_in_root(self._root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            facts = os.fstat(fd)
            if not stat.S_ISREG(facts.st_mode):
                raise Refused("refused", "it is not a regular file")
            if facts.st_size > limit:
                raise Refused("refused", f"it has {facts.st_size} bytes; the limit is {limit}")
            await stream.message({"size": facts.st_size})
            left = limit
            while left and (data := os.read(fd, min(_PIECE, left))):
                left -= len(data)
                await stream.send(CONTENT, data)
        finally:
            os.close(fd)
        await stream.message({}, fin=True)

    async def list(self, stream: Stream) -> None:
        """Send a folder's entries, one JSON object a line.

        Raises:
            Refused: it is not there, not a folder, or holds too many.
        """
        path, depth = _path(stream.request), int(stream.request["depth"])
        entries: list[dict[str, Any]] = []
        with as_person():
            fd = open_in_root(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                _walk(fd, path.rstrip(b"/"), depth, entries)
            finally:
                os.close(fd)
        lines = b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)
        await stream.send(CONTENT, lines)
        await stream.message({"count": len(entries)}, fin=True)


async def _receive(fd: int, stream: Stream) -> int:
    size = 0
    while (item := await stream.receive()) is not None:
        if isinstance(item, Data):
            with as_person():
                view = memoryview(item.data)
                while view:
                    view = view[os.write(fd, view) :]
            size += len(item.data)
    with as_person():
        # Delayed allocation reports a full disk only here.
        os.fsync(fd)
    return size


def _path(request: dict[str, Any]) -> bytes:
    path = os.path.join(os.fsencode(HOME), os.fsencode(str(request["path"])))
    if b"\0" in path or len(path) > MAX_PATH:
        raise Refused("refused", "the path is malformed")
    # `..` stays: only the kernel knows what it means behind a symlink.
    return b"/" + b"/".join(part for part in path.split(b"/") if part not in (b"", b"."))


def _walk(fd: int, path: bytes, depth: int, entries: list[dict[str, Any]]) -> None:
    with os.scandir(fd) as found:
        names = sorted(os.fsencode(entry.name) for entry in found)
    for name in names:
        try:
            facts = os.lstat(name, dir_fd=fd)
        except FileNotFoundError:
            continue
        full = path + b"/" + name
        entries.append(
            {
                "path": os.fsdecode(full),
                "kind": _kind(facts.st_mode),
                "size": facts.st_size,
                "mode": stat.S_IMODE(facts.st_mode),
                "modified": facts.st_mtime,
            }
        )
        if len(entries) > MAX_ENTRIES:
            raise Refused("refused", f"it holds more than {MAX_ENTRIES} entries")
        if stat.S_ISDIR(facts.st_mode) and depth > 1:
            _descend(fd, name, full, depth - 1, entries)


def _descend(fd: int, name: bytes, full: bytes, depth: int, entries: list[dict[str, Any]]) -> None:
    try:
        below = os.open(
            name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd
        )
    except (PermissionError, FileNotFoundError, NotADirectoryError):
        return
    try:
        _walk(below, full, depth, entries)
    finally:
        os.close(below)


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(mode) else "other"
