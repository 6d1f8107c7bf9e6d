"""What code in a machine may try, tried: each attack ends in a result or a named error, and in
nothing else. Where it can, the machine goes on; where it cannot, it alone is gone.
"""

import asyncio
import resource

import pytest

from forge.errors import (
    FileNotFound,
    GuestRefused,
    GuestViolation,
    PathRefused,
    QuotaExceeded,
    SandboxDied,
    SandboxStopped,
    SandboxUnresponsive,
)
from forge.sandbox.base import Sandbox, SandboxSpec
from forge.sandbox.machines.provider import MachineProvider
from forge.sandbox.output import Display, Output
from talking import pieces, python, shell

pytestmark = pytest.mark.vm

STEAL_THE_PORT = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
pidfd = libc.syscall(434, 1, 0)
for number in range(3, 40):
    fd = libc.syscall(438, pidfd, number, 0)
    if fd >= 0 and 'vport' in os.readlink(f'/proc/self/fd/{fd}'):
        os.set_blocking(fd, True)
        os.write(fd, bytes.fromhex(sys.argv[1]))
        print('written', flush=True)
        time.sleep(30)
"""


async def _still_works(sandbox: Sandbox) -> None:
    result, text = await shell(sandbox, "echo still here")
    assert (result.exit_code, text) == (0, "still here\n")
    code, heard = await python(sandbox, "print(1 + 1)")
    assert (code.status, heard.text) == ("ok", "2\n")


async def test_printing_without_end_stops_at_the_deadline(qemu: Sandbox) -> None:
    """Endless output fills neither the host's memory nor the machine's time."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = 0

    async def count(item: Output | Display) -> None:
        nonlocal size
        assert isinstance(item, Output)
        size += len(item.data)

    code = "while True: print('x' * 1000)"
    result = await qemu.code.run(code, count, deadline_s=2)
    assert result.status == "timeout"
    assert size > 100_000
    # KiB: what is kept of a stream is bounded by its credit, not by what was printed.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 32 * 1024
    await _still_works(qemu)


async def test_a_sink_that_waits_makes_the_guest_wait(qemu: Sandbox) -> None:
    """Back-pressure reaches the printing program, and its deadline still ends it."""
    release = asyncio.Event()

    async def wait(_: Output | Display) -> None:
        await release.wait()

    running = asyncio.ensure_future(
        qemu.code.run("while True: print('x' * 1000)", wait, deadline_s=1)
    )
    await asyncio.wait([running], timeout=3)
    result, text = await shell(qemu, "echo another stream flows")
    assert (result.exit_code, text) == (0, "another stream flows\n")
    release.set()
    assert (await running).status == "timeout"


async def test_a_fork_bomb_stays_within_its_limit(qemu: Sandbox) -> None:
    """Processes are bounded; the deadline kills them all."""
    result, _ = await shell(qemu, "bomb() { bomb | bomb & }; bomb; sleep 60", deadline_s=3)
    assert result.timed_out
    await _still_works(qemu)


async def test_a_program_that_leaves_its_session_dies_with_its_command(qemu: Sandbox) -> None:
    """A deadline kills what was started by whatever route: setsid and a double fork are no way."""
    script = "setsid bash -c '(sleep 77 &) ; sleep 77' & sleep 60"
    result, _ = await shell(qemu, script, deadline_s=2)
    assert result.timed_out
    _, text = await shell(qemu, "pgrep -cf 'sleep 7[7]' || true")
    assert text == "0\n"


async def test_a_full_disk_is_an_error_in_the_machine_and_a_quota_outside(qemu: Sandbox) -> None:
    """Filling the disk fails in the guest; an upload then fails whole, and works once there is
    room again.
    """
    result, _ = await shell(qemu, "dd if=/dev/zero of=big bs=1M 2>&1 | tail -1", deadline_s=120)
    assert result.exit_code == 0
    with pytest.raises(QuotaExceeded):
        await qemu.files.write("upload", pieces(b"x" * 65536, b"y" * 4_000_000))
    _, text = await shell(qemu, "ls; ls -A | grep forge; rm big")
    assert text == "big\n"
    assert await qemu.files.write("upload", pieces(b"x" * 65536)) == 65536


