"""The verbs of a person's files, under that person's own rights.

Every path is resolved by the kernel below the template's root (`openat2`, `RESOLVE_IN_ROOT`), with
the person's user id in effect, so no symlink or race leads to the agent's own root, and nothing is
read or written that the person could not. What takes long is done by a job (`jobs`), in a process
of its own; the rest is done here in steps of a few milliseconds, so nobody else waits.
"""

import asyncio
import contextlib
import errno
import itertools
import json
import os
import stat
from collections.abc import Iterator
from typing import Any

from forge_guest.archives import pack, temporary_name, unpack
from forge_guest.jobs import CONTENT, Jobs, Work, refusal
from forge_guest.linux import open_in_root
from forge_guest.mounts import GID, HOME, ROOT, UID
from forge_guest.processes import Reaper
from forge_guest.refusal import Refused, Verb
from forge_guest.removing import remove
from forge_guest.tree import ATTRIBUTE, MAX_ENTRIES, Names, facts, walk
from forge_guest.watching import watch
from forge_guest.wire.channel import CHUNK, Stream
from forge_guest.wire.session import Data

MAX_PATH = 4096
_MAX_LISTING = 60 * 1024 * 1024
_MAX_DEPTH = 100
_STEP = 50  # entries of a listing, about 10 ms under emulation
_UNSIZED = 64 * 1024 * 1024  # of a file that says it is empty and is not, as in /proc
_FOLDER = os.O_RDONLY | os.O_DIRECTORY


@contextlib.contextmanager
def as_person() -> Iterator[None]:
    """Take on the person's user id. Nothing may be awaited inside."""
    os.setegid(GID)
    os.seteuid(UID)
    try:
        yield
    except OSError as error:
        raise refusal(error) from error
    finally:
        os.seteuid(0)
        os.setegid(0)


