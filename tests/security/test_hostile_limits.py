"""A guest with root against its limits and its volumes: what it may not pass it does not pass,
and what it breaks is its own.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forge.errors import (
    GuestRefused,
    QuotaExceeded,
    SandboxError,
    SandboxStopped,
    VolumeUnusable,
)
from forge.sandbox.base import Limits, Sandbox, SandboxSpec
from forge.sandbox.machines.machine import Machine
from forge.sandbox.machines.provider import MachineProvider
from forge.sandbox.room import OOM_SCORE
from forge.sandbox.volumes import VolumeMount, VolumeStore
from talking import pieces, shell

pytestmark = pytest.mark.vm

_MIB = 1 << 20
VMM_MIB = 200
"""What QEMU's own code, buffers and translations may take beside the guest's memory."""

WRITING = VolumeMount("hostile", "/data")
READING = VolumeMount("hostile", "/data", read_only=True)

DEVICE = "major=$(cut -d: -f1 /sys/block/vdd/dev); minor=$(cut -d: -f2 /sys/block/vdd/dev); "
DEVICE += "mknod /root/raw b $major $minor; "


@pytest.fixture
async def bystander(qemu_provider: MachineProvider) -> AsyncIterator[Sandbox]:
    """Another machine, which must notice nothing."""
    sandbox = await qemu_provider.create(SandboxSpec())
    yield sandbox
    result, text = await shell(sandbox, "echo unharmed")
    assert (result.exit_code, text) == (0, "unharmed\n")


@pytest.fixture
async def volumes(qemu_home: tuple[MachineProvider, VolumeStore]) -> VolumeStore:
    """A home with an empty volume, `hostile`."""
    await qemu_home[1].create("hostile", 32)
    return qemu_home[1]


async def attempted(sandbox: Sandbox, script: str, deadline_s: float = 20) -> str:
    """What root tried and what was printed; a machine that broke over it is an answer, too."""
    try:
        return (await shell(sandbox, script, deadline_s=deadline_s, root=True))[1]
    except SandboxError as error:
        return error.code


async def test_root_cannot_take_more_memory_than_the_machine_has(
    qemu_provider: MachineProvider, bystander: Sandbox
) -> None:
    """Outside its control group and in files of memory: the host gives what it promised."""
    sandbox = await qemu_provider.create(SandboxSpec())
    assert isinstance(sandbox, Machine)
    grab = "mkdir -p /root/cg; python3 -c '"
    grab += 'import ctypes; ctypes.CDLL(None).mount(b"none", b"/root/cg", b"cgroup2", 0, None)\'; '
    grab += "echo $$ > /root/cg/cgroup.procs; "
    grab += "python3 -c 'x = []\nwhile True: x.append(bytearray(b\"x\" * 10**7))'"
    trying = asyncio.ensure_future(attempted(sandbox, grab, deadline_s=15))
    most = 0
    while not trying.done():
        try:
            most = max(most, (await sandbox.metrics(claims=False)).memory_private_bytes)
        except SandboxError:
            break
        await asyncio.wait([trying], timeout=0.1)
    await trying
    assert 200 * _MIB < most <= (Limits().memory_mib + VMM_MIB) * _MIB


async def test_a_fork_bomb_of_roots_stays_in_its_machine(
    qemu_provider: MachineProvider, bystander: Sandbox
) -> None:
    """Free of its own process limit it harms itself: not one process more is on the host."""
    sandbox = await qemu_provider.create(SandboxSpec())
    assert isinstance(sandbox, Machine)
    tasks = Path(f"/proc/{sandbox.pid}/task")
    free = "mkdir -p /root/cg; python3 -c '"
    free += 'import ctypes; ctypes.CDLL(None).mount(b"none", b"/root/cg", b"cgroup2", 0, None)\'; '
    free += "echo max > /root/cg/work/pids.max; bomb() { bomb | bomb & }; bomb; sleep 60"
    trying = asyncio.ensure_future(attempted(sandbox, free, deadline_s=3))
    await asyncio.wait([trying], timeout=2)
    assert len(list(tasks.iterdir())) < 100  # QEMU's own: its processor, its disks' workers
    children = (tasks / str(sandbox.pid) / "children").read_text()
    assert children == ""
    await trying


def _counted(pid: int) -> float:
    """Seconds of processor time that the kernel counts for a process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_processor_time_is_what_the_host_counts_whatever_the_guest_does(
    qemu_provider: MachineProvider,
) -> None:
    """Between two looks at the kernel's own count, by the tick it is kept in, on any host."""
    machine = await qemu_provider.create(SandboxSpec())
    assert isinstance(machine, Machine)
    tick = 1 / os.sysconf("SC_CLK_TCK")
    first = await machine.metrics(claims=False)
    for script in ("while :; do :; done", "date -s @0; sleep 0.3", "dd if=/dev/zero of=/dev/null"):
        await attempted(machine, script, deadline_s=1)
        low = _counted(machine.pid)
        said = (await machine.metrics(claims=False)).cpu_seconds
        assert low - 2 * tick <= said <= _counted(machine.pid) + 2 * tick
        assert said > first.cpu_seconds
    await machine.stop()


