"""A guest that lies or hangs while its machine is paused, kept or copied."""

import asyncio
import contextlib

import pytest

from forge.errors import SandboxError
from forge.sandbox.base import SandboxSpec
from forge.sandbox.machines.provider import MachineProvider
from talking import pieces, shell

pytestmark = pytest.mark.vm

STARVE = """
import os
open('/proc/sys/kernel/sched_rt_runtime_us', 'w').write('-1')
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))
while True: pass
"""
STEAL = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
pidfd = libc.syscall(434, 1, 0)
for number in range(3, 40):
    fd = libc.syscall(438, pidfd, number, 0)
    if fd >= 0 and 'vport' in os.readlink(f'/proc/self/fd/{fd}'):
        os.set_blocking(fd, True)
        time.sleep(1)
        os.write(fd, b'\\xff' * 64)
        time.sleep(30)
"""


@pytest.mark.parametrize("attack", ["starve", "steal"])
@pytest.mark.parametrize("step", ["pause", "snapshot", "fork"])
async def test_a_guest_that_hangs_or_lies_does_not_hold_up_its_host(
    attack: str, step: str, qemu_provider: MachineProvider
) -> None:
    """Root starves the agent or takes its line, and the machine is asked for a copy: that works or
    is a named error within the deadline, and a bystander is not disturbed.
    """
    machine = await qemu_provider.create(SandboxSpec())
    bystander = await qemu_provider.create(SandboxSpec())
    text = STARVE if attack == "starve" else STEAL
    await machine.files.write("attack.py", pieces(text.encode()))
    call = asyncio.ensure_future(shell(machine, "python3 attack.py", root=True, deadline_s=60))
    await asyncio.wait([call], timeout=0.7)
    async with asyncio.timeout(45):
        with contextlib.suppress(SandboxError):
            if step == "pause":
                await machine.pause()
            elif step == "snapshot":
                await machine.snapshot("lies")
                await qemu_provider.remove_snapshot("lies")
            else:
                for copy in await machine.fork(2):
                    await copy.stop()
        assert (await shell(bystander, "echo unharmed"))[1] == "unharmed\n"
        await machine.stop()
        with pytest.raises(SandboxError):
            await call
    await bystander.stop()
