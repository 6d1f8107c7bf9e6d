"""`forge microvm create|exec|write|read|list|pause|resume|fork|snapshot|…`, each one process.

A machine lives no longer than the process that runs it, so between two of these it is paused on
disk: each opens it, which one process at a time may, uses it, and pauses it again. Standard output
is one JSON object, or what a command or a file printed and nothing else; everything said about it
goes to standard error. Whatever happens, the machine is paused at the end, or gone.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from forge.cli.exits import Exit
from forge.cli.render import Screen
from forge.cli.stopping import stopping
from forge.errors import InputRefused
from forge.ids import SandboxId
from forge.sandbox.base import Sandbox
from forge.sandbox.commands import Command, ExecResult
from forge.sandbox.extract import extract
from forge.sandbox.output import Display, Output
from forge.settings import Settings
from forge.wiring import Machines, open_machines

_PIECE = 256 * 1024
_OUTPUT_MAX = 8 << 20  # bytes of a command's output in one JSON object
_READ_MAX = 1 << 40  # a file is as large as a disk at most
_TIMED_OUT = 124  # as coreutils' `timeout` says it
_SIGNALLED = 128  # as shells say it

Use = Callable[[Sandbox, Screen], Awaitable[Exit | int]]
Do = Callable[[Machines, Screen], Awaitable[Exit | int]]


@dataclass(frozen=True, slots=True)
class Order:
    """A command as it was asked for: see docs/cli.md for each."""

    argv: tuple[str, ...]
    cwd: str
    env: tuple[str, ...]
    root: bool
    timeout_s: float
    stdin: bool
    as_json: bool


async def with_machines(settings: Settings, screen: Screen, do: Do) -> Exit | int:
    """Carry out something with the provider of machines, and stop in order at a signal."""
    with stopping(screen.notice) as stop:
        try:
            async with open_machines(settings, screen.notice) as machines:
                return await do(machines, screen)
        except asyncio.CancelledError:
            if stop.asked is None:
                raise
            return stop.asked


def using(name: str, use: Use) -> Do:
    """Use one paused machine, and pause it again whatever happens."""

    async def do(machines: Machines, screen: Screen) -> Exit | int:
        sandbox = await machines.provider.open(SandboxId(name))
        async with _paused_again(sandbox):
            return await use(sandbox, screen)

    return do


@asynccontextmanager
async def _paused_again(*sandboxes: Sandbox) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for sandbox in sandboxes:
            # Even where we are being stopped: what is not paused would be lost with this process.
            if sandbox.state != "gone":
                await asyncio.shield(sandbox.pause())


def create(template: str) -> Do:
    """Make a machine and leave it paused."""

    async def do(machines: Machines, screen: Screen) -> Exit:
        await machines.prepare(screen.building)
        sandbox = await machines.provider.create(await machines.spec(template))
        async with _paused_again(sandbox):
            _say(screen, asdict(sandbox.facts))
        return Exit.DONE

    return do


def fork(name: str, count: int) -> Do:
    """Copy a machine, and leave it and its copies paused."""

    async def use(sandbox: Sandbox, screen: Screen) -> Exit:
        copies = await sandbox.fork(count)
        async with _paused_again(*copies):
            _say(screen, {"machines": [asdict(each.facts) for each in copies]})
        return Exit.DONE

    return using(name, use)


def snapshot(name: str, kept: str) -> Do:
    """Keep what a machine is now under a name that `create --template` takes."""

    async def use(sandbox: Sandbox, screen: Screen) -> Exit:
        _say(screen, asdict(await sandbox.snapshot(kept)))
        return Exit.DONE

    return using(name, use)


async def snapshots(machines: Machines, screen: Screen) -> Exit:
    """What is kept under names."""
    found = await machines.provider.snapshots()
    _say(screen, {"snapshots": [asdict(each) for each in found]})
    return Exit.DONE


def forget(kept: str) -> Do:
    """Remove what is kept under a name; machines made from it go on."""

    async def do(machines: Machines, screen: Screen) -> Exit:
        await machines.provider.remove_snapshot(kept)
        _say(screen, {"name": kept, "removed": True})
        return Exit.DONE

    return do


async def list_machines(machines: Machines, screen: Screen) -> Exit:
    """Every machine of this home that is paused or runs."""
    found = await machines.provider.list()
    _say(screen, {"machines": [asdict(each) for each in found]})
    return Exit.DONE


def list_files(name: str, path: str, depth: int) -> Do:
    """A folder's entries."""

    async def use(sandbox: Sandbox, screen: Screen) -> Exit:
        found = await sandbox.files.list(path, depth=depth)
        _say(screen, {"entries": [asdict(each) for each in found]})
        return Exit.DONE

    return using(name, use)


