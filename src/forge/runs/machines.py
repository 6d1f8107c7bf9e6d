"""Where runs get their machines: one of its own, or the machine that its conversation keeps.

A run outside a conversation gets a fresh machine that ends with it. The machine of a conversation
lives on between its runs with all its variables; it is made at the first use, paused by its
provider when nobody used it for `IDLE_S`, resumed by the next use, and stopped with the server. A
machine that has died is made anew at the next use, and whoever asked is told that it is `fresh`, so
that what was kept of the conversation can be put back.

One object owns the machines of all conversations of this process; leaving `open_machines_of` stops
them.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from forge.errors import Conflict, ForgeError, MachineUnknown
from forge.ids import ConversationId, SandboxId
from forge.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from forge.sandbox.lifecycle import State
from forge.sandbox.metrics import Metrics

LOG = logging.getLogger(__name__)

IDLE_S = 300.0
"""How long a conversation's machine waits awake: a person reads and types for some minutes."""

STOP_S = 15.0
"""How long stopping a machine may take: killing a process is instant, so this is a broken host."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A machine for one run. `fresh`: nothing was done in it yet; `own`: it ends with the run."""

    sandbox: Sandbox
    fresh: bool
    own: bool


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """What is known of a conversation's machine."""

    id: SandboxId
    state: State
    template: str


@dataclass(slots=True)
class _Kept:
    """A conversation's machine, and the lock under which it is made and ended."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    sandbox: Sandbox | None = None
    spec: SandboxSpec | None = None

    @property
    def alive(self) -> Sandbox | None:
        sandbox = self.sandbox
        return None if sandbox is None or sandbox.state in ("stopping", "gone") else sandbox


class ConversationMachines:
    """The machines of this process's conversations, and machines for single runs."""

    def __init__(self, provider: SandboxProvider, *, idle_s: float = IDLE_S) -> None:
        self._provider, self._idle_s = provider, idle_s
        self._kept: dict[ConversationId, _Kept] = {}

    async def lease(self, conversation_id: ConversationId | None, spec: SandboxSpec) -> Lease:
        """A machine for a run.

        Raises:
            ForgeError: as in `forge.sandbox.base.SandboxProvider.create`.
        """
        if conversation_id is None:
            return Lease(await self._provider.create(spec), fresh=True, own=True)
        kept = self._of(conversation_id)
        async with kept.lock:
            if (sandbox := kept.alive) is not None:
                return Lease(sandbox, fresh=False, own=False)
            return Lease(await self._make(kept, spec), fresh=True, own=False)

    async def get(
        self, conversation_id: ConversationId, spec: SandboxSpec | None = None
    ) -> Sandbox:
        """The conversation's machine, made where there is none.

        Raises:
            ForgeError: as in `forge.sandbox.base.SandboxProvider.create`.
        """
        return (await self.lease(conversation_id, spec or SandboxSpec())).sandbox

    def status(self, conversation_id: ConversationId) -> MachineStatus | None:
        """What is known of its machine; None where there is none."""
        kept = self._kept.get(conversation_id)
        sandbox = kept.alive if kept else None
        if sandbox is None:
            return None
        return MachineStatus(sandbox.facts.id, sandbox.state, sandbox.facts.template)

    async def metrics(self, conversation_id: ConversationId) -> Metrics:
        """What its machine uses, as the host measures it; a paused one is left paused.

        Raises:
            MachineUnknown: it has none.
            SandboxStopped: it ends just now.
        """
        return await self._awake(conversation_id).metrics(claims=False)

    async def restart(self, conversation_id: ConversationId) -> Sandbox:
        """A new machine in place of the conversation's.

        Raises:
            ForgeError: as in `forge.sandbox.base.SandboxProvider.create`.
        """
        kept = self._of(conversation_id)
        async with kept.lock:
            await _stop(kept)
            return await self._make(kept, kept.spec or SandboxSpec())

    async def pause(self, conversation_id: ConversationId) -> None:
        """Pause its machine; the next use resumes it.

        Raises:
            MachineUnknown: it has none.
            NoSpace, SandboxError: as in `forge.sandbox.base.Sandbox.pause`.
        """
        await self._awake(conversation_id).pause()

    async def fork(self, conversation_id: ConversationId, into: ConversationId) -> Sandbox:
        """Give another conversation, which has no machine, a copy of this one's.

        Raises:
            MachineUnknown: this one has none.
            Conflict: the other one has a machine already.
            ForgeError: as in `forge.sandbox.base.Sandbox.fork`.
        """
        source, target = self._awake(conversation_id), self._of(into)
        async with target.lock:
            if target.alive is not None:
                raise Conflict(f"The conversation {into} has a machine already.")
            (target.sandbox,) = await source.fork(1)
            target.spec = self._of(conversation_id).spec
            return target.sandbox

    async def stop(self, conversation_id: ConversationId) -> None:
        """Stop its machine, if it has one, and forget it."""
        if (kept := self._kept.get(conversation_id)) is not None:
            async with kept.lock:
                await _stop(kept)
            self._kept.pop(conversation_id, None)

    async def close(self) -> None:
        """Stop all of them."""
        async with asyncio.TaskGroup() as group:
            for conversation_id in tuple(self._kept):
                group.create_task(self.stop(conversation_id))

    def _of(self, conversation_id: ConversationId) -> _Kept:
        return self._kept.setdefault(conversation_id, _Kept())

    def _awake(self, conversation_id: ConversationId) -> Sandbox:
        kept = self._kept.get(conversation_id)
        if kept is None or (sandbox := kept.alive) is None:
            raise MachineUnknown(f"The conversation {conversation_id[:80]} has no machine.")
        return sandbox

    async def _make(self, kept: _Kept, spec: SandboxSpec) -> Sandbox:
        wanted = replace(spec, idle_s=spec.idle_s or self._idle_s)
        kept.sandbox, kept.spec = await self._provider.create(wanted), spec
        return kept.sandbox


@asynccontextmanager
async def open_machines_of(
    provider: SandboxProvider, *, idle_s: float = IDLE_S
) -> AsyncIterator[ConversationMachines]:
    """Machines of conversations until the block is left, which stops them."""
    machines = ConversationMachines(provider, idle_s=idle_s)
    try:
        yield machines
    finally:
        await machines.close()


async def stop_machine(sandbox: Sandbox) -> None:
    """Stop a machine. What goes wrong is logged: whoever ends has nothing better to do about it."""
    try:
        async with asyncio.timeout(STOP_S):
            await sandbox.stop()
    except (ForgeError, OSError, TimeoutError):
        LOG.exception("the machine %s could not be stopped in order", sandbox.facts.id)


async def _stop(kept: _Kept) -> None:
    if kept.sandbox is not None:
        await stop_machine(kept.sandbox)
        kept.sandbox = None
