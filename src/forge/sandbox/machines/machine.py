"""One machine, from its first answer to its end. `sandbox.lifecycle` has its states.

Whatever changes the state goes through one task, `own`, and a queue: it starts the machine, pauses
and resumes it, saves and copies it, one request at a time. Everybody else asks. However `own` ends,
its VMM is killed, and the machine's folder removed unless it holds the machine, paused.
"""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

from forge.errors import (
    ForgeError,
    HostUnfit,
    InputRefused,
    NoSpace,
    ResumeFailed,
    SandboxDied,
    SandboxError,
    SandboxStopped,
    SandboxUnresponsive,
)
from forge.sandbox import lifecycle
from forge.sandbox.agent.code import AgentInterpreter
from forge.sandbox.agent.commands import AgentCommands
from forge.sandbox.agent.connection import Connection
from forge.sandbox.agent.files import AgentFiles
from forge.sandbox.agent.ports import AgentPorts
from forge.sandbox.agent.waking import WakingLine, paused
from forge.sandbox.base import Sandbox, SandboxFacts, SandboxSpec, Snapshot
from forge.sandbox.lifecycle import Request, State
from forge.sandbox.machines import saved
from forge.sandbox.machines.engine import DATA, Clone, Running
from forge.sandbox.machines.house import House
from forge.sandbox.machines.measuring import Measuring
from forge.sandbox.machines.requests import Requests
from forge.sandbox.machines.sealing import Seals
from forge.sandbox.machines.thread import in_thread
from forge.sandbox.machines.turns import Turns

_STOP_S = 30.0  # killing a VMM and removing its folder takes milliseconds, on a busy host seconds


