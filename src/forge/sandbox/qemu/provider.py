"""The QEMU provider: finds the accelerator, keeps the templates, makes the machines.

`open_provider` owns everything: leaving it stops every machine. One task per machine; templates are
made by one process at a time per key, however many ask.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from forge.errors import (
    HostUnfit,
    NoAccelerator,
    NoSpace,
    SandboxDied,
    SandboxUnresponsive,
    TemplateCorrupt,
    TemplateError,
    TemplateForeign,
)
from forge.ids import new_sandbox_id
from forge.sandbox import records, room
from forge.sandbox.agent.connection import AGENT_VERSION
from forge.sandbox.base import Limits, Probe, Sandbox, SandboxFacts, SandboxSpec
from forge.sandbox.images.store import Image
from forge.sandbox.qemu import probe as probing
from forge.sandbox.qemu import template as saved
from forge.sandbox.qemu.argv import Accelerator, Boot, Descriptors, Shape, machine_argv
from forge.sandbox.qemu.machine import Clone, Given, QemuSandbox, start_clone
from forge.sandbox.qemu.template import Template
from forge.sandbox.qemu.vmm import find_program
from forge.sandbox.qemu.warm import Cold, booted
from forge.sandbox.volumes import HeldVolume, VolumeMount, VolumeStore, check_mounts

NAME = "qemu"
_BOOT_S = 90.0  # a cold boot takes 3 s under emulation on an idle host
_MAKING_S = 400.0  # another process may be making the template, import by import
_TEMPLATE_MIB = 700  # memory in use and disk of a template, with room to spare

Notify = Callable[[str], None]


@contextlib.asynccontextmanager
async def open_provider(
    home: Path, images: Callable[[str], Image], notify: Notify
) -> AsyncIterator["QemuProvider"]:
    """A provider that keeps its state under `home`.

    Args:
        home: Forge's own folder.
        images: finds a template's image by name; raises NameUnknown or ImageMissing.
        notify: told, in words, of what takes long.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            provider = QemuProvider(home, images, notify, tasks)
            try:
                yield provider
            finally:
                await provider.close()
    except BaseExceptionGroup as failures:
        if len(failures.exceptions) == 1:
            raise failures.exceptions[0] from None
        raise


