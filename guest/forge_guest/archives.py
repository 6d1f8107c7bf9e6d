"""The work of `pack` and `unpack`: a folder as a tar archive, and the way back.

Both run as jobs, with the person's rights. Packing never waits (a FIFO is not opened), never leaves
the file system it began in, and follows no symlink. What cannot be packed is left out and named in
the archive's last entry. A file that changes while it is read has the size it had at first.

Unpacking resolves each name below the folder by the kernel (`RESOLVE_BENEATH`), so neither `..` nor
a symlink that the archive made itself leads out. Every entry is made beside its place and renamed:
after a failure all entries before the failing one are there, whole, and nothing of the others.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from typing import Any

from forge_guest.linux import open_below, open_plain
from forge_guest.wire import tar
from forge_guest.wire.sparse import MAX_SEGMENTS, SparseBody
from forge_guest.wire.tar import ArchiveError, Body, Entry, TarReader

_PIECE = 256 * 1024
_MAX_SKIPPED = 1000
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_FULL = (errno.ENOSPC, errno.EDQUOT)


def pack(base: int, sink: int, name: bytes) -> dict[str, Any]:
    """Write an open folder's content, or an open file as `name`, as an archive; says how much.

    Raises:
        OSError: the folder cannot be read.
    """
    packer = _Packer(base, sink)
    if stat.S_ISDIR(os.fstat(base).st_mode):
        packer.folder()
    else:
        packer.file(base, name)
    packer.finish()
    return {"count": packer.count, "skipped": packer.left_out}


class _Packer:
    """One archive being written."""

    def __init__(self, base: int, sink: int) -> None:
        self._base, self._sink = base, sink
        self.count = 0
        self.left_out = 0
        self._skipped: list[bytes] = []

    def folder(self) -> None:
        """Pack everything below the base, folders before what is in them."""
        waiting = [b""]
        while waiting:
            path = waiting.pop()
            try:
                fd = open_plain(self._base, path or b".", _FOLDER)
            except OSError as error:
                self._missed(path, error)
                continue
            try:
                folders = list(self._level(fd, path))
            finally:
                os.close(fd)
            waiting += reversed(folders)

    def _level(self, fd: int, path: bytes) -> Iterator[bytes]:
        with os.scandir(fd) as found:
            names = sorted(os.fsencode(entry.name) for entry in found)
        for name in names:
            full = path + b"/" + name if path else name
            try:
                facts = os.lstat(name, dir_fd=fd)
                if self._one(fd, name, full, facts):
                    yield full
            except OSError as error:
                self._missed(full, error)

    def _one(self, fd: int, name: bytes, full: bytes, facts: os.stat_result) -> bool:
        """Pack one entry; whether it is a folder to go into."""
        mode, modified = stat.S_IMODE(facts.st_mode), facts.st_mtime
        if len(full) >= tar.MAX_PATH:
            self._leave_out(full[:200])
        elif stat.S_ISDIR(facts.st_mode):
            self._write(tar.header(Entry(full, "directory", 0, mode, modified)))
            self.count += 1
            return True
        elif stat.S_ISLNK(facts.st_mode):
            target = os.readlink(name, dir_fd=fd)
            self._write(tar.header(Entry(full, "symlink", 0, mode, modified, target)))
            self.count += 1
        elif stat.S_ISREG(facts.st_mode):
            opened = open_plain(fd, name, _FILE)
            try:
                self.file(opened, full)
            finally:
                os.close(opened)
        else:
            self._leave_out(full)
        return False

    def file(self, fd: int, name: bytes) -> None:
        """Pack one open file; what is none is left out."""
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            self._leave_out(name)
            return
        segments = [(0, facts.st_size)]
        real_size, head = None, b""
        if facts.st_blocks * 512 < facts.st_size:
            segments = _segments(fd, facts.st_size)
            real_size, head = facts.st_size, tar.sparse_map(segments)
        size = len(head) + sum(length for _, length in segments)
        mode = stat.S_IMODE(facts.st_mode)
        entry = Entry(name, "file", size, mode, facts.st_mtime, real_size=real_size)
        self._write(tar.header(entry) + head)
        for offset, length in segments:
            self._copy(fd, offset, length)
        self._write(tar.padding(size))
        self.count += 1

    def _copy(self, fd: int, offset: int, length: int) -> None:
        while length:
            data = _read_at(fd, min(_PIECE, length), offset)
            # The archive has said how long the file is; what was cut off meanwhile reads as zeros.
            data = data or bytes(min(_PIECE, length))
            self._write(data)
            offset += len(data)
            length -= len(data)

    def finish(self) -> None:
        """Name what was left out, and end the archive."""
        if self._skipped:
            last = Entry(b".", "directory", 0, 0o755, 0, skipped=tuple(self._skipped))
            self._write(tar.header(last))
        self._write(tar.END)

    def _missed(self, path: bytes, error: OSError) -> None:
        # What has gone meanwhile is simply not there.
        if not path:
            raise error
        if error.errno != errno.ENOENT:
            self._leave_out(path)

    def _leave_out(self, name: bytes) -> None:
        self.left_out += 1
        if len(self._skipped) < _MAX_SKIPPED and sum(map(len, self._skipped)) < tar.MAX_RECORD // 2:
            self._skipped.append(name)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._sink, view) :]


def _read_at(fd: int, size: int, offset: int) -> bytes:
    try:
        return os.pread(fd, size, offset)
    except OSError:
        return b""


def _segments(fd: int, size: int) -> list[tuple[int, int]]:
    """Where a file has data; beyond the most that are kept apart, the rest is one segment."""
    found: list[tuple[int, int]] = []
    start = 0
    while start < size:
        try:
            start = os.lseek(fd, start, os.SEEK_DATA)
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        except OSError:
            break  # no data follows
        if len(found) == MAX_SEGMENTS - 1:
            end = size
        if end <= start:
            break
        found.append((start, end - start))
        start = end
    return found


def unpack(base: int, source: int) -> dict[str, Any]:
    """Read an archive into an open folder; says how many entries were made.

    Raises:
        ArchiveError: it is malformed, cut off, or holds what it may not.
        OSError: it does not fit on the disk, or an entry cannot be made.
    """
    reader, placer = TarReader(), Placer(base)
    try:
        while data := os.read(source, _PIECE):
            for happening in reader.feed(data):
                placer.take(happening)
        reader.close()
    finally:
        placer.close()
    return {"count": placer.count}


class Placer:
    """Puts entries in their places, one after the other; owns what it has open."""

    def __init__(self, base: int) -> None:
        self._base = base
        self._folder: tuple[tuple[bytes, ...], int] | None = None
        self._file: _NewFile | None = None
        self.count = 0

    def take(self, happening: Entry | Body) -> None:
        """Make an entry, or write some of a file's body."""
        if isinstance(happening, Entry):
            self._entry(happening)
        elif self._file is not None:
            self._file.write(happening.data)
            if happening.last:
                with _named(self._file.entry):
                    self._file.place()
                self._file = None
                self.count += 1

    def _entry(self, entry: Entry) -> None:
        found = tar.parts(entry.name)
        if not found:
            if entry.kind != "directory":
                raise ArchiveError("an entry that would replace the folder itself")
            return
        with _named(entry):
            parent = self._parent(found[:-1])
            if entry.kind == "file":
                self._file = _NewFile(entry, parent, found[-1])
                return
            if entry.kind == "directory":
                self._make_folder(parent, found[-1], entry.mode)
            else:
                self._make_link(parent, found[-1], entry)
        self.count += 1

    def _make_folder(self, parent: int, name: bytes, mode: int) -> None:
        with contextlib.suppress(FileExistsError):
            # What comes into it must be writable for whoever unpacks.
            os.mkdir(name, mode & 0o777 | 0o700, dir_fd=parent)
        os.close(open_below(parent, name, os.O_PATH | os.O_DIRECTORY))

    def _make_link(self, parent: int, name: bytes, entry: Entry) -> None:
        temporary = _temporary(parent, name)
        if entry.kind == "symlink":
            os.symlink(entry.target, temporary, dir_fd=parent)
        else:
            *above, last = tar.parts(entry.target) or (b".",)
            folder = open_below(self._base, b"/".join(above) or b".", os.O_PATH | os.O_DIRECTORY)
            try:
                os.link(
                    last, temporary, src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False
                )
            finally:
                os.close(folder)
        _rename(parent, temporary, name)

    def _parent(self, path: tuple[bytes, ...]) -> int:
        """The folder of an entry, made where it is missing; kept open for the next one."""
        if self._folder is not None:
            if self._folder[0] == path:
                return self._folder[1]
            os.close(self._folder[1])
            self._folder = None
        fd = open_below(self._base, b".", os.O_PATH | os.O_DIRECTORY)
        try:
            fd = self._descend(fd, path)
        except BaseException:
            os.close(fd)
            raise
        self._folder = (path, fd)
        return fd

    def _descend(self, fd: int, path: tuple[bytes, ...]) -> int:
        if not path:
            return fd
        with contextlib.suppress(FileNotFoundError):
            found = open_below(self._base, b"/".join(path), os.O_PATH | os.O_DIRECTORY)
            os.close(fd)
            return found
        done = b""
        for part in path:
            done = done + b"/" + part if done else part
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=fd)
            following = open_below(self._base, done, os.O_PATH | os.O_DIRECTORY)
            os.dup2(following, fd, inheritable=False)
            os.close(following)
        return fd

    def close(self) -> None:
        """Remove what is half made."""
        if self._file is not None:
            self._file.discard()
        if self._folder is not None:
            os.close(self._folder[1])


