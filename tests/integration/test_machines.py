"""Real machines from end to end: made, many at once, apart from each other, and gone."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from forge.errors import (
    NoSpace,
    SandboxDied,
    SandboxStopped,
    SandboxUnresponsive,
    TemplateError,
)
from forge.sandbox import records
from forge.sandbox.base import Limits, Sandbox, SandboxProvider, SandboxSpec
from forge.sandbox.images.store import Image
from forge.sandbox.machines.machine import Machine
from forge.sandbox.machines.provider import MachineProvider
from forge.sandbox.qemu.argv import Shape
from forge.sandbox.qemu.provider import open_provider
from forge.sandbox.qemu.warm import Cold, booted
from talking import Heard, pieces, python, shell

pytestmark = pytest.mark.vm

LUCK = """
import json, os, random, secrets, ssl, tempfile, uuid
import numpy as np
print(json.dumps([
    random.random(), float(np.random.random()), float(np.random.default_rng().random()),
    str(uuid.uuid1()), str(uuid.uuid4()), secrets.token_hex(16), os.urandom(16).hex(),
    ssl.RAND_bytes(16).hex(), next(tempfile._get_candidate_names()),
    open('/etc/machine-id').read(), open('/etc/hostname').read(), os.uname().nodename,
    open('/proc/sys/kernel/random/uuid').read(),
]))
"""


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def _many(provider: SandboxProvider, count: int) -> list[Sandbox]:
    async with asyncio.TaskGroup() as tasks:
        making = [tasks.create_task(provider.create(SandboxSpec())) for _ in range(count)]
    return [task.result() for task in making]


async def test_ten_machines_live_and_answer_at_once(qemu_provider: MachineProvider) -> None:
    """Ten machines made together all run code while the others live."""
    machines = await _many(qemu_provider, 10)
    async with asyncio.TaskGroup() as tasks:
        answers = [
            tasks.create_task(python(machine, f"print({number} ** 2)"))
            for number, machine in enumerate(machines)
        ]
    assert [task.result()[1].text for task in answers] == [f"{n**2}\n" for n in range(10)]


async def test_no_two_clones_share_a_random_value_or_an_id(qemu_provider: MachineProvider) -> None:
    """Twelve clones of one memory draw from every generator and repeat nothing."""
    drawn = []
    for machine in await _many(qemu_provider, 12):
        result, heard = await python(machine, LUCK)
        assert result.status == "ok", result.error
        drawn.append(json.loads(heard.text))
    for values in zip(*drawn, strict=True):
        assert len(set(values)) == len(drawn), values


async def test_a_second_context_and_a_restarted_one_have_their_own_luck(qemu: Sandbox) -> None:
    """Contexts forked from one zygote do not repeat each other."""
    seen = set()
    for context in ("a", "b", "c"):
        await qemu.code.create(context=context)
        heard = Heard()
        code = "import random, numpy; print(random.random(), numpy.random.random())"
        await qemu.code.run(code, heard, deadline_s=90, context=context)
        seen.add(heard.text)
    await qemu.code.run("import os; os._exit(1)", Heard(), deadline_s=90, context="a")
    heard = Heard()
    await qemu.code.run(code, heard, deadline_s=90, context="a")
    seen.add(heard.text)
    assert len(seen) == 4


async def test_a_machines_clock_is_the_hosts(qemu: Sandbox) -> None:
    """After a restore the wall clock is within two seconds of the host's, and runs at its pace."""
    before = time.time()  # noqa: TID251 -- the host's own clock is what is compared
    _, heard = await python(qemu, "import time; print(time.time())")
    assert before - 2 < float(heard.text) < before + 10


async def test_nothing_is_left_of_machines_that_were_stopped(
    qemu_provider: MachineProvider,
) -> None:
    """Processes, folders and descriptors are back to what they were."""
    await (await qemu_provider.create(SandboxSpec())).stop()
    machines = Path.home() / ".local/share/forge/machines"
    before = (_descriptors(), sorted(machines.iterdir()))
    made = await _many(qemu_provider, 5)
    pids = [machine.pid for machine in made if isinstance(machine, Machine)]
    for machine in made:
        await machine.stop()
        await machine.stop()
    assert len(pids) == 5
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert (_descriptors(), sorted(machines.iterdir())) == before


async def test_a_killed_vmm_is_reported_and_cleaned_up(qemu: Sandbox) -> None:
    """The call under way raises SandboxDied, the next one SandboxStopped, and the folder goes."""
    assert isinstance(qemu, Machine)
    running = asyncio.ensure_future(shell(qemu, "sleep 60", deadline_s=60))
    await asyncio.wait([running], timeout=1)
    os.kill(qemu.pid, signal.SIGKILL)
    with pytest.raises(SandboxDied):
        await running
    async with asyncio.timeout(60):
        await qemu.gone.wait()
    with pytest.raises(SandboxStopped):
        await shell(qemu, "true")