class QemuProvider:
    """See `forge.sandbox.base.SandboxProvider` for the contract."""

    name = NAME

    def __init__(
        self,
        home: Path,
        images: Callable[[str], Image],
        notify: Notify,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._home = home
        self._images = images
        self._notify = notify
        self._tasks = tasks
        self._machines: set[QemuSandbox] = set()
        self._making = asyncio.Lock()
        self._version: str | None = None
        self._volumes = VolumeStore(home)

    async def probe(self, *, fresh: bool = False) -> Probe:
        """See `forge.sandbox.base.SandboxProvider.probe`."""
        version = self._qemu_version()  # before the image: without QEMU there is no use for one
        return await probing.probe(self._home, version, self._images("base"), fresh=fresh)

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """See `forge.sandbox.base.SandboxProvider.create`."""
        started = time.monotonic()
        spec.limits.check(os.cpu_count() or 1)
        check_mounts(spec.volumes)
        image = self._images(spec.template)
        accelerator = await self._accelerator()
        shape = Shape(accelerator, spec.limits.memory_mib, spec.limits.cpus)
        template = await self._template(shape, image, spec.limits)
        for mount in spec.volumes:
            await self._mend(mount, spec)
        with contextlib.ExitStack() as held:
            # QEMU inherits what is held, and with it the locks; here it is given back at once.
            volumes = tuple(self._hold(held, mount) for mount in spec.volumes)
            clone = Clone(image, shape, template, spec.limits.disk_mib, volumes)
            return await self._clone(clone, spec, started)

    def _hold(self, held: contextlib.ExitStack, mount: VolumeMount) -> HeldVolume:
        volume = self._volumes.hold(mount.name, read_only=mount.read_only)
        held.callback(volume.close)
        if not mount.read_only:
            self._volumes.mark(mount.name, clean=False)
        return volume

    async def _mend(self, mount: VolumeMount, spec: SandboxSpec) -> None:
        """Replay the journal that a crash left in a volume which is only to be read.

        Whoever may not write it could not, and would see it half-written. A machine does it: the
        host does not look into volumes.
        """
        if mount.read_only and not self._volumes.show(mount.name).clean:
            writing = replace(spec, volumes=(replace(mount, read_only=False),))
            await (await self.create(writing)).stop()

    async def reap(self) -> int:
        """See `forge.sandbox.base.SandboxProvider.reap`."""
        saved.remove_abandoned(self._home / "templates")
        return records.reap(self._home / "machines")

    async def close(self) -> None:
        """See `forge.sandbox.base.SandboxProvider.close`."""
        async with asyncio.TaskGroup() as stopping:
            for machine in tuple(self._machines):
                stopping.create_task(machine.stop())

    async def _clone(self, clone: Clone, spec: SandboxSpec, started: float) -> Sandbox:
        sandbox_id = new_sandbox_id(datetime.now(UTC))
        folder = records.new_folder(self._home / "machines", sandbox_id)
        async with contextlib.AsyncExitStack() as undo:
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            wanted = room.Promise(spec.limits.memory_mib, spec.limits.disk_mib)
            room.promise(folder, wanted, room.host(self._free_mib()))
            try:
                launched = await start_clone(clone, folder)
            except OSError as error:
                raise NoSpace(f"a machine's disk could not be made: {error.strerror}") from error
            facts = SandboxFacts(sandbox_id, NAME, clone.shape.accelerator, spec.template, 0.0)
            given = Given(spec.limits, spec.volumes, self._volumes)
            machine = QemuSandbox(folder, launched, facts, given)
            self._machines.add(machine)
            self._tasks.create_task(self._own(machine))
            undo.push_async_callback(machine.stop)
            await machine.wake(clone.template)
            undo.pop_all()
        machine.facts = replace(facts, create_ms=(time.monotonic() - started) * 1000)
        return machine

    async def _own(self, machine: QemuSandbox) -> None:
        try:
            await machine.own()
        finally:
            self._machines.discard(machine)

    async def _accelerator(self) -> Accelerator:
        verdict = await self.probe()
        if verdict.accelerator is None:
            reasons = "; ".join(f"{each.accelerator}: {each.reason}" for each in verdict.attempts)
            raise NoAccelerator(f"no accelerator boots a guest on this host ({reasons})")
        return cast("Accelerator", verdict.accelerator)

    def _qemu_version(self) -> str:
        if self._version is None:
            program = find_program()
            answer = subprocess.run(
                [program, "--version"], capture_output=True, text=True, timeout=10, check=False
            )
            self._version = answer.stdout.splitlines()[0] if answer.stdout else "unknown"
        return self._version

    def _key(self, shape: Shape, image: Image, limits: Limits) -> str:
        fds, boot = Descriptors(0, 0, 0, 0, 0, 0, 0), Boot(0, 0, 0, image.root_kind, 0)
        parts: dict[str, object] = {
            "qemu": self._qemu_version(),
            "argv": machine_argv(find_program(), shape, fds, boot),
            "image": image.key,
            # What is set in the template itself; the host sets the other limits at each start.
            "limits": [limits.disk_mib, limits.processes],
            "agent": AGENT_VERSION,
            "host": probing.host_cpu(),
        }
        return saved.template_key(parts)

    async def _template(self, shape: Shape, image: Image, limits: Limits) -> Template:
        key = self._key(shape, image, limits)
        async with self._making:
            found = self._find(key)
            if found is not None:
                return found
            templates = self._home / "templates"
            async with _only_one(templates, key):
                found = self._find(key)
                if found is not None:
                    return found
                await self._make(templates, key, Cold(image, shape, limits.disk_mib), limits)
        made = self._find(key)
        if made is None:
            raise TemplateError(f"template {key} was made and is not there")
        return made

    def _find(self, key: str) -> Template | None:
        templates = self._home / "templates"
        try:
            return saved.find(templates, key)
        except (TemplateCorrupt, TemplateForeign) as error:
            self._notify(f"{error.message}; it is made anew")
            saved.remove(templates, key)
            return None

    async def _make(self, templates: Path, key: str, cold: Cold, limits: Limits) -> None:
        self._check_space(_TEMPLATE_MIB)
        self._notify(
            f"Making the template “{cold.image.name}”: booting a machine and loading its "
            "libraries, once (up to a minute)"
        )
        folder = saved.half_made(templates, key)
        folder.mkdir(mode=0o700)
        try:
            async with booted(cold, folder, _BOOT_S) as warm:
                interpreter = bool(cold.image.preload)
                failures = await warm.agent.prepare(
                    cold.image.preload, cold.image.env, limits.processes, interpreter=interpreter
                )
                for failure in failures:
                    self._notify(f"not preloaded: {failure}")
                await warm.save(folder)
            saved.seal(folder, key)
            folder.rename(templates / key)
            saved.sweep(templates)
        except OSError as error:
            raise NoSpace(f"the template could not be saved: {error}") from error
        except (SandboxDied, SandboxUnresponsive) as error:
            raise TemplateError(f"the template could not be made: {error.message}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _free_mib(self) -> int:
        return shutil.disk_usage(self._home).free >> 20

    def _check_space(self, needed_mib: int) -> None:
        free = self._free_mib()
        if free < needed_mib:
            raise NoSpace(f"{free} MiB are free under {self._home}; {needed_mib} MiB are needed")


@contextlib.asynccontextmanager
async def _only_one(templates: Path, key: str) -> AsyncIterator[None]:
    """Hold a lock over processes while a template is made."""
    templates.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (templates / f".{key}.lock").open("w") as file:
        deadline = time.monotonic() + _MAKING_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise HostUnfit("another process is making this template, too slowly") from None
                await asyncio.sleep(0.1)
        yield
