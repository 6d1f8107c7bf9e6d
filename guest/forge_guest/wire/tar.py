"""Tar archives, read and written piece by piece: what `pack` sends and `unpack` takes.

Both ends read what the other made, and neither may trust it, so this reader is stricter than most.
It keeps a header and at most `MAX_RECORD` bytes, whatever an archive claims; it refuses by name
what is malformed, cut off, or neither a file, a folder, a symlink nor a hard link. It reads ustar,
PAX and GNU's long names, and sparse files in PAX format 1.0; it writes ustar with PAX records.

It knows nothing of a disk: `feed` yields what is in the archive, in order, and `parts` says whether
a name may be used at all. Pure: bytes in, values out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

BLOCK = 512
MAX_RECORD = 1 << 20
"""Bytes of one extended header: a name, a target, attributes."""

MAX_ENTRIES = 1_000_000
MAX_PATH = 4096
END = bytes(2 * BLOCK)
SKIPPED = b"FORGE.skipped"
"""PAX keyword: the name of something that was left out."""

_KINDS = {
    b"0": "file", b"\0": "file", b"7": "file", b"5": "directory", b"2": "symlink", b"1": "hardlink",
}  # fmt: skip
_FLAGS = {"file": b"0", "directory": b"5", "symlink": b"2", "hardlink": b"1"}
_OCTAL = re.compile(rb"[ ]*([0-7]*)[ \0]*")
_DECIMAL = re.compile(rb"[0-9]{1,20}")
_TIME = re.compile(rb"-?[0-9]{1,18}(\.[0-9]{0,30})?")
_LARGEST_OCTAL = 8**11 - 1
_LARGEST = 2**63 - 1


class ArchiveError(Exception):
    """An archive that cannot be read, or holds what it may not; the message says why."""


@dataclass(frozen=True)
class Entry:
    """One member. `size` bytes of body follow; a sparse file has `real_size` bytes in all."""

    name: bytes
    kind: str
    size: int = 0
    mode: int = 0o644
    modified: float = 0.0
    target: bytes = b""
    real_size: int | None = None
    skipped: tuple[bytes, ...] = field(default=())


@dataclass(frozen=True)
class Body:
    """Some bytes of the last entry's body; `last` once that is whole."""

    data: bytes
    last: bool


def parts(name: bytes) -> tuple[bytes, ...]:
    """The parts of a member's name below the archive's folder; () is the folder itself.

    Raises:
        ArchiveError: it is absolute, leads out by `..`, or is longer than Linux allows.
    """
    if name.startswith(b"/"):
        raise ArchiveError(f"an absolute name: {_shown(name)}")
    found = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
    if b".." in found:
        raise ArchiveError(f"a name with `..`: {_shown(name)}")
    if b"\0" in name or len(name) >= MAX_PATH or any(len(part) > 255 for part in found):
        raise ArchiveError(f"a name that no folder can hold: {_shown(name)}")
    return found


