"""The real Firecracker: what it is told, it takes; what it takes away, it gives back.

On a host without KVM that truly works no guest gets as far as its agent. Everything up to there is
tried for real: the configuration, the start, the pause, the saving, the loading into a second
process, the line's socket, and the verdict of the probe.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import real_firecracker
from forge.errors import NoAccelerator, SandboxDied, SandboxUnresponsive
from forge.sandbox import records, vmm
from forge.sandbox.base import Limits, SandboxSpec
from forge.sandbox.firecracker import warm
from forge.sandbox.firecracker.config import (
    DATA,
    MEMORY,
    OLDEST,
    RESUME,
    STATE,
    VSOCK,
    Call,
    boot_calls,
    load_calls,
    parse_version,
    save_calls,
)
from forge.sandbox.firecracker.launch import Boot, Launched, launch, lay_out
from forge.sandbox.firecracker.provider import open_provider
from forge.sandbox.firecracker.running import Running
from forge.sandbox.firecracker.running import started as loaded
from forge.sandbox.images.stock import Images
from forge.sandbox.images.store import Image
from forge.sandbox.images.vmlinux import unpacked
from forge.sandbox.machines.engine import Clone
from forge.sandbox.machines.saved import share
from forge.sandbox.processes import memory

MEMORY_MIB = 128


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """Files in the place of an image's: nothing here reads what they hold."""
    files = {}
    for name in ("vmlinuz", "initrd", "agent", "root"):
        files[name] = tmp_path / f"image-{name}"
        files[name].write_bytes(os.urandom(8192))
    return Image("base", "0" * 16, **files, root_kind="squashfs", preload=(), env={})


@pytest.fixture
def nearby() -> Iterator[Path]:
    """A folder from which the image's files can be linked."""
    with real_firecracker.folder_beside_images() as folder:
        yield folder


async def started(folder: Path, image: Image, kernel: Path) -> Launched:
    folder.mkdir()
    boot = Boot(real_firecracker.program(), kernel)
    room = lay_out(folder, boot, image, MEMORY_MIB, 64)
    (room.inside / DATA).write_bytes(bytes(1 << 20))
    room.admit(room.inside / DATA)
    return await launch(boot, room)


@pytest.fixture
async def launched(tmp_path: Path, image: Image) -> AsyncIterator[Launched]:
    """A Firecracker that was told nothing yet."""
    running = await started(tmp_path / "machine", image, image.vmlinuz)
    yield running
    await running.close()


async def test_it_says_its_version(launched: Launched) -> None:
    """One that Forge takes."""
    answer = await launched.api.get("/version")
    assert isinstance(answer, dict)
    version = parse_version(f"Firecracker v{answer['firecracker_version']}")
    assert version is not None
    assert version[:2] >= OLDEST


async def test_it_takes_the_whole_configuration(launched: Launched) -> None:
    """Every call but the start, and what it then says of the machine is what was meant."""
    for call in boot_calls(MEMORY_MIB, "squashfs")[:-1]:
        assert await launched.api.ask(call) is None
    told = await launched.api.get("/vm/config")
    assert isinstance(told, dict)
    assert told["machine-config"]["mem_size_mib"] == MEMORY_MIB
    assert [(each["drive_id"], each["is_read_only"]) for each in told["drives"]] == [
        ("agent", True),
        ("root", True),
        ("data", False),
    ]
    assert told["vsock"] == {"guest_cid": 3, "uds_path": VSOCK}
    assert told["network-interfaces"] == []
    assert "forge.line=vsock:1000" in told["boot-source"]["boot_args"]


async def test_a_refusal_comes_back_in_its_words(launched: Launched) -> None:
    """A file that is not there, a value out of range, a call out of turn: the process lives on."""
    drive = dict(boot_calls(128, "x")[2].body)
    missing = Call("PUT", "/drives/x", {**drive, "drive_id": "x", "path_on_host": "nowhere"})
    with pytest.raises(SandboxDied, match=r"refused PUT /drives/x: .*No such file"):
        await launched.api.ask(missing)
    with pytest.raises(SandboxDied, match="refused PUT /machine-config"):
        await launched.api.ask(
            Call("PUT", "/machine-config", {"vcpu_count": 0, "mem_size_mib": 0, "smt": False})
        )
    with pytest.raises(SandboxDied, match=r"refused PATCH /vm: .*not supported before starting"):
        await launched.api.ask(save_calls()[0])
    assert await launched.api.get("/version")


