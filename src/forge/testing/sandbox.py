"""A sandbox without walls: NOT isolation. For tests of the floors above, never for a product.

`LocalProvider` gives machines that are a temporary folder as home, commands that are real
processes of this host, and one real Python process per code context. It keeps the promises of
`forge.sandbox.base` that the floors above rely on (live output, deadlines, cancellation, files that
appear whole, named errors) so that their tests run real programs in milliseconds. Nothing keeps
what runs in it from the host. `stop` ends every process and removes the folder.
"""

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from forge.errors import (
    GuestRefused,
    InputRefused,
    PathRefused,
    SandboxDied,
    SandboxStopped,
)
from forge.ids import new_sandbox_id
from forge.sandbox import processes
from forge.sandbox.base import MachineInfo, Probe, Sandbox, SandboxFacts, SandboxSpec
from forge.sandbox.code import CodeError, CodeResult, ContextInfo, Language
from forge.sandbox.commands import Command, ExecResult, ProcessInfo, Size
from forge.sandbox.files import HOME, MAX_PATH_BYTES
from forge.sandbox.lifecycle import State
from forge.sandbox.metrics import Claims, CpuMeter, Metrics
from forge.sandbox.output import Display, Output, Sink
from forge.sandbox.ports import ListeningPort, PortConnection
from forge.testing.local_files import LocalFiles

_PROGRAM = Path(__file__).with_name("context_program.py")
_MIB = 1 << 20


class LocalSandbox:
    """One folder and its processes, owned by whoever created it."""

    def __init__(self, spec: SandboxSpec, create_ms: float) -> None:
        self.facts = SandboxFacts(
            id=new_sandbox_id(datetime.now(UTC)),
            provider="local",
            accelerator="none",
            template=spec.template,
            create_ms=create_ms,
        )
        self.home = Path(tempfile.mkdtemp(prefix="forge-local-"))
        self.stopped = False
        self._limits = spec.limits
        self._since = time.monotonic()
        self._meter = CpuMeter(self._since, 0.0)
        self.room = spec.limits.disk_mib * _MIB
        self._processes: set[asyncio.subprocess.Process] = set()
        self.commands = LocalCommands(self)
        self.files = LocalFiles(self)
        self.code = LocalInterpreter(self)
        self.ports = LocalPorts()

    @property
    def state(self) -> State:
        """It runs until it is stopped: nothing here can be paused."""
        return "gone" if self.stopped else "running"

    async def metrics(self, *, claims: bool = True) -> Metrics:
        """What its processes use; it has no guest to ask, so its claims are the host's word."""
        self.check()
        alive = [each.pid for each in self._processes if each.returncode is None]
        held = [processes.memory(pid) for pid in alive]
        used = sum(processes.cpu_seconds(pid) for pid in alive)
        size = sum(path.stat().st_blocks * 512 for path in self.home.rglob("*") if path.is_file())
        now = time.monotonic()
        return Metrics(
            uptime_s=now - self._since,
            cpu_seconds=used,
            cpu_percent=self._meter.read(now, used),
            memory_rss_bytes=sum(each.rss for each in held),
            memory_pss_bytes=sum(each.pss for each in held),
            memory_private_bytes=sum(each.private for each in held),
            memory_limit_bytes=self._limits.memory_mib * _MIB,
            disk_used_bytes=size,
            disk_limit_bytes=self.room,
            sent_bytes=0,
            received_bytes=0,
            claims=Claims(self._limits.memory_mib * _MIB, len(alive)) if claims else None,
        )

    async def pause(self) -> None:
        """Not here."""
        raise _beyond_it()

    async def fork(self, count: int) -> tuple[Sandbox, ...]:
        """Not here."""
        raise _beyond_it(count)

    async def stop(self) -> None:
        """End every process and remove the folder."""
        self.stopped = True
        for process in tuple(self._processes):
            await self.kill(process)
        shutil.rmtree(self.home, ignore_errors=True)

    def check(self) -> None:
        """Refuse what comes after the end."""
        if self.stopped:
            raise SandboxStopped(f"The machine {self.facts.id} was stopped.")

    def host_path(self, path: str) -> Path:
        """Where a path of the machine is on this host."""
        if not path or "\0" in path or len(os.fsencode(path)) > MAX_PATH_BYTES:
            raise PathRefused("A path must not be empty, hold NUL or be longer than 4096 bytes.")
        inside = os.path.normpath(os.path.join(HOME, path))  # noqa: PTH118 - guest's, not host's
        if inside != HOME and not inside.startswith(f"{HOME}/"):
            raise GuestRefused(f"{path[:200]} is not in {HOME}, all that this sandbox has.")
        return self.home / inside.removeprefix(HOME).lstrip("/")

    async def start(self, *argv: str, cwd: Path) -> asyncio.subprocess.Process:
        """Start a process that `stop` will end."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe,
            env={"PATH": os.defpath, "HOME": str(self.home)}, limit=64 * _MIB,
            start_new_session=True,
        )  # fmt: skip
        self._processes.add(process)
        return process

    async def kill(self, process: asyncio.subprocess.Process) -> None:
        """End a process and its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        # The transport closes its pipes only once nobody will read them.
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - no public way
        self._processes.discard(process)