def header(entry: Entry) -> bytes:
    """What stands before an entry's body: its header, and before that its PAX records."""
    records: list[tuple[bytes, bytes]] = [(SKIPPED, name) for name in entry.skipped]
    name = entry.name + b"/" * (entry.kind == "directory")
    if entry.real_size is not None:
        records += [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")]
        records += [(b"GNU.sparse.name", name)]
        records += [(b"GNU.sparse.realsize", b"%d" % entry.real_size)]
    elif len(name) > 100 or not name.isascii():
        records.append((b"path", name))
    if len(entry.target) > 100 or not entry.target.isascii():
        records.append((b"linkpath", entry.target))
    if entry.size > _LARGEST_OCTAL:
        records.append((b"size", b"%d" % entry.size))
    if not 0 <= entry.modified <= _LARGEST_OCTAL:
        records.append((b"mtime", b"%d" % entry.modified))
    plain = _ustar(name, entry, _FLAGS[entry.kind])
    return (_pax(records) if records else b"") + plain


def padding(size: int) -> bytes:
    """What fills the last block of a body."""
    return bytes(-size % BLOCK)


def sparse_map(segments: list[tuple[int, int]]) -> bytes:
    """The map that stands before a sparse body: where each segment begins and how long it is."""
    numbers = [len(segments), *(number for segment in segments for number in segment)]
    text = b"".join(b"%d\n" % number for number in numbers)
    return text + padding(len(text))


def _pax(records: list[tuple[bytes, bytes]]) -> bytes:
    binary = not all(_is_text(value) for _, value in records)
    lines = [(b"hdrcharset", b"BINARY"), *records] if binary else records
    body = b"".join(_record(key, value) for key, value in lines)
    extended = Entry(b"PaxHeader", "file", size=len(body))
    return _ustar(extended.name, extended, b"x") + body + padding(len(body))


def _record(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _ustar(name: bytes, entry: Entry, flag: bytes) -> bytes:
    modified = int(min(max(entry.modified, 0), _LARGEST_OCTAL))
    head = (
        name[:100].ljust(100, b"\0")
        + b"%07o\0%07o\0%07o\0" % (entry.mode & 0o7777, 1000, 1000)
        + b"%011o\0%011o\0" % (min(entry.size, _LARGEST_OCTAL), modified)
    )
    tail = flag + entry.target[:100].ljust(100, b"\0") + b"ustar\x0000" + b"user".ljust(32, b"\0")
    tail = (tail + b"user".ljust(32, b"\0")).ljust(BLOCK - len(head) - 8, b"\0")
    total = sum(head) + sum(tail) + 8 * ord(" ")
    return head + b"%06o\0 " % total + tail


class TarReader:
    """Cuts a stream of bytes into entries and their bodies.

    Args:
        most: how many entries an archive may have.
    """

    def __init__(self, most: int = MAX_ENTRIES) -> None:
        self._most = most
        self._count = 0
        self._pending = bytearray()
        self._left = 0  # of a body, still to come
        self._fill = 0  # to the end of its last block
        self._extended: tuple[bytes, int] | None = None  # an extended header: its flag and size
        self._records: dict[bytes, bytes] = {}
        self._global: dict[bytes, bytes] = {}
        self._skipped: list[bytes] = []
        self._ended = False

    def feed(self, data: bytes) -> Iterator[Entry | Body]:
        """Take some bytes; yields what they complete. What comes after the end is ignored.

        Raises:
            ArchiveError: the archive is malformed; nothing more may be fed.
        """
        self._pending += data
        while not self._ended:
            if self._left or self._fill:
                if not self._pending:
                    return
                yield from self._body()
                continue
            need = BLOCK
            if self._extended is not None:
                need = self._extended[1] + -self._extended[1] % BLOCK
            if len(self._pending) < need:
                return
            block = bytes(self._pending[:need])
            del self._pending[:need]
            yield from self._block(block)
        self._pending.clear()

    def close(self) -> None:
        """Say that nothing more will come.

        Raises:
            ArchiveError: the archive had no end yet.
        """
        if not self._ended:
            raise ArchiveError("the archive is cut off")

    def _body(self) -> Iterator[Body]:
        if self._left:
            piece = bytes(self._pending[: self._left])
            del self._pending[: len(piece)]
            self._left -= len(piece)
            yield Body(piece, last=not self._left)
        fill = min(self._fill, len(self._pending)) if not self._left else 0
        del self._pending[:fill]
        self._fill -= fill

    def _block(self, block: bytes) -> Iterator[Entry | Body]:
        if self._extended is not None:
            flag, size = self._extended
            self._extended = None
            self._extend(flag, block[:size])
            return
        if not any(block):
            self._ended = True
            return
        flag, size = _checked(block)
        if flag in b"xgLK":
            if size > MAX_RECORD:
                raise ArchiveError(f"an extended header of {size} bytes; {MAX_RECORD} are allowed")
            self._count_one()
            self._extended = (flag, size)
            return
        entry = self._entry(block, flag, size)
        self._count_one()
        self._records, self._skipped = {}, []
        self._left, self._fill = entry.size, -entry.size % BLOCK
        yield entry
        if entry.kind == "file" and not entry.size:
            yield Body(b"", last=True)

    def _count_one(self) -> None:
        self._count += 1
        if self._count > self._most:
            raise ArchiveError(f"more than {self._most} entries")

    def _extend(self, flag: bytes, body: bytes) -> None:
        if flag == b"L":
            self._records[b"path"] = body.rstrip(b"\0")
        elif flag == b"K":
            self._records[b"linkpath"] = body.rstrip(b"\0")
        else:
            target = self._records if flag == b"x" else self._global
            for key, value in _pax_records(body):
                if key == SKIPPED:
                    self._skipped.append(value)
                elif key in _WANTED:
                    target[key] = value

    def _entry(self, block: bytes, flag: bytes, size: int) -> Entry:
        kind = _KINDS.get(flag)
        facts = self._global | self._records
        name = facts.get(b"GNU.sparse.name") or facts.get(b"path") or _name(block)
        if kind is None:
            raise ArchiveError(f"{_shown(name)} is neither file, folder nor link")
        if kind == "file" and name.endswith(b"/"):
            kind = "directory"
        size = _decimal(facts[b"size"]) if b"size" in facts else size
        entry = Entry(
            name=name,
            kind=kind,
            # GNU tar and ustar disagree on what a link's size means; none has a body.
            size=size if kind == "file" else 0,
            mode=_number(block[100:108]) & 0o7777,
            modified=_time(facts.get(b"mtime"), block),
            target=facts.get(b"linkpath") or block[157:257].partition(b"\0")[0],
            skipped=tuple(self._skipped),
        )
        return _as_sparse(entry, facts)


_WANTED = {
    b"path", b"linkpath", b"size", b"mtime", b"GNU.sparse.name", b"GNU.sparse.major",
    b"GNU.sparse.minor", b"GNU.sparse.realsize", b"GNU.sparse.map", b"GNU.sparse.size",
}  # fmt: skip


def _as_sparse(entry: Entry, facts: dict[bytes, bytes]) -> Entry:
    if not any(key.startswith(b"GNU.sparse.") for key in facts):
        return entry
    version = facts.get(b"GNU.sparse.major"), facts.get(b"GNU.sparse.minor")
    if version != (b"1", b"0") or entry.kind != "file":
        raise ArchiveError(f"{_shown(entry.name)} is sparse in a format that is not read here")
    return replace(entry, real_size=_decimal(facts.get(b"GNU.sparse.realsize", b"")))


def _checked(block: bytes) -> tuple[bytes, int]:
    """A header's flag and size, its sum compared."""
    try:
        said = _number(block[148:156])
    except ArchiveError:
        said = -1
    if said != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        raise ArchiveError("a header that is none: this is no tar archive, or it is damaged")
    return block[156:157], _number(block[124:136])


def _name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _number(text: bytes) -> int:
    if text[0] == 0x80:
        number = int.from_bytes(text[1:], "big")
        if number <= _LARGEST:
            return number
    found = _OCTAL.fullmatch(text)
    if found is None:
        raise ArchiveError("a header with a number that is none")
    return int(found[1] or b"0", 8)


def _decimal(text: bytes) -> int:
    if not _DECIMAL.fullmatch(text) or int(text) > _LARGEST:
        raise ArchiveError("an extended header with a number that is none")
    return int(text)


def _time(text: bytes | None, block: bytes) -> float:
    if text is None:
        # Before 1970 GNU tar writes the time as a negative base-256 number; that is not kept.
        return 0.0 if block[136] == 0xFF else float(_number(block[136:148]))
    if not _TIME.fullmatch(text):
        raise ArchiveError("an extended header with a time that is none")
    return float(text)


def _pax_records(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 0
    while start < len(body):
        digits, space, _ = body[start : start + 21].partition(b" ")
        if not space or not _DECIMAL.fullmatch(digits):
            raise ArchiveError("an extended header that is malformed")
        end = start + int(digits)
        key, equals, value = body[start + len(digits) + 1 : end - 1].partition(b"=")
        if not equals or end > len(body) or body[end - 1 : end] != b"\n":
            raise ArchiveError("an extended header that is malformed")
        yield key, value
        start = end


def _shown(name: bytes) -> str:
    return ascii(name[:200].decode("utf-8", "replace"))


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
