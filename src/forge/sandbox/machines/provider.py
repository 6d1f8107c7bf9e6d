"""Makes machines, lists them, keeps them, and ends them: a provider, whatever its VMM.

`opened` owns everything: leaving it stops every machine. One task per machine.
"""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from forge.errors import (
    MachineBusy,
    MachineUnknown,
    NoSpace,
    SandboxError,
)
from forge.ids import SandboxId, is_sandbox_id, new_sandbox_id
from forge.sandbox import records
from forge.sandbox.agent.commands import check_variables
from forge.sandbox.base import (
    MachineInfo,
    Probe,
    Sandbox,
    SandboxFacts,
    SandboxSpec,
    Snapshot,
)
from forge.sandbox.images.store import Image
from forge.sandbox.machines import saved
from forge.sandbox.machines.engine import Clone, Engine, Running
from forge.sandbox.machines.holding import Holding
from forge.sandbox.machines.keeper import Keeper
from forge.sandbox.machines.machine import Machine
from forge.sandbox.machines.thread import GivenUp, in_thread
from forge.tasks import together

Notify = Callable[[str], None]


@contextlib.asynccontextmanager
async def opened(
    home: Path, images: Callable[[str], Image], notify: Notify, engine: Engine
) -> AsyncIterator["MachineProvider"]:
    """A provider that keeps its state under `home`.

    Args:
        home: Forge's own folder.
        images: finds a template's image by name; raises NameUnknown or ImageMissing.
        notify: told, in words, of what takes long.
        engine: what runs its machines.
    """
    async with together() as tasks:
        provider = MachineProvider(home, images, notify, tasks, engine)
        try:
            yield provider
        finally:
            await provider.close()


