"""The unpacked kernel: what was packed comes out, and damage is named."""

import bz2
import gzip
import lzma
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.errors import ImageError, NoSpace
from forge.sandbox.images.store import Image
from forge.sandbox.images.vmlinux import extract, unpacked

ELF = b"\x7fELF" + bytes(range(256)) * 40 + b"\0" * 3000


def bzimage(payload: bytes, setup_sectors: int = 3, offset: int = 716) -> bytes:
    """A bzImage's header, its setup code, and a payload where the header says."""
    head = bytearray((1 + setup_sectors) * 512 + offset)
    head[0x1F1] = setup_sectors
    head[0x202:0x206] = b"HdrS"
    head[0x248:0x250] = struct.pack("<II", offset, len(payload))
    return bytes(head) + payload + b"after the payload"


def run_of(length: int) -> bytes:
    return bytes((255,)) * ((length - 15) // 255) + bytes(((length - 15) % 255,))


def literal(data: bytes) -> bytes:
    """A block of nothing but literal bytes."""
    token = bytes((min(len(data), 15) << 4,))
    return token + (run_of(len(data)) if len(data) >= 15 else b"") + data


def lz4(*blocks: bytes, size: int) -> bytes:
    sized = b"".join(len(block).to_bytes(4, "little") + block for block in blocks)
    return b"\x02\x21\x4c\x18" + sized + size.to_bytes(4, "little")


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_what_python_unpacks_comes_out(pack):
    """gzip, xz and bzip2, each with the size that the kernel's build adds behind it."""
    assert extract(bzimage(pack(ELF) + len(ELF).to_bytes(4, "little"))) == ELF


def test_an_elf_file_is_taken_as_it_is():
    """Some builders hand out the unpacked kernel."""
    assert extract(ELF) == ELF


def test_lz4_blocks_come_out_in_order():
    """Literal runs of any length, over several blocks."""
    packed = lz4(literal(ELF[:100]), literal(ELF[100:107]), literal(ELF[107:]), size=len(ELF))
    assert extract(bzimage(packed)) == ELF


def test_an_lz4_copy_that_overlaps_itself_repeats():
    """A copy of 20 from 2 back: the two bytes, ten times."""
    block = b"\x6f" + b"\x7fELFab" + b"\x02\0" + b"\x01" + b"\x10z"
    assert extract(bzimage(lz4(block, size=27))) == b"\x7fELF" + b"ab" * 11 + b"z"


@pytest.mark.parametrize(
    "kernel",
    [
        b"",
        b"MZ" * 600,
        bzimage(b""),
        bzimage(gzip.compress(ELF))[:3000],
        bzimage(gzip.compress(ELF)[:20]),
        bzimage(gzip.compress(b"not a kernel")),
        bzimage(b"\x28\xb5\x2f\xfd" + b"zstandard"),
        bzimage(lz4(b"\x0f\x01\0", size=100)),  # copies before there is anything
        bzimage(lz4(literal(b"\x7fELF") + b"\x05\0", size=100)),
        bzimage(lz4(literal(ELF), size=1 << 30)),
        bzimage(lz4(literal(ELF)[:-9], size=len(ELF))),
    ],
    ids=range(11),
)
def test_what_is_no_kernel_is_named(kernel):
    """Cut short, damaged, packed otherwise or something else: an error that says so."""
    with pytest.raises(ImageError):
        extract(kernel)


@given(st.binary(max_size=300))
def test_a_damaged_lz4_kernel_is_an_error_or_an_elf_file(garbage):
    """Whatever stands in the blocks, unpacking ends, within the size that was said."""
    try:
        made = extract(bzimage(lz4(literal(b"\x7fELF") + garbage, size=4000)))
    except ImageError:
        return
    assert made.startswith(b"\x7fELF")


def test_an_unpacked_kernel_is_kept_and_an_old_one_goes(tmp_path: Path):
    """The second time nothing is unpacked; another kernel takes the place of the first."""
    packed, kept = tmp_path / "vmlinuz", tmp_path / "kept"
    packed.write_bytes(bzimage(gzip.compress(ELF)))
    first = unpacked(packed, kept)
    assert first.read_bytes() == ELF
    first.write_bytes(b"as it was left")
    assert unpacked(packed, kept).read_bytes() == b"as it was left"
    packed.write_bytes(bzimage(gzip.compress(ELF + b"new")))
    assert unpacked(packed, kept) != first
    assert not first.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    """A file in the folder's place."""
    (tmp_path / "vmlinuz").write_bytes(ELF)
    (tmp_path / "kept").write_bytes(b"")
    with pytest.raises(NoSpace):
        unpacked(tmp_path / "vmlinuz", tmp_path / "kept")


@pytest.mark.vm
def test_debians_kernel_comes_out(base_image: Image):
    """The kernel that machines boot is unpacked to an ELF file of this architecture."""
    kernel = extract(base_image.vmlinuz.read_bytes())
    assert len(kernel) > 16 << 20
    machine, entry = struct.unpack_from("<H4xQ", kernel, 18)
    assert (machine, entry) == (62, 0x1000000)  # x86-64, at the kernel's usual place
