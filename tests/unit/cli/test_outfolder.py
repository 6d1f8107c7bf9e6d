"""Artifacts land in their folder and nowhere else, and nothing that is there is touched."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.cli.outfolder import OutFolder
from forge.errors import HostUnfit, LedgerCorrupt, PathRefused
from forge.events import ArtifactSaved


class Shelf:
    """Kept bytes, as the blob store keeps them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def artifact(self, name: str, content: bytes = b"made") -> ArtifactSaved:
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / digest).write_bytes(content)
        return ArtifactSaved(step=1, name=name, size=len(content), sha256=digest)

    def kept(self, sha256: str) -> Path:
        return self.folder / sha256


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "blobs")


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_artifacts_are_written_with_their_folders(tmp_path: Path, shelf: Shelf):
    """Each at its own relative name, with its bytes."""
    out = OutFolder(tmp_path / "a/out", ("run_1",))
    written = out.write((shelf.artifact("x.txt"), shelf.artifact("deep/er/y", b"2")), shelf.kept)
    assert [one.path for one in written] == [out.path / "x.txt", out.path / "deep/er/y"]
    assert (tmp_path / "a/out/run_1/deep/er/y").read_bytes() == b"2"


def test_nothing_is_made_where_nothing_was(tmp_path: Path, shelf: Shelf):
    """A run without artifacts leaves no empty folder."""
    assert OutFolder(tmp_path / "out").write((), shelf.kept) == ()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/x",
        "a/../../x",
        "",
        ".",
        "..",
        "a//b",
        "a/",
        "x\0y",
        "a\\b",
        "a\x1bb",
        "n" * 256,
    ],
)
def test_an_unsafe_name_is_refused(tmp_path: Path, shelf: Shelf, name: str):
    """Whatever the ledger holds: it may have been written by anyone."""
    out = tmp_path / "in/out"
    (written,) = out_one(out, shelf, name)
    assert isinstance(written.error, PathRefused)
    assert everything(tmp_path / "in") == set()


def out_one(out: Path, shelf: Shelf, name: str):
    out.parent.mkdir(exist_ok=True)
    return OutFolder(out).write((shelf.artifact(name),), shelf.kept)


@given(name=st.text(st.sampled_from("./\\ab\0\n~"), max_size=12))
def test_no_name_leads_outside(tmp_path_factory: pytest.TempPathFactory, name: str):
    """Whatever is written is below the folder."""
    base = tmp_path_factory.mktemp("base")
    shelf = Shelf(base / "blobs")
    out_one(base / "in" / "out", shelf, name)
    assert all(found.startswith("out/") for found in everything(base / "in"))


def test_a_file_that_is_there_is_not_touched(tmp_path: Path, shelf: Shelf):
    """A taken name gets a number before its ending."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "x.tar").write_text("mine")
    (out / "x-2.tar").symlink_to("/nowhere")
    (written,) = out_one(out, shelf, "x.tar")
    assert written.path == out / "x-3.tar"
    assert (out / "x.tar").read_text() == "mine"


def test_a_symlink_is_never_followed(tmp_path: Path, shelf: Shelf):
    """Neither the folder itself, nor one in it, nor a file."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "link").symlink_to(elsewhere)
    with pytest.raises(PathRefused):
        OutFolder(tmp_path / "link").check()
    (written,) = out_one(tmp_path / "link", shelf, "x")
    assert isinstance(written.error, PathRefused)
    out = tmp_path / "out"
    out.mkdir()
    (out / "deep").symlink_to(elsewhere)
    (out / "f").symlink_to(elsewhere / "f")
    (inside,) = out_one(out, shelf, "deep/x")
    assert isinstance(inside.error, PathRefused)
    assert out_one(out, shelf, "f")[0].path == out / "f-2"
    (inner,) = OutFolder(out, ("deep",)).write((shelf.artifact("x"),), shelf.kept)
    assert isinstance(inner.error, PathRefused)
    assert everything(elsewhere) == set()


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path, shelf: Shelf):
    """At once, before a run is paid for."""
    (tmp_path / "out").write_text("a file")
    with pytest.raises(PathRefused):
        OutFolder(tmp_path / "out").check()
    assert isinstance(out_one(tmp_path / "out", shelf, "x")[0].error, PathRefused)


def test_other_bytes_than_the_digest_says_are_removed_again(tmp_path: Path, shelf: Shelf):
    """A damaged blob is an error, and no file."""
    artifact = shelf.artifact("x")
    shelf.kept(artifact.sha256).write_bytes(b"changed")
    (written,) = OutFolder(tmp_path / "out").write((artifact,), shelf.kept)
    assert isinstance(written.error, LedgerCorrupt)
    assert everything(tmp_path / "out") == set()


def test_one_that_cannot_be_written_does_not_stop_the_others(tmp_path: Path, shelf: Shelf):
    """A missing blob, a file in a folder's place: each is told, the rest is there."""
    missing = shelf.artifact("gone")
    shelf.kept(missing.sha256).unlink()
    there = (shelf.artifact("a", b"1"), shelf.artifact("a/b", b"2"), shelf.artifact("c", b"3"))
    written = OutFolder(tmp_path / "out").write((missing, *there), shelf.kept)
    assert isinstance(written[0].error, HostUnfit)
    assert isinstance(written[2].error, PathRefused)
    assert everything(tmp_path / "out") == {"a", "c"}


def test_no_descriptor_is_left_open(tmp_path: Path, shelf: Shelf):
    """Whoever opens closes."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    OutFolder(tmp_path / "out", ("r",)).write(
        (shelf.artifact("a/b/c"), shelf.artifact("../x")), shelf.kept
    )
    assert len(list(Path("/proc/self/fd").iterdir())) == before
