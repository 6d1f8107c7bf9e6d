"""Files kept by what they hold: `sha256/ab/cdef…`, named by the digest of their bytes.

`Blobs` is the contract, `BlobStore` a folder, `forge.store.s3` an object store; what each must do
is in `forge.testing.blob_conformance`.

A blob appears whole or not at all: it is written beside its place, flushed to disk and renamed.
The same content is kept once. Nothing is ever changed in place, so a path handed out stays true.
What a crash left half-written is under `partial/` until `sweep` removes it.
"""

import asyncio
import errno
import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from forge.errors import FileNotFound, HostUnfit, InputRefused, LedgerCorrupt, NoSpace

_PIECE = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Blob(NamedTuple):
    """What was kept: its digest in hex and its size in bytes."""

    sha256: str
    size: int


class Blobs(Protocol):
    """Where bytes are kept by their digest: SHA-256 in lower-case hex. Whatever is named otherwise
    is refused (InputRefused). Methods raise HostUnfit, or one of its kinds, where the place cannot
    be used.
    """

    async def put(self, content: AsyncIterator[bytes], *, limit: int) -> Blob:
        """Keep `content`, at most `limit` bytes of it; the same content again changes nothing.

        Raises:
            InputRefused: it is larger than `limit`; nothing was kept.
            NoSpace: the disk is full; nothing was kept.
        """
        ...

    def get(
        self, sha256: str, *, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes from `start` on, `length` of them or to the end, in pieces. They are not
        compared with the digest. A range beyond the end is empty.

        Raises:
            FileNotFound: there is no such blob.
        """
        ...

    async def size(self, sha256: str) -> int | None:
        """How many bytes it has; None where there is no such blob."""
        ...

    async def verify(self, sha256: str) -> int:
        """Read a blob through and compare; returns its size in bytes.

        Raises:
            FileNotFound: there is no such blob.
            LedgerCorrupt: its bytes are not those it is named by.
        """
        ...

    async def delete(self, sha256: str) -> None:
        """Remove a blob; one that is not there is removed already."""
        ...

    async def check(self) -> None:
        """See that something could be kept; nothing is.

        Raises:
            NoSpace, HostUnfit: it could not.
        """
        ...


class BlobStore:
    """A folder of blobs. It holds nothing open between calls; files stay until a person removes
    them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, content: AsyncIterator[bytes], *, limit: int) -> Blob:
        """Keep `content`, at most `limit` bytes of it.

        Raises:
            InputRefused: the content is larger than `limit`; nothing was kept.
            NoSpace: the disk is full; nothing was kept.
            HostUnfit: the folder cannot be written.
        """
        try:
            file, partial = await asyncio.to_thread(self._begin)
            try:
                with file:
                    blob = await _copy(content, file, limit)
                    await asyncio.to_thread(_settle, file)
                await asyncio.to_thread(self._place, partial, blob.sha256)
            finally:
                # Gone already when it was placed.
                await asyncio.to_thread(partial.unlink, missing_ok=True)
        except OSError as error:
            raise _named(error, self._folder) from error
        return blob

    def path(self, sha256: str) -> Path:
        """Where the blob with this digest is, or would be.

        Raises:
            InputRefused: it is not a SHA-256 in lower-case hex.
        """
        if not _DIGEST.fullmatch(sha256):
            raise InputRefused(f"{sha256[:80]!r} is not a SHA-256 digest in lower-case hex.")
        return self._folder / "sha256" / sha256[:2] / sha256[2:]

    async def get(
        self, sha256: str, *, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """As in `Blobs`."""
        path = self.path(sha256)
        try:
            # Opened here: in a thread, a cancel meanwhile would leave it open and nobody's.
            with path.open("rb") as file:
                file.seek(start)
                left = path.stat().st_size if length is None else length
                while piece := await asyncio.to_thread(file.read, min(_PIECE, left)):
                    left -= len(piece)
                    yield piece
        except FileNotFoundError as error:
            raise FileNotFound(f"No blob {sha256} is kept.") from error
        except OSError as error:
            raise _named(error, self._folder) from error

    async def size(self, sha256: str) -> int | None:
        """As in `Blobs`."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    async def delete(self, sha256: str) -> None:
        """As in `Blobs`."""
        try:
            self.path(sha256).unlink(missing_ok=True)
        except OSError as error:
            raise _named(error, self._folder) from error

    async def verify(self, sha256: str) -> int:
        """As in `Blobs`."""
        path = self.path(sha256)
        try:
            found, size = await asyncio.to_thread(_digest, path)
        except FileNotFoundError as error:
            raise FileNotFound(f"No blob {sha256} is kept.") from error
        if found != sha256:
            raise LedgerCorrupt(f"The blob {sha256} holds other bytes than it is named by.")
        return size

    async def sweep(self, *, before: float) -> int:
        """Remove what crashes left half-written before then (seconds since 1970); returns how
        many files that was. A day ago is safe: nothing is written for that long.
        """
        return await asyncio.to_thread(_sweep, self._folder / "partial", before)

    async def check(self) -> None:
        """See that something can be kept, by keeping it half.

        Raises:
            NoSpace, HostUnfit: it cannot.
        """

        def try_it() -> None:
            file, partial = self._begin()
            with file:
                file.write(b"?")
            partial.unlink()

        try:
            await asyncio.to_thread(try_it)
        except OSError as error:
            raise _named(error, self._folder) from error

    def _begin(self) -> tuple[BinaryIO, Path]:
        partial = self._folder / "partial"
        partial.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=partial)
        return os.fdopen(handle, "wb"), Path(name)

    def _place(self, partial: Path, sha256: str) -> None:
        target = self.path(sha256)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial.replace(target)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


async def _copy(content: AsyncIterator[bytes], file: BinaryIO, limit: int) -> Blob:
    digest, size = hashlib.sha256(), 0
    async for chunk in content:
        size += len(chunk)
        if size > limit:
            raise InputRefused(f"The content is larger than {limit} bytes.")
        digest.update(chunk)
        await asyncio.to_thread(file.write, chunk)
    return Blob(digest.hexdigest(), size)


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), file.tell()


def _sweep(partial: Path, before: float) -> int:
    return removed(partial.iterdir() if partial.is_dir() else (), before)


def removed(files: Iterable[Path], before: float) -> int:
    """Remove those of the files that were last written before then; returns how many that was."""
    count = 0
    for file in files:
        with suppress(FileNotFoundError):  # placed, or swept by another process, meanwhile
            if file.stat().st_mtime < before:
                file.unlink()
                count += 1
    return count


def _named(error: OSError, folder: Path) -> NoSpace | HostUnfit:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"There is no space left to keep files in {folder}.")
    return HostUnfit(
        f"Files cannot be kept in {folder}: {error.strerror}.",
        hint="Check the permissions of the FORGE_HOME folder.",
    )