async def test_root_cannot_take_more_processor_time_than_its_share(
    qemu_provider: MachineProvider, bystander: Sandbox
) -> None:
    """Real-time loops on every processor it has, and the host still counts its share."""
    sandbox = await qemu_provider.create(SandboxSpec(limits=Limits(cpu_percent=30)))
    before = await sandbox.metrics(claims=False)
    loops = "for i in 1 2 3 4; do (while :; do :; done) & done; "
    loops += (
        "python3 -c 'import os; os.sched_setscheduler(0, 1, os.sched_param(50))\nwhile 1: pass'"
    )
    await attempted(sandbox, loops, deadline_s=3)
    try:
        after = await sandbox.metrics(claims=False)
    except SandboxStopped:
        return  # it starved its own agent, and is gone
    passed = after.uptime_s - before.uptime_s
    assert after.cpu_seconds - before.cpu_seconds <= 0.3 * passed + 0.2


async def test_root_cannot_move_more_than_its_bandwidth(
    qemu_provider: MachineProvider, bystander: Sandbox
) -> None:
    """All its disks together, raw and past every cache: 20 MiB at 5 a second take three seconds."""
    sandbox = await qemu_provider.create(SandboxSpec(limits=Limits(disk_mib_s=5)))
    raw = "for d in vda vdb vdc; do mknod /root/$d b $(cut -d: -f1 /sys/block/$d/dev) "
    raw += "$(cut -d: -f2 /sys/block/$d/dev); done; "
    raw += (
        "for d in vdb vdc; do dd if=/root/$d of=/dev/null bs=1M count=10 iflag=direct & done; wait"
    )
    result, text = await shell(sandbox, raw, root=True)
    assert result.ok
    assert text.count("10+0 records in") == 2
    assert result.duration_ms >= 3000


async def test_root_cannot_write_more_than_its_disk_holds(
    qemu_provider: MachineProvider, bystander: Sandbox
) -> None:
    """Past the filesystem, onto the device itself and beyond its end: the file grows no further."""
    sandbox = await qemu_provider.create(SandboxSpec())
    raw = "mknod /root/raw b $(cut -d: -f1 /sys/block/vdc/dev) $(cut -d: -f2 /sys/block/vdc/dev); "
    raw += "dd if=/dev/urandom of=/root/raw bs=1M seek=900 oflag=direct; "
    raw += "dd if=/dev/zero of=/root/raw bs=1M seek=5000 count=1 oflag=direct"
    await attempted(sandbox, raw, deadline_s=60)
    used = await sandbox.metrics(claims=False)
    assert used.disk_limit_bytes == 1024 * _MIB
    assert used.disk_used_bytes <= used.disk_limit_bytes
    assert isinstance(sandbox, Machine)
    assert (sandbox._folder / "data.img").stat().st_size == used.disk_limit_bytes


