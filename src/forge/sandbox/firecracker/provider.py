"""The Firecracker provider: keeps the templates, makes the machines.

`open_provider` owns everything: leaving it stops every machine. One task per machine. Templates
stand in a folder of their own beside QEMU's, laid out the same.
"""

import asyncio
import contextlib
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from forge.errors import (
    InputRefused,
    MachineUnknown,
    NameUnknown,
    NoAccelerator,
    NoSpace,
    ProgramMissing,
    SandboxDied,
    SandboxUnresponsive,
    TemplateCorrupt,
    TemplateError,
    TemplateForeign,
)
from forge.ids import SandboxId, new_sandbox_id
from forge.sandbox import records, verdicts
from forge.sandbox.agent.commands import check_variables
from forge.sandbox.agent.connection import AGENT_VERSION
from forge.sandbox.base import (
    Limits,
    MachineInfo,
    Probe,
    Sandbox,
    SandboxFacts,
    SandboxSpec,
    Snapshot,
)
from forge.sandbox.firecracker import probe as probing
from forge.sandbox.firecracker.config import boot_calls
from forge.sandbox.firecracker.launch import Boot
from forge.sandbox.firecracker.machine import QEMU_CAN, Clone, FirecrackerSandbox, start_clone
from forge.sandbox.firecracker.warm import Cold, booted
from forge.sandbox.images.store import Image
from forge.sandbox.images.vmlinux import unpacked
from forge.sandbox.machines import template as saved
from forge.sandbox.machines.template import Template
from forge.sandbox.vmm import find_program

NAME = probing.NAME
PROGRAM = "firecracker"
_BOOT_S = 30.0  # a cold boot on working hardware takes under a second

Notify = Callable[[str], None]


