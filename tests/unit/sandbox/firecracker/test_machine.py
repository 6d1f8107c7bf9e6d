"""A machine's life, with a fake guest on the real wire and a real process as its VMM."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forge.errors import GuestViolation, InputRefused, SandboxStopped
from forge.ids import SandboxId
from forge.sandbox import records, vmm
from forge.sandbox.base import SandboxFacts, SandboxSpec
from forge.sandbox.firecracker.api import Api, pinned
from forge.sandbox.firecracker.launch import Launched, Room
from forge.sandbox.firecracker.machine import FirecrackerSandbox
from forge.sandbox.vmm import Start
from forge.testing.guest import fake_guest
from forge_guest.wire.channel import Stream


async def restored(stream: Stream) -> None:
    """A guest that takes its facts."""
    await stream.message({"restored": True}, fin=True)


async def stubborn(stream: Stream) -> None:
    """A guest that keeps its old ones."""
    await stream.message({"restored": False}, fin=True)


@contextlib.asynccontextmanager
async def machine(
    folder: Path, verb=restored, **wishes: object
) -> AsyncIterator[FirecrackerSandbox]:
    """One that is owned and not yet awake."""
    inside = folder / "machine" / "vmm"
    inside.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(inside / "api.sock"))
    start = Start(("/bin/sleep", "600"), (), folder / "machine", 256, 64, name="Firecracker")
    process = vmm.start(start, None)
    room = Room(folder / "machine", None, 256, 64)
    facts = SandboxFacts(SandboxId("sbx_1"), "firecracker", "kvm", "base", 0.0)
    async with fake_guest({"restore": verb}) as guest, asyncio.TaskGroup() as tasks:
        made = FirecrackerSandbox(
            folder / "machine",
            Launched(process, Api(pinned(inside / "api.sock")), room),
            guest.fd,
            facts,
            SandboxSpec(**wishes),  # type: ignore[arg-type]  # a test's own words
        )
        tasks.create_task(made.own())
        yield made
        await made.stop()
        assert made.state == "gone"
        assert not (folder / "machine").exists()
        assert records.stamp(process.pid) is None


async def test_a_machine_is_given_its_facts_and_ends_without_a_trace(tmp_path: Path) -> None:
    """Running once it has taken them; after `stop` its process and its folder are gone."""
    async with machine(tmp_path) as made:
        assert made.state == "creating"
        await made.wake()
        assert made.state == "running"
        await made.resume()
    with pytest.raises(SandboxStopped):
        await made.resume()
    with pytest.raises(SandboxStopped):
        await made.pause()


async def test_a_machine_that_keeps_old_facts_is_destroyed(tmp_path: Path) -> None:
    """Two clones with the same luck are none."""
    async with machine(tmp_path, stubborn) as made:
        with pytest.raises(GuestViolation, match="facts"):
            await made.wake()
        async with asyncio.timeout(10):
            await made.gone.wait()


async def test_what_firecrackers_machines_cannot_do_is_refused_with_who_can(
    tmp_path: Path,
) -> None:
    """And the machine goes on."""
    async with machine(tmp_path) as made:
        await made.wake()
        for asked in (made.pause(), made.snapshot("kept"), made.fork(2)):
            with pytest.raises(InputRefused, match="cannot be") as caught:
                await asked
            assert "FORGE_SANDBOX" in caught.value.hint
        assert made.state == "running"


async def test_a_machine_whose_time_is_over_is_gone(tmp_path: Path) -> None:
    """Where its owner asked for that."""
    async with machine(tmp_path, lifetime_s=0.2, on_timeout="kill") as made:
        await made.wake()
        async with asyncio.timeout(10):
            await made.gone.wait()