async def test_what_is_no_kernel_is_refused_at_the_start(launched: Launched) -> None:
    """The last call says why nothing starts."""
    real_firecracker.kvm()
    *settings, start = boot_calls(MEMORY_MIB, "squashfs")
    for call in settings:
        await launched.api.ask(call)
    with pytest.raises(SandboxDied, match=r"refused PUT /actions: .*[Kk]ernel"):
        await launched.api.ask(start)


async def test_it_is_confined_and_stands_in_its_own_folder(launched: Launched) -> None:
    """No new privileges, a seccomp filter, no network, and a folder that is its own."""
    process = Path(f"/proc/{launched.vmm.pid}")
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
    assert status["NoNewPrivs"] == "1"
    assert status["CapEff"] == "0" * 16 or os.geteuid() != 0
    assert (process / "cwd").resolve() == launched.room.inside
    assert (process / "ns/net").readlink() != Path("/proc/self/ns/net").readlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a process another user's id")
async def test_under_an_id_of_its_own_it_reads_and_writes_what_it_must(
    tmp_path: Path, image: Image
) -> None:
    """In folders that are closed to it above, with a program that it could not walk to."""
    tmp_path.chmod(0o700)
    folder = tmp_path / "machine"
    folder.mkdir(mode=0o700)
    for file in (image.initrd, image.agent, image.root, image.vmlinuz):
        file.chmod(0o644)
    boot = Boot(real_firecracker.program(), image.vmlinuz)
    laid = lay_out(folder, boot, image, MEMORY_MIB, 64)
    room = replace(laid, who=vmm.identity("none"))
    (room.inside / DATA).write_bytes(bytes(1 << 20))
    room.admit(room.inside)
    room.admit(room.inside / DATA)
    running = await launch(boot, room)
    try:
        for call in boot_calls(MEMORY_MIB, "squashfs")[:-1]:
            await running.api.ask(call)
        status = Path(f"/proc/{running.vmm.pid}/status").read_text()
        assert room.who is not None
        assert f"Uid:\t{room.who.uid}\t{room.who.uid}" in status
    finally:
        await running.close()


async def test_it_dies_and_leaves_nothing(launched: Launched) -> None:
    """After close there is no such process."""
    assert records.stamp(launched.vmm.pid) is not None
    await launched.close()
    assert records.stamp(launched.vmm.pid) is None


async def test_fields_of_other_versions_are_refused(launched: Launched) -> None:
    """1.12 knows no override of the vsock's path: a clone has the same name in a folder of its own
    instead. Nor does it know the newer word for tracking pages, which Forge does not use.
    """
    (load,) = load_calls(0)
    for field in ("vsock_override", "clock_realtime", "track_dirty_pages"):
        with pytest.raises(SandboxDied, match=f"unknown field `{field}`"):
            await launched.api.ask(Call("PUT", load.path, {**load.body, field: True}))


async def test_a_state_that_is_none_is_refused(launched: Launched, tmp_path: Path) -> None:
    """Loading garbage is an error with a reason, and never a machine."""
    (launched.room.inside / STATE).write_bytes(os.urandom(4096))
    launched.room.admit(launched.room.inside / STATE)
    memory = os.open(tmp_path / "image-root", os.O_RDONLY)
    try:
        with pytest.raises(SandboxDied, match="/snapshot/load"):
            await launched.api.ask(load_calls(memory)[0])
    finally:
        os.close(memory)


