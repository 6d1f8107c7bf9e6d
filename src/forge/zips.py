"""A zip archive that is written as a stream: nothing of it is kept but its table of contents.

    with StreamedZip() as archive:
        archive.begin("a/b.txt", size=3); archive.write(b"abc"); archive.finish(); archive.take()

The standard library writes the format, sizes beyond 4 GiB included. What names may be is said here,
as they come from machines and models: each is relative and of plain parts that every system can
have, none is there twice, and none lies below a file. Only files and folders go in, since a link
could lead whoever unpacks it elsewhere. How much goes in is bounded, because the table of contents
is in memory until the end. Pure: whoever has one sends what `take` gives on its way.
"""

import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

_EARLIEST, _LATEST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, tzinfo=UTC)
"""What the format can say of a time."""

_FAST = 1
"""The level: most of the gain for a third of the time, and the server has others to serve."""

_BAD = {ord(each): "_" for each in '\\:*?"<>|'} | dict.fromkeys([*range(32), 127], "_")
"""What a name may not have on one system or another, or would lead elsewhere there."""

_DEVICES = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10)}
)
_LONGEST_NAME = 60_000  # bytes: the format has 65,535


class ZipRefused(Exception):
    """Something cannot go into this archive; the message says why."""


@dataclass(frozen=True, slots=True)
class ZipLimits:
    """What an archive may hold: bytes of its files, entries, and bytes of their names in all."""

    size: int = 4 << 30
    entries: int = 100_000
    names: int = 16 << 20


class _Sink:
    """Where the library writes to. It cannot seek, so sizes follow what they are of."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    @property
    def size(self) -> int:
        return len(self._written)

    def flush(self) -> None:
        """Nothing to do: `take` gives what there is."""

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


class StreamedZip:
    """One archive, a context manager: what was not finished is abandoned at the end."""

    def __init__(self, limits: ZipLimits | None = None) -> None:
        self._limits = limits or ZipLimits()
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED, compresslevel=_FAST)  # type: ignore[call-overload]  # what it needs of a file that cannot seek
        self._file: zipfile._ZipWriteFile | None = None  # type: ignore[name-defined]  # typeshed has no name for it
        self._left = self._size = self._names = 0
        self._folders: set[str] = set()
        self._files: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        self._zip.close()

    def folder(self, name: str, *, modified: float = 0.0) -> None:
        """Note a folder; one that is there already is left as it is.

        Raises:
            ZipRefused: it is below a file, or too much.
        """
        self._end()
        safe = self._placed(name)
        if safe in self._folders:
            return
        self._folders.add(safe)
        self._zip.writestr(self._info(safe + "/", 0o40755, modified), b"")

    def begin(
        self, name: str, *, size: int, modified: float = 0.0, executable: bool = False
    ) -> str:
        """Begin a file, of which exactly `size` bytes must follow; returns the name it has here.

        Raises:
            ZipRefused: it is below a file, or too much.
        """
        self._end()
        safe = self._unused(self._placed(name))
        self._size += size
        if self._size > self._limits.size:
            raise ZipRefused(f"its files have more than {self._limits.size} bytes")
        self._files.add(safe)
        info = self._info(safe, 0o100755 if executable else 0o100644, modified)
        info.file_size = self._left = size
        self._file = self._zip.open(info, "w")
        return safe

    def write(self, data: bytes) -> None:
        """Some bytes of the file that was begun.

        Raises:
            ZipRefused: it has more than it was said to have.
        """
        self._left -= len(data)
        if self._file is None or self._left < 0:
            raise ZipRefused("a file is larger than it was said to be")
        self._file.write(data)

    @property
    def waiting(self) -> int:
        """How many bytes `take` would give."""
        return self._sink.size

    def take(self) -> bytes:
        """What was written of the archive and not taken yet."""
        return self._sink.take()

    def finish(self) -> None:
        """The last file was the last: the table of contents is written.

        Raises:
            ZipRefused: that file is not whole.
        """
        self._end()
        self._zip.close()

    def _end(self) -> None:
        if self._file is None:
            return
        if self._left:
            raise ZipRefused("a file is smaller than it was said to be")
        self._file.close()
        self._file = None

    def _info(self, name: str, mode: int, modified: float) -> zipfile.ZipInfo:
        self._names += len(name.encode())
        if self._names > self._limits.names:
            raise ZipRefused(f"its names have more than {self._limits.names} bytes")
        if len(self._zip.filelist) >= self._limits.entries:
            raise ZipRefused(f"more than {self._limits.entries} entries")
        info = zipfile.ZipInfo(name, _time(modified))
        info.compress_type = zipfile.ZIP_DEFLATED
        info._compresslevel = _FAST  # type: ignore[attr-defined]  # noqa: SLF001 - public in 3.13
        info.create_system = 3  # Unix, whose modes follow
        info.external_attr = mode << 16 | (0x10 if name.endswith("/") else 0)
        return info

    def _placed(self, name: str) -> str:
        safe = safe_name(name)
        parts = safe.split("/")
        if any("/".join(parts[:count]) in self._files for count in range(1, len(parts))):
            raise ZipRefused("something lies below a file")
        return safe

    def _unused(self, name: str) -> str:
        stem, dot, ending = name.rpartition(".")
        found, count = name, 1
        while found in self._files or found in self._folders:
            count += 1
            found = (
                f"{stem} ({count}).{ending}" if dot and "/" not in ending else f"{name} ({count})"
            )
            if count > self._limits.entries:
                raise ZipRefused("too many files of one name")
        return found


def safe_name(name: str) -> str:
    """A name that leads nowhere but below where it is unpacked, on every system.

    Raises:
        ZipRefused: there is no name in it, it climbs, or it is too long.
    """
    readable = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    parts = [part for part in readable.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise ZipRefused("a name that leads nowhere")
    safe = "/".join(_part(part) for part in parts)
    if len(safe.encode()) > _LONGEST_NAME:
        raise ZipRefused("a name that is too long")
    return safe


def _part(part: str) -> str:
    safe = part.translate(_BAD)
    # Windows drops dots and blanks at the end, so that `.. ` would climb.
    bare = safe.rstrip(". ")
    safe = bare + "_" * (len(safe) - len(bare))
    return f"_{safe}" if safe.partition(".")[0].lower() in _DEVICES else safe


def _time(modified: float) -> tuple[int, int, int, int, int, int]:
    earliest, latest = _EARLIEST.timestamp(), _LATEST.timestamp()
    at = datetime.fromtimestamp(min(max(modified, earliest), latest), UTC)
    return at.year, at.month, at.day, at.hour, at.minute, at.second
