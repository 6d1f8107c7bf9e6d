"""Root in a machine turns on its own kernel and on the devices that QEMU emulates for it.

A guest's kernel is the attacker's, so every device is reached without asking it. Whatever happens
to that machine, it is a result or a named error, its QEMU does not crash, and a bystander cloned
from the same memory goes on as if nothing had been.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from forge.errors import SandboxError
from forge.sandbox.base import Sandbox, SandboxSpec
from forge.sandbox.machines.provider import MachineProvider
from talking import python, shell

pytestmark = pytest.mark.vm

_NODES = """
import mmap, os, random, struct
def node(name, major, minor):
    path = '/dev/' + name
    if not os.path.exists(path):
        os.mknod(path, 0o600 | 0o020000, os.makedev(major, minor))
    return os.open(path, os.O_RDWR)
random.seed(%d)
"""

_PORTS = """
import ctypes, mmap, random
libc = ctypes.CDLL(None, use_errno=True)
assert libc.iopl(3) == 0
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex('89fa 89f0 ee c3') + b'\\x90' * 10 + bytes.fromhex('89fa ec 0fb6c0 c3'))
start = ctypes.addressof(ctypes.c_char.from_buffer(page))
put = ctypes.CFUNCTYPE(None, ctypes.c_uint, ctypes.c_uint)(start)
get = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_uint)(start + 16)
"""

PORTS = (
    _PORTS
    + """
random.seed(%d)
for number in range(0x10000):
    if number in (0x64, 0x92, 0xCF9, 0x600, 0x604):  # those that reset are another attack
        continue
    get(number)
    put(number, random.randrange(256))
print('poked')
"""
)

REGISTERS = (
    _NODES
    + """
memory = node('mem', 1, 1)
poked = 0
for device in range(24):
    base = 0xFEB00000 + device * 0x200
    try:
        page = mmap.mmap(memory, 4096, offset=base & ~4095)
    except OSError:
        continue
    for _ in range(400):
        at = (base & 4095) + 4 * random.randrange(0x80)
        try:
            value = random.choice([0, 1, 0xFFFFFFFF, random.getrandbits(32)])
            struct.pack_into('<I', page, at, value)
            struct.unpack_from('<I', page, at)
            poked += 1
        except (OSError, ValueError):
            continue
print('poked', poked)
"""
)

QUEUES = (
    _NODES
    + """
# Rings that lead anywhere: each virtio device is reset, then given queues at absurd addresses.
memory = node('mem', 1, 1)
for device in range(24):
    base = 0xFEB00000 + device * 0x200
    try:
        page = mmap.mmap(memory, 4096, offset=base & ~4095)
    except OSError:
        continue
    offset = base & 4095
    def put(register, value):
        struct.pack_into('<I', page, offset + register, value)
    if struct.unpack_from('<I', page, offset)[0] != 0x74726976:
        continue
    for address in (0, 0xFFFFFFFFFFFFF000, 0xFEB00000, 1 << 40):
        put(0x70, 0); put(0x70, 3)
        put(0x24, 1); put(0x20, 1); put(0x70, 11)
        for queue in range(3):
            put(0x30, queue); put(0x38, 0x8000)
            for register in (0x80, 0x90, 0xA0):
                put(register, address & 0xFFFFFFFF); put(register + 4, address >> 32)
            put(0x44, 1); put(0x70, 15); put(0x50, queue); put(0x50, 0xFFFF)
print('poked')
"""
)


@pytest.fixture
async def bystander(qemu_provider: MachineProvider) -> AsyncIterator[Sandbox]:
    """A machine beside the attacked one, with something in its memory."""
    machine = await qemu_provider.create(SandboxSpec())
    await python(machine, "kept = list(range(1000))")
    yield machine
    _, heard = await python(machine, "print(sum(kept))")
    assert heard.text == "499500\n"
    await machine.stop()


async def _attack(machine: Sandbox, program: str) -> str:
    """Run a program as root; what it printed, or the name of the error that it ended in."""
    try:
        _, said = await shell(
            machine, f"python3 - <<'END'\n{program}\nEND", root=True, deadline_s=60
        )
    except SandboxError as error:
        return type(error).__name__
    return said


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_port_can_be_poked(qemu: Sandbox, bystander: Sandbox, seed: int) -> None:
    """Random bytes to and from all of x86's I/O ports harm no other machine, nor QEMU."""
    assert bystander.facts.id != qemu.facts.id
    said = await _attack(qemu, PORTS % seed)
    assert said in ("poked\n", "SandboxDied", "SandboxUnresponsive", "GuestViolation"), said


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_values_in_device_registers(
    qemu: Sandbox, bystander: Sandbox, seed: int
) -> None:
    """Random writes to each virtio device's registers, past the end of its page too."""
    assert bystander.facts.id != qemu.facts.id
    said = await _attack(qemu, REGISTERS % seed)
    assert said.startswith(("poked", "SandboxDied", "SandboxUnresponsive", "GuestViolation")), said
    assert said != "poked 0\n"


async def test_queues_that_lead_anywhere(qemu: Sandbox, bystander: Sandbox) -> None:
    """Rings at absurd addresses, of absurd sizes, kicked: QEMU follows none of them out."""
    assert bystander.facts.id != qemu.facts.id
    said = await _attack(qemu, QUEUES % 1)
    assert said.startswith(("poked", "SandboxDied", "SandboxUnresponsive", "GuestViolation")), said
    assert said != "poked 0\n"


