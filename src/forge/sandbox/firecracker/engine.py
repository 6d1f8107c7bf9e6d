"""Firecracker as an engine of machines: finds the program, makes templates, starts machines."""

import asyncio
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from forge.errors import InputRefused, NoAccelerator, NoSpace, ProgramMissing, SandboxError
from forge.sandbox import verdicts
from forge.sandbox.agent.connection import AGENT_VERSION
from forge.sandbox.base import Limits, Probe, SandboxSpec
from forge.sandbox.firecracker import probe as probing
from forge.sandbox.firecracker.config import boot_calls, machine_argv
from forge.sandbox.firecracker.launch import Boot
from forge.sandbox.firecracker.running import Running, started
from forge.sandbox.firecracker.warm import Cold, booted
from forge.sandbox.images.store import Image
from forge.sandbox.images.vmlinux import unpacked
from forge.sandbox.machines import saved, template
from forge.sandbox.machines.engine import Accelerator, Clone
from forge.sandbox.machines.making import Shelf, warmed
from forge.sandbox.vmm import find_program
from forge.sandbox.volumes import HeldVolume

NAME = probing.NAME
PROGRAM = "firecracker"
_BOOT_S = 30.0  # a cold boot on working hardware takes under a second


def find_firecracker(home: Path) -> Path:
    """The program: Forge's own copy, else this host's.

    Raises:
        ProgramMissing: there is neither.
    """
    own = home / "bin" / PROGRAM
    if own.is_file():
        return own
    try:
        return Path(find_program(PROGRAM))
    except ProgramMissing as error:
        raise ProgramMissing(
            f"{error.message} with this provider",
            hint=f"Put Firecracker's program into {own.parent} or /usr/local/bin "
            "(docs/providers.md says where to get it), or choose another provider.",
        ) from error


class FirecrackerEngine:
    """See `forge.sandbox.machines.engine.Engine` for the contract.

    Args:
        home: Forge's own folder; its folder `bin` may hold the program.
        images: finds a template's image by name; raises NameUnknown or ImageMissing.
        notify: told, in words, of what takes long.
    """

    name = NAME

    def __init__(
        self, home: Path, images: Callable[[str], Image], notify: Callable[[str], None]
    ) -> None:
        self._home = home
        self._images = images
        self._notify = notify
        self._shelf = Shelf(home / "templates-firecracker", notify)
        self._said: str | None = None

    async def probe(self, *, fresh: bool) -> Probe:
        """See `Engine.probe`."""
        said = self._version()  # before the image: without the program there is no use for one
        image = self._images("base")
        boot = await self._boot(image)
        try:
            return await probing.probe(self._home, said, boot, image, fresh=fresh)
        except OSError as error:
            raise NoSpace(f"a machine's files could not be made: {error.strerror}") from error

    def check(self, spec: SandboxSpec) -> None:
        """See `Engine.check`."""
        if spec.volumes:
            raise InputRefused(
                "a machine under Firecracker cannot have volumes yet",
                hint="QEMU's machines can: choose them with FORGE_SANDBOX (docs/providers.md).",
            )

    def shape(self, accelerator: Accelerator, limits: Limits) -> dict[str, str]:
        """See `Engine.shape`."""
        del accelerator  # there is one
        calls = boot_calls(limits.memory_mib, "", limits.cpus)
        words = [*machine_argv(""), *(repr(asdict(call)) for call in calls)]
        return {NAME: self._version(), "argv": saved.short(words)}

    async def template(self, spec: SandboxSpec) -> Clone:
        """See `Engine.template`."""
        image, limits = self._images(spec.template), spec.limits
        verdict = await self.probe(fresh=False)
        if verdict.accelerator is None:
            reasons = "; ".join(attempt.reason for attempt in verdict.attempts)
            raise NoAccelerator(f"no guest boots under Firecracker on this host ({reasons})")
        boot = await self._boot(image)
        cold = Cold(boot, image, limits.memory_mib, limits.disk_mib, limits.cpus)
        made = await self._shelf.template(
            self._key(image, limits), lambda folder: self._make(cold, limits, folder)
        )
        return Clone("kvm", image, limits, made.memory, made.state, made.data)

    async def start(
        self,
        clone: Clone,
        folder: Path,
        on_broken: Callable[[SandboxError], None],
        volumes: tuple[HeldVolume, ...],
    ) -> Running:
        """See `Engine.start`."""
        assert not volumes
        return await started(await self._boot(clone.image), clone, folder, on_broken)

    def remove_abandoned(self) -> None:
        """See `Engine.remove_abandoned`."""
        template.remove_abandoned(self._home / "templates-firecracker")

    async def _boot(self, image: Image) -> Boot:
        program = find_firecracker(self._home)
        kernel = await asyncio.to_thread(unpacked, image.vmlinuz, self._home / "kernels")
        return Boot(program, kernel)

    def _version(self) -> str:
        if self._said is None:
            program = find_firecracker(self._home)
            answer = subprocess.run(
                [program, "--version"], capture_output=True, text=True, timeout=10, check=False
            )
            self._said = answer.stdout.partition("\n")[0] or "unknown"
        return self._said

    def _key(self, image: Image, limits: Limits) -> str:
        calls = boot_calls(limits.memory_mib, image.root_kind, limits.cpus)
        parts: dict[str, object] = {
            "firecracker": self._version(),
            "calls": [asdict(call) for call in calls],
            "image": image.key,
            # What is set in the template itself; the host sets the other limits at each start.
            "limits": [limits.disk_mib, limits.processes],
            "agent": AGENT_VERSION,
            "host": verdicts.host_cpu(),
        }
        return template.template_key(parts)

    async def _make(self, cold: Cold, limits: Limits, folder: Path) -> None:
        self._notify(f"Making the template “{cold.image.name}” for Firecracker, once")
        async with booted(cold, folder, _BOOT_S) as warm:
            await warmed(warm.agent, cold.image, limits, self._notify)
            await warm.save(folder)