class MachineProvider:
    """See `forge.sandbox.base.SandboxProvider` for the contract."""

    def __init__(
        self,
        home: Path,
        images: Callable[[str], Image],
        notify: Notify,
        tasks: asyncio.TaskGroup,
        engine: Engine,
    ) -> None:
        self.name = engine.name
        self._home = home
        self._engine = engine
        self._notify = notify
        self._tasks = tasks
        self._machines: set[Machine] = set()
        self.volumes = Holding(home)
        self._keeper = Keeper(home, images, engine)

    async def probe(self, *, fresh: bool = False) -> Probe:
        """See `forge.sandbox.base.SandboxProvider.probe`."""
        return await self._engine.probe(fresh=fresh)

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """See `forge.sandbox.base.SandboxProvider.create`."""
        started = time.monotonic()
        check_variables(spec.env)
        self._engine.check(spec)
        self.volumes.check(spec)
        await self.volumes.mend(spec, self.create)
        kept = self._keeper.find(spec.template)
        if kept is not None:
            clone = await in_thread(lambda _: self._keeper.load(kept))
            return await self._clone(clone, replace(spec, limits=clone.limits), started)
        return await self._clone(await self._engine.template(spec), spec, started)

    async def list(self) -> tuple[MachineInfo, ...]:
        """See `forge.sandbox.base.SandboxProvider.list`."""
        here = {each.facts.id: each for each in self._machines}
        found = [
            MachineInfo(each.facts.id, each.state, each.facts.template)
            for each in here.values()
            if each.state != "gone"
        ]
        for folder in (self._home / "machines").glob("sbx_*"):
            manifest = self._keeper.glance(folder)
            if folder.name not in here and manifest is not None:
                name = SandboxId(folder.name)
                found.append(MachineInfo(name, "paused", manifest.wish.template))
        return tuple(sorted(found, key=lambda each: each.id))

    async def open(self, sandbox_id: SandboxId) -> Sandbox:
        """See `forge.sandbox.base.SandboxProvider.open`."""
        here = self._here(sandbox_id)
        if here is not None:
            return here
        folder, lock = self._take(sandbox_id)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, lock)
            clone = await in_thread(lambda _: self._keeper.load(folder))
            manifest = self._keeper.glance(folder)
            if manifest is None:
                raise MachineUnknown(f"the machine {sandbox_id} is not whole any more")
            try:
                records.write_record(folder, None)
            except OSError as error:
                why = f"the machine {sandbox_id} cannot be opened: {error.strerror}"
                raise NoSpace(why) from error
            undo.pop_all()
        wish = manifest.wish
        spec = SandboxSpec(
            wish.template,
            clone.limits,
            idle_s=wish.idle_s,
            lifetime_s=wish.lifetime_s,
            on_timeout=wish.on_timeout,
            volumes=wish.volumes,
        )
        facts = SandboxFacts(sandbox_id, self.name, clone.accelerator, wish.template, 0.0)
        machine = Machine(folder, lock, clone, spec, facts, self, asleep=True)
        self._adopt(machine)
        return machine

    async def remove(self, sandbox_id: SandboxId) -> None:
        """See `forge.sandbox.base.SandboxProvider.remove`."""
        here = self._here(sandbox_id)
        if here is not None:
            await here.stop()
            return
        folder, lock = self._take(sandbox_id)
        try:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        finally:
            os.close(lock)

    async def snapshots(self) -> tuple[Snapshot, ...]:
        """See `forge.sandbox.base.SandboxProvider.snapshots`."""
        return self._keeper.snapshots()

    async def remove_snapshot(self, name: str) -> None:
        """See `forge.sandbox.base.SandboxProvider.remove_snapshot`."""
        await asyncio.to_thread(self._keeper.remove_snapshot, name)

    async def reap(self) -> int:
        """See `forge.sandbox.base.SandboxProvider.reap`."""
        self._engine.remove_abandoned()
        self._keeper.remove_half_made()
        records.remove_half_made(self._home / "volumes")
        return records.reap(self._home / "machines")

    async def close(self) -> None:
        """See `forge.sandbox.base.SandboxProvider.close`."""
        async with asyncio.TaskGroup() as stopping:
            for machine in tuple(self._machines):
                stopping.create_task(machine.leave())

    # -- for machines: `house.House` ------------------------------------------------------------

    def manifest(self, clone: Clone, spec: SandboxSpec, folder: Path) -> saved.Manifest:
        """See `house.House.manifest`."""
        return self._keeper.manifest(clone, spec, folder)

    async def start(
        self,
        clone: Clone,
        spec: SandboxSpec,
        folder: Path,
        on_broken: Callable[[SandboxError], None],
    ) -> Running:
        """See `house.House.start`."""
        with self.volumes.held(spec, folder.name) as volumes:
            return await self._engine.start(clone, folder, on_broken, volumes)

    def load(self, folder: Path) -> Clone:
        """See `house.House.load`."""
        return self._keeper.load(folder)

    def notify(self, words: str) -> None:
        """See `house.House.notify`."""
        self._notify(words)

    async def keep(
        self, name: str, spec: SandboxSpec, save: Callable[[Path], Awaitable[Clone]]
    ) -> Snapshot:
        """See `house.House.keep`."""
        self._keeper.check_name(name)
        snapshot = await self._keeper.keep(name, spec, save)
        self._tasks.create_task(self._seal(name))
        return snapshot

    async def _seal(self, name: str) -> None:
        try:
            await asyncio.to_thread(saved.Sealing(self._keeper.folder(name)).run)
        except (GivenUp, FileNotFoundError):
            return  # it was removed
        except OSError as error:
            self._notify(f"the snapshot {name} is not durable: {error.strerror}")

    async def multiply(
        self, spec: SandboxSpec, count: int, save: Callable[[Path], Awaitable[Clone]]
    ) -> tuple[Sandbox, ...]:
        """See `house.House.multiply`."""
        check_variables(spec.env)
        with self._keeper.scratch() as folder:
            started = time.monotonic()
            clone = await save(folder)
            async with contextlib.AsyncExitStack() as undo:
                made: list[Machine] = []

                async def one() -> None:
                    made.append(await self._clone(clone, spec, started))
                    undo.push_async_callback(made[-1].stop)

                async with together() as tasks:
                    _ = [tasks.create_task(one()) for _ in range(count)]
                undo.pop_all()
        return tuple(made)

    def _here(self, sandbox_id: SandboxId) -> Machine | None:
        found = (each for each in self._machines if each.facts.id == sandbox_id)
        return next((each for each in found if each.state != "gone"), None)

    def _take(self, sandbox_id: SandboxId) -> tuple[Path, int]:
        folder = self._home / "machines" / sandbox_id
        if not is_sandbox_id(sandbox_id) or self._keeper.glance(folder) is None:
            raise MachineUnknown(f"there is no paused machine {sandbox_id[:100]!r} here")
        try:
            lock = records.take(folder)
        except OSError as error:
            why = f"the machine {sandbox_id} cannot be taken: {error.strerror}"
            raise MachineUnknown(why) from error
        if lock is None:
            raise MachineBusy(f"another process has the machine {sandbox_id}")
        return folder, lock

    def _adopt(self, machine: Machine) -> None:
        self._machines.add(machine)
        self._tasks.create_task(self._own(machine))

    # -- making machines --------------------------------------------------------------------------

    async def _clone(self, clone: Clone, spec: SandboxSpec, started: float) -> Machine:
        sandbox_id = new_sandbox_id(datetime.now(UTC))
        try:
            folder = records.new_folder(self._home / "machines", sandbox_id)
        except OSError as error:
            raise NoSpace(f"a machine could not be made: {error.strerror}") from error
        async with contextlib.AsyncExitStack() as undo:
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            self.volumes.promise(folder, clone.limits, shutil.disk_usage(self._home).free >> 20)
            lock = records.take(folder)
            assert lock is not None
            facts = SandboxFacts(sandbox_id, self.name, clone.accelerator, spec.template, 0.0)
            machine = Machine(folder, lock, clone, spec, facts, self)
            self._adopt(machine)
            undo.push_async_callback(machine.stop)
            await machine.start()
            undo.pop_all()
        machine.facts = replace(facts, create_ms=(time.monotonic() - started) * 1000)
        return machine

    async def _own(self, machine: Machine) -> None:
        try:
            await machine.own()
        finally:
            self._machines.discard(machine)