async def test_output_without_end_is_cut_and_the_machine_goes_on(
    qemu_provider: MachineProvider, bystander: Sandbox
) -> None:
    """From both streams at once; the caller gets its limit and the mark."""
    sandbox = await qemu_provider.create(SandboxSpec(limits=Limits(max_output_bytes=10_000)))
    result, text = await shell(sandbox, "yes & yes >&2", deadline_s=2)
    assert result.timed_out
    assert len(text) < 10_200
    assert result.dropped_bytes > 10_000
    result, text = await shell(sandbox, "echo on")
    assert (text, result.dropped_bytes) == ("on\n", 0)


async def test_descriptors_without_end_are_the_machines_own_want(
    qemu: Sandbox, bystander: Sandbox
) -> None:
    """Root opens files until the kernel has none left: refused by name, usable once they go."""
    hog = "import os, resource, time\n"
    hog += "resource.setrlimit(resource.RLIMIT_NOFILE, (10**6, 10**6))\n"
    hog += "try:\n  while True: os.pipe()\nexcept OSError as error: print(error.errno)\n"
    text = await attempted(qemu, f"ulimit -n 1000000; python3 -c '{hog}' 2>&1", deadline_s=10)
    assert text in ("", "23\n", "24\n")
    async with asyncio.timeout(30):  # a kernel takes a while to close a million files
        while "on\n" not in (text := await attempted(qemu, "echo on")):
            assert text == "guest_refused"
            await asyncio.sleep(0.2)


async def test_inodes_without_end_are_a_full_disk(qemu: Sandbox, bystander: Sandbox) -> None:
    """Empty files until there is no inode left: an upload is refused by its name, until some go."""
    fill = "import os\nos.mkdir('many')\ni = 0\n"
    fill += "try:\n  while True:\n    os.mknod(f'many/{i}'); i += 1\n"
    fill += "except OSError as error: print(error.errno)\n"
    await qemu.files.write("fill.py", pieces(fill.encode()))
    _, text = await shell(qemu, "python3 fill.py", deadline_s=120)
    assert text == "28\n"
    with pytest.raises((QuotaExceeded, GuestRefused)):
        await qemu.files.write("upload", pieces(b"x"))
    await shell(qemu, "find many -name '1*' -delete", deadline_s=120)
    assert await qemu.files.write("upload", pieces(b"x")) == 1


async def test_a_vmm_is_ended_before_forge_and_cannot_multiply(qemu: Sandbox) -> None:
    """When the host's memory runs out; and where Forge is root its user may have few threads."""
    assert isinstance(qemu, Machine)
    ours = int(Path("/proc/self/oom_score_adj").read_text())
    theirs = int(Path(f"/proc/{qemu.pid}/oom_score_adj").read_text())
    assert theirs == OOM_SCORE > ours
    if os.geteuid() == 0:
        limits = Path(f"/proc/{qemu.pid}/limits").read_text()
        (processes,) = [line for line in limits.splitlines() if line.startswith("Max processes")]
        assert processes.split()[2] == "128"


async def test_root_cannot_write_a_volume_that_is_only_read(
    qemu_provider: MachineProvider, volumes: VolumeStore, bystander: Sandbox
) -> None:
    """Neither through the mount made writable, nor onto the raw device, nor by a new driver."""
    writer = await qemu_provider.create(SandboxSpec(volumes=(WRITING,)))
    await writer.files.write("/data/file", pieces(b"as it was"))
    await writer.stop()
    image = Path.home() / ".local/share/forge/volumes/hostile/volume.img"
    before = image.read_bytes()
    sandbox = await qemu_provider.create(SandboxSpec(volumes=(READING,)))
    attack = f"""{DEVICE}
python3 -c 'import ctypes; print(ctypes.CDLL(None).mount(None, b"/data", None, 32, None))'
echo new > /data/file; rm -f /data/file
python3 -c 'import fcntl, os, struct
fd = os.open("/root/raw", os.O_RDONLY); fcntl.ioctl(fd, 0x125D, struct.pack("i", 0))'
dd if=/dev/zero of=/root/raw bs=4096 count=100 conv=fsync
mkdir -p /root/sys; python3 -c 'import ctypes
ctypes.CDLL(None).mount(b"sysfs", b"/root/sys", b"sysfs", 0, None)'
echo 0 > /root/sys/block/vdd/ro
dd if=/dev/zero of=/root/raw bs=4096 count=100 oflag=direct
cat /data/file"""
    assert "as it was" in await attempted(sandbox, attack)
    await sandbox.stop()
    assert image.read_bytes() == before


