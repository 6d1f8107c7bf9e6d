"""The contract of a machine's files: `sandbox.files`.

Paths are paths inside the machine: absolute, or relative to `HOME`. They are text; bytes that are
not UTF-8 travel as surrogate escapes (PEP 383). What every call may raise is in
`forge.sandbox.base`.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

HOME = "/home/user"
"""Where a person's files are in every machine, and where commands and code start."""

MAX_PATH_BYTES = 4096
"""Linux's own PATH_MAX."""

FileKind = Literal["file", "directory", "symlink", "other"]


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One directory entry; `path` is absolute, times are seconds since 1970."""

    path: str
    kind: FileKind
    size: int
    mode: int
    modified: float


class Files(Protocol):
    """A machine's files, under the rights of the person who uses it."""

    async def write(self, path: str, content: AsyncIterator[bytes]) -> int:
        """Write a file, making the folders it needs; returns its size in bytes.

        The file appears whole or not at all: it is written beside its place and renamed.

        Raises:
            PathRefused: the path is empty, holds NUL, or is longer than `MAX_PATH_BYTES`.
            GuestRefused: the machine cannot write there (a directory, no permission).
            QuotaExceeded: the disk is full; nothing of the file was kept.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see `sandbox.base`.
        """

    def read(self, path: str, *, limit: int) -> AsyncIterator[bytes]:
        """Read a regular file in pieces; at most `limit` bytes. The caller closes the iterator.

        Raises:
            PathRefused: as in `write`.
            FileNotFound: there is no such file.
            GuestRefused: it is not a regular file, or larger than `limit` bytes.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see `sandbox.base`.
        """

    async def list(self, path: str, *, depth: int = 1) -> tuple[FileInfo, ...]:
        """List a folder, `depth` levels deep, symlinks not followed; sorted by path, at most
        10,000 entries.

        Raises:
            PathRefused: as in `write`.
            FileNotFound: there is no such folder.
            GuestRefused: it is not a folder, or holds too many entries.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see `sandbox.base`.
        """