class Machine:
    """A machine of this host; see `forge.sandbox.base.Sandbox` for the contract.

    Args:
        folder: its own, with a record; removed at its end.
        lock: the descriptor that makes this process its only owner; closed at its end.
        clone: what it starts from; None for one that is paused in its folder.
        spec: what was wished.
        facts: what is true of it.
        house: whoever made it.
    """

    def __init__(  # noqa: PLR0913 -- each is a thing of its own
        self,
        folder: Path,
        lock: int,
        clone: Clone,
        spec: SandboxSpec,
        facts: SandboxFacts,
        house: House,
        *,
        asleep: bool = False,
    ) -> None:
        self.facts = facts
        self.gone = asyncio.Event()
        self.state: State = "paused" if asleep else "creating"
        self._folder = folder
        self._lock = lock
        self._clone = clone
        self._spec = spec
        self._house = house
        self._running: Running | None = None
        self._end = asyncio.Event()
        self._why: SandboxError | None = None
        self._keep = False
        self._seals = Seals(folder, self._not_durable)
        self._requests = Requests()
        self.line = line = WakingLine(
            self._connected, self._connection, lambda: self._why, clone.limits.max_output_bytes
        )
        now = lambda: self._running  # noqa: E731 -- read each time
        over = lambda: self._after() if self._end.is_set() else None  # noqa: E731 -- the same
        self._measuring = Measuring(folder, clone.limits, self._connected, now, over)
        self._turns = Turns(spec, self._connection, self._act_on_time)
        self.metrics = self._measuring.read
        self.commands = AgentCommands(line)
        self.files = AgentFiles(line)
        self.code = AgentInterpreter(line)
        self.ports = AgentPorts(line)

    @property
    def pid(self) -> int:
        """The VMM's process id; 0 while there is none."""
        return self._running.pid if self._running else 0

    # -- what anybody may ask ----------------------------------------------------------------------

    async def start(self) -> None:
        """Have it come up for the first time.

        Raises:
            ProgramMissing, NoSpace, SandboxDied, SandboxUnresponsive, GuestViolation: it did not.
        """
        await self._ask("start", self._start)

    async def pause(self) -> None:
        """See `forge.sandbox.base.Sandbox.pause`."""
        await self._ask("pause", self._pause)

    async def resume(self) -> None:
        """See `forge.sandbox.base.Sandbox.resume`."""
        await self._ask("resume", self._resume)

    async def snapshot(self, name: str) -> Snapshot:
        """See `forge.sandbox.base.Sandbox.snapshot`."""
        self._house.volumes.check_copy(self._spec)
        made: list[Snapshot] = []

        async def keep() -> None:
            made.append(await self._house.keep(name, self._spec, self._save))

        await self._ask("copy", keep)
        return made[0]

    async def fork(
        self, count: int = 1, *, env: Mapping[str, str] | None = None
    ) -> tuple[Sandbox, ...]:
        """See `forge.sandbox.base.Sandbox.fork`."""
        self._house.volumes.check_copy(self._spec)
        if count < 1:
            raise InputRefused(f"{count} copies of a machine are none")
        spec = self._spec if env is None else replace(self._spec, env=env)
        made: list[Sandbox] = []

        async def multiply() -> None:
            made.extend(await self._house.multiply(spec, count, self._save))

        await self._ask("copy", multiply)
        return tuple(made)

    async def stop(self) -> None:
        """See `forge.sandbox.base.Sandbox.stop`."""
        await self._finish(SandboxStopped("the machine was stopped"))

    async def leave(self) -> None:
        """Let it be where it is paused, for another to open; stop it where it is not."""
        if self.state == "paused":
            await self._seals.done()
        self._keep = self.state == "paused"
        await self._finish(SandboxStopped("the machine was left"))

    async def renew(self, spec: SandboxSpec) -> None:
        """Become the machine of this wish, of the same kind as its own; see `pool.Warm`."""
        self._spec = spec
        await self._give_facts(await self._connected())
        self._turns.begin()

    async def ping(self) -> None:
        """One round trip to the agent."""
        await (await self._connected()).ping()

    async def _finish(self, why: SandboxError) -> None:
        if self._running is not None and self.state == "running" and not self._end.is_set():
            await self._house.volumes.give_back(self._spec, self._running.agent)
        self._over(why)
        if self._running is not None:
            self._running.agent.close(why)
        try:
            async with asyncio.timeout(_STOP_S):
                await self.gone.wait()
        except TimeoutError as error:
            raise SandboxUnresponsive("a machine's VMM could not be killed") from error

    async def _ask(self, request: Request, act: Callable[[], Awaitable[None]]) -> None:
        if self._end.is_set():
            raise self._after()
        await self._requests.ask(lambda: self._answer(request, act))

    async def _connected(self) -> Connection:
        if self._running is not None and self._running.agent.ended:
            await self.resume()  # its line is made anew: this waits for that
        while self._running is None or self.state != "running":
            await self.resume()
        return self._running.agent

    def _connection(self) -> Connection | None:
        return self._running.agent if self._running else None

    def _after(self) -> SandboxError:
        why = self._ended()
        if isinstance(why, SandboxStopped):
            return why
        return SandboxStopped(f"this machine is no longer there: {why.message}")

    def _ended(self) -> SandboxError:
        return self._why or SandboxStopped("the machine was stopped")

    def _over(self, why: SandboxError) -> None:
        self._why = self._why or why
        self._end.set()

    # -- the one task that does it -----------------------------------------------------------------

    async def own(self) -> None:
        """Be the machine's one task, for its whole life."""
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(self._serve())
                watching = tasks.create_task(self._turns.run())
                await self._end.wait()
                serving.cancel()
                watching.cancel()
        finally:
            self._move("stopping")
            await asyncio.shield(self._free())

    async def _free(self) -> None:
        self._over(self._ended())
        try:
            if self._running is not None:
                await self._running.close(self._why)
        finally:
            self._running = None
            self._seals.give_up()
            if not self._keep:
                shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._move("gone")
            self.gone.set()
            self._requests.refuse(self._after())

    async def _serve(self) -> None:
        """Answer requests; the agent's line is read meanwhile."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                # Its end cancels this, which an act that fails at that moment may swallow.
                while not self._end.is_set():
                    await self._requests.answer(self._ended)
            finally:
                if self._running is not None:
                    self._running.agent.close(self._why)

    async def _answer(self, request: Request, act: Callable[[], Awaitable[None]]) -> None:
        calls = self._running.agent.calls if self._running else 0
        answer = lifecycle.decide(self.state, request, calls=calls)
        if answer == "refuse":
            raise self._after()
        if answer == "resume first":
            await self._resume()
        if answer != "done":
            await act()

    def _move(self, then: State) -> None:
        if self.state not in (then, "gone"):
            self.state = lifecycle.move(self.state, then)

    async def _start(self) -> None:
        async with self._or_gone():
            running = await self._house.start(self._clone, self._spec, self._folder, self._over)
            await self._wake(running, fresh=True)

    async def _resume(self) -> None:
        self._move("resuming")
        self._seals.give_up()
        try:
            self._clone = await in_thread(lambda _: self._house.load(self._folder))
            started = self._house.start(self._clone, self._spec, self._folder, self._over)
            running = await self._unsaved(await started)
        except ForgeError as error:
            self._move("paused")
            self._seals.begin(self._tasks)
            if isinstance(error, SandboxDied | HostUnfit) and not isinstance(error, NoSpace):
                raise ResumeFailed(f"the machine did not resume: {error.message}") from error
            raise
        async with self._or_gone():
            await self._wake(running)

    async def _unsaved(self, running: Running) -> Running:
        """Say that nothing is saved: from its first moment it changes what was."""
        try:
            (self._folder / saved.MANIFEST).unlink(missing_ok=True)
        except OSError as error:
            await running.close()
            raise ResumeFailed(f"the machine did not resume: {error.strerror}") from error
        return running

    async def _wake(self, running: Running, *, fresh: bool = False) -> None:
        """Let it run, and give it facts of its own before anybody uses it."""
        try:
            await running.go()
        except BaseException:
            await asyncio.shield(running.close())
            raise
        self._running = running
        self._tasks.create_task(running.read())
        await self._give_facts(running.agent)
        if fresh:
            await self._house.volumes.mount(self._spec, running.agent)
        await running.limit(len(self._spec.volumes))
        self._tasks.create_task(running.share.run())
        self._move("running")
        self._turns.begin()

    async def _give_facts(self, agent: Connection) -> None:
        await agent.restore(self.facts.id.replace("_", "-"), time.time_ns(), self._spec.env)

    async def _pause(self) -> None:
        running = self._running
        assert running is not None
        self._move("pausing")
        self._turns.end()
        try:
            self._house.volumes.note(self._spec, self.facts.id)
            state = await running.save(self._folder, goes_on=False)
            if self._end.is_set():  # its VMM ended at the last moment, or it was stopped
                raise self._ended()
            await self._kept(running, self._clone_in(self._folder, state))
        except ForgeError:
            if not self._end.is_set():
                self._move("running")
                self._turns.go_on()
            raise
        # From here on nothing that its VMM or its line does is the machine's end.
        running.agent.close(paused())
        try:
            await asyncio.shield(self._put_down(running))
            saved.restamp(self._folder)
        except OSError as error:
            self._over(SandboxDied("the machine was saved, and its VMM could not be ended"))
            raise self._ended() from error
        self._move("paused")
        self._seals.begin(self._tasks)

    async def _kept(self, running: Running, clone: Clone) -> None:
        """Say that what is in its folder is whole; where that cannot be said, it goes on."""
        try:
            saved.write_manifest(
                self._folder, self._house.manifest(clone, self._spec, self._folder)
            )
        except OSError as error:
            saved.discard(self._folder, all_of_it=self._clone.memory != clone.memory)
            await running.go_on()
            raise NoSpace(f"the machine could not be saved: {error.strerror}") from error
        self._clone = clone

    def _clone_in(self, folder: Path, state: bytes) -> Clone:
        return replace(self._clone, state=state, memory=folder / "memory", data=folder / DATA)

    def _not_durable(self, why: str) -> None:
        self._house.notify(f"{self.facts.id} is paused but not durable: {why}")

    async def _put_down(self, running: Running) -> None:
        self._measuring.put_down(running)
        self._running = None
        await running.close(paused())

    async def _save(self, into: Path) -> Clone:
        """Write what it is now into another folder; it goes on."""
        assert self._running is not None
        return self._clone_in(into, await self._running.save(into, goes_on=True))

    @contextlib.asynccontextmanager
    async def _or_gone(self) -> AsyncIterator[None]:
        """A machine that fails in the block is gone."""
        try:
            yield
        except SandboxError as error:
            self._over(error)
            raise
        except ForgeError:
            self._over(SandboxStopped("the machine could not be made"))
            raise

    async def _act_on_time(self, over: bool) -> None:
        if over and self._spec.on_timeout == "kill":
            self._over(SandboxStopped(f"its {self._spec.lifetime_s:g} s were over"))
            return
        try:
            await self._ask("pause" if over else "rest", self._pause)
        except ForgeError as error:
            self._house.notify(f"{self.facts.id} could not be paused: {error.message}")
            # It goes on, and is tried again after as long.
            if self.state == "running":
                self._turns.begin()
