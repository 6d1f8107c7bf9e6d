"""Terminals: real ones, with their size, their characters and their signals."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable

from forge.errors import GuestRefused, InputRefused, ProcessNotFound
from forge.sandbox.base import Sandbox
from forge.sandbox.commands import NO_DEADLINE, Command, ExecResult, Size
from forge.sandbox.output import Display, Output
from forge.testing.sandbox_conformance.watching import PATIENCE_S, Check, Seen, refused, shell

_SIZE = Size(columns=100, rows=40)


async def on_terminal(sandbox: Sandbox, script: str, typed: bytes = b"") -> tuple[ExecResult, Seen]:
    """Run a script on a terminal, in the foreground."""
    seen = Seen()
    command = Command(("bash", "-c", script), PATIENCE_S, pty=_SIZE, stdin=typed)
    return await sandbox.commands.run(command, seen), seen


async def until(seen: Seen, so: Callable[[bytes], bool]) -> None:
    """Wait until something is true of what was printed."""
    async with asyncio.timeout(PATIENCE_S):
        while not so(seen.stdout):
            seen.first.clear()
            await seen.first.wait()


async def converse(sandbox: Sandbox, script: str, *steps: tuple[bytes, bytes]) -> bytes:
    """Type each answer once its prompt was seen, at a background terminal; all that it showed."""
    pid = await sandbox.commands.start(Command(("bash", "-c", script), NO_DEADLINE, pty=_SIZE))
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(sandbox.commands.attach(pid, seen))
        for prompt, answer in steps:
            await until(seen, lambda shown, prompt=prompt: prompt in shown)  # type: ignore[misc]
            await sandbox.commands.send(pid, answer)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([listening])
    return seen.stdout


async def a_terminal_is_a_real_one(sandbox: Sandbox) -> None:
    """All three are it, it has a name, it controls the process, its owner may open it."""
    result, seen = await on_terminal(
        sandbox,
        "test -t 0 && test -t 1 && test -t 2 && tty && echo open > $(tty) && echo t > /dev/tty",
    )
    assert result.ok, seen.items
    name, *rest = seen.stdout.splitlines()
    assert name.startswith(b"/dev/pts/")
    assert rest == [b"open", b"t"]
    assert seen.stderr == b""


async def a_terminal_has_its_size(sandbox: Sandbox) -> None:
    """From the start."""
    _, seen = await on_terminal(sandbox, "stty size")
    assert seen.stdout == b"40 100\r\n"


async def resizing_is_told(sandbox: Sandbox) -> None:
    """A new size comes with SIGWINCH."""
    script = "trap 'stty size; exit 6' WINCH; echo ready; while :; do sleep 0.05; done"
    pid = await sandbox.commands.start(Command(("bash", "-c", script), NO_DEADLINE, pty=_SIZE))
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(sandbox.commands.attach(pid, seen))
        await until(seen, lambda shown: b"ready" in shown)
        await sandbox.commands.resize(pid, Size(columns=33, rows=22))
    assert listening.result().exit_code == 6
    assert seen.stdout == b"ready\r\n22 33\r\n"


async def characters_are_signals(sandbox: Sandbox) -> None:
    """^C interrupts what is in the foreground, and the shell goes on."""
    script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done"
    shown = await converse(sandbox, script, (b"ready", b"\x03"))
    assert shown.endswith(b"caught\r\n")


async def a_character_ends_input(sandbox: Sandbox) -> None:
    """^D at the start of a line."""
    shown = await converse(sandbox, "echo ready; cat; echo over", (b"ready", b"line\n\x04"))
    assert shown.endswith(b"line\r\nover\r\n")


async def the_end_of_input_reaches_a_terminal(sandbox: Sandbox) -> None:
    """In the foreground with all its input given, also where that does not end with a line."""
    for typed in (b"", b"a line\n", b"no line"):
        result, seen = await on_terminal(sandbox, "cat > got; echo over", typed)
        assert result.ok
        assert seen.stdout.endswith(b"over\r\n")
        assert await shell(sandbox, "cat got") == typed


async def output_is_raw(sandbox: Sandbox) -> None:
    """Bytes that are no text pass as they are, however many, in order."""
    script = "stty raw; head -c 300000 /dev/zero; printf '\\377\\033[31m\\001'"
    result, seen = await on_terminal(sandbox, script)
    assert result.ok
    assert seen.stdout == b"\0" * 300_000 + b"\xff\x1b[31m\x01"


async def a_terminal_may_be_typed_at_as_it_shows(sandbox: Sandbox) -> None:
    """A foreground command with live input: each answer follows its prompt."""
    seen = Seen()

    async def typing() -> AsyncIterator[bytes]:
        await until(seen, lambda shown: b"name? " in shown)
        yield b"Ada\n"
        await until(seen, lambda shown: b"hello Ada" in shown)
        yield b"\x04"

    command = Command(
        ("bash", "-c", "read -p 'name? ' n; echo hello $n; cat"), PATIENCE_S, pty=_SIZE,
        stdin=typing(),
    )  # fmt: skip
    assert (await sandbox.commands.run(command, seen)).ok


async def the_last_words_on_a_terminal_arrive(sandbox: Sandbox) -> None:
    """What was printed just before the end is there, each time."""
    for number in range(10):
        result, seen = await on_terminal(sandbox, f"seq 2000; exit {number}")
        assert result.exit_code == number
        assert seen.stdout.endswith(b"1999\r\n2000\r\n")


async def a_child_on_the_terminal_does_not_hold_the_end(sandbox: Sandbox) -> None:
    """A child that keeps it open, printing or not, is not awaited; it is hung up."""
    script = "trap '' HUP; (while :; do echo child; sleep 0.01; done) & sleep 300 & exit 2"
    result, _ = await on_terminal(sandbox, script)
    assert result.exit_code == 2
    assert not result.timed_out


async def a_terminals_deadline_is_kept(sandbox: Sandbox) -> None:
    """Whatever it does with its terminal."""

    async def nowhere(item: Output | Display) -> None:
        """Keeps nothing."""

    for script in ("yes", "stty raw -echo; sleep 300", "exec <&- >&- 2>&-; sleep 300"):
        command = Command(("bash", "-c", script), 1.0, pty=_SIZE)
        result = await sandbox.commands.run(command, nowhere)
        assert (result.timed_out, result.signal) == (True, signal.SIGKILL)


async def what_has_no_terminal_has_no_size(sandbox: Sandbox) -> None:
    """Sizes that are none, processes that have none."""
    pid = await sandbox.commands.start(Command(("sleep", "300"), NO_DEADLINE))
    await refused(GuestRefused, sandbox.commands.resize(pid, _SIZE))
    await refused(ProcessNotFound, sandbox.commands.resize(1, _SIZE))
    for size in (Size(0, 24), Size(80, 0), Size(65_536, 24), Size(80, -1)):
        await refused(InputRefused, sandbox.commands.resize(pid, size))
        await refused(InputRefused, sandbox.commands.start(Command(("true",), 5.0, pty=size)))
    await sandbox.commands.signal(pid, signal.SIGKILL)


CHECKS: tuple[Check, ...] = (
    a_terminal_is_a_real_one,
    a_terminal_has_its_size,
    resizing_is_told,
    characters_are_signals,
    a_character_ends_input,
    the_end_of_input_reaches_a_terminal,
    output_is_raw,
    a_terminal_may_be_typed_at_as_it_shows,
    the_last_words_on_a_terminal_arrive,
    a_child_on_the_terminal_does_not_hold_the_end,
    a_terminals_deadline_is_kept,
    what_has_no_terminal_has_no_size,
)
