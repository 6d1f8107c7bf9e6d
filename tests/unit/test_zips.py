"""A zip archive that is written as a stream."""

import io
import zipfile

import pytest

from forge.zips import StreamedZip, ZipLimits, ZipRefused, safe_name


def test_what_is_written_is_read_by_others():
    """Content, folders, times and modes, whatever time it is."""
    with StreamedZip() as archive:
        archive.folder("a", modified=1_700_000_000)
        for name, modified in (("a/b.txt", 1_700_000_000), ("old", -5e9), ("late", 1e12)):
            archive.begin(name, size=3, modified=modified, executable=name == "old")
            archive.write(b"a")
            archive.write(b"bc")
        written = archive.take()
        archive.finish()
        written += archive.take()
    with zipfile.ZipFile(io.BytesIO(written)) as read:
        assert read.testzip() is None
        assert read.namelist() == ["a/", "a/b.txt", "old", "late"]
        assert read.read("a/b.txt") == b"abc"
        assert read.getinfo("a/b.txt").date_time == (2023, 11, 14, 22, 13, 20)
        assert read.getinfo("old").date_time[0] == 1980
        assert read.getinfo("old").external_attr >> 16 == 0o100755
        assert read.getinfo("late").date_time[0] == 2107


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("/etc/passwd", "etc/passwd"),
        ("./a//b", "a/b"),
        ("..\\..\\evil.exe", ".._.._evil.exe"),
        ("C:\\evil", "C__evil"),
        ("a/.. /.../b", "a/___/___/b"),
        ("nul.txt", "_nul.txt"),
        ("COM1", "_COM1"),
        ("a\nb\0\x7f", "a_b__"),
        ("\udcff", "\N{REPLACEMENT CHARACTER}"),
        ("é", "é"),
    ],
)
def test_a_name_is_made_harmless(name: str, safe: str):
    """On every system, not only on this one."""
    assert safe_name(name) == safe


@pytest.mark.parametrize("name", ["", "/", ".", "..", "a/../b", "a/..", "x" * 70_000])
def test_a_name_that_leads_nowhere_is_refused(name: str):
    """It climbs, is none, or is longer than the format has room for."""
    with pytest.raises(ZipRefused):
        safe_name(name)


def test_no_name_is_there_twice():
    """Names that became the same are numbered, and nothing lies below a file."""
    with StreamedZip() as archive:
        for name in ("a.txt", "a.txt", "b:", "b_", "b*", "d.e/f"):
            archive.begin(name, size=0)
        archive.folder("d.e")
        archive.folder("d.e")
        with pytest.raises(ZipRefused):
            archive.begin("a.txt/c", size=0)
        archive.finish()
        written = archive.take()
    with zipfile.ZipFile(io.BytesIO(written)) as read:
        names = ["a.txt", "a (2).txt", "b_", "b_ (2)", "b_ (3)", "d.e/f", "d.e/"]
        assert read.namelist() == names


def test_a_file_of_another_size_is_refused():
    """More than was said, or less."""
    with StreamedZip() as archive:
        archive.begin("a", size=3)
        with pytest.raises(ZipRefused):
            archive.write(b"more")
    with StreamedZip() as archive:
        archive.begin("a", size=3)
        archive.write(b"le")
        with pytest.raises(ZipRefused):
            archive.finish()


@pytest.mark.parametrize("limits", [ZipLimits(size=5), ZipLimits(entries=2), ZipLimits(names=10)])
def test_an_archive_is_bounded(limits: ZipLimits):
    """In bytes, entries and names."""
    with StreamedZip(limits) as archive:
        for name in "aaaa", "bbbb":
            archive.begin(name, size=2)
            archive.write(b"xx")
        with pytest.raises(ZipRefused):
            archive.begin("cccc", size=2)
