"""The host's disk full at every step of a machine's life: `NoSpace` with what to do, the machine as
usable as before, and nothing left of what was begun.

Each test has a small file system of its own, which takes root, and fills it to the last page.
"""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path

import pytest

from forge.errors import NoSpace
from forge.sandbox.base import Limits, SandboxSpec
from forge.sandbox.images.stock import Images
from forge.sandbox.images.store import Image
from forge.sandbox.machines.machine import Machine
from forge.sandbox.machines.provider import MachineProvider
from forge.sandbox.qemu.provider import open_provider
from talking import pieces, shell

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small filesystem takes root"),
]
HOME = Path.home() / ".local/share/forge"
PAGE = 4096
MIB = 1 << 20
SIZE = 1600 * MIB


async def _ends_well(*argv: str) -> bool:
    return await (await asyncio.create_subprocess_exec(*argv)).wait() == 0


async def _run(*argv: str) -> None:
    assert await _ends_well(*argv)


@pytest.fixture
async def small(tmp_path: Path, base_image: Image, verdict: bytes) -> AsyncIterator[Path]:
    """A home on a small disk, with the images and templates of the large one."""
    assert base_image.whole()
    home = tmp_path / "small"
    home.mkdir()
    with (tmp_path / "disk").open("wb") as disk:
        os.ftruncate(disk.fileno(), SIZE)
    # Not a tmpfs: reading a hole takes space there, so a full one ends machines.
    await _run("mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", disk.name)
    if not await _ends_well("mount", "-o", "loop", disk.name, str(home)):
        pytest.skip("this host has no loop device to mount a small filesystem with")
    try:
        for shared in ("images", "templates"):
            (home / shared).symlink_to(HOME / shared)
        (home / "probe.json").write_bytes(verdict)
        yield home
    finally:
        await _run("umount", "-l", str(home))  # a VMM may be about to end


@contextlib.contextmanager
def _full(home: Path, left: int) -> Iterator[None]:
    """All but `left` bytes of the disk are taken, for the block."""
    ballast = home / "ballast"
    subprocess.run(["sync", "-f", str(home)], check=True)  # only then is free what was deleted
    size = 0
    try:
        with ballast.open("wb") as file:
            for piece in (64 * MIB, MIB, PAGE):
                with contextlib.suppress(OSError):  # until it is full
                    while True:
                        os.posix_fallocate(file.fileno(), size, piece)
                        size += piece
            file.truncate(max(0, size - left))
        yield
    finally:
        ballast.unlink(missing_ok=True)


def _there(home: Path) -> dict[str, int]:
    """Every file of machines and snapshots, and what it occupies; logs say what they like."""
    found = {}
    for top in ("machines", "snapshots"):
        for path in (home / top).rglob("*"):
            if path.is_file() and path.suffix != ".log":
                found[str(path.relative_to(home))] = path.stat().st_blocks
    return found


async def _refused(act: Awaitable[object]) -> bool:
    """Whether there was no space for it: then in words, with what to do."""
    refusal: NoSpace | None = None
    try:
        await act
    except NoSpace as error:
        refusal = error
    if refusal is not None:
        assert "pace" in refusal.message or "free" in refusal.message, refusal.message
        assert refusal.hint
    return refusal is not None


async def _usable(machine: Machine) -> None:
    result, text = await shell(machine, "cat file && kill -0 $(cat pid)")
    assert (result.exit_code, text) == (0, "kept")


@contextlib.asynccontextmanager
async def _machine(home: Path) -> AsyncIterator[tuple[MachineProvider, Machine]]:
    """A machine with a file and a process of its own; after it, nothing is left."""
    async with open_provider(home, Images(home).find, lambda _: None) as provider:
        machine = await provider.create(SandboxSpec())
        assert isinstance(machine, Machine)
        await machine.files.write("file", pieces(b"kept"))
        await shell(machine, "sleep 600 </dev/null >/dev/null 2>&1 & echo $! > pid")
        yield provider, machine
        await _usable(machine)
        await machine.stop()
    assert _there(home) == {"machines/.lock": 0, "machines/.room": 0}


