"""Machines of Firecracker's engine, their whole life: a program that speaks as the real one does
(`fake_firecracker`), started, confined, asked and killed as the real one is.

The real one is asked the same in `test_firecracker.py`, up to where a guest would have to answer.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import fake_firecracker
from forge.errors import (
    InputRefused,
    NameUnknown,
    NoSpace,
    SandboxDied,
    SandboxError,
    SandboxPaused,
    SandboxStopped,
    SnapshotForeign,
    TemplateError,
)
from forge.sandbox import records
from forge.sandbox.base import Limits, SandboxSpec
from forge.sandbox.firecracker.provider import open_provider
from forge.sandbox.images.store import Image
from forge.sandbox.machines.machine import Machine
from forge.sandbox.machines.provider import MachineProvider
from forge.sandbox.volumes import VolumeMount

pytestmark = pytest.mark.skipif(
    not os.access("/dev/kvm", os.R_OK | os.W_OK),
    reason="/dev/kvm cannot be opened here, and Firecracker's engine starts nothing without it",
)
SPEC = SandboxSpec(limits=Limits(memory_mib=256, disk_mib=64))


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """Files in the place of an image's: the program does not read them."""
    files = {}
    for name in ("vmlinuz", "initrd", "agent", "root"):
        files[name] = tmp_path / f"image-{name}"
        files[name].write_bytes(b"\x7fELF" + os.urandom(4096))
    return Image("base", "0" * 16, **files, root_kind="squashfs", preload=(), env={})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the program in it."""
    place = tmp_path / "home"
    (place / "bin").mkdir(parents=True)
    fake_firecracker.program(place / "bin")
    return place


def provider_at(home: Path, image: Image):
    def find(name: str) -> Image:
        if name != "base":
            raise NameUnknown(f"there is no template {name!r}")
        return image

    return open_provider(home, find, lambda _: None)


@pytest.fixture
async def provider(home: Path, image: Image) -> AsyncIterator[MachineProvider]:
    """Firecracker's."""
    async with provider_at(home, image) as opened:
        yield opened


async def asked(machine) -> int:
    """The number in the machine's memory, which this makes one more."""
    return (await machine.metrics()).claims.processes


def inside(home: Path, machine) -> Path:
    return home / "machines" / machine.facts.id


async def test_a_machine_is_made_from_a_template_that_is_made_once(
    provider: MachineProvider, home: Path
) -> None:
    """Each from the same memory; at the end neither process nor file of it is left."""
    first, second = [await provider.create(SPEC) for _ in range(2)]
    assert isinstance(first, Machine)
    assert await asked(first) == 1
    assert await asked(first) == 2
    assert await asked(second) == 1
    assert len(list((home / "templates-firecracker").glob("[0-9a-f]*"))) == 1
    pid = first.pid
    await first.stop()
    assert records.stamp(pid) is None
    assert not inside(home, first).exists()
    with pytest.raises(SandboxStopped):
        await first.pause()


async def test_a_paused_machine_has_no_process_and_goes_on_where_it_was(
    provider: MachineProvider, home: Path
) -> None:
    """Again and again, from its own memory and its own disk; calls wake it."""
    machine = await provider.create(SPEC)
    assert isinstance(machine, Machine)
    for turn in range(3):
        assert await asked(machine) == turn + 1
        disk = inside(home, machine) / "data.img"
        with disk.open("r+b") as file:
            file.seek(4096 * turn)
            file.write(b"turn")
        disk.chmod(0o666)  # as a VMM that was taken over might: it is its own while it runs
        pid = machine.pid
        await machine.pause()
        assert machine.state == "paused"
        assert records.stamp(pid) is None
        assert not (inside(home, machine) / "vmm").exists()
        assert disk.stat().st_uid == os.geteuid()
        assert disk.stat().st_mode & 0o777 == 0o600
    assert await asked(machine) == 4
    content = (inside(home, machine) / "data.img").read_bytes()
    assert [content[4096 * turn :][:4] for turn in range(3)] == [b"turn"] * 3


async def test_a_paused_machine_is_opened_by_another_provider(home: Path, image: Image) -> None:
    """It outlives the process that made it."""
    async with provider_at(home, image) as provider:
        machine = await provider.create(SPEC)
        assert await asked(machine) == 1
        await machine.pause()
    async with provider_at(home, image) as provider:
        (known,) = await provider.list()
        assert (known.id, known.state) == (machine.facts.id, "paused")
        opened = await provider.open(machine.facts.id)
        assert await asked(opened) == 2
        await opened.stop()
        assert await provider.list() == ()


async def test_copies_go_on_from_the_moment_of_the_fork_and_so_does_the_first(
    provider: MachineProvider,
) -> None:
    """Each with a memory of its own, and the first with the line that it gets anew."""
    machine = await provider.create(SPEC)
    assert await asked(machine) == 1
    copies = await machine.fork(3)
    assert [await asked(copy) for copy in copies] == [2, 2, 2]
    assert await asked(machine) == 2
    (again,) = await copies[0].fork()
    assert await asked(again) == 3
    assert len({each.facts.id for each in (machine, *copies, again)}) == 5


