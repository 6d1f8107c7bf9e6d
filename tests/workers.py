"""Workers for tests, each a real process: an honest one of fake guests, and ones that lie.

`python -m workers KIND` is the worker; `command(KIND)` is what leads to it. The honest ones are
`forge.sandbox.worker.serve` itself over machines that are fake guests on the real wire; the others
greet as they should and then say what their name tells.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from forge.errors import ImageMissing
from forge.ids import new_sandbox_id
from forge.sandbox.agent.connection import Connection
from forge.sandbox.base import Attempt, Probe, SandboxFacts, SandboxSpec
from forge.sandbox.worker import protocol, serve
from forge.testing.guest import fake_guest, never
from forge_guest.wire.channel import Channel, Stream

NOTE = "WORKER_NOTE"
"""The variable that names a file, where a worker notes what its machines were asked and lived."""


def command(kind: str, *before: str) -> list[str]:
    """What leads to a worker of a kind; a shell says `before` first."""
    here = str(Path(__file__).parent)
    python = f"PYTHONPATH={here} exec {sys.executable} -m workers {kind}"
    return ["sh", "-c", "; ".join((*before, python))]


def note(word: str) -> None:
    """Write a word into the note, if one is kept."""
    path = os.environ.get(NOTE)  # noqa: TID251 - a program of tests, told by its test
    if path:
        with Path(path).open("a") as file:
            file.write(f"{word}\n")


async def echo(stream: Stream) -> None:
    """Answer a command with its own input, piece by piece."""
    await stream.message({"pid": 7})
    while (item := await stream.receive()) is not None:
        await stream.send(1, item.data)
    end = {"exit_code": 0, "signal": None, "timed_out": False, "duration_ms": 1.0}
    await stream.message(end, fin=True)


async def flood(stream: Stream) -> None:
    """Send for ever, noting every mebibyte that went out."""
    await stream.message({"size": 1 << 39})
    while True:
        for _ in range(32):
            await stream.send(1, b"x" * 32768)
        note("mebibyte")


async def forge_a_word(stream: Stream) -> None:
    """Be a machine that speaks as if it were the worker."""
    stream.reset("forge.sandbox_died", "the worker says that I died")


async def half(stream: Stream) -> None:
    """Finish first, and go on listening."""
    await stream.message({"size": 0}, fin=True)
    heard = 0
    while (item := await stream.receive()) is not None:
        heard += len(item.data)
    note(f"heard-{heard}")


class FakeMachine:
    """A fake guest behind a real connection."""

    def __init__(self, fd: int, end: asyncio.Event) -> None:
        name = new_sandbox_id(datetime.now(UTC))
        self.facts = SandboxFacts(name, "fake", "none", "base", 1.0)
        self.line = Connection(fd, lambda _: end.set())
        self.commands = self.files = self.code = None
        self._end = end

    @property
    def state(self) -> str:
        """Running until its end."""
        return "gone" if self._end.is_set() else "running"

    async def stop(self) -> None:
        """End it, once."""
        if not self._end.is_set():
            note("stopped")
        self.line.close()
        self._end.set()


class FakeProvider:
    """Makes fake machines; `slow` ones take for ever, `bare` hosts have no image."""

    name = "fake"

    def __init__(self, kind: str, tasks: asyncio.TaskGroup) -> None:
        self.kind = kind
        self._tasks = tasks

    async def probe(self, *, fresh: bool = False) -> Probe:
        """A verdict."""
        return Probe("fake", "none", (Attempt("none", True, "it is no machine", 1.0),), "1", fresh)

    async def create(self, spec: SandboxSpec) -> FakeMachine:
        """A machine; each kind makes its own."""
        del spec
        note("creating")
        if self.kind == "bare":
            raise ImageMissing("The image was not built.", hint="Build it.")
        if self.kind == "slow":
            try:
                await asyncio.Event().wait()
            finally:
                note("cancelled")
        ready: asyncio.Future[FakeMachine] = asyncio.get_running_loop().create_future()
        self._tasks.create_task(self._own(ready))
        return await ready

    async def _own(self, ready: asyncio.Future[FakeMachine]) -> None:
        verbs = {"exec": echo, "code": never, "read": flood, "list": forge_a_word, "half": half}
        end = asyncio.Event()
        async with fake_guest(verbs) as guest, asyncio.TaskGroup() as tasks:
            machine = FakeMachine(guest.fd, end)
            reading = tasks.create_task(machine.line.run())
            ready.set_result(machine)
            try:
                await end.wait()
            finally:
                machine.line.close()
                reading.cancel()
                note("gone")


async def honest(kind: str) -> None:
    """Serve fake machines as a real worker does, and end them once the client has gone."""
    with contextlib.suppress(BaseExceptionGroup):
        async with asyncio.TaskGroup() as tasks:
            await serve.serve(FakeProvider(kind, tasks))
            raise ConnectionError


async def lie(answer: Callable[[Stream], Awaitable[None]]) -> None:
    """Greet as one should, and answer whatever is asked with `answer`."""
    transport = serve.standard_pipes()
    transport.write(protocol.greeting())
    async with asyncio.TaskGroup() as tasks:

        def accept(stream: Stream) -> None:
            mute = stream.request["verb"] == "watch"  # which a client asks by itself
            tasks.create_task(never(stream) if mute else answer(stream))

        await Channel(transport, host=False, on_open=accept).run()


async def garbage() -> None:
    """Greet, and then speak no wire at all."""
    transport = serve.standard_pipes()
    transport.write(protocol.greeting() + os.urandom(5_000_000))
    await transport.drain()
    await asyncio.Event().wait()


def _saying(value: dict[str, object]) -> Callable[[Stream], Awaitable[None]]:
    async def answer(stream: Stream) -> None:
        await stream.message(value, fin=True)

    return answer


async def _resets(stream: Stream) -> None:
    stream.reset("cancelled", "not today")


async def _forever(stream: Stream) -> None:
    while True:
        await stream.message({"answer": {}})


LIES: dict[str, Callable[[Stream], Awaitable[None]]] = {
    "mute": never,
    "empty": _saying({}),
    "no-object": _saying({"answer": [1, 2]}),
    "no-probe": _saying({"answer": {"provider": 7, "attempts": "many"}}),
    "no-error": _saying({"error": {"code": 5}}),
    "future": _saying({"error": {"code": "os.system", "message": "\x1b[2Jm", "hint": "h"}}),
    "resets": _resets,
    "forever": _forever,
}


def main(kind: str) -> None:
    """Be a worker."""
    if kind in LIES:
        asyncio.run(lie(LIES[kind]))
    elif kind == "garbage":
        asyncio.run(garbage())
    else:
        asyncio.run(honest(kind))


if __name__ == "__main__":
    main(sys.argv[1])
