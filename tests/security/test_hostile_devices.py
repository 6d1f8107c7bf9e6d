"""A machine whose whole kernel is an attack on QEMU's devices.

The payload is a hundred bytes of machine code in the place of a kernel: it knows no driver and no
rule, and writes random numbers to random device registers and random I/O ports for as long as it
lives. QEMU may stop such a machine; it may not crash, which would be the first step of an escape.
"""

import asyncio
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from forge.sandbox.images.data_disk import make_data_disk
from forge.sandbox.images.store import Image
from forge.sandbox.qemu.argv import Shape
from forge.sandbox.qemu.launch import Layout, launch

pytestmark = pytest.mark.vm

_BASE = 0x0010_0000
_COUNTER = 0x0020_0000
_ENOUGH = 100_000
_MMIO, _MMIO_BYTES = 0xFEB0_0000, 24 * 0x200
_MEMORY_MIB = 64
_SECONDS = 6.0  # some millions of writes under emulation


def _program(seed: int) -> bytes:
    """A multiplicative generator in esi; every turn pokes one register and one port."""
    code = bytearray()

    def put(text: str) -> None:
        code.extend(bytes.fromhex(text))

    def back(opcode: str) -> None:
        put(opcode)
        code.append((turn - (len(code) + 1)) & 0xFF)

    number = "69f6 0d661900 81c6 5ff36e3c"  # esi = esi * 1664525 + 1013904223
    put("be" + struct.pack("<I", seed).hex())  # mov esi, seed
    turn = len(code)
    put("ff05" + struct.pack("<I", _COUNTER).hex())  # inc dword [COUNTER]
    put(number)
    put("89f0 c1e808 31d2")  # mov eax, esi; shr eax, 8; xor edx, edx
    put("b9" + struct.pack("<I", _MMIO_BYTES // 4).hex() + "f7f1")  # mov ecx, words; div ecx
    put("8d3c95" + struct.pack("<I", _MMIO).hex())  # lea edi, [edx * 4 + MMIO]
    put(number)
    put("89f0 c1c00d")  # mov eax, esi; rol eax, 13
    put("a807 7503 83e00f")  # one value in eight is small: an index, a state, a switch
    put("8907 8b1f")  # mov [edi], eax; mov ebx, [edi]
    put("89f2")  # mov edx, esi
    for port in (0x64, 0x92, 0xCF9, 0x600, 0x604):  # those that would end the machine at once
        put("6681fa" + struct.pack("<H", port).hex())  # cmp dx, port
        back("74")  # je turn
    put("ee ec")  # out dx, al; in al, dx
    back("eb")  # jmp turn
    return bytes(code)


def _kernel(seed: int) -> bytes:
    """A 32-bit ELF file that QEMU starts by its PVH note (Xen's `PHYS32_ENTRY`)."""
    note_at = 52 + 2 * 32  # behind the header and its two program headers
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", _BASE + 0x1000)
    code = _program(seed)
    elf = struct.pack(
        "<4sBBBB8xHHIIIIIHHHHHH",
        *(b"\x7fELF", 1, 1, 1, 0),  # 32 bits, little-endian
        *(2, 3, 1, _BASE + 0x1000, 52, 0, 0, 52, 32, 2, 0, 0, 0),  # an executable for the 386
    )
    load = struct.pack("<8I", 1, 0x1000, _BASE + 0x1000, _BASE + 0x1000, len(code), 0x1000, 5, 4096)
    notes = struct.pack("<8I", 4, note_at, 0, 0, len(note), len(note), 4, 4)
    return (elf + load + notes + note).ljust(0x1000, b"\0") + code


@pytest.mark.parametrize("seed", [1, 20_261_124, 0xDEAD_BEEF])
async def test_a_kernel_of_random_device_accesses_does_not_crash_qemu(
    base_image: Image, tmp_path: Path, seed: int
) -> None:
    """Millions of random writes and reads later QEMU still answers, or has ended by itself."""
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(_kernel(seed))
    tmp_path.chmod(0o755)
    layout = Layout(
        image=replace(base_image, vmlinuz=kernel),
        memory=tmp_path / "memory",
        data=tmp_path / "data.img",
        folder=tmp_path,
        shape=Shape("tcg", _MEMORY_MIB),
        disk_mib=64,
        boot=True,
        tsc_khz=1_000_000,
    )
    layout.memory.touch()
    layout.memory.chmod(0o666)
    with layout.memory.open("wb") as memory:
        memory.truncate(_MEMORY_MIB << 20)
    await make_data_disk(layout.data, 64)
    launched = await launch(layout)
    try:
        try:
            async with asyncio.timeout(_SECONDS):
                await launched.vmm.ended.wait()
        except TimeoutError:
            status = await launched.monitor.execute("query-status")
            assert status["status"] in ("running", "shutdown", "internal-error"), status
        # The memory is a file that QEMU shares, so how far it got can be read from outside.
        (turns,) = struct.unpack_from("<I", layout.memory.read_bytes(), _COUNTER)
        assert turns > _ENOUGH
        why = launched.vmm.why()
        assert not any(word in why for word in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL")), why
    finally:
        await launched.close()
