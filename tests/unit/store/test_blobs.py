"""Blobs appear whole or not at all, under the digest of their bytes."""

import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.errors import FileNotFound, HostUnfit, InputRefused, LedgerCorrupt, NoSpace
from forge.store.blobs import BlobStore


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_content_is_kept_once_under_its_digest(tmp_path: Path):
    """Two puts of the same bytes, cut differently, give one file that verifies."""
    store = BlobStore(tmp_path)
    first = await store.put(pieces(b"ab", b"c"), limit=3)
    second = await store.put(pieces(b"abc"), limit=3)
    assert first == second == (hashlib.sha256(b"abc").hexdigest(), 3)
    assert files_in(tmp_path) == [store.path(first.sha256)]
    assert await store.verify(first.sha256) == 3
    assert store.path(first.sha256).read_bytes() == b"abc"


async def test_content_over_the_limit_is_refused_and_leaves_nothing(tmp_path: Path):
    """The limit is counted while streaming; no half file stays."""
    with pytest.raises(InputRefused, match="4 bytes"):
        await BlobStore(tmp_path).put(pieces(b"abc", b"de"), limit=4)
    assert files_in(tmp_path) == []


async def test_a_source_that_breaks_leaves_nothing(tmp_path: Path):
    """An exception of the content's own passes through and no half file stays."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"abc"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await BlobStore(tmp_path).put(broken(), limit=100)
    assert files_in(tmp_path) == []


async def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path):
    """ENOSPC becomes NoSpace (a real full device would need root; the errno is the kernel's)."""

    async def full() -> AsyncIterator[bytes]:
        yield b"abc"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(NoSpace, match="no space left"):
        await BlobStore(tmp_path).put(full(), limit=100)
    assert files_in(tmp_path) == []


async def test_a_folder_that_cannot_be_written_is_the_hosts_fault(tmp_path: Path):
    """Any other failure of the file system is HostUnfit with the folder's name."""
    (tmp_path / "blobs").write_text("a file where a folder is wanted")
    with pytest.raises(HostUnfit, match="blobs"):
        await BlobStore(tmp_path / "blobs").put(pieces(b"x"), limit=1)


@given(st.text(max_size=80).filter(lambda text: len(text) != 64))
def test_only_a_digest_names_a_blob(name: str):
    """No text but 64 lower-case hex digits becomes a path."""
    with pytest.raises(InputRefused):
        BlobStore(Path("nowhere")).path(name)


@pytest.mark.parametrize("name", ["../" * 20 + "etc", "A" * 64, "0" * 63 + "\n", "\u0660" * 64])
def test_what_looks_like_a_digest_is_no_path(name: str):
    """Traversal, upper case, a trailing newline and foreign digits are refused."""
    with pytest.raises(InputRefused):
        BlobStore(Path("nowhere")).path(name)


async def test_a_changed_blob_is_found_out(tmp_path: Path):
    """Verifying compares the bytes with the name."""
    store = BlobStore(tmp_path)
    blob = await store.put(pieces(b"abc"), limit=3)
    store.path(blob.sha256).write_bytes(b"abd")
    with pytest.raises(LedgerCorrupt, match=blob.sha256):
        await store.verify(blob.sha256)
    with pytest.raises(FileNotFound):
        await store.verify("0" * 64)


async def test_sweeping_removes_only_what_is_old(tmp_path: Path):
    """Half-written files from before the given moment go; younger ones may be in use."""
    store = BlobStore(tmp_path)
    assert await store.sweep(before=1e12) == 0
    partial = tmp_path / "partial"
    partial.mkdir()
    for name, age in (("old", 1000), ("young", 3000)):
        (partial / name).write_text("x")
        os.utime(partial / name, (age, age))
    assert await store.sweep(before=2000) == 1
    assert files_in(partial) == [partial / "young"]
