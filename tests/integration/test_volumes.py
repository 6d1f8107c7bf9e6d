"""Volumes over crashes of everything: what was synced is there, the filesystem is whole, and the
volume is free.
"""

import asyncio
import os
import pickle
import sys
from pathlib import Path

import pytest

from forge.errors import SandboxError, VolumeBusy
from forge.sandbox.base import Sandbox, SandboxSpec
from forge.sandbox.images.store import Image
from forge.sandbox.machines.machine import Machine
from forge.sandbox.machines.provider import MachineProvider
from forge.sandbox.volumes import VolumeMount, VolumeStore
from talking import shell

pytestmark = pytest.mark.vm

WRITING = SandboxSpec(volumes=(VolumeMount("crashed", "/data"),))
READING = SandboxSpec(volumes=(VolumeMount("crashed", "/data", read_only=True),))

WRITE = """
echo precious > /data/synced; sync /data/synced
(while :; do for i in $(seq 50); do head -c 50000 /dev/urandom > /data/$i; rm -f /data/$((51 - i))
done; done) > /dev/null 2>&1 &
echo begun; sleep 60
"""

OWNER = """
import asyncio, pickle, sys
from pathlib import Path
from forge.sandbox.base import SandboxSpec
from forge.sandbox.commands import Command
from forge.sandbox.qemu.provider import open_provider
from forge.sandbox.volumes import VolumeMount

async def tell(item):
    print(item.data.decode(), end="", flush=True)

async def main():
    image = pickle.loads(bytes.fromhex(sys.argv[2]))
    async with open_provider(Path(sys.argv[1]), lambda _: image, lambda _: None) as provider:
        spec = SandboxSpec(volumes=(VolumeMount("crashed", "/data"),))
        machine = await provider.create(spec)
        await machine.commands.run(Command(("bash", "-c", sys.argv[3]), 60), tell)

asyncio.run(main())
"""


@pytest.fixture
async def volumes(qemu_home: tuple[MachineProvider, VolumeStore]) -> VolumeStore:
    """A home with an empty volume, `crashed`."""
    await qemu_home[1].create("crashed", 64)
    return qemu_home[1]


async def _is_whole(sandbox: Sandbox) -> None:
    """What was synced is there, every file can be read, and the kernel found no fault."""
    result, text = await shell(sandbox, "cat /data/synced; cat /data/* | wc -c")
    assert (result.exit_code, text.split()[0]) == (0, "precious")
    _, faults = await shell(sandbox, "dmesg | grep -c 'EXT4-fs error' || true", root=True)
    assert faults == "0\n"


async def test_a_killed_vmm_leaves_a_volume_whole_and_free(
    qemu_provider: MachineProvider, volumes: VolumeStore
) -> None:
    """SIGKILL while it writes: its journal is replayed, for a reader and for a writer."""
    machine = await qemu_provider.create(WRITING)
    assert isinstance(machine, Machine)
    writing = asyncio.ensure_future(shell(machine, WRITE, deadline_s=60))
    await asyncio.wait([writing], timeout=3)
    os.kill(machine.pid, 9)
    with pytest.raises(SandboxError):
        await writing
    await machine.gone.wait()
    assert not volumes.show("crashed").clean
    reader = await qemu_provider.create(READING)
    assert volumes.show("crashed").clean
    await _is_whole(reader)
    await reader.stop()
    writer = await qemu_provider.create(WRITING)
    await _is_whole(writer)
    await writer.stop()
    assert volumes.show("crashed").clean


async def test_a_killed_forge_leaves_a_volume_whole_and_free(
    qemu_provider: MachineProvider, volumes: VolumeStore, base_image: Image
) -> None:
    """SIGKILL of the owner while its machine writes: the next Forge has the volume at once."""
    home = Path.home() / ".local/share/forge"
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER, str(home), pickle.dumps(base_image).hex(), WRITE),
        stdout=asyncio.subprocess.PIPE,
    )
    assert owner.stdout is not None
    async with asyncio.timeout(200):
        assert await owner.stdout.readline() == b"begun\n"
    with pytest.raises(VolumeBusy):
        await qemu_provider.create(READING)
    owner.kill()
    await owner.wait()
    async with asyncio.timeout(60):  # the kernel kills the VMM; that takes milliseconds
        while True:
            try:
                reader = await qemu_provider.create(READING)
                break
            except VolumeBusy:
                await asyncio.sleep(0.05)
    await _is_whole(reader)
    await reader.stop()
    assert await qemu_provider.reap() == 1


async def test_a_busy_volume_costs_a_refused_machine_nothing(
    qemu_provider: MachineProvider, volumes: VolumeStore
) -> None:
    """No folder, no process and no descriptor is left of it."""
    machine = await qemu_provider.create(WRITING)
    folders = sorted((Path.home() / ".local/share/forge/machines").glob("sbx*"))
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(VolumeBusy):
            await qemu_provider.create(WRITING)
    assert sorted((Path.home() / ".local/share/forge/machines").glob("sbx*")) == folders
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    await machine.stop()


async def test_stopping_ends_what_still_writes_and_gives_the_volume_back(
    qemu_provider: MachineProvider, volumes: VolumeStore
) -> None:
    """A program of root's that would not let go is no reason for a volume that is not clean."""
    machine = await qemu_provider.create(WRITING)
    hold = "cd /data; trap '' TERM; (while :; do echo x; done > /data/busy) & echo on"
    await shell(machine, hold, root=True)
    await machine.stop()
    assert volumes.show("crashed").clean
