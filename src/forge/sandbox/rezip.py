"""A folder of a machine as a zip archive, made on the way from the tar archive that the machine
sends.

That archive is hostile. It is read as strictly as one that is unpacked here, and what goes into the
zip is what may: files and folders of plain names. Symlinks, and what the machine itself left out,
are named in a last entry instead. Holes of sparse files are filled, as the format has none, and
count. Nothing is kept on the host; memory is bounded by the reader and by `ZipLimits`.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from forge.errors import ArchiveRefused
from forge.zips import StreamedZip, ZipLimits, ZipRefused
from forge_guest.wire import tar
from forge_guest.wire.sparse import SparseBody
from forge_guest.wire.tar import ArchiveError, Body, Entry, TarReader

LEFT_OUT = "left-out.txt"
"""The entry that names what could not be taken along."""

_PIECE = 64 * 1024
_MAX_NAMED = 1000
_HINT = "Download a smaller folder, or the folder as tar."


async def rezipped(
    archive: AsyncIterator[bytes], limits: ZipLimits | None = None
) -> AsyncGenerator[bytes, None]:
    """The zip archive, in pieces. The caller closes it, and `archive`.

    Raises:
        ArchiveRefused: the machine's archive is malformed, cut off, leads out, or passes a limit.
    """
    allowed = limits or ZipLimits()
    try:
        with StreamedZip(allowed) as written:
            zipping = _Zipping(written, TarReader(4 * allowed.entries))
            async for data in archive:
                for _ in zipping.fed(data):
                    if written.waiting >= _PIECE:
                        yield written.take()
                    await asyncio.sleep(0)  # others are served between two pieces
            zipping.finish()
            yield written.take()
    except (ArchiveError, ZipRefused) as error:
        raise ArchiveRefused(f"The machine's files were refused: {error}.", hint=_HINT) from error


class _Zipping:
    """The archive, and the file in it that is being written."""

    def __init__(self, written: StreamedZip, reader: TarReader) -> None:
        self._zip, self._reader = written, reader
        self._entry: Entry | None = None
        self._sparse: SparseBody | None = None
        self._offset = 0
        self._left_out: list[bytes] = []

    def fed(self, data: bytes) -> Iterator[None]:
        """Put in what these bytes complete, yielding after each piece of work."""
        for happening in self._reader.feed(data):
            if isinstance(happening, Entry):
                self._begin(happening)
            elif self._entry is not None:
                yield from self._write(happening)
            yield

    def finish(self) -> None:
        """Name what was left out, and end the archive."""
        self._reader.close()
        if self._left_out:
            text = b"".join(name.replace(b"\n", b"?") + b"\n" for name in self._left_out)
            self._zip.begin(LEFT_OUT, size=len(text))
            self._zip.write(text)
        self._zip.finish()

    def _begin(self, entry: Entry) -> None:
        for skipped in entry.skipped:
            self._skip(skipped)
        self._entry, self._sparse, self._offset = None, None, 0
        parts = tar.parts(entry.name)
        if not parts:
            return
        name = os.fsdecode(b"/".join(parts))
        if entry.kind == "directory":
            self._zip.folder(name, modified=entry.modified)
        elif entry.kind == "file":
            size = entry.size if entry.real_size is None else entry.real_size
            self._zip.begin(
                name, size=size, modified=entry.modified, executable=bool(entry.mode & 0o100)
            )
            self._entry = entry
            self._sparse = None if entry.real_size is None else SparseBody(entry.real_size)
        else:
            self._skip(entry.name)

    def _write(self, body: Body) -> Iterator[None]:
        if self._sparse is None:
            self._zip.write(body.data)
            return
        for offset, data in self._sparse.feed(body.data):
            yield from self._hole(offset)
            self._zip.write(data)
            self._offset = offset + len(data)
            yield
        if body.last and self._entry is not None:
            self._sparse.close()
            yield from self._hole(self._entry.real_size or 0)

    def _hole(self, until: int) -> Iterator[None]:
        while self._offset < until:
            size = min(_PIECE, until - self._offset)
            self._zip.write(bytes(size))
            self._offset += size
            yield

    def _skip(self, name: bytes) -> None:
        if len(self._left_out) < _MAX_NAMED:
            self._left_out.append(name[: tar.MAX_PATH])
