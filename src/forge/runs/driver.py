"""A run's life, owned by one task: the only one that appends to its ledger.

    check ─ begin ─ machine ─ uploads ─ loop ⇄ artifacts ─ stop ─ run.finished
                       └────────┴─────────┴── a cap, an error, a cancel ──┘

Each event is durable before anyone is shown it. Whatever happens once the run has begun, the
machine is stopped and the last event is `run.finished`, unless the ledger itself cannot be written:
then the machine is stopped and the next start's recovery closes the run. A cancel is answered at
any point, and finishing is not interrupted by a second one; it is bounded by `STOP_S`.

This is one of the three boundaries where any exception may be caught (see architecture.md).
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from forge.agent.loop import Assignment, run_loop
from forge.agent.prompt import system_prompt
from forge.budget.prices import PriceTable
from forge.clock import Clock
from forge.errors import BudgetError, CapReached, ForgeError, InputRefused, LedgerUnwritable
from forge.events import (
    AnyEvent,
    Fault,
    FileFact,
    FileUploaded,
    ModelRequested,
    Record,
    RunFinished,
    RunStarted,
    RunStatus,
    SandboxCreated,
    ToolFinished,
)
from forge.ids import RunId
from forge.ledger.append import Appender, LedgerWriter
from forge.ledger.fold import Folder, fold
from forge.messages import Text, UserMessage
from forge.models.base import Model
from forge.runs.allowance import Allowance
from forge.runs.artifacts import ArtifactLimits, Artifacts, Blobs
from forge.runs.unbroken import unbroken
from forge.runs.wish import RunWish, Upload
from forge.sandbox.base import Sandbox, SandboxProvider
from forge.sandbox.files import HOME
from forge.tasks import together
from forge.tools.files import ListFiles, ReadFile, WriteFile
from forge.tools.run_python import RunPython
from forge.tools.run_shell import RunShell
from forge.tools.toolbox import Toolbox
from forge.usage import Usage

LOG = logging.getLogger(__name__)

STOP_S = 15
"""How long stopping a machine may take: killing a process is instant, so this is a broken host."""

TOOLS = (RunPython(), RunShell(), WriteFile(), ReadFile(), ListFiles())


class Watcher(Protocol):
    """Who is told of a run's records; `forge.runs.channel` is one."""

    def publish(self, record: Record) -> None:
        """Take a durable record, at once."""

    async def room(self) -> None:
        """Wait while more would be too much."""


@dataclass(frozen=True, slots=True)
class RunDriver:
    """What a run is made with. Everything in it has its own owner; a driver frees nothing of it."""

    provider: SandboxProvider
    model: Model
    ledger: LedgerWriter
    blobs: Blobs
    prices: PriceTable
    clock: Clock
    owner: str
    artifacts: ArtifactLimits = field(default_factory=ArtifactLimits)

    async def drive(
        self, run_id: RunId, wish: RunWish, files: tuple[FileFact, ...], watcher: Watcher
    ) -> None:
        """Carry out a checked wish (see `forge.runs.wish.checked`), to its last event.

        Raises:
            LedgerUnwritable: an event could not be made durable; the machine was stopped.
            CancelledError: this task was cancelled; the run is on the ledger as cancelled.
        """
        run = _Run(self, run_id, wish, files, watcher)
        ending = Ending("done")
        try:
            await run.live()
        except asyncio.CancelledError:
            await run.end(Ending("cancelled"))
            raise
        except LedgerUnwritable:
            await unbroken(run.stop())
            raise
        except CapReached as cap:
            ending = Ending("capped", Fault.of(cap))
        except ForgeError as error:
            ending = Ending("failed", Fault.of(error))
        except Exception as error:
            LOG.exception("the run %s failed", run_id)
            ending = Ending("failed", Fault.of(unforeseen(error)))
        await run.end(ending)

    async def close_interrupted(self, run_id: RunId, records: Iterable[Record]) -> None:
        """Give a run whose owner is gone its last event, with all that it came to so far.

        Raises:
            LedgerUnwritable: it cannot be written, or someone else has written it meanwhile.
            LedgerCorrupt: there are no records.
        """
        kept = tuple(records)
        view = fold(kept)
        await self.ledger.resume(run_id, kept[-1]).append(
            RunFinished(status="interrupted", answer=view.answer, totals=view.totals())
        )


class Ending(NamedTuple):
    """How a run ends."""

    status: RunStatus
    error: Fault | None = None


def unforeseen(error: Exception) -> ForgeError:
    """An exception that nobody foresaw, without its text: that may hold what is secret."""
    return ForgeError(f"Forge itself failed ({type(error).__name__}); its log says where.")


