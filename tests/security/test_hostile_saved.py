"""What was saved, tampered with while nobody looked; and secrets and luck across copies."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from forge.errors import MachineUnknown, SnapshotCorrupt, SnapshotError, SnapshotForeign
from forge.sandbox.base import Limits, Sandbox, SandboxSpec
from forge.sandbox.machines.machine import Machine
from forge.sandbox.machines.provider import MachineProvider
from talking import pieces, python, shell

pytestmark = pytest.mark.vm
HOME = Path.home() / ".local/share/forge"
LUCK = """
import json, os, random, secrets, ssl, uuid
import numpy as np
print(json.dumps([
    random.random(), float(np.random.random()), str(uuid.uuid1()), str(uuid.uuid4()),
    secrets.token_hex(16), os.urandom(16).hex(), ssl.RAND_bytes(16).hex(),
    open('/etc/machine-id').read(), open('/etc/hostname').read(), os.uname().nodename,
    open('/proc/sys/kernel/random/uuid').read(),
]))
"""


def _flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        was = file.read(1)
        file.seek(4096)
        file.write(bytes([was[0] ^ 1]))


def _link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to(path.with_name("moved"))


def _open_to_all(path: Path) -> None:
    path.chmod(0o666)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


async def _paused(provider: MachineProvider) -> tuple[Machine, Path]:
    machine = await provider.create(SandboxSpec())
    assert isinstance(machine, Machine)
    await machine.files.write("file", pieces(b"kept"))
    await machine.pause()
    return machine, HOME / "machines" / machine.facts.id


@pytest.mark.parametrize("name", ["memory", "state", "data.img"])
@pytest.mark.parametrize("attack", [_flip, _link, _open_to_all, _fifo, _short, Path.unlink])
async def test_a_file_of_a_paused_machine_that_was_touched_is_refused(
    name: str, attack: Callable[[Path], None], qemu_provider: MachineProvider
) -> None:
    """A bit, a link, a FIFO, other rights, a shorter file or none: SnapshotCorrupt, and no QEMU."""
    machine, folder = await _paused(qemu_provider)
    attack(folder / name)
    with pytest.raises(SnapshotCorrupt):
        await machine.resume()
    assert machine.state == "paused"
    assert machine.pid == 0
    await machine.stop()
    assert not folder.exists()


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"\xff" * 100, b"[" * 100_000, b'{"shape": {}}', b"null"],
    ids=["empty", "nothing", "noise", "deep", "part", "null"],
)
async def test_a_manifest_that_is_none_is_refused(
    text: bytes, qemu_provider: MachineProvider
) -> None:
    """Noise for a manifest is SnapshotCorrupt, to its owner and to everybody else."""
    machine, folder = await _paused(qemu_provider)
    (folder / "manifest.json").write_bytes(text)
    with pytest.raises(SnapshotCorrupt, match="manifest"):
        await machine.resume()
    assert machine.facts.id in [each.id for each in await qemu_provider.list()]
    await machine.stop()


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("qemu", "another QEMU: 0.9; here: QEMU"),
        ("host", "another processor"),
        ("wire", "another version of the wire"),
        ("agent", "another version of the agent"),
        ("format", "another format of snapshots"),
        ("argv", "another shape of machine"),
    ],
)
async def test_what_another_host_or_version_saved_is_refused_with_its_reason(
    key: str, words: str, qemu_provider: MachineProvider
) -> None:
    """SnapshotForeign names what differs, and what it is here."""
    machine, folder = await _paused(qemu_provider)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shape"][key] = "0.9"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SnapshotForeign, match=words):
        await machine.resume()
    assert machine.state == "paused"
    await machine.stop()


@pytest.mark.parametrize("part", ["key", "agent", "root"])
async def test_a_manifest_cannot_name_a_disk_outside_the_images(
    part: str, qemu_provider: MachineProvider
) -> None:
    """A path for the image's name is a damaged manifest: no file of the host becomes a disk."""
    machine, folder = await _paused(qemu_provider)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["image"][part] = "../../../../../etc/shadow"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SnapshotError):
        await machine.resume()
    await machine.stop()


async def test_a_link_for_a_machines_folder_opens_nothing(
    qemu_provider: MachineProvider, tmp_path: Path
) -> None:
    """A symlink of a machine's name is no machine, even one that leads to a whole machine."""
    machine, folder = await _paused(qemu_provider)
    other = folder.with_name(folder.name[:-1] + ("0" if folder.name[-1] != "0" else "1"))
    other.symlink_to(folder)
    try:
        with pytest.raises((MachineUnknown, SnapshotCorrupt)):
            await qemu_provider.open(type(machine.facts.id)(other.name))
    finally:
        other.unlink()
    assert not list(tmp_path.iterdir())
    await machine.stop()


async def test_copies_see_their_own_variables_alone(qemu_provider: MachineProvider) -> None:
    """What the original was given is not in the environment of a copy that was given others."""
    first = await qemu_provider.create(SandboxSpec(env={"SECRET": "the original's"}))
    copies = await first.fork(2, env={"OTHER": "a copy's"})
    for copy in copies:
        _, text = await shell(copy, "env")
        assert "OTHER=a copy's" in text
        assert "SECRET" not in text
        code = "import os; print(os.environ.get('SECRET'), os.environ.get('OTHER'))"
        await copy.code.create(context="new")
        result, _ = await python(copy, "1")
        assert result.status == "ok"
        _, text = await shell(copy, f'python3 -c "{code}"')
        assert text == "None a copy's\n"
    _, text = await shell(first, "env")
    assert "SECRET=the original's" in text
    assert "OTHER" not in text
    for each in (first, *copies):
        await each.stop()


async def _drawn(machine: Sandbox) -> list[object]:
    result, heard = await python(machine, LUCK, deadline_s=60)
    assert result.status == "ok", result.error
    return list(json.loads(heard.text))


async def test_a_hundred_copies_and_a_resumed_machine_repeat_no_luck(
    qemu_provider: MachineProvider,
) -> None:
    """No random value, id or name comes twice among 100 copies, or before and after a pause."""
    first = await qemu_provider.create(SandboxSpec(limits=Limits()))
    before = await _drawn(first)
    drawn: list[list[object]] = [before]
    for _ in range(10):
        for copy in await first.fork(10):
            drawn.append(await _drawn(copy))
            await copy.stop()
    await first.pause()
    after = await _drawn(first)
    for values in zip(*drawn, strict=True):
        assert len(set(values)) == 101
    named = (8, 9)  # its names stay a machine's own; its machine-id is drawn at every start
    for place, (was, now) in enumerate(zip(before, after, strict=True)):
        assert (was == now) == (place in named), place
    for place, values in enumerate(zip(*drawn, strict=True)):
        assert place in named or after[place] not in values
    await first.stop()
