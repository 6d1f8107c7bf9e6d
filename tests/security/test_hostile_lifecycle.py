"""Forge and QEMU killed at every step of a machine's life: nothing survives that should not, what
was paused is whole or gone, and the host makes machines as before.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from forge.errors import ForgeError, ResumeFailed, SandboxDied, SandboxError, SandboxStopped
from forge.ids import SandboxId
from forge.sandbox import records
from forge.sandbox.base import Sandbox, SandboxSpec
from forge.sandbox.images.stock import Images
from forge.sandbox.images.store import Image
from forge.sandbox.machines.machine import Machine
from forge.sandbox.machines.provider import MachineProvider
from forge.sandbox.qemu.provider import open_provider
from talking import pieces, shell

pytestmark = pytest.mark.vm
HOME = Path.home() / ".local/share/forge"

OWNER = """
import asyncio, sys
from pathlib import Path
from forge.sandbox.base import SandboxSpec
from forge.sandbox.images.stock import Images
from forge.sandbox.qemu.provider import open_provider

async def content():
    yield b"kept"

async def main():
    home, step = Path(sys.argv[1]), sys.argv[2]
    async with open_provider(home, Images(home).find, lambda _: None) as provider:
        def reached(now):
            if now == step:
                print("reached", flush=True)
        reached("creating")
        machine = await provider.create(SandboxSpec())
        await machine.files.write("file", content())
        reached("pausing")
        await machine.pause()
        reached("paused")
        await asyncio.sleep(0.3 if step == "paused" else 0)
        reached("resuming")
        await machine.resume()
        reached("forking")
        copies = await machine.fork(3)
        reached("snapshotting")
        await machine.snapshot("owner-killed")
        reached("snapshotted")
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def own_home(tmp_path: Path, base_image: Image, verdict: bytes) -> Path:
    """A home with the same images and templates, and machines of its own."""
    assert base_image.whole()
    for shared in ("images", "templates"):
        (tmp_path / shared).symlink_to(HOME / shared)
    (tmp_path / "probe.json").write_bytes(verdict)
    return tmp_path


def _vmms(home: Path) -> list[int]:
    """The processes that stand in a folder of this home's machines, or write to one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            files = [each.readlink() for each in (process / "fd").iterdir()]
            if any(home / "machines" in each.parents for each in files):
                found.append(int(process.name))
    return sorted(set(found) - {os.getpid()})


async def _until(true: Callable[[], bool]) -> None:
    """Wait for what another process or task does, of which nothing tells."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 -- see above
            await asyncio.sleep(0.02)


async def _no_vmm(home: Path) -> None:
    await _until(lambda: not _vmms(home))


async def _killed_owner(home: Path, step: str, delay_s: float) -> None:
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER, str(home), step), stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    try:
        async with asyncio.timeout(200):
            assert await owner.stdout.readline() == b"reached\n"
        await asyncio.sleep(delay_s)
    finally:
        owner.kill()
        await owner.wait()


async def _whole_or_gone(provider: MachineProvider, home: Path) -> int:
    """Everything that is there after a reaping works; returns how much that is."""
    paused = await provider.list()
    folders = {each.name for each in (home / "machines").glob("sbx_*")}
    assert folders == {each.id for each in paused}
    assert not list((home / "snapshots").glob(".new-*"))
    for each in paused:
        machine = await provider.open(each.id)
        _, text = await shell(machine, "cat file")
        assert text == "kept"
        await machine.stop()
    kept = await provider.snapshots()
    for snapshot in kept:
        machine = await provider.create(SandboxSpec(snapshot.name))
        _, text = await shell(machine, "cat file")
        assert text == "kept"
        await machine.stop()
        await provider.remove_snapshot(snapshot.name)
    return len(paused) + len(kept)


@pytest.mark.parametrize(
    "step", ["creating", "pausing", "paused", "resuming", "forking", "snapshotting", "snapshotted"]
)
async def test_an_owner_killed_at_any_step_leaves_nothing_or_something_whole(
    step: str, own_home: Path
) -> None:
    """SIGKILL of Forge on the step and at a chance moment within it: no VMM survives, what is half
    made is reaped, what is paused or kept holds its file, and machines can be made.
    """
    chance = random.Random(step)
    found = []
    for delay_s in (0.0, chance.uniform(0.01, 0.3)):
        await _killed_owner(own_home, step, delay_s)
        await _no_vmm(own_home)
        async with open_provider(own_home, Images(own_home).find, lambda _: None) as provider:
            await provider.reap()
            found.append(await _whole_or_gone(provider, own_home))
            machine = await provider.create(SandboxSpec())
            assert (await shell(machine, "echo new"))[1] == "new\n"
            await machine.stop()
            assert not list((own_home / "machines").glob("sbx_*"))
    if step in ("paused", "snapshotted"):
        assert found[0] == 1


# -- QEMU killed ---------------------------------------------------------------------------------


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _left(home: Path) -> list[Path]:
    return [*(home / "machines").glob("sbx_*"), *(home / "snapshots").glob("*")]


