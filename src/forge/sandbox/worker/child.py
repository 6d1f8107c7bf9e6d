"""The command that leads to a worker, as a child of this process: `ssh host forge microvm serve`.

It ends with us in three ways: its standard input ends, at which a worker stops its machines and
exits; on Linux the kernel kills it when the thread that started it ends (`setpriv`); and closing
waits a moment and then kills its whole session. It is in a session of its own, so that Ctrl-C does
not cut the line before the machines were stopped.

What it prints on standard error is shown as it comes, up to a limit, and its last lines go into the
error when it ends: that is where ssh says what is wrong.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from forge.errors import WorkerUnreachable
from forge.sandbox.agent.answers import Malformed
from forge.sandbox.worker import deadlines, protocol
from forge.sandbox.worker.transport import PipesTransport
from forge.tasks import together
from forge_guest.wire.transport import FdTransport

Notify = Callable[[str], None]

_TAIL = 12  # last lines for an error
_SHOWN = 100  # lines that are shown as they come; a flood says nothing
_LINE = 300  # characters
_NAME = 200  # characters of the command, in messages


class Child:
    """A running command; made by `running`."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, notify: Notify) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.name = protocol.printable(name, _NAME)
        self._process = process
        self._notify = notify
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._shown = 0
        self._silent = asyncio.Event()
        self._ended = asyncio.Event()
        # The files of a Popen are closed where their descriptors are, and not twice.
        ours = [os.dup(each.fileno()) for each in (process.stdout, process.stdin, process.stderr)]
        for each in (process.stdin, process.stdout, process.stderr):
            each.close()
        self._line = PipesTransport(ours[0], ours[1], self.settle)
        self._errors = FdTransport(ours[2])

    async def watch(self) -> None:
        """Wait for its end; one task runs this. The thread that waits ends with the command."""
        await asyncio.to_thread(self._process.wait)
        self._ended.set()

    async def read_errors(self) -> None:
        """Take what it prints on standard error, to its end; one task runs this."""
        pending = b""
        while data := await self._errors.read():
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                self._take(line)
            pending = pending[:_LINE]
        self._take(pending)
        self._silent.set()

    def _take(self, line: bytes) -> None:
        text = protocol.printable(line.decode(errors="replace"), _LINE).strip()
        if not text:
            return
        self._tail.append(text)
        self._shown += 1
        if self._shown <= _SHOWN:
            self._notify(f"worker: {text}")

    async def greeted(self) -> PipesTransport:
        """Wait for the worker's greeting; returns the line that follows it.

        Raises:
            WorkerUnreachable: the command ended, or said something else, or nothing.
            WorkerForeign: the worker speaks other versions.
        """
        received = b""
        try:
            async with asyncio.timeout(deadlines.CONNECT_S):
                while (found := protocol.find_greeting(received)) is None:
                    data = await self._line.read()
                    received += data
                    if not data:
                        raise self._unreachable(f"{self.why()} before it was ready", received)
                    if len(received) > protocol.MAX_NOISE:
                        raise self._unreachable("is no worker: it prints something else", received)
        except TimeoutError as error:
            raise self._unreachable(
                f"did not become a worker within {deadlines.CONNECT_S:.0f} s", received
            ) from error
        except Malformed as error:
            raise self._unreachable(f"cannot carry a worker: {error}", b"") from error
        versions, rest = found
        protocol.check_versions(versions)
        self._line.unread(rest)
        return self._line

    def _unreachable(self, what: str, noise: bytes) -> WorkerUnreachable:
        said = protocol.printable(noise[-_LINE:].decode(errors="replace")).strip()
        about = f" It printed: {said}" if said else ""
        return WorkerUnreachable(f"the worker's command `{self.name}` {what}{self.said()}.{about}")

    def why(self) -> str:
        """How it ended, in words."""
        code = self._process.returncode
        if code is None:
            return "closed its output"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with status {code}"

    def said(self) -> str:
        """Its last words, ready to follow in a sentence; '' for none."""
        return ": " + " / ".join(self._tail) if self._tail else ""

    async def settle(self) -> None:
        """Wait a moment for a command that is ending, so that `why` and `said` are complete."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadlines.SETTLE_S):
                await self._ended.wait()
                await self._silent.wait()

    def kill(self) -> None:
        """End it now, with whatever it started in its session."""
        if not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """End its input, give it a moment to tidy up, and see it gone."""
        self._line.close()
        try:
            async with asyncio.timeout(deadlines.CLOSE_S):
                await self._ended.wait()
        except TimeoutError:
            self._notify(f"The worker did not end within {deadlines.CLOSE_S:.0f} s and was killed.")
        finally:
            self.kill()
            await self._ended.wait()
            self._errors.close()


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str], environment: Mapping[str, str], notify: Notify
) -> AsyncIterator[Child]:
    """A worker's command, until the block is left. Entered on the event loop's own thread, whose
    end is the command's end.

    Raises:
        WorkerUnreachable: there is no such program, or it cannot be started.
    """
    child = Child(_started(command, environment), " ".join(command), notify)
    async with together() as tasks:
        tasks.create_task(child.watch())
        tasks.create_task(child.read_errors())
        try:
            yield child
        finally:
            await asyncio.shield(child.close())


def _started(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    name = protocol.printable(" ".join(command), _NAME)
    program = shutil.which(command[0], path=environment.get("PATH"))
    if program is None:
        raise WorkerUnreachable(f"the worker's command `{name}` starts with no program there is")
    try:
        return subprocess.Popen(
            (*_dying_with_us(environment), program, *command[1:]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise WorkerUnreachable(f"`{name}` cannot be started: {error.strerror}") from error


def _dying_with_us(environment: Mapping[str, str]) -> tuple[str, ...]:
    """What makes the kernel kill a child with its parent; elsewhere the end of its input does."""
    setpriv = shutil.which("setpriv", path=environment.get("PATH"))
    if sys.platform != "linux" or setpriv is None:
        return ()
    return (setpriv, "--pdeathsig=KILL", "--")
