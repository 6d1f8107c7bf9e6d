"""Commands: live output, endings, deadlines, input, users."""

import asyncio

from forge.errors import GuestRefused, InputRefused, PathRefused
from forge.sandbox.base import Sandbox
from forge.sandbox.commands import Command
from forge.sandbox.files import HOME
from forge.sandbox.output import Display, Output
from forge.testing.sandbox_conformance.watching import (
    PATIENCE_S,
    Check,
    Seen,
    gone,
    refused,
    run,
    shell,
    write,
)

_UNTIL_GO = "until [ -e go ]; do sleep 0.02; done"


async def output_arrives_while_the_command_runs(sandbox: Sandbox) -> None:
    """The first output is there before the end: the command waits for what we do on seeing it."""
    seen = Seen()
    script = f"echo first; {_UNTIL_GO}; echo last"
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(
            sandbox.commands.run(Command(("sh", "-c", script), PATIENCE_S), seen)
        )
        await seen.first.wait()
        assert seen.stdout == b"first\n"
        await write(sandbox, "go")
    assert running.result().ok
    assert seen.stdout == b"first\nlast\n"


async def an_exit_code_is_a_result(sandbox: Sandbox) -> None:
    """A command that fails is no exception."""
    result, _ = await run(sandbox, "sh", "-c", "exit 7")
    assert (result.exit_code, result.signal, result.timed_out, result.ok) == (7, None, False, False)
    result, _ = await run(sandbox, "true")
    assert result.ok
    assert result.duration_ms >= 0


async def a_signal_is_a_result(sandbox: Sandbox) -> None:
    """A command that was killed says by what."""
    result, _ = await run(sandbox, "sh", "-c", "kill -9 $$")
    assert (result.exit_code, result.signal, result.timed_out) == (None, 9, False)


async def streams_are_apart_and_raw(sandbox: Sandbox) -> None:
    """Standard output and error do not mix, and bytes are no text."""
    result, seen = await run(sandbox, "sh", "-c", r"printf '\000\377o'; printf '\376e' >&2")
    assert result.ok
    assert seen.stdout == b"\x00\xffo"
    assert seen.stderr == b"\xfee"


async def all_output_arrives(sandbox: Sandbox) -> None:
    """Five megabytes, to the last byte."""
    _, seen = await run(sandbox, "sh", "-c", "head -c 5000000 /dev/zero; printf end")
    assert seen.stdout == bytes(5_000_000) + b"end"


async def input_arrives_whole_and_ends(sandbox: Sandbox) -> None:
    """A filter gets a megabyte and gives it back while it still gets more."""
    data = bytes(range(256)) * 4_096
    _, seen = await run(sandbox, "cat", stdin=data)
    assert seen.stdout == data
    assert (await shell(sandbox, "wc -c")).strip() == b"0"


async def input_need_not_be_read(sandbox: Sandbox) -> None:
    """A command that ends without reading is no error, again and again."""
    for _ in range(3):
        result, _ = await run(sandbox, "true", stdin=bytes(1_000_000))
        assert result.ok


async def commands_start_at_home_or_where_told(sandbox: Sandbox) -> None:
    """`cwd` is absolute, or relative to the home folder."""
    await write(sandbox, "sub/a", b"here")
    for folder in ("sub", f"{HOME}/sub"):
        seen = Seen()
        await sandbox.commands.run(Command(("cat", "a"), PATIENCE_S, cwd=folder), seen)
        assert seen.stdout == b"here", folder
    assert await shell(sandbox, "cat sub/a") == b"here"


async def home_is_home(sandbox: Sandbox) -> None:
    """The working folder and the variable are the contract's `HOME`."""
    assert await shell(sandbox, "pwd; echo $HOME") == f"{HOME}\n{HOME}\n".encode()


async def a_working_folder_that_is_none_is_refused(sandbox: Sandbox) -> None:
    """Missing, a file, or malformed: the machine goes on."""
    await write(sandbox, "file")
    for folder in ("missing", "file"):
        command = Command(("true",), PATIENCE_S, cwd=folder)
        await refused(GuestRefused, sandbox.commands.run(command, Seen()))
    for folder in ("", "a\0b", "x" * 5_000):
        command = Command(("true",), PATIENCE_S, cwd=folder)
        await refused(PathRefused, sandbox.commands.run(command, Seen()))


async def variables_are_set(sandbox: Sandbox) -> None:
    """`env` is added to what is there, unicode, empty values and line ends included."""
    env = {"GREETING": "hé 🎉\nyou", "EMPTY": ""}
    seen = Seen()
    script = 'printf "%s|%s|%s" "$GREETING" "${EMPTY-unset}" "$PATH"'
    await sandbox.commands.run(Command(("sh", "-c", script), PATIENCE_S, env=env), seen)
    greeting, empty, path = seen.stdout.decode().split("|")
    assert (greeting, empty) == ("hé 🎉\nyou", "")
    assert path


