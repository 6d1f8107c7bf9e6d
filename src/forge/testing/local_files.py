"""The files of a sandbox without walls: one folder of this host. For tests alone."""

import errno
import io
import os
import shutil
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from forge.errors import FileNotFound, GuestRefused, QuotaExceeded
from forge.sandbox.base import SandboxFacts
from forge.sandbox.files import HOME, FileInfo


class Folder(Protocol):
    """The machine that the folder belongs to."""

    facts: SandboxFacts
    home: Path
    room: int

    def check(self) -> None:
        """Refuse what comes after the end."""

    def host_path(self, path: str) -> Path:
        """Where a path of the machine is on this host."""


@contextmanager
def _as_refused(path: str, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GuestRefused(f"{path[:200]} cannot be {what}: {error.strerror}.") from error


class LocalFiles:
    """Files of one folder. The machine says where a path is, and how much room there is."""

    def __init__(self, machine: Folder) -> None:
        self._machine = machine

    async def write(self, path: str, content: AsyncIterator[bytes]) -> int:
        """See `forge.sandbox.files.Files.write`."""
        self._machine.check()
        target = self._machine.host_path(path)
        parts = [part async for part in content]
        size = sum(map(len, parts))
        if size > self._machine.room:
            raise QuotaExceeded(f"{size} bytes do not fit on a disk of {self._machine.room} bytes.")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{self._machine.facts.id}.partial")
            partial.write_bytes(b"".join(parts))
            partial.replace(target)
        except OSError as error:
            raise GuestRefused(f"{path[:200]} cannot be written: {error.strerror}.") from error
        return size

    async def read(self, path: str, *, limit: int | None = None) -> AsyncIterator[bytes]:
        """See `forge.sandbox.files.Files.read`."""
        self._machine.check()
        source = self._machine.host_path(path)
        if not source.exists():
            raise FileNotFound(f"There is no file {path[:200]}.")
        if not source.is_file() or (limit is not None and source.stat().st_size > limit):
            raise GuestRefused(f"{path[:200]} is no regular file of at most {limit} bytes.")
        yield source.read_bytes()

    async def list(self, path: str, *, depth: int = 1) -> tuple[FileInfo, ...]:
        """See `forge.sandbox.files.Files.list`."""
        self._machine.check()
        folder = self._machine.host_path(path)
        if not folder.exists():
            raise FileNotFound(f"There is no folder {path[:200]}.")
        if not folder.is_dir():
            raise GuestRefused(f"{path[:200]} is not a folder.")
        found = [
            self._info(e) for e in folder.rglob("*") if len(e.relative_to(folder).parts) <= depth
        ]
        return tuple(sorted(found, key=lambda info: info.path))

    async def stat(self, path: str) -> FileInfo:
        """See `forge.sandbox.files.Files.stat`."""
        self._machine.check()
        entry = self._machine.host_path(path)
        if not os.path.lexists(entry):
            raise FileNotFound(f"There is no file {path[:200]}.")
        return self._info(entry)

    async def make(self, path: str) -> bool:
        """See `forge.sandbox.files.Files.make`."""
        self._machine.check()
        folder = self._machine.host_path(path)
        if folder.is_dir():
            return False
        with _as_refused(path, "made"):
            folder.mkdir(parents=True)
        return True

    async def move(self, source: str, target: str) -> None:
        """See `forge.sandbox.files.Files.move`."""
        await self.stat(source)
        there = self._machine.host_path(target)
        with _as_refused(target, "made"):
            there.parent.mkdir(parents=True, exist_ok=True)
            self._machine.host_path(source).replace(there)

    async def remove(self, path: str) -> bool:
        """See `forge.sandbox.files.Files.remove`."""
        self._machine.check()
        entry = self._machine.host_path(path)
        if not os.path.lexists(entry):
            return False
        with _as_refused(path, "removed"):
            if entry == self._machine.home:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        return True

    async def pack(self, path: str) -> AsyncIterator[bytes]:
        """See `forge.sandbox.files.Files.pack`."""
        await self.stat(path)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            archive.add(self._machine.host_path(path), arcname=".")
        yield packed.getvalue()

    def _info(self, entry: Path) -> FileInfo:
        facts = entry.lstat()
        kind = "symlink" if entry.is_symlink() else "directory" if entry.is_dir() else "file"
        return FileInfo(
            path=f"{HOME}/{entry.relative_to(self._machine.home)}",
            kind=kind,  # type: ignore[arg-type]  # one of the three words above
            size=facts.st_size,
            mode=facts.st_mode & 0o7777,
            modified=facts.st_mtime,
        )
