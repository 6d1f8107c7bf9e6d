"""One run under way: its machine, its files, its loop. Begun or cut off makes no difference.

    the ends of what was cut off ─ machine ─ files ─ loop ⇄ artifacts

The ledger says where it stands; what it comes to is put there event by event. A new machine in
place of one that is gone gets the files that were given and kept so far, and the model is told.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from forge.agent.loop import Assignment, run_loop
from forge.agent.person import Person
from forge.agent.pipeline import Fenced, Worded
from forge.agent.prompt import CHAT, system_prompt
from forge.agent.transcript import Place, cut_off, messages_of, place_of, told
from forge.budget.prices import PriceTable
from forge.clock import Clock
from forge.errors import BudgetError, ModelRequestRefused
from forge.events import (
    AnyEvent,
    FileUploaded,
    MessageSteered,
    ModelRequested,
    ModelText,
    ModelThinking,
    ModelToolInput,
    RunRouted,
    SandboxCreated,
    ToolFinished,
    Totals,
)
from forge.ledger.fold import RunView
from forge.messages import Message
from forge.models.base import Model
from forge.models.capabilities import refuses_tools
from forge.runs.allowance import Allowance
from forge.runs.artifacts import ArtifactLimits, Artifacts, Blobs
from forge.runs.machines import ConversationMachines, Lease, stop_machine
from forge.runs.routing import Router, load_prices
from forge.runs.wish import machine_of
from forge.sandbox.base import Sandbox
from forge.sandbox.files import HOME
from forge.tasks import together
from forge.tools.closing import closing
from forge.tools.files import ListFiles, ReadFile, WriteFile
from forge.tools.run_python import RunPython
from forge.tools.run_shell import RunShell
from forge.tools.toolbox import Toolbox
from forge.usage import Usage, estimate_tokens

TOOLS = (RunPython(), RunShell(), WriteFile(), ReadFile(), ListFiles())


class Ledger(Protocol):
    """Where the run's events go; `forge.runs.driver` has it."""

    @property
    def view(self) -> RunView:
        """What the run has come to."""

    async def record(self, event: AnyEvent) -> None:
        """Make an event durable and show it.

        Raises:
            LedgerUnwritable: it is not durable.
        """


@dataclass(frozen=True, slots=True)
class Parts:
    """What a run is carried out with. Everything in it has its own owner."""

    machines: ConversationMachines
    model: Model
    small: Model
    model_of: Callable[[str], Model]
    blobs: Blobs
    prices: PriceTable
    clock: Clock
    artifacts: ArtifactLimits
    approve_s: float