async def what_cannot_be_started_is_refused(sandbox: Sandbox) -> None:
    """No such program, or one that may not run: named, and the machine goes on."""
    await write(sandbox, "plain", b"no program")
    for program in ("no-such-program", f"{HOME}/plain", "/", "/no/such/program"):
        await refused(GuestRefused, run(sandbox, program))
    assert await shell(sandbox, "echo on") == b"on\n"


async def a_command_of_nothing_is_refused(sandbox: Sandbox) -> None:
    """No program at all, or NUL in a word."""
    await refused(InputRefused, run(sandbox))
    await refused(InputRefused, run(sandbox, "echo", "a\0b"))


async def words_are_passed_as_they_are(sandbox: Sandbox) -> None:
    """No shell comes between: spaces, stars, quotes and unicode are not touched."""
    words = ("a b", "*", "$HOME", "'\"", "é🎉", "", "-n", "line\nend")
    _, seen = await run(sandbox, "printf", "%s\\0", *words)
    assert seen.stdout.decode().split("\0")[:-1] == list(words)


async def a_deadline_kills_the_whole_group(sandbox: Sandbox) -> None:
    """A command that goes on is killed with the children it started; that is a result."""
    seen = Seen()
    script = "sleep 300 & echo $!; wait"
    result = await sandbox.commands.run(Command(("sh", "-c", script), 1.0), seen)
    assert result.timed_out
    assert not result.ok
    assert result.duration_ms < PATIENCE_S * 1000
    await gone(sandbox, seen.stdout)


async def endless_output_ends_at_the_deadline(sandbox: Sandbox) -> None:
    """A command that prints without end is killed as any other."""

    async def nowhere(item: Output | Display) -> None:
        """Keeps nothing."""

    result = await sandbox.commands.run(Command(("yes",), 1.0), nowhere)
    assert result.timed_out


async def cancelling_kills_the_command(sandbox: Sandbox) -> None:
    """Who gives the call up leaves nothing of it running, and the machine usable."""
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        command = Command(("sh", "-c", "sleep 300 & echo $!; wait"), 300.0)
        running = tasks.create_task(sandbox.commands.run(command, seen))
        await seen.first.wait()
        running.cancel()
    await gone(sandbox, seen.stdout)


async def commands_run_beside_each_other(sandbox: Sandbox) -> None:
    """One waits for what the other does."""
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(shell(sandbox, f"{_UNTIL_GO}; echo seen"))
        tasks.create_task(shell(sandbox, "touch go"))
    assert waiting.result() == b"seen\n"


async def who_holds_output_back_holds_nobody_else(sandbox: Sandbox) -> None:
    """While one sink waits, another command runs from start to end."""
    release = asyncio.Event()
    held = 0

    async def stuck(item: Output | Display) -> None:
        nonlocal held
        await release.wait()
        held += len(item.data) if isinstance(item, Output) else 0

    async with asyncio.TaskGroup() as tasks:
        command = Command(("head", "-c", "3000000", "/dev/zero"), PATIENCE_S)
        slow = tasks.create_task(sandbox.commands.run(command, stuck))
        assert await shell(sandbox, "echo through") == b"through\n"
        assert not slow.done()
        release.set()
    assert held == 3_000_000


async def background_output_does_not_hold_the_end(sandbox: Sandbox) -> None:
    """A command has ended when it has ended, though something it left keeps its output open."""
    result, seen = await run(sandbox, "sh", "-c", "setsid sleep 300 & echo started")
    assert result.ok
    assert seen.stdout == b"started\n"


async def a_person_is_not_root_unless_asked(sandbox: Sandbox) -> None:
    """`user` is an ordinary user; `root` is root of the machine."""
    assert (await shell(sandbox, "id -u")).strip() not in (b"", b"0")
    seen = Seen()
    await sandbox.commands.run(Command(("id", "-u"), PATIENCE_S, user="root"), seen)
    assert seen.stdout.strip() == b"0"
    result, _ = await run(sandbox, "sh", "-c", "echo x > /etc/not-yours")
    assert not result.ok


CHECKS: tuple[Check, ...] = (
    output_arrives_while_the_command_runs,
    an_exit_code_is_a_result,
    a_signal_is_a_result,
    streams_are_apart_and_raw,
    all_output_arrives,
    input_arrives_whole_and_ends,
    input_need_not_be_read,
    commands_start_at_home_or_where_told,
    home_is_home,
    a_working_folder_that_is_none_is_refused,
    variables_are_set,
    what_cannot_be_started_is_refused,
    a_command_of_nothing_is_refused,
    words_are_passed_as_they_are,
    a_deadline_kills_the_whole_group,
    endless_output_ends_at_the_deadline,
    cancelling_kills_the_command,
    commands_run_beside_each_other,
    who_holds_output_back_holds_nobody_else,
    background_output_does_not_hold_the_end,
    a_person_is_not_root_unless_asked,
)
