"""A machine's tar archive becomes a zip archive, whatever is in it."""

import io
import zipfile
from collections.abc import AsyncGenerator

import pytest

from forge.errors import ArchiveRefused
from forge.sandbox.rezip import LEFT_OUT, rezipped
from forge.zips import ZipLimits
from forge_guest.wire.tar import END, Entry, header, padding, sparse_map


def packed(*entries: tuple[Entry, bytes]) -> bytes:
    """A tar archive of these entries and their bodies."""
    return b"".join(header(e) + body + padding(len(body)) for e, body in entries) + END


async def zipped(archive: bytes, *, piece: int = 1000, limits: ZipLimits | None = None) -> bytes:
    async def pieces() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(archive), piece):
            yield archive[start : start + piece]

    return b"".join([each async for each in rezipped(pieces(), limits)])


def file(name: bytes, body: bytes, mode: int = 0o644) -> tuple[Entry, bytes]:
    return Entry(name, "file", size=len(body), mode=mode, modified=1_700_000_000.0), body


@pytest.mark.parametrize("piece", [1, 511, 1 << 20])
async def test_files_and_folders_are_all_there(piece: int):
    """However the archive is cut into pieces; holes are filled."""
    body = sparse_map([(3, 2), (70_000, 4)]) + b"abcdef"
    sparse = Entry(b"hollow", "file", size=len(body), real_size=200_000)
    archive = packed(
        (Entry(b"a", "directory"), b""),
        file(b"a/run.sh", b"#!/bin/sh\n", 0o755),
        file(b"a/empty", b""),
        (sparse, body),
        file("ä\n".encode(), b"x" * 100_000),
    )
    with zipfile.ZipFile(io.BytesIO(await zipped(archive, piece=piece))) as read:
        assert read.testzip() is None
        assert read.namelist() == ["a/", "a/run.sh", "a/empty", "hollow", "ä_"]
        assert read.getinfo("a/run.sh").external_attr >> 16 & 0o111
        hollow = read.read("hollow")
        assert (len(hollow), hollow.strip(b"\0")) == (200_000, b"ab" + bytes(69_995) + b"cdef")


async def test_links_and_what_the_machine_left_out_are_named_and_not_made():
    """A link in an archive could lead whoever unpacks it elsewhere."""
    archive = packed(
        (Entry(b"evil", "symlink", target=b"/etc/passwd"), b""),
        (Entry(b"hard", "hardlink", target=b"a"), b""),
        (Entry(b"a", "file", skipped=(b"socket", b"a\nb")), b""),
    )
    with zipfile.ZipFile(io.BytesIO(await zipped(archive))) as read:
        assert read.namelist() == ["a", LEFT_OUT]
        assert read.read(LEFT_OUT) == b"evil\nhard\nsocket\na?b\n"


@pytest.mark.parametrize(
    "archive",
    [
        packed(file(b"../evil", b"")),
        packed(file(b"/etc/passwd", b"")),
        packed(file(b"a/../../b", b"")),
        packed(file(b"a", b""), file(b"a/b", b"")),
        packed(file(b"a", b"12345"))[:600],
        b"no tar archive at all" * 100,
        packed((Entry(b"bomb", "file", size=512, real_size=1 << 50), sparse_map([]) + bytes(0))),
        packed(file(b"a" * 200, b""), file(b"b" * 200, b"")),
        packed(*[file(b"%d" % n, b"") for n in range(30)]),
    ],
)
async def test_a_hostile_archive_is_refused(archive: bytes):
    """It climbs, is malformed, cut off, or too much: of bytes, entries or names."""
    with pytest.raises(ArchiveRefused):
        await zipped(archive, limits=ZipLimits(size=1 << 30, entries=20, names=300))
