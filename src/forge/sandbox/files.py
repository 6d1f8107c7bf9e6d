"""The contract of a machine's files: `sandbox.files`.

Paths are paths inside the machine: absolute, or relative to `HOME`. They are text; bytes that are
not UTF-8 travel as surrogate escapes (PEP 383), in every call, listing and event. What every call
may raise beside its own is in `forge.sandbox.base`: SandboxDied, SandboxUnresponsive,
GuestViolation, SandboxStopped. Every call refuses a path that is empty, holds NUL, or is longer
than `MAX_PATH_BYTES` with `PathRefused`.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

HOME = "/home/user"
"""Where a person's files are in every machine, and where commands and code start."""

MAX_PATH_BYTES = 4096
"""Linux's own PATH_MAX."""

MAX_METADATA_BYTES = 2048
"""What a file's metadata may take in all, names and values."""

FileKind = Literal["file", "directory", "symlink", "other"]
EventKind = Literal["create", "write", "remove", "rename", "chmod", "overflow"]


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One file, folder or symlink; `path` is absolute, times are seconds since 1970.

    `owner` and `group` are names, or numbers where there are none. `target` is what a symlink says,
    `target_kind` what it leads to in the end (None: nowhere). `metadata` is what was given to
    `write`.
    """

    path: str
    kind: FileKind
    size: int
    mode: int
    modified: float
    owner: str = ""
    group: str = ""
    target: str | None = None
    target_kind: FileKind | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileEvent:
    """Something that happened in a folder that is watched; paths are absolute.

    create    it is there now: made, or moved in from elsewhere
    write     its content changed
    chmod     its mode, owner, times or attributes changed
    remove    it is gone; of the watched folder itself: nothing more will come
    rename    it is called `target` now, or (None) has left the watched folder
    overflow  more happened than could be told; what, is not known
    """

    kind: EventKind
    path: str
    folder: bool
    target: str | None = None


class Files(Protocol):
    """A machine's files, under the rights of the person who uses it."""

    async def write(
        self,
        path: str,
        content: AsyncIterator[bytes],
        *,
        mode: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        """Write a file of any size, making the folders it needs; returns its size in bytes.

        The file appears whole or not at all: it is written beside its place and renamed. Who
        watches sees it created (where it is new) and written. Without `mode` it keeps the one it
        had, or has 0o644; bits beyond 0o777 are dropped. `metadata` replaces what there was; names
        are 1 to 64 of `a-z0-9._-`.

        Raises:
            InputRefused: the metadata is too much or has an impossible name.
            GuestRefused: the machine cannot write there (a directory, no permission).
            QuotaExceeded: the disk is full; nothing of the file was kept.
        """

    def read(self, path: str, *, limit: int | None = None) -> AsyncIterator[bytes]:
        """Read a regular file in pieces, as much as it held when it was opened. The caller closes
        the iterator.

        Raises:
            FileNotFound: there is no such file.
            GuestRefused: it is not a regular file, or larger than `limit` bytes.
        """

    async def stat(self, path: str) -> FileInfo:
        """What is true of a file, folder or symlink, which is not followed.

        Raises:
            FileNotFound: there is none.
            GuestRefused: it is where the person may not look.
        """

    async def list(self, path: str, *, depth: int = 1) -> tuple[FileInfo, ...]:
        """List a folder, `depth` levels deep (at most 100), symlinks not followed; sorted by path,
        at most 10,000 entries.

        Raises:
            FileNotFound: there is no such folder.
            GuestRefused: it is not a folder, or holds too many entries.
        """

    async def make(self, path: str) -> bool:
        """Make a folder, and those it needs; False where it was there.

        Raises:
            GuestRefused: a file is in the way, or no permission.
            QuotaExceeded: the disk is full.
        """

    async def move(self, source: str, target: str) -> None:
        """Give a file, folder or symlink another name, making the folders that needs. A file in
        its place is replaced, an empty folder by a folder.

        Raises:
            FileNotFound: there is no `source`.
            GuestRefused: it cannot be there, or that is another file system.
            QuotaExceeded: the disk is full.
        """

    async def remove(self, path: str) -> bool:
        """Remove a file, symlink, or folder with all that is in it; False where there was none.

        Raises:
            GuestRefused: something cannot be removed; part of a folder may be gone by then.
        """

    def watch(
        self, path: str, *, recursive: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[FileEvent]]:
        """Watch a folder: inside the block, everything that happens in it comes as events, in
        order; `recursive`, in all folders below it too, in those made later with all they hold.

        The iterator ends when the folder itself has gone. Leaving the block ends the watch. A
        folder that cannot be read is not watched. The same `write` or `chmod` again, with nothing
        between, may be told once.

        Raises:
            FileNotFound: there is no such folder.
            GuestRefused: it is not a folder, holds more than 8,192, or too many watches are set.
        """

    def pack(self, path: str) -> AsyncIterator[bytes]:
        """A folder's content, or one file, as a tar archive (PAX). The caller closes the iterator.

        Names are relative to the folder, symlinks stay symlinks, and sparse files take no more
        than they hold. FIFOs, sockets, devices, what may not be read and what is mounted there are
        left out, and named in the last entry's PAX records `FORGE.skipped`, up to a thousand.

        Raises:
            FileNotFound: there is nothing there.
            GuestRefused: it is neither a folder nor a regular file, or cannot be read.
        """

    async def unpack(self, path: str, content: AsyncIterator[bytes]) -> int:
        """Unpack a tar archive into a folder, made where it is missing; returns how many entries.

        Files, folders, symlinks and hard links are made as the person's own, without set-id bits.
        After an error the entries before the failing one are there, each whole, and no others.

        Raises:
            ArchiveRefused: it is malformed or cut off, has too many entries, or one that leads out
                of the folder, is a device, or cannot be made.
            GuestRefused: the folder cannot be made.
            QuotaExceeded: the disk is full.
        """