async def test_an_upload_larger_than_the_quota_leaves_nothing(
    qemu_provider: MachineProvider,
) -> None:
    """Content without end is refused by the disk's size; no part of it stays."""
    machine = await qemu_provider.create(SandboxSpec())
    await shell(machine, "fallocate -l $(($(df --output=avail -B1 . | tail -1) - 8000000)) big")

    async def endless():
        while True:
            yield b"\xff" * 262_144

    with pytest.raises(QuotaExceeded):
        await machine.files.write("endless", endless())
    assert "endless" not in [info.path for info in await machine.files.list(".")]
    await _still_works(machine)


async def test_eating_memory_ends_the_interpreter_alone(qemu: Sandbox) -> None:
    """Out of memory, the person's context is killed and replaced; the agent goes on."""
    result, _ = await python(qemu, "x = []\nwhile True: x.append(b'x' * 10**7)", deadline_s=60)
    assert result.status in ("crashed", "error"), result
    await _still_works(qemu)


async def test_root_cannot_kill_the_agent(qemu: Sandbox) -> None:
    """Process 1 takes no signal from inside; killing everything else ends nothing for good."""
    await shell(qemu, "kill -9 1; kill -STOP 1; kill -TERM 1; echo tried", root=True)
    result, text = await shell(qemu, "echo still here")
    assert (result.exit_code, text) == (0, "still here\n")


@pytest.mark.parametrize(
    ("garbage", "what"),
    [
        ("ff" * 64, "noise"),
        ("fffffff0000000010200", "an oversized frame"),
        ("00000000000000090201", "data on a stream that is not open"),
        ("00000002000000000000" + "0001", "HELLO from the guest"),
        ("0000000200000004" + "0100" + "7b7d", "a stream opened by the guest"),
        (
            "".join(f"00000004{stream:08x}04007fffffff" for stream in range(1, 40, 2)),
            "credit that was never used",
        ),
    ],
)
async def test_a_stolen_port_ends_its_own_machine_alone(
    garbage: str, what: str, qemu_provider: MachineProvider
) -> None:
    """Root takes the agent's line and breaks the wire's rules: GuestViolation, and only there."""
    hostile = await qemu_provider.create(SandboxSpec())
    bystander = await qemu_provider.create(SandboxSpec())
    await hostile.files.write("steal.py", pieces(STEAL_THE_PORT.encode()))
    with pytest.raises(GuestViolation):
        await shell(hostile, f"python3 steal.py {garbage}", root=True)
    with pytest.raises(SandboxStopped):
        await shell(hostile, "true")
    await _still_works(bystander)


@pytest.mark.parametrize(
    "end",
    [
        "echo c > /proc/sysrq-trigger; sleep 60",
        "python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x1234567)'; sleep 60",
    ],
    ids=["panic", "reboot"],
)
async def test_a_machine_that_ends_itself_is_reported_dead(end: str, qemu: Sandbox) -> None:
    """A panic or a reboot from inside is SandboxDied at once, not a wait for the deadline."""
    async with asyncio.timeout(15):
        with pytest.raises(SandboxDied):
            await shell(qemu, end, root=True, deadline_s=60)


async def test_a_machine_that_starves_its_agent_is_destroyed(qemu: Sandbox) -> None:
    """A real-time loop that leaves the agent no time is SandboxUnresponsive, within the margin."""
    starve = """
import os
open('/proc/sys/kernel/sched_rt_runtime_us', 'w').write('-1')
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))
while True: pass
"""
    await qemu.files.write("starve.py", pieces(starve.encode()))
    with pytest.raises(SandboxUnresponsive):
        await shell(qemu, "python3 starve.py", root=True, deadline_s=1)


