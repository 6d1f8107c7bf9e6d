"""Volumes: they outlive machines, one writes or many read, and their size is their quota.

Each check is given a provider and the volumes of the same place, `work` of 32 MiB among them.
"""

from collections.abc import Awaitable, Callable

from forge.errors import InputRefused, NameUnknown, QuotaExceeded, VolumeBusy
from forge.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from forge.sandbox.commands import Command
from forge.sandbox.volumes import VolumeMount, VolumeStore
from forge.testing.sandbox_conformance.watching import (
    PATIENCE_S,
    Seen,
    pieces,
    read,
    refused,
    run,
    shell,
    write,
)

_MIB = 1 << 20
WRITING = VolumeMount("work", "/data")
READING = VolumeMount("work", "/data", read_only=True)

VolumeCheck = Callable[[SandboxProvider, VolumeStore], Awaitable[None]]


def spec(*mounts: VolumeMount) -> SandboxSpec:
    """A machine with these volumes."""
    return SandboxSpec(volumes=mounts)


async def _holds(sandbox: Sandbox, path: str, content: bytes) -> None:
    assert await read(sandbox, path) == content


async def a_volume_outlives_its_machine(provider: SandboxProvider, _: VolumeStore) -> None:
    """What one machine wrote the next one finds, at whatever place, as the person's own."""
    one = await provider.create(spec(WRITING))
    await write(one, "/data/deep/file", b"kept")
    await shell(one, "echo by hand > /data/note; chmod 700 /data/note")
    await one.stop()
    other = await provider.create(spec(VolumeMount("work", "/home/user/elsewhere")))
    await _holds(other, "elsewhere/deep/file", b"kept")
    said = await shell(other, "stat -c %a:%U elsewhere/note; cat elsewhere/note")
    assert said == b"700:user\nby hand\n"


async def one_machine_writes(provider: SandboxProvider, _: VolumeStore) -> None:
    """While it lives nobody else has the volume, for reading or for writing."""
    one = await provider.create(spec(WRITING))
    for mount in (WRITING, READING):
        error = await refused(VolumeBusy, provider.create(spec(mount)))
        assert "work" in error.message
    await one.stop()
    await (await provider.create(spec(READING))).stop()


async def many_machines_read(provider: SandboxProvider, _: VolumeStore) -> None:
    """At once; while they do, nobody writes."""
    one = await provider.create(spec(WRITING))
    await write(one, "/data/file", b"shared")
    await one.stop()
    readers = [await provider.create(spec(READING)) for _ in range(3)]
    for reader in readers:
        await _holds(reader, "/data/file", b"shared")
        result, _seen = await run(
            reader, "sh", "-c", "echo no > /data/file || echo no > /data/other"
        )
        assert not result.ok
    await refused(VolumeBusy, provider.create(spec(WRITING)))
    for reader in readers:
        await reader.stop()
    await (await provider.create(spec(WRITING))).stop()


async def a_full_volume_is_named(provider: SandboxProvider, _: VolumeStore) -> None:
    """Its size is the quota; the machine's own disk has room still."""
    sandbox = await provider.create(spec(WRITING))
    await refused(QuotaExceeded, sandbox.files.write("/data/big", pieces(b"x" * 40 * _MIB)))
    assert await shell(sandbox, "ls -A /data | grep -v lost+found || true") == b""
    await write(sandbox, "/data/small", b"fits")
    await sandbox.files.write("big", pieces(b"x" * 40 * _MIB))


async def a_machine_has_several(provider: SandboxProvider, volumes: VolumeStore) -> None:
    """Each at its place, in whatever mode, and none in another's."""
    for name in ("alpha", "beta"):
        await volumes.create(name, 16)
    filling = await provider.create(spec(VolumeMount("beta", "/b")))
    await write(filling, "/b/file", b"beta")
    await filling.stop()
    sandbox = await provider.create(
        spec(VolumeMount("alpha", "/a"), WRITING, VolumeMount("beta", "/b", read_only=True))
    )
    await write(sandbox, "/a/file", b"alpha")
    await write(sandbox, "/data/file", b"work")
    await _holds(sandbox, "/a/file", b"alpha")
    await _holds(sandbox, "/data/file", b"work")
    await _holds(sandbox, "/b/file", b"beta")


async def what_cannot_be_given_is_refused(provider: SandboxProvider, _: VolumeStore) -> None:
    """An unknown volume, a hostile name, a place of the system's: by name, and no machine."""
    for mount, kind in (
        (VolumeMount("nothing", "/data"), NameUnknown),
        (VolumeMount("../work", "/data"), InputRefused),
        (VolumeMount("work", "/etc"), InputRefused),
        (VolumeMount("work", "/data/../etc"), InputRefused),
    ):
        await refused(kind, provider.create(spec(mount)))
    await (await provider.create(spec(WRITING))).stop()


async def a_volume_gives_no_rights(provider: SandboxProvider, _: VolumeStore) -> None:
    """A program of root's in it is a program; a device node in it is a dead one."""
    one = await provider.create(spec(WRITING))
    script = "cp /usr/bin/id /data/id; chown 0:0 /data/id; chmod 4755 /data/id; mknod /data/n c 1 3"
    await _as_root(one, f"{script}; chmod 666 /data/n")
    await one.stop()
    other = await provider.create(spec(WRITING))
    assert await shell(other, "/data/id -u") == b"1000\n"
    result, _seen = await run(other, "sh", "-c", "echo x > /data/n")
    assert not result.ok


async def _as_root(sandbox: Sandbox, script: str) -> None:
    command = Command(("sh", "-c", script), PATIENCE_S, user="root")
    assert (await sandbox.commands.run(command, Seen())).ok


CHECKS: tuple[VolumeCheck, ...] = (
    a_volume_outlives_its_machine,
    one_machine_writes,
    many_machines_read,
    a_full_volume_is_named,
    a_machine_has_several,
    what_cannot_be_given_is_refused,
    a_volume_gives_no_rights,
)