class _NewFile:
    """A file that is being written beside its place."""

    def __init__(self, entry: Entry, parent: int, name: bytes) -> None:
        self.entry = entry
        self._name = name
        self._parent = os.dup(parent)
        self._temporary = _temporary(parent, name)
        self._offset = 0
        self._sparse = None if entry.real_size is None else SparseBody(entry.real_size)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            self._fd = os.open(self._temporary, flags, entry.mode & 0o777, dir_fd=parent)
        except OSError:
            os.close(self._parent)
            raise

    def write(self, data: bytes) -> None:
        """Write the next bytes of the body."""
        with _named(self.entry):
            if self._sparse is None:
                self._write_at(self._offset, data)
                self._offset += len(data)
                return
            for offset, piece in self._sparse.feed(data):
                self._write_at(offset, piece)

    def _write_at(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            offset += written
            view = view[written:]

    def place(self) -> None:
        """Put it where it belongs."""
        try:
            if self._sparse is not None:
                self._sparse.close()
                os.ftruncate(self._fd, self.entry.real_size or 0)
            os.fchmod(self._fd, self.entry.mode & 0o777)
            with contextlib.suppress(OverflowError):
                os.utime(self._fd, (self.entry.modified, self.entry.modified))
            _rename(self._parent, self._temporary, self._name)
        except BaseException:
            self.discard()
            raise
        self._close()

    def discard(self) -> None:
        """Remove it."""
        if self._fd >= 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._temporary, dir_fd=self._parent)
            self._close()

    def _close(self) -> None:
        os.close(self._fd)
        os.close(self._parent)
        self._fd = self._parent = -1


def temporary_name(*, replaces: bool) -> bytes:
    """A name for a file that is being written; who watches the folder sees the last step alone."""
    return (b".forge-old-" if replaces else b".forge-new-") + secrets.token_hex(8).encode()


def _temporary(parent: int, name: bytes) -> bytes:
    try:
        os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        return temporary_name(replaces=False)
    return temporary_name(replaces=True)


def _rename(parent: int, temporary: bytes, name: bytes) -> None:
    try:
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    finally:
        # It is still there after a failure, and where both names were one file already.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=parent)


@contextlib.contextmanager
def _named(entry: Entry) -> Iterator[None]:
    """Say which entry it was that could not be made."""
    try:
        yield
    except OSError as error:
        shown = ascii(entry.name[:200].decode("utf-8", "replace"))
        if error.errno in _FULL:
            raise
        if error.errno in (errno.EXDEV, errno.ELOOP):
            raise ArchiveError(f"{shown} leads out of the folder") from error
        raise ArchiveError(f"{shown} cannot be made: {error.strerror}") from error