class Files:
    """Answers the verbs; owns a descriptor of the template's root."""

    def __init__(self, reaper: Reaper) -> None:
        self._root = os.open(ROOT, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._jobs = Jobs(reaper)

    def verbs(self) -> dict[str, Verb]:
        """What is answered here."""
        return {
            "write": self.write,
            "read": self.read,
            "stat": self.stat,
            "list": self.list,
            "make": self.make,
            "move": self.move,
            "remove": self.remove,
            "watch": self.watch,
            "pack": self.pack,
            "unpack": self.unpack,
        }

    async def write(self, stream: Stream) -> None:
        """Write a file whole or not at all.

        Raises:
            Refused: it cannot be written, or does not fit.
        """
        with as_person():
            parent, name = self._place(_path(stream.request["path"]), make=True)
        try:
            size = await _receive_into(parent, name, stream)
        finally:
            os.close(parent)
        await stream.message({"size": size}, fin=True)

    async def read(self, stream: Stream) -> None:
        """Send a regular file's content: as much as it held when it was opened.

        Raises:
            Refused: there is none, or it is larger than the request's limit.
        """
        path, limit = _path(stream.request["path"]), stream.request.get("limit")
        with as_person():
            # Without O_NONBLOCK, opening a FIFO would stop the agent.
            fd = open_in_root(self._root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise Refused("refused", "it is not a regular file")
            if limit is not None and found.st_size > int(limit):
                raise Refused("refused", f"it has {found.st_size} bytes; the limit is {limit}")
            await stream.message({"size": found.st_size})
            left = found.st_size or (_UNSIZED if limit is None else int(limit))
            while left and (data := os.read(fd, min(CHUNK, left))):
                left -= len(data)
                await stream.send(CONTENT, data)
        finally:
            os.close(fd)
        await stream.message({}, fin=True)

    async def stat(self, stream: Stream) -> None:
        """Say what is true of one file, folder or symlink.

        Raises:
            Refused: it is not there.
        """
        path = _path(stream.request["path"])
        with as_person():
            names = Names(self._root)
            if _names_nothing(path):
                parent, name = open_in_root(self._root, path, os.O_PATH | os.O_DIRECTORY), b"."
            else:
                parent, name = self._place(path, make=False)
            try:
                found = facts(parent, name, path.rstrip(b"/") or b"/", names)
            finally:
                os.close(parent)
        await stream.message({"entry": found}, fin=True)

    async def list(self, stream: Stream) -> None:
        """Send a folder's entries, one JSON object a line.

        Raises:
            Refused: it is not there, not a folder, or holds too many.
        """
        path, depth = _path(stream.request["path"]), int(stream.request["depth"])
        lines: list[bytes] = []
        size = 0
        with as_person():
            fd = open_in_root(self._root, path, _FOLDER)
            names = Names(self._root)
        try:
            found = walk(fd, path.rstrip(b"/"), min(depth, _MAX_DEPTH), names)
            while True:
                with as_person():
                    some = [json.dumps(entry).encode() + b"\n" for entry in _some(found)]
                if not some:
                    break
                lines += some
                size += sum(map(len, some))
                if len(lines) > MAX_ENTRIES or size > _MAX_LISTING:
                    raise Refused("refused", f"it holds more than {MAX_ENTRIES} entries")
                await asyncio.sleep(0)
        finally:
            os.close(fd)
        await stream.send(CONTENT, b"".join(lines))
        await stream.message({"count": len(lines)}, fin=True)

    async def make(self, stream: Stream) -> None:
        """Make a folder, and those it needs; says whether it was missing.

        Raises:
            Refused: a file is in the way, or the disk is full.
        """
        with as_person():
            fd, made = self._make_folders(_path(stream.request["path"]))
        os.close(fd)
        await stream.message({"made": made}, fin=True)

    async def move(self, stream: Stream) -> None:
        """Give a file or folder another name, making the folders that needs.

        Raises:
            Refused: it is not there, or cannot be there.
        """
        source, target = _path(stream.request["path"]), _path(stream.request["target"])
        with as_person():
            old, old_name = self._place(source, make=False)
            try:
                os.lstat(old_name, dir_fd=old)
                new, new_name = self._place(target, make=True)
                try:
                    _rename(old, old_name, new, new_name)
                finally:
                    os.close(new)
            finally:
                os.close(old)
        await stream.message({"moved": True}, fin=True)

    async def remove(self, stream: Stream) -> None:
        """Remove a file, or a folder with all that is in it; says whether it was there.

        Raises:
            Refused: something cannot be removed; what came before is gone.
        """
        path = _path(stream.request["path"])
        if _names_nothing(path):
            raise Refused("refused", "the path names no file")
        removed = True
        try:
            with as_person():
                parent, name = self._place(path, make=False)
                try:
                    quickly = _remove_quickly(parent, name)
                    base = parent if quickly else os.dup(parent)
                finally:
                    os.close(parent)
            if not quickly:
                await self._job(stream, base, lambda fd, _, __: remove(fd, name))
        except Refused as refused:
            if refused.code != "not_found":
                raise
            removed = False
        await stream.message({"removed": removed}, fin=True)

    async def watch(self, stream: Stream) -> None:
        """Tell what happens in a folder until it has gone or the host gives up.

        Raises:
            Refused: it is not there, not a folder, or holds too many of them.
        """
        path, recursive = _path(stream.request["path"]), bool(stream.request["recursive"])
        os.close(self._open(path, _FOLDER))
        # The job opens it itself: the kernel tells of a folder's end once nobody holds it.
        shown, root = path.rstrip(b"/"), os.dup(self._root)
        final = await self._job(
            stream, root, lambda _, __, sink: watch(sink, shown, recursive=recursive)
        )
        await stream.message(final, fin=True)

    async def pack(self, stream: Stream) -> None:
        """Send a folder's content, or a file, as a tar archive.

        Raises:
            Refused: it is not there, or neither a folder nor a regular file.
        """
        path = _path(stream.request["path"])
        base = self._open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        mode = os.fstat(base).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            os.close(base)
            raise Refused("refused", "it is neither a folder nor a regular file")
        name = os.path.basename(path)
        final = await self._job(stream, base, lambda fd, _, sink: pack(fd, sink, name))
        await stream.message(final, fin=True)

    async def unpack(self, stream: Stream) -> None:
        """Read a tar archive into a folder, which is made where it is missing.

        Raises:
            Refused: the archive may not be unpacked, or does not fit; earlier entries are kept.
        """
        with as_person():
            base, _ = self._make_folders(_path(stream.request["path"]))
        final = await self._job(stream, base, lambda fd, source, _: unpack(fd, source))
        await stream.message(final, fin=True)

    # -- paths -----------------------------------------------------------------------------------

    async def _job(self, stream: Stream, base: int, work: Work) -> dict[str, Any]:
        """Do a job with an open file, which is closed here whatever happens."""
        try:
            return await self._jobs.run(stream, work, base)
        finally:
            os.close(base)

    def _open(self, path: bytes, flags: int) -> int:
        with as_person():
            return open_in_root(self._root, path, flags)

    def _place(self, path: bytes, *, make: bool) -> tuple[int, bytes]:
        """The open folder of a path's last part, and that; the caller closes the folder."""
        folder, name = os.path.split(path)
        if _names_nothing(path):
            raise Refused("refused", "the path names no file")
        if make:
            return self._make_folders(folder)[0], name
        return open_in_root(self._root, folder, os.O_PATH | os.O_DIRECTORY), name

    def _make_folders(self, folder: bytes) -> tuple[int, bool]:
        """Open a folder, making what is missing of it, and whether anything was."""
        done = b"/"
        made = False
        fd = open_in_root(self._root, done, os.O_PATH | os.O_DIRECTORY)
        try:
            for part in folder.split(b"/"):
                if part in (b"", b"."):
                    continue
                done = os.path.join(done, part)
                try:
                    following = open_in_root(self._root, done, os.O_PATH | os.O_DIRECTORY)
                except FileNotFoundError:
                    os.mkdir(part, 0o755, dir_fd=fd)
                    made = True
                    following = open_in_root(self._root, done, os.O_PATH | os.O_DIRECTORY)
                os.dup2(following, fd, inheritable=False)
                os.close(following)
        except BaseException:
            os.close(fd)
            raise
        return fd, made


async def _receive_into(parent: int, name: bytes, stream: Stream) -> int:
    with as_person():
        mode = _mode_of(parent, name)
        temporary = temporary_name(replaces=mode is not None)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600, dir_fd=parent)
    kept = False
    asked = stream.request.get("mode")
    try:
        size = await _receive(fd, stream)
        with as_person():
            for key, value in dict(stream.request.get("metadata") or {}).items():
                os.setxattr(fd, ATTRIBUTE + str(key), str(value).encode())
            os.fchmod(fd, (int(asked) if asked is not None else mode or 0o644) & 0o777)
            # Delayed allocation reports a full disk only here.
            os.fsync(fd)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        kept = True
    finally:
        os.close(fd)
        if not kept:
            with contextlib.suppress(Refused), as_person():
                os.unlink(temporary, dir_fd=parent)
    return size


def _mode_of(parent: int, name: bytes) -> int | None:
    """The mode of what is there already: a script that is written anew is still a program."""
    try:
        found = os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        return None
    return stat.S_IMODE(found.st_mode) if stat.S_ISREG(found.st_mode) else 0o644


async def _receive(fd: int, stream: Stream) -> int:
    size = 0
    try:
        while (item := await stream.receive()) is not None:
            if isinstance(item, Data):
                view = memoryview(item.data)
                # Whether the person may write here was decided when it was opened.
                while view:
                    view = view[os.write(fd, view) :]
                size += len(item.data)
    except OSError as error:
        raise refusal(error) from error
    return size


def _path(path: object) -> bytes:
    full = os.path.join(os.fsencode(HOME), os.fsencode(str(path)))
    if b"\0" in full or len(full) > MAX_PATH:
        raise Refused("refused", "the path is malformed")
    # `..` stays: only the kernel knows what it means behind a symlink.
    return b"/" + b"/".join(part for part in full.split(b"/") if part not in (b"", b"."))


def _names_nothing(path: bytes) -> bool:
    return os.path.basename(path) in (b"", b"..")


def _some(found: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return itertools.islice(found, _STEP)


def _rename(old: int, old_name: bytes, new: int, new_name: bytes) -> None:
    try:
        os.rename(old_name, new_name, src_dir_fd=old, dst_dir_fd=new)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise Refused("refused", "that is another file system; copy it there") from error
        raise


def _remove_quickly(parent: int, name: bytes) -> bool:
    """Remove what takes one call; whether that was done."""
    try:
        if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
            os.unlink(name, dir_fd=parent)
        else:
            os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return False
    return True
