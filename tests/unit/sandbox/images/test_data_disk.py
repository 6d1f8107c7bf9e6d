"""A machine's empty disk."""

import shutil
import struct
from pathlib import Path

import pytest

from forge.errors import HostUnfit
from forge.sandbox.images.data_disk import LABEL, make_data_disk

pytestmark = pytest.mark.skipif(
    shutil.which("mke2fs", path="/usr/sbin:/sbin:/usr/bin") is None, reason="needs e2fsprogs"
)


@pytest.mark.parametrize("size_mib", [16, 64, 1024])
async def test_a_disk_has_its_size_and_occupies_next_to_nothing(tmp_path: Path, size_mib: int):
    """It is sparse: a gibibyte costs the host a few hundred kilobytes until it is used."""
    path = tmp_path / "data.img"
    await make_data_disk(path, size_mib)
    assert path.stat().st_size == size_mib << 20
    assert path.stat().st_blocks * 512 < 300_000


async def test_a_disk_is_an_ext4_of_our_label_without_journal(tmp_path: Path):
    """The superblock says so, and that nothing is kept back for root."""
    path = tmp_path / "data.img"
    await make_data_disk(path, 64)
    superblock = path.read_bytes()[1024:2048]
    assert struct.unpack_from("<H", superblock, 56) == (0xEF53,)
    assert superblock[120:136].rstrip(b"\0") == LABEL.encode()
    assert struct.unpack_from("<I", superblock, 8) == (0,)  # reserved blocks
    has_journal = struct.unpack_from("<I", superblock, 92)[0] & 4
    extents = struct.unpack_from("<I", superblock, 96)[0] & 0x40
    assert (has_journal, bool(extents)) == (0, True)


async def test_a_disk_that_cannot_be_made_leaves_nothing(tmp_path: Path):
    """mke2fs's own reason is in the message."""
    with pytest.raises(HostUnfit, match="mke2fs could not make"):
        await make_data_disk(tmp_path / "missing" / "data.img", 64)
    with pytest.raises(HostUnfit, match="mke2fs could not make"):
        await make_data_disk(tmp_path / "tiny.img", 0)
    assert list(tmp_path.iterdir()) == []