def pause(name: str) -> Do:
    """See that a machine is paused and whole."""

    async def use(sandbox: Sandbox, screen: Screen) -> Exit:
        await sandbox.pause()
        _say(screen, {"id": sandbox.facts.id, "state": sandbox.state})
        return Exit.DONE

    return using(name, use)


def resume(name: str, for_s: float) -> Do:
    """Have a machine run for a while, so that what it does in the background goes on."""

    async def use(sandbox: Sandbox, screen: Screen) -> Exit:
        await sandbox.resume()
        _say(screen, {"id": sandbox.facts.id, "state": sandbox.state})
        await asyncio.sleep(for_s)
        return Exit.DONE

    return using(name, use)


def destroy(name: str) -> Do:
    """Remove a machine and everything in it."""

    async def do(machines: Machines, screen: Screen) -> Exit:
        await machines.provider.remove(SandboxId(name))
        _say(screen, {"id": name, "state": "gone"})
        return Exit.DONE

    return do


def write(name: str, path: str, source: Path | None) -> Do:
    """Write a file in a machine from a file here, or from standard input."""

    async def use(sandbox: Sandbox, screen: Screen) -> Exit:
        try:
            with source.open("rb") if source else _standard_input() as file:
                size = await sandbox.files.write(path, _pieces(file))
        except OSError as error:
            raise InputRefused(f"{source or 'standard input'}: {error.strerror}") from error
        _say(screen, {"path": path, "size": size})
        return Exit.DONE

    return using(name, use)


def read_folder(name: str, path: str, target: Path) -> Do:
    """Lay a machine's folder, or a file, out as a new folder here."""

    async def use(sandbox: Sandbox, screen: Screen) -> Exit:
        pieces = sandbox.files.pack(path)
        try:
            found = await extract(pieces, target)
        finally:
            await pieces.aclose()  # type: ignore[attr-defined]  # the contract: the caller closes it
        _say(screen, {"path": path, "folder": str(target), **asdict(found)})
        return Exit.DONE

    return using(name, use)


def read(name: str, path: str) -> Do:
    """Print a machine's file, its bytes as they are."""

    async def use(sandbox: Sandbox, screen: Screen) -> Exit:
        async for piece in sandbox.files.read(path, limit=_READ_MAX):
            screen.raw(piece)
        return Exit.DONE

    return using(name, use)


def execute(name: str, order: Order) -> Do:
    """Run a command in a machine; its output is ours, and so is its code."""

    async def use(sandbox: Sandbox, screen: Screen) -> int:
        command = Command(
            order.argv,
            order.timeout_s,
            cwd=order.cwd,
            env=dict(_variable(each) for each in order.env),
            user="root" if order.root else "user",
            stdin=await asyncio.to_thread(_all_of_standard_input) if order.stdin else b"",
        )
        kept: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}

        async def sink(item: Output | Display) -> None:
            if not isinstance(item, Output):
                return
            if order.as_json:
                room = _OUTPUT_MAX - len(kept[item.stream])
                kept[item.stream] += item.data[:room]
            else:
                screen.raw(item.data, error=item.stream == "stderr")

        result = await sandbox.commands.run(command, sink)
        if order.as_json:
            words = {stream: data.decode(errors="replace") for stream, data in kept.items()}
            clipped = any(len(data) == _OUTPUT_MAX for data in kept.values())
            _say(screen, {**asdict(result), **words, "clipped": clipped})
        elif result.timed_out:
            screen.important(f"The command was ended after {order.timeout_s:g} s.")
        return _code(result)

    return using(name, use)


def _code(result: ExecResult) -> int:
    if result.timed_out:
        return _TIMED_OUT
    if result.signal is not None:
        return _SIGNALLED + result.signal
    return result.exit_code or 0


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputRefused(f"{text[:80]!r} sets no variable: write NAME=VALUE.")
    return name, value


def _standard_input() -> BinaryIO:
    return os.fdopen(os.dup(sys.stdin.fileno()), "rb")


def _all_of_standard_input() -> bytes:
    return sys.stdin.buffer.read()


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, _PIECE):
        yield piece


def _say(screen: Screen, value: dict[str, Any]) -> None:
    screen.raw_json(json.dumps(value))