async def test_a_snapshot_is_a_template_under_a_name(provider: MachineProvider) -> None:
    """Machines start from it until it is removed; the machine it was made of goes on."""
    machine = await provider.create(SPEC)
    await asked(machine)
    snapshot = await machine.snapshot("kept")
    assert snapshot.name == "kept"
    assert [each.name for each in await provider.snapshots()] == ["kept"]
    other = await provider.create(SandboxSpec(template="kept"))
    assert await asked(other) == 2
    assert await asked(machine) == 2
    await provider.remove_snapshot("kept")
    assert await asked(other) == 3
    with pytest.raises(NameUnknown):
        await provider.create(SandboxSpec(template="kept"))


async def test_saving_ends_the_calls_under_way_and_says_so(provider: MachineProvider) -> None:
    """Firecracker ends a guest's connections when it saves; calls made meanwhile wait."""
    machine = await provider.create(SPEC)
    for save in (lambda: machine.fork(1), machine.pause):
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(_failure(machine.files.list("/")))
            while not machine._connection().calls:  # noqa: ASYNC110 -- until it was sent
                await asyncio.sleep(0.01)
            saving = tasks.create_task(save())
            await asyncio.sleep(0)
            meanwhile = tasks.create_task(asked(machine))
        assert isinstance(reading.result(), SandboxPaused)
        assert saving.done()
        assert meanwhile.result() >= 1


async def _failure(call) -> SandboxError | None:
    try:
        await call
    except SandboxError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("Cannot write the memory file: No space left on device (os error 28)", NoSpace),
        ("Cannot perform open on the memory backing file: (os error 2)", TemplateError),
    ],
)
async def test_a_machine_that_could_not_be_saved_goes_on(
    said: str, error: type[Exception], provider: MachineProvider, home: Path
) -> None:
    """Whatever was asked for; the answer says why, in Firecracker's words."""
    machine = await provider.create(SPEC)
    for act in (machine.pause, machine.fork, lambda: machine.snapshot("never")):
        (home / "bin" / "fault").write_text(said)
        with pytest.raises(error, match="could not be saved"):
            await act()
        assert machine.state == "running"
    assert await asked(machine) == 1
    assert await provider.snapshots() == ()
    assert not [path.name for path in (home / "snapshots").iterdir()]


async def test_a_firecracker_that_dies_while_it_saves_is_named(
    provider: MachineProvider, home: Path
) -> None:
    """The machine is gone, and nothing of it is left."""
    machine = await provider.create(SPEC)
    (home / "bin" / "fault").write_text("die")
    with pytest.raises(SandboxDied):
        await machine.pause()
    async with asyncio.timeout(60):
        await machine.gone.wait()
    assert not inside(home, machine).exists()


async def test_what_was_measured_is_the_hosts_and_lasts_over_a_pause(
    provider: MachineProvider,
) -> None:
    """Processor time, memory, disk and traffic, without a word to the guest."""
    machine = await provider.create(SPEC)
    before = await machine.metrics(claims=False)
    assert before.claims is None
    assert before.memory_rss_bytes > 0
    assert before.disk_used_bytes > 0
    assert before.memory_limit_bytes == 256 << 20
    await machine.fork(1)
    await machine.pause()
    paused = await machine.metrics(claims=False)
    assert paused.memory_rss_bytes == 0
    assert paused.cpu_seconds >= before.cpu_seconds
    assert paused.received_bytes >= before.received_bytes > 0


async def test_a_machine_of_another_vmm_is_not_ours(provider: MachineProvider, home: Path) -> None:
    """What QEMU saved in the same home is neither listed nor opened, and its name stays taken."""
    machine = await provider.create(SPEC)
    await machine.snapshot("theirs")
    manifest = home / "snapshots" / "theirs" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"firecracker":', '"qemu":'))
    assert await provider.snapshots() == ()
    with pytest.raises(NameUnknown):
        await provider.create(SandboxSpec(template="theirs"))
    with pytest.raises(InputRefused, match="already"):
        await machine.snapshot("theirs")


async def test_a_machine_of_another_firecracker_is_refused(
    provider: MachineProvider, home: Path
) -> None:
    """Its device state is that version's own."""
    machine = await provider.create(SPEC)
    await machine.snapshot("older")
    manifest = home / "snapshots" / "older" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("v1.12.1", "v1.11.0"))
    with pytest.raises(SnapshotForeign, match="another Firecracker"):
        await provider.create(SandboxSpec(template="older"))


async def test_a_machine_with_volumes_is_refused_and_never_made(
    provider: MachineProvider,
) -> None:
    """What a provider cannot do is said at once, with who can."""
    with pytest.raises(InputRefused, match="volumes") as caught:
        await provider.create(SandboxSpec(volumes=(VolumeMount("kept", "/kept"),)))
    assert "FORGE_SANDBOX" in caught.value.hint
    assert await provider.list() == ()


async def test_disks_are_held_to_their_pace(provider: MachineProvider) -> None:
    """A machine with limits is made; that the real one takes the calls is tried with it."""
    limits = Limits(memory_mib=256, disk_mib=64, disk_mib_s=10, disk_iops=100)
    machine = await provider.create(SandboxSpec(limits=limits))
    assert await asked(machine) == 1
