"""Paused machines outlive the process that paused them, and belong to one process at a time."""

from pathlib import Path

import pytest

from forge.errors import MachineBusy, SnapshotCorrupt
from forge.sandbox.base import SandboxSpec
from forge.sandbox.machines.provider import MachineProvider
from forge.sandbox.qemu.provider import open_provider
from forge.wiring import Images
from talking import python

pytestmark = pytest.mark.vm
HOME = Path.home() / ".local/share/forge"


async def test_a_paused_machine_is_opened_by_another_provider(
    qemu_provider: MachineProvider,
) -> None:
    """Closing leaves it, reaping keeps it, one provider at a time has it, and it goes on."""
    async with open_provider(HOME, Images(HOME).find, lambda _: None) as first:
        machine = await first.create(SandboxSpec())
        await python(machine, "kept = 42")
        await machine.pause()
        with pytest.raises(MachineBusy):
            await qemu_provider.open(machine.facts.id)
    await qemu_provider.reap()
    again = await qemu_provider.open(machine.facts.id)
    result, heard = await python(again, "print(kept)")
    assert (result.status, heard.text) == ("ok", "42\n")
    await again.stop()


async def test_a_paused_machine_whose_memory_was_changed_is_refused(
    qemu_provider: MachineProvider,
) -> None:
    """One byte written behind its back, and it does not resume; it stays paused."""
    machine = await qemu_provider.create(SandboxSpec())
    await machine.pause()
    with (HOME / "machines" / machine.facts.id / "memory").open("r+b") as file:
        file.seek(4096)
        file.write(b"!")
    with pytest.raises(SnapshotCorrupt, match="memory"):
        await machine.resume()
    assert machine.state == "paused"
    await machine.stop()
