"""Archives: what is written is read back, by others too, and what is malformed is refused."""

import io
import tarfile
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_guest.wire import tar
from forge_guest.wire.sparse import SparseBody
from forge_guest.wire.tar import ArchiveError, Body, Entry, TarReader


def archive(*entries: tuple[Entry, bytes]) -> bytes:
    whole = b"".join(tar.header(entry) + body + tar.padding(len(body)) for entry, body in entries)
    return whole + tar.END


def read(data: bytes, step: int = 1 << 20, most: int = tar.MAX_ENTRIES) -> list[Entry | Body]:
    reader, found = TarReader(most), []
    for start in range(0, len(data), step):
        found += reader.feed(data[start : start + step])
    reader.close()
    return found


def patched(data: bytes, at: int, new: bytes) -> bytes:
    """An archive whose first header is changed, its sum made right again."""
    block = bytearray(data[:512])
    block[at : at + len(new)] = new
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data[512:]


NAMES = st.binary(min_size=1, max_size=300).filter(
    lambda name: b"\0" not in name and not name.endswith(b"/") and name.strip(b"./")
)


@given(NAMES, st.binary(max_size=2000), st.integers(1, 700))
def test_any_name_and_content_come_back(name, content, step):
    """Bytes of every kind, however the archive is cut into pieces."""
    data = archive((Entry(name, "file", len(content), 0o640, 5.0), content))
    found = read(data, step)
    entry = found[0]
    assert isinstance(entry, Entry)
    assert (entry.name, entry.size, entry.mode, entry.modified) == (name, len(content), 0o640, 5)
    assert b"".join(each.data for each in found[1:] if isinstance(each, Body)) == content


def test_other_programs_read_what_is_written():
    """Long and undecodable names, symlinks, folders, a sparse file, and what was left out."""
    holes = tar.sparse_map([(4096, 3)]) + b"abc"
    data = archive(
        (Entry(b"d" * 200 + b"/\xff", "file", 2), b"hi"),
        (Entry(b"folder", "directory", mode=0o755), b""),
        (Entry(b"link", "symlink", target=b"t" * 150), b""),
        (Entry(b"giant", "file", len(holes), real_size=10_000), holes),
        (Entry(b".", "directory", skipped=(b"pipe", b"\xfe")), b""),
    )
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        members = found.getmembers()
        assert [each.name for each in members[:3]] == ["d" * 200 + "/\udcff", "folder", "link"]
        giant = found.extractfile(members[3])
        assert giant is not None
        assert giant.read() == bytes(4096) + b"abc" + bytes(10_000 - 4099)
        assert members[2].linkname == "t" * 150


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_what_others_write_is_read(kind):
    """Each of the formats in use, long names included where it has them."""
    name = "a" * 90 + "/" + "b" * 90
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=kind) as made:
        info = tarfile.TarInfo(name)
        info.size, info.mtime = 3, 7
        made.addfile(info, io.BytesIO(b"abc"))
    entry, body = read(target.getvalue())
    assert isinstance(entry, Entry)
    assert (entry.name, entry.size, entry.modified) == (name.encode(), 3, 7)
    assert body == Body(b"abc", last=True)


GOOD = archive((Entry(b"a", "file", 3), b"abc"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 2000,
        GOOD[:700],
        GOOD[:1024],
        patched(GOOD, 124, b"-0000000001\0"),
        patched(GOOD, 124, b"\xff" * 12),
        patched(GOOD, 156, b"3"),
        patched(GOOD, 156, b"4"),
        patched(GOOD, 156, b"6"),
        patched(GOOD, 156, b"S"),
        patched(GOOD, 156, b"x"),
        patched(patched(GOOD, 156, b"L"), 124, b"77777777777\0"),
        patched(patched(GOOD, 156, b"x"), 124, b"00010000000\0"),
    ],
)
def test_what_is_malformed_is_refused_by_name(data):
    """Cut off, damaged, devices, unknown kinds and headers that claim too much."""
    with pytest.raises(ArchiveError):
        read(data)


@pytest.mark.parametrize(
    "name", [b"/etc/passwd", b"../x", b"a/../../x", b"a/..", b"x" * 256, b"a\0b"]
)
def test_a_name_that_leads_out_is_refused(name):
    """Absolute, `..` anywhere, and what no folder can hold."""
    with pytest.raises(ArchiveError):
        tar.parts(name)


def test_entries_without_end_are_counted():
    """Extended headers count too: a chain of them is no way round."""
    with pytest.raises(ArchiveError, match="more than 3 entries"):
        read(archive(*[(Entry(b"a", "directory"), b"")] * 4), most=3)
    with pytest.raises(ArchiveError, match="more than 3 entries"):
        read(archive(*[(Entry(b"d" * 200, "directory"), b"")] * 2), most=3)


def test_a_body_without_end_is_not_kept():
    """Memory stays that of a piece, whatever size is claimed."""
    reader = TarReader()
    assert list(reader.feed(tar.header(Entry(b"a", "file", 1 << 40))))
    tracemalloc.start()
    try:
        for _ in range(200):
            assert sum(len(each.data) for each in reader.feed(bytes(65_536))) == 65_536
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(
    "body",
    [
        b"9" * 600,
        b"x\n" * 300,
        b"60000\n" + b"1\n" * 600,
        b"1\n5\n20\n",
        b"2\n5\n1\n5\n1\n",
        b"-1\n",
    ],
)
def test_a_sparse_map_that_lies_is_refused(body):
    """Too many segments, beyond the end, overlapping, or no numbers at all."""

    def take() -> None:
        sparse = SparseBody(10)
        assert list(sparse.feed(body.ljust(1024, b"\0"))) == []
        sparse.close()

    with pytest.raises(ArchiveError):
        take()