@contextlib.asynccontextmanager
async def open_provider(
    home: Path, images: Callable[[str], Image], notify: Notify
) -> AsyncIterator["FirecrackerProvider"]:
    """A provider that keeps its state under `home`.

    Args:
        home: Forge's own folder; its folder `bin` may hold the program.
        images: finds a template's image by name; raises NameUnknown or ImageMissing.
        notify: told, in words, of what takes long.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            provider = FirecrackerProvider(home, images, notify, tasks)
            try:
                yield provider
            finally:
                await provider.close()
    except BaseExceptionGroup as failures:
        if len(failures.exceptions) == 1:
            raise failures.exceptions[0] from None
        raise


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


class FirecrackerProvider:
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
        self._machines: set[FirecrackerSandbox] = set()
        self._making = asyncio.Lock()
        self._said: str | None = None

    async def probe(self, *, fresh: bool = False) -> Probe:
        """See `forge.sandbox.base.SandboxProvider.probe`."""
        program = find_firecracker(self._home)  # before the image: without it there is no use
        image = self._images("base")
        boot = await self._boot(program, image)
        try:
            return await probing.probe(self._home, self._version(program), boot, image, fresh=fresh)
        except OSError as error:
            raise NoSpace(f"a machine's files could not be made: {error.strerror}") from error

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """See `forge.sandbox.base.SandboxProvider.create`."""
        started = time.monotonic()
        check_variables(spec.env)
        if spec.idle_s or (spec.lifetime_s and spec.on_timeout == "pause"):
            raise InputRefused("a machine under Firecracker cannot be paused yet", hint=QEMU_CAN)
        image = self._images(spec.template)
        verdict = await self.probe()
        if verdict.accelerator is None:
            reasons = "; ".join(attempt.reason for attempt in verdict.attempts)
            raise NoAccelerator(f"no guest boots under Firecracker on this host ({reasons})")
        boot = await self._boot(find_firecracker(self._home), image)
        cold = Cold(boot, image, spec.limits.memory_mib, spec.limits.disk_mib)
        template = await self._template(cold, spec.limits)
        return await self._clone(Clone(cold, template), spec, started)

    async def list(self) -> tuple[MachineInfo, ...]:
        """See `forge.sandbox.base.SandboxProvider.list`; none is ever paused."""
        found = [
            MachineInfo(each.facts.id, each.state, each.facts.template)
            for each in self._machines
            if each.state != "gone"
        ]
        return tuple(sorted(found, key=lambda each: each.id))

    async def open(self, sandbox_id: SandboxId) -> Sandbox:
        """See `forge.sandbox.base.SandboxProvider.open`; only one that runs here is found."""
        for machine in self._machines:
            if machine.facts.id == sandbox_id:
                return machine
        raise MachineUnknown(f"there is no machine {sandbox_id[:100]!r} here")

    async def remove(self, sandbox_id: SandboxId) -> None:
        """See `forge.sandbox.base.SandboxProvider.remove`."""
        await (await self.open(sandbox_id)).stop()

    async def snapshots(self) -> tuple[Snapshot, ...]:
        """See `forge.sandbox.base.SandboxProvider.snapshots`; there are none."""
        return ()

    async def remove_snapshot(self, name: str) -> None:
        """See `forge.sandbox.base.SandboxProvider.remove_snapshot`; there are none."""
        raise NameUnknown(f"there is no snapshot {name[:100]!r} of a machine under Firecracker")

    async def reap(self) -> int:
        """See `forge.sandbox.base.SandboxProvider.reap`."""
        saved.remove_abandoned(self._templates)
        return records.reap(self._home / "machines")

    async def close(self) -> None:
        """See `forge.sandbox.base.SandboxProvider.close`."""
        async with asyncio.TaskGroup() as stopping:
            for machine in tuple(self._machines):
                stopping.create_task(machine.stop())

    @property
    def _templates(self) -> Path:
        return self._home / "templates-firecracker"

    async def _boot(self, program: Path, image: Image) -> Boot:
        kernel = await asyncio.to_thread(unpacked, image.vmlinuz, self._home / "kernels")
        return Boot(program, kernel)

    def _version(self, program: Path) -> str:
        if self._said is None:
            answer = subprocess.run(
                [program, "--version"], capture_output=True, text=True, timeout=10, check=False
            )
            self._said = answer.stdout.partition("\n")[0] or "unknown"
        return self._said

    async def _clone(self, clone: Clone, spec: SandboxSpec, started: float) -> Sandbox:
        sandbox_id = new_sandbox_id(datetime.now(UTC))
        folder = records.new_folder(self._home / "machines", sandbox_id)
        async with contextlib.AsyncExitStack() as undo:
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            try:
                launched, fd = await start_clone(clone, folder)
            except OSError as error:
                raise NoSpace(f"a machine's disk could not be made: {error.strerror}") from error
            facts = SandboxFacts(sandbox_id, NAME, probing.ACCELERATOR, spec.template, 0.0)
            machine = FirecrackerSandbox(folder, launched, fd, facts, spec)
            self._machines.add(machine)
            self._tasks.create_task(self._own(machine))
            undo.push_async_callback(machine.stop)
            await machine.wake()
            undo.pop_all()
        machine.facts = replace(facts, create_ms=(time.monotonic() - started) * 1000)
        return machine

    async def _own(self, machine: FirecrackerSandbox) -> None:
        try:
            await machine.own()
        finally:
            self._machines.discard(machine)

    def _key(self, cold: Cold, limits: Limits) -> str:
        calls = boot_calls(limits.memory_mib, cold.image.root_kind)
        parts: dict[str, object] = {
            "firecracker": self._version(cold.boot.program),
            "calls": [asdict(call) for call in calls],
            "image": cold.image.key,
            "limits": asdict(limits),
            "agent": AGENT_VERSION,
            "host": verdicts.host_cpu(),
        }
        return saved.template_key(parts)

    async def _template(self, cold: Cold, limits: Limits) -> Template:
        key = self._key(cold, limits)
        async with self._making:
            found = self._find(key)
            if found is None:
                async with saved.only_one(self._templates, key):
                    found = self._find(key)
                    if found is None:
                        await self._make(key, cold, limits)
                        found = self._find(key)
        if found is None:
            raise TemplateError(f"template {key} was made and is not there")
        return found

    def _find(self, key: str) -> Template | None:
        try:
            return saved.find(self._templates, key)
        except (TemplateCorrupt, TemplateForeign) as error:
            self._notify(f"{error.message}; it is made anew")
            saved.remove(self._templates, key)
            return None

    async def _make(self, key: str, cold: Cold, limits: Limits) -> None:
        self._notify(f"Making the template “{cold.image.name}” for Firecracker, once")
        folder = saved.half_made(self._templates, key)
        folder.mkdir(mode=0o700)
        try:
            async with booted(cold, folder, _BOOT_S) as warm:
                for failure in await warm.agent.prepare(
                    cold.image.preload,
                    cold.image.env,
                    limits.processes,
                    interpreter=bool(cold.image.preload),
                ):
                    self._notify(f"not preloaded: {failure}")
                await warm.save(folder)
            shutil.rmtree(warm.launched.room.inside)
            saved.seal(folder, key)
            folder.rename(self._templates / key)
            saved.sweep(self._templates)
        except OSError as error:
            raise NoSpace(f"the template could not be saved: {error}") from error
        except (SandboxDied, SandboxUnresponsive) as error:
            raise TemplateError(f"the template could not be made: {error.message}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