@pytest.mark.vm
async def test_a_machine_is_started_saved_and_loaded_by_another(
    base_image: Image, nearby: Path
) -> None:
    """The template's way and the clone's, with the real kernel, up to what only a guest can do."""
    real_firecracker.kvm()
    kernel = unpacked(base_image.vmlinuz, nearby / "kernels")
    image = base_image
    first = await started(nearby / "first", image, kernel)
    try:
        for call in boot_calls(MEMORY_MIB, image.root_kind):
            await first.api.ask(call)
        assert (first.room.inside / VSOCK).is_socket()
        for call in save_calls():
            await first.api.ask(call)
        saved = nearby / "saved"
        saved.mkdir()
        for name in (MEMORY, STATE, DATA):
            warm.copy_without_zeroes(first.room.inside / name, saved / name)
    finally:
        await first.close()
    assert (saved / MEMORY).stat().st_size == MEMORY_MIB << 20
    await _loaded_twice(nearby, saved, image, kernel)


async def _loaded_twice(nearby: Path, saved: Path, image: Image, kernel: Path) -> None:
    """Twice from the template, and once more from what was saved of a machine that was loaded."""
    before = (saved / MEMORY).read_bytes()
    boot = Boot(real_firecracker.program(), kernel)
    limits = Limits(memory_mib=MEMORY_MIB, disk_mib=64, disk_mib_s=50, disk_iops=100)
    share(saved / MEMORY)
    place = saved
    for number in range(3):
        folder = nearby / f"clone{number}"
        folder.mkdir()
        state = (place / STATE).read_bytes()
        clone = Clone("kvm", image, limits, place / MEMORY, state, place / DATA)
        running = await loaded(boot, clone, folder, lambda _: None)
        try:
            await _used(running, folder)
            if number == 1:
                place = nearby / "paused"
                place.mkdir()
                await running.save(place, goes_on=False)
        finally:
            await running.close()
        assert not (folder / "vmm").exists()
    assert (saved / MEMORY).read_bytes() == before
    assert len((place / MEMORY).read_bytes()) == len(before)


async def _used(running: Running, folder: Path) -> None:
    """What can be asked of a machine whose guest says nothing."""
    api, room = running.launched.api, running.launched.room
    facts = await api.get("/")
    assert isinstance(facts, dict)
    assert facts["state"] == "Paused"
    assert (room.inside / VSOCK).is_socket()
    with pytest.raises(SandboxDied, match="not supported after starting the microVM"):
        await api.ask(load_calls(0)[0])
    shutil.copy(room.inside / DATA, folder / DATA)
    await api.ask(RESUME)
    await running.limit(0)
    with pytest.raises(SandboxDied, match="unavailable while running"):
        await api.ask(save_calls()[1])
    assert memory(running.pid).rss > 0
    assert running.cpu_seconds > 0


@pytest.mark.vm
async def test_a_call_to_a_guest_that_is_not_there_ends_at_its_deadline(
    base_image: Image, nearby: Path
) -> None:
    """Firecracker takes the call on its socket; the answer would be the guest's."""
    real_firecracker.kvm()
    kernel = unpacked(base_image.vmlinuz, nearby / "kernels")
    running = await started(nearby / "machine", base_image, kernel)
    try:
        for call in boot_calls(MEMORY_MIB, "nothing"):  # its agent finds no root and ends
            await running.api.ask(call)
        with pytest.raises((SandboxUnresponsive, SandboxDied)):
            await running.connect(1.0)
    finally:
        await running.close()


@pytest.mark.vm
async def test_the_probe_reaches_a_verdict_by_itself_and_create_says_it(
    base_image: Image, nearby: Path
) -> None:
    """Within its deadline, with a plain reason where no guest boots, and nothing left behind."""
    assert base_image.name == "base"
    images = Images(real_firecracker.FORGE_HOME)
    place = nearby
    (place / "bin").mkdir()
    (place / "bin" / "firecracker").symlink_to(real_firecracker.program())
    async with open_provider(place, images.find, lambda _: None) as provider:
        async with asyncio.timeout(120):
            verdict = await provider.probe(fresh=True)
        (attempt,) = verdict.attempts
        assert verdict.version.startswith("Firecracker v")
        assert not list((place / "machines").glob("probe-*"))
        if attempt.works:
            assert verdict.accelerator == "kvm"
            return
        assert verdict.accelerator is None
        assert attempt.reason
        with pytest.raises(NoAccelerator, match="no guest boots under Firecracker"):
            await provider.create(SandboxSpec())