@pytest.mark.parametrize("port", [0x64, 0x92, 0xCF9], ids=hex)
async def test_a_reset_by_port_is_the_machines_end(
    qemu: Sandbox, bystander: Sandbox, port: int
) -> None:
    """The keyboard controller, port 92 and CF9: each resets, which ends the machine, or nothing."""
    assert bystander.facts.id != qemu.facts.id
    value = {0x64: 0xFE, 0x92: 0x01, 0xCF9: 0x06}[port]
    program = _PORTS + f"put({port}, {value}); print('alive')"
    assert await _attack(qemu, program) in ("alive\n", "SandboxDied")


@pytest.mark.parametrize("key", "bcoi")
async def test_the_magic_keys_end_one_machine_at_most(
    qemu: Sandbox, bystander: Sandbox, key: str
) -> None:
    """Sysrq: reboot, crash, power off, kill all."""
    assert bystander.facts.id != qemu.facts.id
    script = f"echo {key} > /proc/sysrq-trigger"
    with pytest.raises(SandboxError) if key in "bc" else _anything():
        await shell(qemu, f"{script}; sleep 5", root=True)
        await shell(qemu, "true")


class _anything:  # noqa: N801 -- reads as a word
    """Either end is fine."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, SandboxError)


async def test_the_agent_cannot_be_traced(qemu: Sandbox) -> None:
    """Root asks to trace process 1 and to write its memory; the person may not even ask."""
    program = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print('attached' if libc.ptrace(16, 1, 0, 0) == 0 else os.strerror(ctypes.get_errno()))
"""
    result, said = await shell(qemu, f"python3 - <<'END'\n{program}\nEND")
    assert (result.exit_code, said) == (0, "Operation not permitted\n")
    with _anything():
        await shell(qemu, f"python3 - <<'END'\n{program}\nEND", root=True)
        await shell(qemu, "true")


async def test_an_agent_that_is_replaced_speaks_for_nobody(
    qemu: Sandbox, bystander: Sandbox
) -> None:
    """Root overwrites process 1's memory while it serves: the machine ends, in a named error."""
    assert bystander.facts.id != qemu.facts.id
    program = """
import re
with open('/proc/1/maps') as maps, open('/proc/1/mem', 'rb+', 0) as memory:
    for line in maps:
        found = re.match(r'([0-9a-f]+)-([0-9a-f]+) rw', line)
        if found:
            start, end = (int(each, 16) for each in found.groups())
            for page in range(start, end, 4096):
                try:
                    memory.seek(page)
                    memory.write(b'\\xcc' * 4096)
                except OSError:
                    break
"""
    said = await _attack(qemu, program)
    with pytest.raises(SandboxError):
        await shell(qemu, f"echo {len(said)}")


async def test_a_clock_that_is_turned_hurts_no_deadline(qemu: Sandbox) -> None:
    """Root sets the clock a century ahead and back; deadlines are counted by another."""
    await shell(qemu, "date -s '2126-01-01'; date -s '1971-01-01'", root=True)
    result, _ = await shell(qemu, "sleep 30", deadline_s=1)
    assert result.timed_out
    _, heard = await python(qemu, "print('still')")
    assert heard.text == "still\n"


async def test_a_generator_that_is_fed_by_the_attacker_stays_its_own(
    qemu_provider: MachineProvider,
) -> None:
    """Two machines whose kernels get the same seed from root still draw other numbers."""
    program = """
import fcntl, os, struct
device = os.open('/dev/urandom', os.O_RDWR)
fcntl.ioctl(device, 0x40085203, struct.pack('ii', 512, 64) + b'A' * 64)
fcntl.ioctl(device, 0x5207)
print(os.urandom(16).hex())
"""
    drawn = set()
    for _ in range(2):
        machine = await qemu_provider.create(SandboxSpec())
        drawn.add((await shell(machine, f"python3 - <<'END'\n{program}\nEND", root=True))[1])
        await machine.stop()
    assert len(drawn) == 2


async def test_raw_disks_are_the_machines_own(qemu: Sandbox, bystander: Sandbox) -> None:
    """Root writes noise over every disk it sees: what is shared refuses it, its own is its own."""
    assert bystander.facts.id != qemu.facts.id
    script = (
        "for d in /sys/block/vd*; do n=/dev/x${d##*/}; mknod $n b $(tr : ' ' < $d/dev);"
        " dd if=/dev/urandom of=$n bs=64k count=16 conv=fsync 2>/dev/null; done; echo over"
    )
    with _anything():
        await shell(qemu, script, root=True)


async def test_a_machine_that_never_sleeps_leaves_the_others_their_time(
    qemu: Sandbox, bystander: Sandbox
) -> None:
    """A kernel that spins on every timer it can set does not stop its neighbours."""
    spin = "for n in $(seq 64); do (while :; do :; done) & done; sleep 3"
    async with asyncio.TaskGroup() as tasks:
        spinning = tasks.create_task(shell(qemu, spin, root=True))
        _, heard = await python(bystander, "print(6 * 7)")
    assert heard.text == "42\n"
    assert spinning.result()[0].exit_code == 0


async def test_huge_allocations_in_the_kernel_end_one_machine_at_most(
    qemu: Sandbox, bystander: Sandbox
) -> None:
    """Root fills memory from outside every control group, through files in memory."""
    assert bystander.facts.id != qemu.facts.id
    program = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
assert libc.mount(b't', b'/mnt', b'tmpfs', 0, b'size=100%') == 0
with open('/mnt/f', 'wb', 0) as file:
    while True:
        file.write(bytes(1 << 20))
"""
    said = await _attack(qemu, program)
    assert said in ("", "SandboxDied", "SandboxUnresponsive") or any(
        word in said for word in ("No space left", "Killed")
    ), said