async def test_a_first_pause_without_space_leaves_the_machine_running(small: Path) -> None:
    """Before, and in the midst of, its memory: what was begun gives its space back."""
    async with _machine(small) as (_, machine):
        before = set(_there(small))
        for left in (0, PAGE, 5 * MIB, 150 * MIB):
            with _full(small, left):
                assert await _refused(machine.pause())
                assert machine.state == "running"
                assert set(_there(small)) == before
                assert os.statvfs(small).f_bavail * PAGE >= left // 2
                await _usable(machine)
        await machine.pause()


async def test_a_later_pause_without_space_leaves_the_machine_running(small: Path) -> None:
    """Its memory has its place already, so it ends at any later file: the device state, or the
    word that all is whole. What it was paused with before is not mistaken for what it is now.
    """
    refused = 0
    async with _machine(small) as (provider, machine):
        await machine.pause()
        for left in (*range(0, 40, 3), 400, 4000):
            await _usable(machine)
            with _full(small, left * PAGE):
                if await _refused(machine.pause()):
                    refused += 1
                    assert machine.state == "running"
                    assert [each.state for each in await provider.list()] == ["running"]
                    assert not list(small.glob("machines/*/manifest*"))
                    await _usable(machine)
                else:
                    assert machine.state == "paused"
        assert refused >= 2


async def test_a_resume_without_space_leaves_the_machine_paused(small: Path) -> None:
    """Asked for, or by the next call: it resumes once there is space."""
    async with _machine(small) as (provider, machine):
        await machine.pause()
        with _full(small, 0):
            assert await _refused(machine.resume())
            assert await _refused(shell(machine, "true"))
            assert machine.state == "paused"
        assert [each.state for each in await provider.list()] == ["paused"]


async def test_a_machine_that_cannot_be_opened_for_want_of_space_stays_paused(small: Path) -> None:
    """Another process opens it once there is space."""
    async with open_provider(small, Images(small).find, lambda _: None) as provider:
        machine = await provider.create(SandboxSpec())
        await machine.files.write("file", pieces(b"kept"))
        await machine.pause()
    async with open_provider(small, Images(small).find, lambda _: None) as provider:
        with _full(small, 0):
            await _refused(provider.open(machine.facts.id))
            assert [each.state for each in await provider.list()] == ["paused"]
        again = await provider.open(machine.facts.id)
        assert (await shell(again, "cat file"))[1] == "kept"
        await again.stop()


@pytest.mark.parametrize("left", [0, PAGE, 5 * MIB, 150 * MIB])
async def test_a_copy_without_space_leaves_the_machine_running_and_no_copy(
    small: Path, left: int
) -> None:
    """A fork and a named snapshot, before and in the midst of what they write."""
    async with _machine(small) as (provider, machine):
        before = _there(small)
        with _full(small, left):
            assert await _refused(machine.snapshot("full"))
            assert await _refused(machine.fork(2))
            assert set(_there(small)) == set(before)
            assert not await provider.snapshots()
            await _usable(machine)
        (copy,) = await machine.fork()
        assert (await shell(copy, "cat file"))[1] == "kept"
        await copy.stop()


@pytest.mark.parametrize("left", [0, PAGE, 63 * MIB])
async def test_a_machine_without_space_is_not_made(small: Path, left: int) -> None:
    """No folder stays of it, and the machines there are go on."""
    async with _machine(small) as (provider, machine):
        before = _there(small)
        with _full(small, left):
            assert await _refused(provider.create(SandboxSpec()))
            assert set(_there(small)) == set(before)
            await _usable(machine)


@pytest.mark.parametrize("left", [0, 30 * MIB, 120 * MIB])
async def test_a_disk_that_fills_while_a_template_is_made_ends_that_in_words(
    small: Path, left: int
) -> None:
    """Whether it is refused at once or its QEMU ends over it; the half-made template goes."""
    (small / "templates").unlink()
    filling = contextlib.ExitStack()

    def told(words: str) -> None:
        if words.startswith("Making"):
            filling.enter_context(_full(small, left))

    async with open_provider(small, Images(small).find, told) as provider:
        with filling:
            assert await _refused(provider.create(SandboxSpec(limits=Limits(disk_mib=64))))
        assert not [each for each in (small / "templates").iterdir() if each.is_dir()]
        assert not list(small.glob("machines/sbx_*"))