class Life:
    """One run under way. Its machine is this object's alone, unless its conversation keeps it."""

    def __init__(self, parts: Parts, ledger: Ledger, person: Person) -> None:
        self._parts, self._ledger, self._person = parts, ledger, person
        self._lease: Lease | None = None
        self._heard = 0

    async def live(self, earlier: Sequence[RunView]) -> None:
        """Everything but the end.

        Raises:
            ForgeError: as in `forge.agent.loop.run_loop` and of machines, files and the ledger.
        """
        view = self._ledger.view
        for event in cut_off(view):
            await self._ledger.record(event)
        place = place_of(view)
        if place.answered:
            return
        parts = self._parts
        router = Router(parts.model, parts.small, parts.prices, parts.clock)
        routed = await router.way(view, earlier, self._ledger.record)
        if routed.path == "chat":
            await self._talk(routed, place, earlier)
        else:
            await self._work(routed, place, earlier)

    async def _talk(self, routed: RunRouted, place: Place, earlier: Sequence[RunView]) -> None:
        """Answer in words: no machine is made for that."""
        model = Worded(self._parts.model_of(routed.model))
        await load_prices(model, self._parts.prices)
        await self._follow(self._loop(model, None, place, earlier, CHAT), None)

    async def _work(self, routed: RunRouted, place: Place, earlier: Sequence[RunView]) -> None:
        """Do the work on a machine; blocks are run where the model, or its server, has no tools."""
        view, model = self._ledger.view, self._parts.model
        lease = await self._machine(view)
        renewed = lease.fresh and (view.attempt > 1 or bool(earlier))
        sandbox = lease.sandbox
        await self._put_files(sandbox, earlier, lease)
        artifacts = Artifacts(sandbox, self._parts.blobs, self._parts.artifacts, view.artifacts)
        await artifacts.look()

        async def follow(model: Model, place: Place, *, fenced: bool) -> None:
            files, template = view.started.files, view.started.template
            system = system_prompt(files, template, renewed=renewed, fenced=fenced)
            await self._follow(self._loop(model, sandbox, place, earlier, system), artifacts)

        if routed.path == "pipeline":
            await follow(Fenced(model), place, fenced=True)
            return
        try:
            await follow(model, place, fenced=False)
        except ModelRequestRefused as error:
            if routed.path != "agent" or routed.forced or not refuses_tools(error.message):
                raise
            await self._ledger.record(
                RunRouted(path="pipeline", reason="its server refuses tools", model=model.name)
            )
            await follow(Fenced(model), place_of(view), fenced=True)

    @property
    def attempt(self) -> int:
        """Which time this is that the run is carried out."""
        return self._ledger.view.attempt

    async def stop(self) -> None:
        """Stop the machine, where it is the run's own."""
        if self._lease is not None and self._lease.own:
            lease, self._lease = self._lease, None
            await stop_machine(lease.sandbox)

    def totals(self, now: datetime) -> Totals:
        """What the run came to. A model call that was just cut off here counts as its whole input
        and the part of its answer that had arrived, since that is known.
        """
        view = self._ledger.view
        asked = view.calls[-1].asked if view.calls else None
        if asked is None:
            return view.totals(now)
        view.calls[-1].asked = None
        spent, model = view.totals(now), self._parts.model_of(asked.model)
        usage = Usage(input_tokens=asked.input_tokens, output_tokens=self._heard)
        usd = self._parts.prices.cost(model.name, usage) if model.priced else Decimal(0)
        whole = None if usd is None or spent.usd is None else spent.usd + usd
        return spent.model_copy(update={"usage": spent.usage + usage, "usd": whole})

    def _loop(
        self,
        model: Model,
        sandbox: Sandbox | None,
        place: Place,
        earlier: Sequence[RunView],
        system: str,
    ) -> AsyncGenerator[AnyEvent, None]:
        view, parts = self._ledger.view, self._parts
        before: list[Message] = [message for each in earlier for message in each.transcript]
        assignment = Assignment(
            system=system,
            messages=told([*before, *messages_of(view, place)], goes_on=bool(place.calls)),
            place=place,
            person=self._person,
            approve=frozenset(view.started.approve),
            approve_s=parts.approve_s,
            offered=not isinstance(model, Worded),
        )
        allowance = Allowance(
            view.caps, parts.prices, model, parts.clock, passed_s=place.spent.wall_s
        )
        toolbox = Toolbox(sandbox, TOOLS, parts.clock)
        return run_loop(model, toolbox, allowance, parts.clock, assignment)

    async def _machine(self, view: RunView) -> Lease:
        """Make the machine while the price table, slow to load, is read in another thread."""
        model, prices = self._parts.model, self._parts.prices

        started = view.started
        keeper = None if started.machine.own else started.conversation_id

        async def lease() -> None:
            self._lease = await self._parts.machines.lease(keeper, machine_of(started))

        async with together() as group:
            group.create_task(load_prices(model, prices))
            group.create_task(lease())
        assert self._lease is not None
        facts = self._lease.sandbox.facts
        await self._ledger.record(
            SandboxCreated(
                sandbox_id=facts.id,
                provider=facts.provider,
                accelerator=facts.accelerator,
                template=facts.template,
                duration_ms=facts.create_ms if self._lease.fresh else 0,
            )
        )
        return self._lease

    async def _put_files(self, sandbox: Sandbox, earlier: Sequence[RunView], lease: Lease) -> None:
        """Give the machine what the person gave, and a new one all that was kept so far."""
        view = self._ledger.view
        if lease.fresh:
            for path, sha256 in _kept_of([*earlier, view]).items():
                await self._put(sandbox, path, sha256)
        there = {upload.path for upload in view.uploads}
        for fact in view.started.files:
            path = f"{HOME}/{fact.name}"
            if path in there:
                continue  # given before the run was cut off, and back already
            await self._put(sandbox, path, fact.sha256)
            await self._ledger.record(FileUploaded(path=path, size=fact.size, sha256=fact.sha256))

    async def _put(self, sandbox: Sandbox, path: str, sha256: str) -> None:
        async with closing(self._parts.blobs.get(sha256)) as content:
            await sandbox.files.write(path, content)

    async def _follow(
        self, loop: AsyncGenerator[AnyEvent, None], artifacts: Artifacts | None
    ) -> None:
        """Record what the loop yields; after each step's tools, keep what they made."""
        step, tools = 0, False
        try:
            async with aclosing(loop):
                async for event in loop:
                    if isinstance(event, ModelRequested | MessageSteered) and tools:
                        await self._collect(artifacts, step)
                        tools = False
                    if isinstance(event, ToolFinished):
                        step, tools = event.step, True
                    self._hear(event)
                    await self._ledger.record(event)
        except BudgetError:
            if tools:
                await self._collect(artifacts, step)
            raise

    def _hear(self, event: AnyEvent) -> None:
        """Count what arrives of an answer, in case that the call is cut off."""
        if isinstance(event, ModelRequested):
            self._heard = 0
        elif isinstance(event, ModelText | ModelThinking | ModelToolInput):
            self._heard += estimate_tokens(event.text)

    async def _collect(self, artifacts: Artifacts | None, step: int) -> None:
        if artifacts is None:
            return
        async with aclosing(artifacts.collect(step)) as events:
            async for event in events:
                await self._ledger.record(event)


def _kept_of(views: Sequence[RunView]) -> dict[str, str]:
    """The digest of each file that these runs were given or left, the latest last, by path."""
    found: dict[str, str] = {}
    for view in views:
        found |= {upload.path: upload.sha256 for upload in view.uploads}
        found |= {f"{HOME}/{made.name}": made.sha256 for made in view.artifacts}
    return found
