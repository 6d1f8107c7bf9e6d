"""What checks share: a sink that remembers, and short ways to run things and expect refusals."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from forge.errors import ForgeError
from forge.sandbox.base import Sandbox
from forge.sandbox.code import CodeResult
from forge.sandbox.commands import Command, ExecResult
from forge.sandbox.output import Display, Output

PATIENCE_S = 60.0
"""For what takes a moment, on a slow host under emulation."""

UNTIL_GO = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\n"
"""Code that goes on once a file `go` is there."""

Check = Callable[[Sandbox], Awaitable[None]]

_E = TypeVar("_E", bound=ForgeError)


class Seen:
    """A sink that keeps everything in order; `first` is set with the first of it."""

    def __init__(self) -> None:
        self.items: list[Output | Display] = []
        self.first = asyncio.Event()

    async def __call__(self, item: Output | Display) -> None:
        """Take one item."""
        self.items.append(item)
        self.first.set()

    def _bytes(self, stream: str) -> bytes:
        return b"".join(
            item.data for item in self.items if isinstance(item, Output) and item.stream == stream
        )

    @property
    def stdout(self) -> bytes:
        """All of standard output so far."""
        return self._bytes("stdout")

    @property
    def stderr(self) -> bytes:
        """All of standard error so far."""
        return self._bytes("stderr")

    @property
    def displays(self) -> list[dict[str, str]]:
        """Every display so far."""
        return [item.data for item in self.items if isinstance(item, Display)]

    @property
    def plain(self) -> list[str]:
        """The text of every display so far."""
        return [bundle["text/plain"] for bundle in self.displays]


async def run(sandbox: Sandbox, *argv: str, stdin: bytes = b"") -> tuple[ExecResult, Seen]:
    """Run a command to its end."""
    seen = Seen()
    return await sandbox.commands.run(Command(argv, PATIENCE_S, stdin=stdin), seen), seen


async def shell(sandbox: Sandbox, script: str, stdin: bytes = b"") -> bytes:
    """Run a shell script that must succeed; returns what it printed."""
    result, seen = await run(sandbox, "sh", "-c", script, stdin=stdin)
    assert result.ok, (result, seen.stderr)
    return seen.stdout


async def cell(
    sandbox: Sandbox, code: str, *, deadline_s: float = PATIENCE_S, context: str = "default"
) -> tuple[CodeResult, Seen]:
    """Run code to its end."""
    seen = Seen()
    result = await sandbox.code.run(code, seen, deadline_s=deadline_s, context=context)
    return result, seen


async def value(sandbox: Sandbox, code: str, *, context: str = "default") -> str:
    """Run code that must succeed; returns the text of its one display."""
    result, seen = await cell(sandbox, code, context=context)
    assert result.status == "ok", result
    assert len(seen.plain) == 1, seen.items
    return seen.plain[0]


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """Content for a file."""
    for part in parts:
        yield part


async def write(sandbox: Sandbox, path: str, content: bytes = b"") -> int:
    """Write a file in one piece."""
    return await sandbox.files.write(path, pieces(content))


async def read(sandbox: Sandbox, path: str, *, limit: int = 64 << 20) -> bytes:
    """Read a whole file."""
    return b"".join([piece async for piece in sandbox.files.read(path, limit=limit)])


async def refused(expected: type[_E], call: Awaitable[object]) -> _E:
    """Wait for a call that must raise exactly this error, with a message and a hint."""
    raised: object
    try:
        raised = await call
    except ForgeError as error:
        raised = error
    assert type(raised) is expected, f"{expected.__name__} was not raised, but: {raised!r:.200}"
    assert isinstance(raised, expected)
    assert raised.message
    assert raised.hint
    return raised


async def gone(sandbox: Sandbox, pid: bytes) -> None:
    """Wait until a process has ended; one that nobody collected counts as ended."""
    for _ in range(200):
        result, seen = await run(sandbox, "grep", "State:", f"/proc/{int(pid)}/status")
        if not result.ok or b"Z" in seen.stdout:
            return
    raise AssertionError(f"process {int(pid)} is still there")
