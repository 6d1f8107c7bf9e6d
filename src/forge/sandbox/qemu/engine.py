"""QEMU as an engine of machines: finds the accelerator, makes templates, starts and saves."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import cast

from forge.errors import NoAccelerator, SandboxError
from forge.sandbox.base import Limits, Probe, SandboxSpec
from forge.sandbox.images.store import Image
from forge.sandbox.machines import saved, template
from forge.sandbox.machines.engine import Accelerator, Clone
from forge.sandbox.qemu import probe as probing
from forge.sandbox.qemu.argv import PROGRAM, Descriptors, Shape, machine_argv
from forge.sandbox.qemu.making import TemplateMaker
from forge.sandbox.qemu.running import Running, started
from forge.sandbox.vmm import find_program
from forge.sandbox.volumes import HeldVolume

NAME = "qemu"


class QemuEngine:
    """See `forge.sandbox.machines.engine.Engine` for the contract.

    Args:
        home: Forge's own folder.
        images: finds a template's image by name; raises NameUnknown or ImageMissing.
        notify: told, in words, of what takes long.
    """

    name = NAME

    def __init__(
        self, home: Path, images: Callable[[str], Image], notify: Callable[[str], None]
    ) -> None:
        self._home = home
        self._images = images
        self._maker = TemplateMaker(home, self._version, notify)
        self._said: str | None = None

    async def probe(self, *, fresh: bool) -> Probe:
        """See `Engine.probe`."""
        version = self._version()  # before the image: without QEMU there is no use for one
        return await probing.probe(self._home, version, self._images("base"), fresh=fresh)

    def check(self, spec: SandboxSpec) -> None:
        """See `Engine.check`: there is no wish that QEMU cannot fulfil."""

    def shape(self, accelerator: Accelerator, limits: Limits) -> dict[str, str]:
        """See `Engine.shape`."""
        shape = Shape(accelerator, limits.memory_mib, limits.cpus)
        argv = machine_argv("", shape, Descriptors(0, 0, 0, 0, 0, 0, 0), None)
        return {NAME: self._version(), "argv": saved.short(argv)}

    async def template(self, spec: SandboxSpec) -> Clone:
        """See `Engine.template`."""
        image, limits = self._images(spec.template), spec.limits
        accelerator = await self._accelerator()
        shape = Shape(accelerator, limits.memory_mib, limits.cpus)
        made = await self._maker.template(shape, image, limits)
        return Clone(accelerator, image, limits, made.memory, made.state, made.data)

    async def start(
        self,
        clone: Clone,
        folder: Path,
        on_broken: Callable[[SandboxError], None],
        volumes: tuple[HeldVolume, ...],
    ) -> Running:
        """See `Engine.start`."""
        return await started(clone, folder, on_broken, volumes)

    def remove_abandoned(self) -> None:
        """See `Engine.remove_abandoned`."""
        template.remove_abandoned(self._home / "templates")

    async def _accelerator(self) -> Accelerator:
        verdict = await self.probe(fresh=False)
        if verdict.accelerator is None:
            reasons = "; ".join(f"{each.accelerator}: {each.reason}" for each in verdict.attempts)
            raise NoAccelerator(f"no accelerator boots a guest on this host ({reasons})")
        return cast("Accelerator", verdict.accelerator)

    def _version(self) -> str:
        if self._said is None:
            program = find_program(PROGRAM)
            answer = subprocess.run(
                [program, "--version"], capture_output=True, text=True, timeout=10, check=False
            )
            self._said = answer.stdout.splitlines()[0] if answer.stdout else "unknown"
        return self._said
