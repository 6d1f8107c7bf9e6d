"""A machine's files, taken onto the host: an archive that a guest made, laid out as a folder.

The archive is hostile. Names are checked part by part, every folder is opened below the one before
without following symlinks, and every file is created, never opened, so nothing outside the new
folder can be reached. Files keep their content and whether they may be run; owners, set-id bits and
times are not kept. A symlink is made only where it cannot lead out of the folder, whatever the
others are: relative, and `..` only at its beginning and not above the folder. What is not taken is
named. Memory is bounded by the reader (`forge_guest.wire.tar`), the disk by `Limits`.

All of it or nothing: it is laid out beside its place under a hidden name and renamed at the end.
"""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from forge.errors import ArchiveRefused, ForgeError, HostUnfit, NoSpace, PathRefused
from forge_guest.wire import tar
from forge_guest.wire.sparse import SparseBody
from forge_guest.wire.tar import ArchiveError, Body, Entry, TarReader

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_NAMED = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may hold: bytes of its files, holes counted, and entries."""

    size: int = 4 << 30
    entries: int = 200_000


@dataclass(frozen=True, slots=True)
class Extracted:
    """What became of an archive. `skipped` names at most a thousand of what was not taken."""

    entries: int
    size: int
    skipped: tuple[str, ...]


async def extract(
    archive: AsyncIterator[bytes], folder: Path, limits: Limits | None = None
) -> Extracted:
    """Lay a machine's archive out as `folder`, which must not be there or be empty.

    Raises:
        ArchiveRefused: it is malformed, cut off, leads out, or passes a limit; nothing was kept.
        PathRefused: something is where the folder should be.
        NoSpace, HostUnfit: the host cannot write there; nothing was kept.
    """
    partial = folder.with_name(f".forge-{secrets.token_hex(8)}.partial")
    try:
        if folder.is_symlink() or (
            folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
        ):
            raise PathRefused(f"{folder} is there already and is not an empty folder.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        try:
            extracted = await _lay_out(archive, partial, limits or Limits())
            partial.replace(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except ArchiveError as error:
        raise ArchiveRefused(f"The machine's archive was refused: {error}.") from error
    except OSError as error:
        raise _named(error, folder) from error
    return extracted


async def _lay_out(archive: AsyncIterator[bytes], partial: Path, limits: Limits) -> Extracted:
    reader = TarReader(limits.entries)
    with _Layout(partial, limits) as layout:
        async for data in archive:
            for happening in reader.feed(data):
                layout.take(happening)
        reader.close()
    return Extracted(layout.entries, layout.size, tuple(layout.skipped))


class _Layout:
    """The new folder, and the file in it that is being written; a context manager."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._limits = limits
        self._top = os.open(folder, _DIRECTORY)
        self._fd = -1
        self._offset = 0
        self._entry: Entry | None = None
        self._sparse: SparseBody | None = None
        self.entries = 0
        self.size = 0
        self.skipped: list[str] = []

    def __enter__(self) -> "_Layout":
        return self

    def __exit__(self, *_: object) -> None:
        self._close_file()
        os.close(self._top)

    def take(self, happening: Entry | Body) -> None:
        """Make an entry, or write some of a file's body."""
        if isinstance(happening, Entry):
            self._take_entry(happening)
        elif self._fd >= 0:
            self._write(happening)

    def _take_entry(self, entry: Entry) -> None:
        for name in entry.skipped:
            self._skip(name)
        parts = tar.parts(entry.name)
        if not parts:
            return
        size = entry.size if entry.real_size is None else entry.real_size
        self.size += size
        if self.size > self._limits.size:
            raise ArchiveError(f"its files have more than {self._limits.size} bytes")
        with contextlib.ExitStack() as opened:
            parent = self._parent(opened, parts[:-1])
            try:
                made = self._make(entry, parent, parts)
            except FileExistsError:
                made = False
        if made:
            self.entries += 1
        else:
            self.size -= size
            self._skip(entry.name)

    def _parent(self, opened: contextlib.ExitStack, parts: tuple[bytes, ...]) -> int:
        folder = self._top
        for part in parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=folder)
            try:
                folder = os.open(part, _DIRECTORY, dir_fd=folder)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise ArchiveError("a name that leads through a symlink or a file") from error
                raise
            opened.callback(os.close, folder)
        return folder

    def _make(self, entry: Entry, parent: int, parts: tuple[bytes, ...]) -> bool:
        """Make one entry in its open folder; False where it is not taken."""
        name = parts[-1]
        if entry.kind == "directory":
            os.mkdir(name, dir_fd=parent)
        elif entry.kind == "symlink":
            if not stays_inside(entry.target, len(parts) - 1):
                return False
            os.symlink(entry.target, name, dir_fd=parent)
        elif entry.kind == "file":
            mode = 0o777 if entry.mode & 0o100 else 0o666
            self._fd = os.open(name, _NEW, mode, dir_fd=parent)
            self._entry, self._offset = entry, 0
            self._sparse = None if entry.real_size is None else SparseBody(entry.real_size)
        else:
            return False
        return True

    def _write(self, body: Body) -> None:
        for offset, data in self._placed(body.data):
            view, at = memoryview(data), offset
            while view:
                written = os.pwrite(self._fd, view, at)
                view, at = view[written:], at + written
        if body.last:
            if self._sparse is not None and self._entry is not None:
                self._sparse.close()
                os.ftruncate(self._fd, self._entry.real_size or 0)
            self._close_file()

    def _placed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        if self._sparse is not None:
            yield from self._sparse.feed(data)
        else:
            yield self._offset, data
            self._offset += len(data)

    def _close_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _skip(self, name: bytes) -> None:
        if len(self.skipped) < _MAX_NAMED:
            self.skipped.append(os.fsdecode(name[: tar.MAX_PATH]))


def stays_inside(target: bytes, depth: int) -> bool:
    """Whether a symlink, `depth` folders below the top, can lead nowhere outside it.

    `..` after a name could climb from wherever another symlink leads; at the beginning it climbs
    from where this one stands, and every other link obeys the same rule.
    """
    if not target or target.startswith(b"/"):
        return False
    parts = [part for part in target.split(b"/") if part not in (b"", b".")]
    climbs = 0
    while climbs < len(parts) and parts[climbs] == b"..":
        climbs += 1
    return climbs <= depth and b".." not in parts[climbs:]


def _named(error: OSError, folder: Path) -> ForgeError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"There is no space left to write {folder}.")
    if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.ELOOP):
        return PathRefused(f"{folder} cannot be made: something else is there.")
    return HostUnfit(
        f"{folder} cannot be written: {error.strerror}.",
        hint="Choose a folder you may write to.",
    )