OWNER = """
import asyncio, sys, pickle
from pathlib import Path
from forge.sandbox.base import SandboxSpec
from forge.sandbox.qemu.provider import open_provider

async def main():
    image = pickle.loads(bytes.fromhex(sys.argv[2]))
    async with open_provider(Path(sys.argv[1]), lambda _: image, lambda _: None) as provider:
        machine = await provider.create(SandboxSpec())
        print(machine.pid, machine.facts.id, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_no_vmm_survives_the_kill_of_its_owner(
    qemu_provider: MachineProvider, base_image: Image
) -> None:
    """After SIGKILL of Forge its QEMU dies, and the next start removes what it left."""
    import pickle

    home = Path.home() / ".local/share/forge"
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER, str(home), pickle.dumps(base_image).hex()),
        stdout=asyncio.subprocess.PIPE,
    )
    assert owner.stdout is not None
    async with asyncio.timeout(200):
        pid, name = (await owner.stdout.readline()).decode().split()
    folder = home / "machines" / name
    assert folder.is_dir()
    assert records.stamp(int(pid)) is not None
    owner.kill()
    await owner.wait()
    vmm = os.pidfd_open(int(pid)) if records.stamp(int(pid)) else None
    if vmm is not None:
        dead = asyncio.Event()
        asyncio.get_running_loop().add_reader(vmm, dead.set)
        async with asyncio.timeout(60):
            await dead.wait()
        asyncio.get_running_loop().remove_reader(vmm)
        os.close(vmm)
    assert await qemu_provider.reap() == 1
    assert not folder.exists()


async def test_the_reaper_leaves_machines_of_living_owners_alone(
    qemu: Sandbox, qemu_provider: MachineProvider
) -> None:
    """Another Forge on the same home is not disturbed."""
    await qemu_provider.reap()
    result, text = await shell(qemu, "echo alive")
    assert (result.exit_code, text) == (0, "alive\n")


async def test_the_probe_names_what_boots_and_why_the_rest_does_not(
    qemu_provider: MachineProvider,
) -> None:
    """Every attempt has a reason in words, and the accelerator chosen is one that booted."""
    verdict = await qemu_provider.probe()
    assert verdict.accelerator is not None
    assert [each.accelerator for each in verdict.attempts if each.works] == [verdict.accelerator]
    assert all(each.reason for each in verdict.attempts)


async def test_a_guest_that_stalls_while_booting_is_given_up(
    tmp_path: Path, base_image: Image
) -> None:
    """An accelerator that opens and does not get a guest through its boot costs its deadline and
    no more: QEMU is gone, and the reason is in words.
    """
    cold = Cold(base_image, Shape("tcg", 256), 64)
    before = _children()
    with pytest.raises(SandboxUnresponsive, match=r"did not answer within 0\.3 s of its start"):
        async with booted(cold, tmp_path, 0.3):
            pytest.fail("no guest boots in 0.3 seconds under emulation")
    assert _children() == before


def _children() -> set[str]:
    """The processes that this one started, whichever of its threads did."""
    tasks = Path("/proc/self/task").iterdir()
    return {pid for task in tasks for pid in (task / "children").read_text().split()}


async def test_a_changed_template_is_noticed_and_made_anew(
    tmp_path: Path, base_image: Image, verdict: bytes
) -> None:
    """A device state that was written to is never loaded; the person is told and gets a machine."""
    told: list[str] = []
    limits = Limits(memory_mib=384, disk_mib=128)
    (tmp_path / "probe.json").write_bytes(verdict)
    async with open_provider(tmp_path, lambda _: base_image, told.append) as provider:
        await (await provider.create(SandboxSpec(limits=limits))).stop()
        (state,) = tmp_path.glob("templates/*/state")
        saved = state.read_bytes()
        state.write_bytes(saved[:-1] + bytes([saved[-1] ^ 1]))
        told.clear()
        machine = await provider.create(SandboxSpec(limits=limits))
        _, heard = await python(machine, "print(6 * 7)")
        assert heard.text == "42\n"
    assert "has changed" in told[0]
    assert not list(tmp_path.glob("machines/sbx*"))
    assert not list(tmp_path.glob("templates/.new*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small filesystem takes root")
async def test_a_host_without_space_says_so(
    tmp_path: Path, base_image: Image, verdict: bytes
) -> None:
    """On a disk of 20 MiB no machine is made; the error says how much is free and needed."""
    (tmp_path / "small").mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(tmp_path / "small"))
    assert await (await asyncio.create_subprocess_exec(*mount)).wait() == 0
    try:
        (tmp_path / "small/probe.json").write_bytes(verdict)
        async with open_provider(tmp_path / "small", lambda _: base_image, print) as provider:
            with pytest.raises((NoSpace, TemplateError), match="MiB are free"):
                await provider.create(SandboxSpec())
        assert not list((tmp_path / "small").glob("machines/*"))
    finally:
        unmount = ("umount", str(tmp_path / "small"))
        assert await (await asyncio.create_subprocess_exec(*unmount)).wait() == 0


async def test_a_persons_file_makes_a_chart_and_a_table(qemu: Sandbox) -> None:
    """The main job: a CSV goes in, a figure and a data frame come out."""
    csv = b"month,revenue\nJan,10\nFeb,30\nMar,20\n"
    assert await qemu.files.write("sales.csv", pieces(csv)) == len(csv)
    code = """
import pandas as pd, matplotlib.pyplot as plt
df = pd.read_csv('sales.csv'); df.groupby('month').revenue.sum().plot(kind='bar')
plt.savefig('revenue.png'); df.describe()
"""
    result, heard = await python(qemu, code)
    assert result.status == "ok", result.error
    bundles = [display.data for display in heard.displays]
    assert any("text/html" in bundle for bundle in bundles)
    assert any("image/png" in bundle for bundle in bundles)
    png = b"".join([data async for data in qemu.files.read("revenue.png", limit=1 << 20)])
    assert png.startswith(b"\x89PNG")
