"""Booting as VMMs other than QEMU do it: tried under QEMU, so that the guest's part is known good.

What no test here can show is the VMM itself running the guest: that takes working KVM.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forge.sandbox.images.data_disk import make_data_disk
from forge.sandbox.images.store import Image
from forge.sandbox.images.vmlinux import unpacked
from forge.sandbox.qemu.argv import PROGRAM
from forge.sandbox.qemu.tsc import measure_khz
from talking import Wired, shell

pytestmark = pytest.mark.vm

NAMED = "forge.disk-agent=vda forge.disk-root=vdb forge.disk-data=vdc"
"""None of the disks here has a serial."""
DEADLINE_S = 120.0  # takes 4 s here; others may be busy


@contextlib.asynccontextmanager
async def qemu(image: Image, folder: Path, options: str) -> AsyncIterator[Path]:
    """A machine of plain paths, with the unpacked kernel; gives its console."""
    kernel = await asyncio.to_thread(unpacked, image.vmlinuz, folder / "kernel")
    await make_data_disk(folder / "data.img", 64)
    console = folder / "console.log"
    disks = [(image.agent, "readonly=on"), (image.root, "readonly=on"), (folder / "data.img", "")]
    clock = f"tsc=reliable tsc_early_khz={measure_khz()}"
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "-nodefaults", "-display", "none", "-no-reboot", "-M", "microvm,acpi=on"),
        *("-cpu", "Nehalem-v1,+rdrand", "-accel", "tcg", "-m", "256M"),
        *("-kernel", str(kernel), "-initrd", str(image.initrd)),
        *("-append", f"console=ttyS0 panic=-1 reboot=t {clock} forge.rootfs=squashfs {options}"),
        *("-serial", f"file:{console}"),
        *("-chardev", f"socket,id=agent,path={folder / 'agent.sock'},server=on,wait=off"),
        *("-device", "virtio-serial-device,id=serial"),
        *("-device", "virtserialport,bus=serial.0,nr=1,chardev=agent"),
        *(
            word
            for number, (path, mode) in enumerate(disks)
            for word in (
                *("-drive", f"if=none,id=d{number},file={path},format=raw,{mode}".rstrip(",")),
                *("-device", f"virtio-blk-device,drive=d{number}"),
            )
        ),
    )
    try:
        yield console
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def connect(path: Path) -> Wired:
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await asyncio.get_running_loop().sock_connect(client, str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(0.05)  # QEMU has not made it yet
            else:
                return Wired(client.detach(), lambda _: None)


async def test_the_unpacked_kernel_boots_with_disks_that_have_only_names(
    base_image: Image, tmp_path: Path
) -> None:
    """An ELF kernel, and disks without serials: a command runs in the template's root."""
    async with qemu(base_image, tmp_path, NAMED), asyncio.TaskGroup() as tasks:
        agent = await connect(tmp_path / "agent.sock")
        reading = tasks.create_task(agent.run())
        await agent.handshake(DEADLINE_S)
        result, said = await shell(agent, "id -un")
        assert result.ok
        assert said == "user\n"
        agent.close()
        reading.cancel()


async def test_a_machine_that_is_told_so_waits_on_vsock(base_image: Image, tmp_path: Path) -> None:
    """Its modules load, its agent takes the port, and says so where a person looks."""
    async with qemu(base_image, tmp_path, f"{NAMED} forge.line=vsock:1000") as console:
        for _ in range(int(DEADLINE_S / 0.1)):
            if "waits for its host on vsock port 1000" in _said(console):
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail(_said(console)[-2000:])
        assert "PF_VSOCK" in _said(console)
        assert "the kernel refused the module" not in _said(console)


def _said(console: Path) -> str:
    return console.read_text(errors="replace") if console.exists() else ""