class LocalCommands:
    """Commands as processes of this host."""

    def __init__(self, machine: LocalSandbox) -> None:
        self._machine = machine

    async def run(self, command: Command, sink: Sink) -> ExecResult:
        """See `forge.sandbox.commands.Commands.run`."""
        self._machine.check()
        if not command.argv or any("\0" in word for word in command.argv):
            raise InputRefused("A command needs a program, and no word of it may hold NUL.")
        stdin = command.stdin
        if not isinstance(stdin, bytes) or command.pty is not None:
            raise _beyond_it()
        begun = time.perf_counter()
        try:
            process = await self._machine.start(
                *command.argv, cwd=self._machine.host_path(command.cwd)
            )
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            raise GuestRefused(f"{command.argv[0]} cannot be run: {error.strerror}.") from error
        timed_out = False
        try:
            try:
                async with asyncio.timeout(command.deadline_s):
                    await self._converse(process, stdin, sink)
            except TimeoutError:
                timed_out = True
        finally:
            await self._machine.kill(process)
        code = process.returncode if process.returncode is not None else 0
        return ExecResult(
            exit_code=code if code >= 0 and not timed_out else None,
            signal=-code if code < 0 else None,
            timed_out=timed_out,
            duration_ms=(time.perf_counter() - begun) * 1000,
        )

    async def _converse(
        self, process: asyncio.subprocess.Process, stdin: bytes, sink: Sink
    ) -> None:
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()

        async def copy(stream: asyncio.StreamReader | None, name: str) -> None:
            while stream is not None and (data := await stream.read(65536)):
                await sink(Output(name, data))  # type: ignore[arg-type]  # one of the two below

        async with asyncio.TaskGroup() as group:
            group.create_task(copy(process.stdout, "stdout"))
            group.create_task(copy(process.stderr, "stderr"))
        await process.wait()

    async def start(self, command: Command) -> int:
        """Not here."""
        raise _beyond_it(command)

    async def attach(self, pid: int, sink: Sink) -> ExecResult:
        """Not here."""
        raise _beyond_it(pid, sink)

    async def list(self) -> tuple[ProcessInfo, ...]:
        """Not here."""
        raise _beyond_it()

    async def send(
        self, pid: int, data: bytes, *, eof: bool = False, deadline_s: float = 30.0
    ) -> None:
        """Not here."""
        raise _beyond_it(pid, data, eof, deadline_s)

    async def signal(self, pid: int, number: int) -> None:
        """Not here."""
        raise _beyond_it(pid, number)

    async def resize(self, pid: int, size: Size) -> None:
        """Not here."""
        raise _beyond_it(pid, size)