@contextlib.asynccontextmanager
async def _nothing_left(home: Path) -> AsyncIterator[MachineProvider]:
    """A provider after which processes, folders and descriptors are what they were."""
    async with open_provider(home, Images(home).find, lambda _: None) as provider:
        await (await provider.create(SandboxSpec())).stop()
        before = _descriptors()
        yield provider
        await _until(lambda: not _left(home) and _descriptors() <= before)
    assert not _vmms(home)


async def _killed_while(
    machine: Machine, act: Callable[[], Awaitable[object]], delay_s: float
) -> ForgeError | None:
    """Ask for something, kill the machine's QEMU meanwhile; the error, if it came to one."""
    pid = machine.pid
    acting = asyncio.ensure_future(act())
    await asyncio.wait([acting], timeout=delay_s)
    with contextlib.suppress(ProcessLookupError):
        os.kill(machine.pid or pid, signal.SIGKILL)
    async with asyncio.timeout(90):
        await asyncio.wait([acting])
    error = acting.exception()
    assert error is None or isinstance(error, ForgeError), error
    return error


async def _made(provider: MachineProvider) -> Machine:
    machine = await provider.create(SandboxSpec())
    assert isinstance(machine, Machine)
    await machine.files.write("file", pieces(b"kept"))
    return machine


DELAYS = (0.0, 0.01, 0.04, 0.1)


@pytest.mark.parametrize("delay_s", DELAYS)
async def test_a_vmm_killed_while_pausing_ends_in_a_whole_machine_or_a_named_error(
    delay_s: float, own_home: Path
) -> None:
    """A pause that was said to have worked did; one that did not says SandboxDied, and is gone."""
    async with _nothing_left(own_home) as provider:
        machine = await _made(provider)
        error = await _killed_while(machine, machine.pause, delay_s)
        if error is None and machine.state == "paused":
            _, text = await shell(machine, "cat file")
            assert text == "kept"
            await machine.stop()
        else:
            assert isinstance(error, SandboxDied | SandboxStopped | None), error
            async with asyncio.timeout(60):
                await machine.gone.wait()
            with pytest.raises(SandboxStopped):
                await machine.resume()


@pytest.mark.parametrize("delay_s", [*DELAYS, 0.2])
async def test_a_vmm_killed_while_resuming_leaves_it_paused_or_gone(
    delay_s: float, own_home: Path
) -> None:
    """Before it ran, ResumeFailed and the machine is still paused and whole; afterwards its end."""
    async with _nothing_left(own_home) as provider:
        machine = await _made(provider)
        await machine.pause()
        acting = asyncio.ensure_future(machine.resume())
        await asyncio.wait([acting], timeout=delay_s)
        for pid in _vmms(own_home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(90):
            await asyncio.wait([acting])
        error = acting.exception()
        assert error is None or isinstance(error, SandboxError), error
        if isinstance(error, ResumeFailed):
            assert machine.state == "paused"
        if machine.state == "paused":
            assert (await shell(machine, "cat file"))[1] == "kept"
        await machine.stop()


@pytest.mark.parametrize("delay_s", DELAYS)
@pytest.mark.parametrize("what", ["fork", "snapshot"])
async def test_a_vmm_killed_while_copied_leaves_whole_copies_or_none(
    what: str, delay_s: float, own_home: Path
) -> None:
    """Copies there are work, and a copy that failed is a named error that leaves nothing."""
    async with _nothing_left(own_home) as provider:
        machine = await _made(provider)
        copies: list[Sandbox] = []

        async def fork() -> None:
            copies.extend(await machine.fork(2))

        async def snapshot() -> None:
            await machine.snapshot("killed")

        act = fork if what == "fork" else snapshot
        error = await _killed_while(machine, act, delay_s)
        kept = await provider.snapshots()
        if error is None:
            copies += [await provider.create(SandboxSpec(each.name)) for each in kept]
            assert copies
        else:
            assert isinstance(error, SandboxDied | SandboxStopped), error
            assert not copies
            assert not kept
        for copy in copies:
            assert (await shell(copy, "cat file"))[1] == "kept"
            await copy.stop()
        for each in kept:
            await provider.remove_snapshot(each.name)
        await machine.stop()


async def test_a_vmm_killed_under_a_call_that_waits_for_a_pause_ends_both(own_home: Path) -> None:
    """The call and the pause that was asked meanwhile both raise, and neither hangs."""
    async with _nothing_left(own_home) as provider:
        machine = await _made(provider)
        call = asyncio.ensure_future(shell(machine, "sleep 200", deadline_s=200))
        await asyncio.wait([call], timeout=0.3)
        error = await _killed_while(machine, machine.pause, 0.0)
        assert isinstance(error, SandboxError | None), error
        async with asyncio.timeout(60):
            with pytest.raises(SandboxError):
                await call
        await machine.stop()


async def test_a_paused_folder_of_a_stranger_name_is_not_reaped_into(own_home: Path) -> None:
    """A symlink among the machines is never followed by the reaper, whatever it points to."""
    target = own_home / "precious"
    target.mkdir()
    (target / "file").write_text("mine")
    machines = own_home / "machines"
    machines.mkdir()
    (machines / SandboxId("sbx_link")).symlink_to(target)
    assert records.reap(machines) == 0
    assert (target / "file").read_text() == "mine"