async def test_a_new_volume_shows_nothing_of_a_former_owner(
    qemu_provider: MachineProvider, volumes: VolumeStore
) -> None:
    """Root reads every byte of the device: what was removed is nowhere on it."""
    one = await qemu_provider.create(SandboxSpec(volumes=(WRITING,)))
    script = "for i in $(seq 2000); do echo former-secret; done > /data/s; sync"
    assert (await shell(one, script))[0].ok
    await one.stop()
    volumes.remove("hostile")
    await volumes.create("hostile", 32)
    other = await qemu_provider.create(SandboxSpec(volumes=(WRITING,)))
    look = "dd if=/root/raw bs=1M of=/root/all; "
    look += "stat -c %s /root/all; grep -c former-secret /root/all"
    text = await attempted(other, DEVICE + look)
    assert text.split()[-2:] == [str(32 * _MIB), "0"]


DAMAGE = {
    "no superblock": "dd if=/dev/zero of=/root/raw bs=4096 count=1 conv=fsync",
    "noise everywhere": "dd if=/dev/urandom of=/root/raw bs=1M conv=fsync",
    "noise in the metadata": "dd if=/dev/urandom of=/root/raw bs=4096 seek=1 count=500 conv=fsync",
    "a superblock of large numbers": "python3 -c '"
    'import os; fd = os.open("/root/raw", os.O_RDWR); os.pwrite(fd, b"\\xff" * 56, 1024); '
    'os.pwrite(fd, b"\\xff" * 900, 1024 + 60); os.fsync(fd)\'',
    "an error that asks for a panic": "python3 -c '"
    'import os; fd = os.open("/root/raw", os.O_RDWR); os.pwrite(fd, b"\\x03", 1024 + 60); '
    "os.pwrite(fd, os.urandom(4096), 8192); os.fsync(fd)'",
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_volume_that_was_damaged_on_purpose_harms_nobody_else(
    damage: str, qemu_provider: MachineProvider, volumes: VolumeStore, bystander: Sandbox
) -> None:
    """The next machine gets it, or a named error: the host never looks, and others live on."""
    hostile = await qemu_provider.create(SandboxSpec(volumes=(WRITING,)))
    await attempted(hostile, DEVICE + DAMAGE[damage])
    assert isinstance(hostile, Machine)
    os.kill(hostile.pid, 9)  # before its kernel writes over the damage
    await hostile.gone.wait()
    for mount in (WRITING, READING):
        try:
            sandbox = await qemu_provider.create(SandboxSpec(volumes=(mount,)))
        except VolumeUnusable:
            continue
        await attempted(sandbox, "ls -lR /data; echo x > /data/y; cat /data/*; sync")
        await sandbox.stop()
    volumes.remove("hostile")


async def test_a_machine_without_volumes_has_nothing_in_its_slots(qemu: Sandbox) -> None:
    """What root reads from an empty slot is zeroes, and what it writes is nowhere."""
    script = f"""{DEVICE}
dd if=/dev/urandom of=/root/raw bs=64k count=4 conv=fsync; echo 3 > /proc/sys/vm/drop_caches
dd if=/root/raw bs=64k iflag=direct 2>/dev/null | tr -d '\\0' | wc -c"""
    assert (await attempted(qemu, script)).split()[-1] == "0"
