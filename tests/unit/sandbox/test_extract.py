"""A guest's archive on the host: below its folder or nowhere, whole or not at all."""

from pathlib import Path

import pytest

from forge.errors import ArchiveRefused, PathRefused
from forge.sandbox.extract import Limits, extract, stays_inside
from forge_guest.wire import tar
from forge_guest.wire.tar import Entry


async def archive(*entries: tuple[Entry, bytes], end: bytes = tar.END):
    for entry, body in entries:
        yield tar.header(entry) + body + tar.padding(len(body))
    yield end


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def file(name: bytes, content: bytes = b"x", mode: int = 0o644) -> tuple[Entry, bytes]:
    return Entry(name, "file", len(content), mode), content


def link(name: bytes, target: bytes) -> tuple[Entry, bytes]:
    return Entry(name, "symlink", target=target), b""


async def test_a_tree_is_laid_out(tmp_path: Path):
    """Files, folders, names of any bytes, what may be run, and symlinks that stay inside."""
    holes = tar.sparse_map([(1 << 20, 2)]) + b"hi"
    found = await extract(
        archive(
            (Entry(b"d", "directory"), b""),
            file(b"d/\xff\n", b"odd"),
            file(b"e/run", b"#!", 0o4755),
            link(b"e/l", b"../d"),
            (Entry(b"giant", "file", len(holes), real_size=2 << 20), holes),
            (Entry(b".", "directory", skipped=(b"pipe",)), b""),
        ),
        tmp_path / "out",
    )
    assert (found.entries, found.skipped) == (5, ("pipe",))
    assert (tmp_path / "out/d/\udcff\n").read_bytes() == b"odd"
    assert (tmp_path / "out/e/run").stat().st_mode & 0o7100 == 0o100
    assert str((tmp_path / "out/e/l").readlink()) == "../d"
    giant = (tmp_path / "out/giant").stat()
    assert giant.st_size == 2 << 20
    assert giant.st_blocks * 512 < 1 << 20


@pytest.mark.parametrize(
    "entries",
    [
        (file(b"/tmp/evil"),),
        (file(b"../evil"),),
        (file(b"a/../../evil"),),
        (link(b"l", b"."), file(b"l/evil")),
        (file(b"f"), file(b"f/evil")),
        (file(b"a" * 256),),
        (file(b"a", bytes(101)),),
        ((Entry(b"a", "file", 512, real_size=1 << 62), tar.sparse_map([])),),
        tuple(file(b"%d" % number) for number in range(11)),
    ],
    ids=[
        "absolute", "dots", "dots-inside", "through-a-link", "through-a-file", "long-name",
        "too-large", "sparse-bomb", "too-many",
    ],
)  # fmt: skip
async def test_a_hostile_archive_leaves_nothing(tmp_path: Path, entries):
    """Nothing outside the folder, and nothing of the folder."""
    with pytest.raises(ArchiveRefused):
        await extract(archive(*entries), tmp_path / "in/out", Limits(100, 10))
    assert [str(path) for path in tmp_path.rglob("*")] == [str(tmp_path / "in")]


async def test_links_that_lead_out_and_names_taken_are_named_not_made(tmp_path: Path):
    """Absolute links, climbing ones, hard links, and a second file of a name."""
    found = await extract(
        archive(
            link(b"abs", b"/etc"),
            link(b"up", b"../x"),
            link(b"d/ok", b"../x"),
            link(b"d/back", b"q/../../../x"),
            (Entry(b"hard", "hardlink", target=b"d/ok"), b""),
            file(b"one", b"1"),
            file(b"one", b"2"),
        ),
        tmp_path / "out",
    )
    assert found.skipped == ("abs", "up", "d/back", "hard", "one")
    assert (tmp_path / "out/one").read_bytes() == b"1"
    assert names(tmp_path / "out") == ["d", "one"]


async def test_an_archive_that_breaks_off_leaves_nothing(tmp_path: Path):
    """Cut off between entries, inside one, or by an error of whoever sends it."""
    for end in (b"", tar.header(Entry(b"b", "file", 10)) + b"half"):
        with pytest.raises(ArchiveRefused):
            await extract(archive(file(b"a"), end=end), tmp_path / "out")

    async def broken():
        yield tar.header(Entry(b"b", "file", 10))
        raise LookupError

    with pytest.raises(LookupError):
        await extract(broken(), tmp_path / "out")
    assert names(tmp_path) == []


async def test_what_is_there_is_not_touched(tmp_path: Path):
    """A file, a symlink or a folder with something in it is refused; an empty one is used."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full/mine").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "full")
    for name in ("file", "full", "link"):
        with pytest.raises(PathRefused):
            await extract(archive(file(b"a")), tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert (await extract(archive(file(b"a")), tmp_path / "empty")).entries == 1
    assert names(tmp_path) == ["empty", "file", "full", "link"]


@pytest.mark.parametrize(
    ("target", "depth", "inside"),
    [
        (b"a", 0, True), (b"./a//b", 0, True), (b"..", 1, True), (b"../..", 1, False),
        (b"..", 0, False), (b"/a", 5, False), (b"", 0, False), (b"a/..", 3, False),
        (b"../a/../b", 3, False),
    ],
)  # fmt: skip
def test_a_symlink_stays_inside_by_its_words_alone(target, depth, inside):
    """Whatever other links are there."""
    assert stays_inside(target, depth) is inside