async def test_paths_do_not_lead_out_of_the_template(qemu: Sandbox) -> None:
    """`..`, symlinks and magic links end at the template's root, under the person's own rights."""
    await shell(qemu, "ln -s /etc/shadow shadow; ln -s ../../../../etc up; ln -s /proc/1/root out")
    with pytest.raises(GuestRefused):
        await qemu.files.write("/etc/passwd", pieces(b"root::0:0::/:/bin/sh"))
    with pytest.raises(GuestRefused):
        _ = [data async for data in qemu.files.read("shadow", limit=1 << 20)]
    with pytest.raises((GuestRefused, FileNotFound)):
        _ = [data async for data in qemu.files.read("out/opt/forge/start", limit=1 << 20)]
    assert await qemu.files.write("../../../../tmp/x", pieces(b"x")) == 1
    assert "/tmp/x" in [info.path for info in await qemu.files.list("/tmp")]


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 4097, "/" + "y/" * 2100])
async def test_a_path_that_is_none_is_refused_before_it_is_sent(path: str, qemu: Sandbox) -> None:
    """NUL, nothing and too much are the caller's error."""
    with pytest.raises(PathRefused):
        await qemu.files.write(path, pieces(b""))


async def test_a_name_that_the_disk_cannot_hold_is_refused(qemu: Sandbox) -> None:
    """A component of more than 255 bytes is the machine's refusal; it goes on."""
    with pytest.raises(GuestRefused):
        await qemu.files.write("z" * 300, pieces(b""))
    await _still_works(qemu)


async def test_special_files_neither_hang_nor_leak(qemu: Sandbox) -> None:
    """A FIFO, a device and a sparse giant are refused at once."""
    await shell(qemu, "mkfifo pipe; truncate -s 900G giant; ln -s /dev/zero zero")
    for name in ("pipe", "zero", "giant"):
        with pytest.raises(GuestRefused):
            _ = [data async for data in qemu.files.read(name, limit=1 << 20)]


async def test_there_is_no_way_out(qemu: Sandbox) -> None:
    """The machine has no network device, and no address is reachable from it, even by root."""
    _, text = await shell(qemu, "ls /sys/class/net; cat /proc/net/route | tail -n +2", root=True)
    assert text == "lo\n"
    code = """
import socket
for address in ('10.0.2.2', '8.8.8.8', '169.254.169.254', '192.168.0.1'):
    try:
        socket.create_connection((address, 80), timeout=2)
        print('reached', address)
    except OSError as error:
        print(error.errno)
"""
    _, heard = await python(qemu, code)
    assert heard.text == "101\n" * 4


async def test_shared_disks_cannot_be_written_even_by_root(qemu: Sandbox) -> None:
    """What clones share is read-only for the device itself."""
    script = """
for disk in vda vdb vdc; do
  major=$(cut -d: -f1 /sys/block/$disk/dev); minor=$(cut -d: -f2 /sys/block/$disk/dev)
  mknod /root/$disk b $major $minor
  printf '%s ' "$(cat /sys/block/$disk/serial)"
  blockdev --setrw /root/$disk 2>/dev/null
  dd if=/dev/zero of=/root/$disk bs=512 count=1 conv=fsync 2>/dev/null && echo wrote || echo refused
done
"""
    _, text = await shell(qemu, script, root=True)
    verdicts = dict(line.split() for line in text.splitlines())
    assert verdicts["forge-agent"] == "refused"
    assert verdicts["forge-root"] == "refused"


async def test_a_person_cannot_touch_the_agents_line(qemu: Sandbox) -> None:
    """The port is not there for a person's processes, and its interpreter's code is read-only."""
    result, _ = await shell(qemu, "ls /dev/vport* /dev/vd*")
    assert result.exit_code != 0
    result, _ = await shell(qemu, "touch /run/forge/forge_guest/interpreter/context.py")
    assert result.exit_code != 0


async def test_a_context_that_lies_on_its_control_socket_is_replaced(qemu: Sandbox) -> None:
    """Garbage from a person's code to the agent ends that context and nothing else."""
    code = """
import os
for fd in range(3, 20):
    try: os.write(fd, b'\\xff' * 100)
    except OSError: pass
import time; time.sleep(5)
"""
    result, _ = await python(qemu, code)
    assert result.status == "crashed"
    assert result.restarted
    await _still_works(qemu)