class _Run:
    """One run under way. Its machine, its appender and its fold are this object's alone."""

    def __init__(
        self,
        driver: RunDriver,
        run_id: RunId,
        wish: RunWish,
        files: tuple[FileFact, ...],
        watcher: Watcher,
    ) -> None:
        self._driver, self._wish, self._files, self._watcher = driver, wish, files, watcher
        self._id = run_id
        self._appender: Appender | None = None
        self._folder: Folder | None = None
        self._sandbox: Sandbox | None = None

    async def live(self) -> None:
        """Everything but the end."""
        await unbroken(self._begin())
        allowance = Allowance(
            self._wish.caps, self._driver.prices, self._driver.model, self._driver.clock
        )
        sandbox = await self._machine()
        for upload, fact in zip(self._wish.files, self._files, strict=True):
            await self._upload(sandbox, upload, fact)
        artifacts = Artifacts(sandbox, self._driver.blobs, self._driver.artifacts)
        await artifacts.look()
        toolbox = Toolbox(sandbox, TOOLS, self._driver.clock)
        assignment = Assignment(
            system=system_prompt(self._files, self._wish.machine.template),
            messages=(UserMessage(parts=(Text(text=self._wish.prompt),)),),
        )
        loop = run_loop(self._driver.model, toolbox, allowance, self._driver.clock, assignment)
        await self._follow(loop, artifacts)

    async def end(self, ending: Ending) -> None:
        """Stop the machine and append the last event, whatever else is asked meanwhile."""
        await unbroken(self._end(ending))

    async def stop(self) -> None:
        """Stop the machine. What goes wrong is logged: the run's own ending matters more."""
        if self._sandbox is None:
            return
        sandbox, self._sandbox = self._sandbox, None
        try:
            async with asyncio.timeout(STOP_S):
                await sandbox.stop()
        except (ForgeError, OSError, TimeoutError):
            LOG.exception("the machine %s could not be stopped in order", sandbox.facts.id)

    async def _begin(self) -> None:
        started = RunStarted(
            prompt=self._wish.prompt,
            model=self._driver.model.name,
            template=self._wish.machine.template,
            caps=self._wish.caps,
            files=self._files,
        )
        self._appender, first = await self._driver.ledger.begin(
            self._id, self._driver.owner, started
        )
        self._folder = Folder(first)
        self._watcher.publish(first)

    async def _machine(self) -> Sandbox:
        """Make the machine while the price table, slow to load, is read in another thread."""
        model, prices = self._driver.model, self._driver.prices
        async with together() as group:
            if model.priced:
                group.create_task(asyncio.to_thread(prices.cost, model.name, Usage()))
            group.create_task(self._create())
        assert self._sandbox is not None
        facts = self._sandbox.facts
        await self._record(
            SandboxCreated(
                sandbox_id=facts.id,
                provider=facts.provider,
                accelerator=facts.accelerator,
                template=facts.template,
                duration_ms=facts.create_ms,
            )
        )
        return self._sandbox

    async def _create(self) -> None:
        self._sandbox = await self._driver.provider.create(self._wish.machine)

    async def _upload(self, sandbox: Sandbox, upload: Upload, fact: FileFact) -> None:
        path, digest = f"{HOME}/{upload.name}", hashlib.sha256()

        async def measured() -> AsyncGenerator[bytes, None]:
            async with aclosing(upload.open()) as chunks:
                async for chunk in chunks:
                    digest.update(chunk)
                    yield chunk

        async with aclosing(measured()) as content:
            size = await sandbox.files.write(path, content)
        if digest.hexdigest() != fact.sha256:
            raise InputRefused(f"The file {upload.name} changed while it was read.")
        await self._record(FileUploaded(path=path, size=size, sha256=fact.sha256))

    async def _follow(self, loop: AsyncGenerator[AnyEvent, None], artifacts: Artifacts) -> None:
        """Append what the loop yields; after each step's tools, keep what they made."""
        step, tools = 0, False
        try:
            async with aclosing(loop):
                async for event in loop:
                    if isinstance(event, ModelRequested) and tools:
                        await self._collect(artifacts, step)
                        tools = False
                    if isinstance(event, ToolFinished):
                        step, tools = event.step, True
                    await self._record(event)
        except BudgetError:
            if tools:
                await self._collect(artifacts, step)
            raise

    async def _collect(self, artifacts: Artifacts, step: int) -> None:
        async with aclosing(artifacts.collect(step)) as events:
            async for event in events:
                await self._record(event)

    async def _record(self, event: AnyEvent) -> None:
        await unbroken(self._append(event))
        await self._watcher.room()

    async def _append(self, event: AnyEvent) -> None:
        """Append, fold and publish together, so that none of the three misses a record."""
        assert self._appender is not None
        assert self._folder is not None
        for record in await self._appender.append(event):
            self._folder.add(record)
            self._watcher.publish(record)

    async def _end(self, ending: Ending) -> None:
        await self.stop()
        if self._folder is None:
            return  # the run never began
        view = self._folder.view
        await self._append(
            RunFinished(
                status=ending.status,
                answer=view.answer,
                error=ending.error,
                totals=view.totals(self._driver.clock.now()),
            )
        )
