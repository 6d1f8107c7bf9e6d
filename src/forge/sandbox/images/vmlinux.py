"""A kernel as a plain ELF file, taken out of Debian's self-extracting one.

QEMU starts a bzImage, whose first code unpacks the rest; VMMs with no such loader (Firecracker
1.12, for one) want the unpacked kernel itself. The boot protocol says where in a bzImage it
lies; Debian packs it with LZ4, other builders with what Python's own library reads. Unpacking
takes 0.7 s here and is done once per kernel: `unpacked` keeps the result.
"""

import bz2
import contextlib
import hashlib
import lzma
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from forge.errors import ImageError, NoSpace

_ELF = b"\x7fELF"
_MAGIC_AT, _MAGIC = 0x202, b"HdrS"
_SETUP_SECTORS_AT = 0x1F1
_PAYLOAD_AT = 0x248  # offset and length, since version 2.08 of the boot protocol (2008)
_SECTOR = 512
_LZ4 = b"\x02\x21\x4c\x18"
_LARGEST = 256 << 20  # Debian's takes 51 MiB
_MIN_MATCH = 4


def extract(kernel: bytes) -> bytes:
    """The ELF file inside a bzImage; an ELF file as it is.

    Raises:
        ImageError: it is neither, is damaged, or is packed in a way that is not known here.
    """
    if kernel.startswith(_ELF):
        return kernel
    payload = _payload(kernel)
    for magic, unpack in _UNPACKERS.items():
        if payload.startswith(magic):
            try:
                unpacked = unpack(payload)
            except (ValueError, EOFError, IndexError, OSError, lzma.LZMAError, zlib.error) as error:
                raise ImageError(f"the kernel inside the image is damaged: {error}") from error
            if not unpacked.startswith(_ELF):
                raise ImageError("what the kernel image holds is not an ELF file")
            return unpacked
    raise ImageError(
        f"the kernel is packed in a way that Forge cannot unpack (it begins {payload[:4].hex()})"
    )


def unpacked(kernel: Path, folder: Path) -> Path:
    """The ELF file of a kernel, kept in `folder` under the digest of the packed one.

    Raises:
        ImageError: see `extract`.
        NoSpace: it cannot be written.
    """
    packed = kernel.read_bytes()
    place = folder / f"vmlinux-{hashlib.sha256(packed).hexdigest()[:16]}"
    if place.is_file():
        return place
    content = extract(packed)
    temporary = place.with_name(f".{place.name}-{os.getpid()}")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.chmod(0o644)
        for old in folder.glob("vmlinux-*"):
            old.unlink(missing_ok=True)
        temporary.replace(place)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise NoSpace(f"the unpacked kernel could not be kept: {error.strerror}") from error
    return place


def _payload(kernel: bytes) -> bytes:
    if kernel[_MAGIC_AT : _MAGIC_AT + 4] != _MAGIC or len(kernel) < _PAYLOAD_AT + 8:
        raise ImageError("the kernel is neither a bzImage nor an ELF file")
    offset, length = struct.unpack_from("<II", kernel, _PAYLOAD_AT)
    start = (1 + (kernel[_SETUP_SECTORS_AT] or 4)) * _SECTOR + offset
    payload = kernel[start : start + length]
    if not length or len(payload) != length:
        raise ImageError("the kernel image is cut short")
    return payload


def _gzip(payload: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(payload, _LARGEST)


def _xz(payload: bytes) -> bytes:
    return lzma.LZMADecompressor().decompress(payload, _LARGEST)


def _bzip2(payload: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(payload, _LARGEST)


def _lz4(payload: bytes) -> bytes:
    """LZ4's legacy frame: blocks of a length each, then, by the kernel's build, the whole size."""
    size = int.from_bytes(payload[-4:], "little")
    if size > _LARGEST:
        raise ValueError(f"{size} bytes are more than any kernel has")
    out, at = bytearray(), len(_LZ4)
    while len(out) < size:
        length = int.from_bytes(payload[at : at + 4], "little")
        block = payload[at + 4 : at + 4 + length]
        if not length or len(block) != length:
            raise ValueError("a block is cut short")
        out += _lz4_block(block, size - len(out))
        at += 4 + length
    return bytes(out)


def _lz4_block(block: bytes, room: int) -> bytes:
    """One block: runs of literal bytes, each but the last followed by a copy of earlier ones."""
    out, at = bytearray(), 0
    while at < len(block):
        token = block[at]
        literals, at = _length(block, at + 1, token >> 4)
        out += block[at : at + literals]
        at += literals
        if at >= len(block):
            break
        back = block[at] | block[at + 1] << 8
        copied, at = _length(block, at + 2, token & 15)
        copied += _MIN_MATCH
        if not 0 < back <= len(out) or len(out) + copied > room:
            raise ValueError("a copy leads outside")
        piece = out[len(out) - back : len(out) - back + copied]
        # A copy may overlap what it makes: then it repeats.
        out += piece if back >= copied else (piece * (copied // back + 1))[:copied]
    return bytes(out)


def _length(block: bytes, at: int, first: int) -> tuple[int, int]:
    """A length that begins in four bits and goes on in bytes of 255; and where it ends."""
    if first != 15:
        return first, at
    while block[at] == 255:
        first += 255
        at += 1
    return first + block[at], at + 1


_UNPACKERS: dict[bytes, Callable[[bytes], bytes]] = {
    _LZ4: _lz4,
    b"\x1f\x8b": _gzip,
    b"\xfd7zXZ\0": _xz,
    b"]\0\0": _xz,
    b"BZh": _bzip2,
}