class LocalPorts:
    """None: its programs would listen on this host's own."""

    async def list(self) -> tuple[ListeningPort, ...]:
        """Not here."""
        raise _beyond_it()

    async def connect(self, port: int) -> PortConnection:
        """Not here."""
        raise _beyond_it(port)


def _beyond_it(*_asked: object) -> GuestRefused:
    return GuestRefused("A sandbox without walls runs plain commands in the foreground alone.")


class LocalInterpreter:
    """Contexts as Python processes of this host."""

    def __init__(self, machine: LocalSandbox) -> None:
        self._machine = machine
        self._contexts: dict[str, asyncio.subprocess.Process] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def create(
        self, language: Language = "python", cwd: str = HOME, *, context: str
    ) -> ContextInfo:
        """See `forge.sandbox.code.Interpreter.create`; here a context is there once it is used."""
        return ContextInfo(context, language, cwd, 0, busy=False)

    async def run(
        self, code: str, sink: Sink, *, deadline_s: float, context: str = "default"
    ) -> CodeResult:
        """See `forge.sandbox.code.Interpreter.run`; an interrupt here restarts the context."""
        self._machine.check()
        async with self._locks.setdefault(context, asyncio.Lock()):
            begun = time.perf_counter()
            process = self._contexts.get(context)
            if process is None:
                process = await self._machine.start(
                    sys.executable, str(_PROGRAM), cwd=self._machine.home
                )
                self._contexts[context] = process
            status, error, over = "crashed", None, False
            try:
                async with asyncio.timeout(deadline_s):
                    status, error = await self._cell(process, code, sink)
                over = status != "crashed"
            except TimeoutError:
                status = "timeout"
            finally:
                if not over:
                    del self._contexts[context]
                    await self._machine.kill(process)
            return CodeResult(
                status=status,  # type: ignore[arg-type]  # our own program's word
                duration_ms=(time.perf_counter() - begun) * 1000,
                error=error,
                restarted=not over,
            )

    async def _cell(
        self, process: asyncio.subprocess.Process, code: str, sink: Sink
    ) -> tuple[str, CodeError | None]:
        """Send one cell; each line that comes back is one thing that happened."""
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(ConnectionError):
            process.stdin.write(json.dumps(code).encode() + b"\n")
            await process.stdin.drain()
        while line := await process.stdout.readline():
            kind, value = json.loads(line)
            if kind == "display":
                await sink(Display(value))
            elif kind == "end":
                return value[0], CodeError(*value[1]) if value[1] else None
            else:
                await sink(Output(kind, base64.b64decode(value)))
        return "crashed", None


class LocalProvider:
    """Gives `LocalSandbox`es and remembers them, so a test can see that each was stopped."""

    name = "local"

    def __init__(self) -> None:
        self.made: list[LocalSandbox] = []

    async def probe(self, *, fresh: bool = False) -> Probe:
        """Nothing to find out."""
        return Probe("local", "none", (), sys.version, cached=not fresh)

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """Make one; the template `broken` dies while it is made."""
        if spec.volumes:
            raise InputRefused("A folder of this host has no slots for volumes.")
        if spec.template == "broken":
            raise SandboxDied("The machine died while it was made, as this template does.")
        self.made.append(LocalSandbox(spec, create_ms=0.0))
        # It keeps a part of the contract; tests/conformance/test_sandboxes.py says which.
        return cast("Sandbox", self.made[-1])

    async def list(self) -> tuple[MachineInfo, ...]:
        """Those that were not stopped."""
        return tuple(
            MachineInfo(each.facts.id, each.state, each.facts.template)
            for each in self.made
            if not each.stopped
        )

    async def reap(self) -> int:
        """Nothing outlives its owner's folder here."""
        return 0

    async def close(self) -> None:
        """Stop all of them."""
        for sandbox in self.made:
            await sandbox.stop()
