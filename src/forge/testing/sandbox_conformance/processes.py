"""Processes: in the background, listed, listened to, steered; and input as it comes."""

import asyncio
import signal
from collections.abc import AsyncIterator

from forge.errors import GuestRefused, InputRefused, PathRefused, ProcessNotFound
from forge.sandbox.base import Sandbox
from forge.sandbox.commands import NO_DEADLINE, Command, ExecResult
from forge.sandbox.files import HOME
from forge.sandbox.output import Display, Output
from forge.testing.sandbox_conformance.watching import (
    PATIENCE_S,
    Check,
    Seen,
    gone,
    refused,
    shell,
    write,
)

_UNTIL_GO = "until [ -e go ]; do sleep 0.02; done"
_KEPT = 1024 * 1024
_NOBODY = 4_000_000


async def start(sandbox: Sandbox, script: str, deadline_s: float = NO_DEADLINE) -> int:
    """Start a shell script in the background."""
    return await sandbox.commands.start(Command(("sh", "-c", script), deadline_s))


async def ending(sandbox: Sandbox, pid: int) -> tuple[ExecResult, Seen]:
    """Wait for a process's end."""
    seen = Seen()
    async with asyncio.timeout(PATIENCE_S):
        return await sandbox.commands.attach(pid, seen), seen


async def a_background_process_goes_on_by_itself(sandbox: Sandbox) -> None:
    """`start` returns while it runs; other calls go on; it ends with its own exit code."""
    pid = await start(sandbox, f"echo begun; {_UNTIL_GO}; echo done; exit 3")
    await write(sandbox, "go")
    result, seen = await ending(sandbox, pid)
    assert (result.exit_code, result.signal, result.timed_out) == (3, None, False)
    assert seen.stdout == b"begun\ndone\n"


async def attaching_shows_what_was_and_what_comes(sandbox: Sandbox) -> None:
    """Output from before, then live output, both streams apart."""
    pid = await start(sandbox, f"echo old; echo bad >&2; touch said; {_UNTIL_GO}; echo new")
    await shell(sandbox, "until [ -e said ]; do sleep 0.02; done")
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(sandbox.commands.attach(pid, seen))
        async with asyncio.timeout(PATIENCE_S):
            while not (seen.stdout and seen.stderr):
                seen.first.clear()
                await seen.first.wait()
        assert (seen.stdout, seen.stderr) == (b"old\n", b"bad\n")
        await write(sandbox, "go")
    assert listening.result().ok
    assert seen.stdout == b"old\nnew\n"


async def leaving_does_not_end_it(sandbox: Sandbox) -> None:
    """Whoever attached may go and come again; each time all that is kept is there."""
    pid = await start(sandbox, f"echo once; {_UNTIL_GO}; echo twice")
    for _ in range(2):
        seen = Seen()
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(sandbox.commands.attach(pid, seen))
            await seen.first.wait()
            listening.cancel()
        assert seen.stdout == b"once\n"
    await write(sandbox, "go")
    result, seen = await ending(sandbox, pid)
    assert result.ok
    assert seen.stdout == b"once\ntwice\n"


async def several_may_attach(sandbox: Sandbox) -> None:
    """Each hears everything and learns the same end."""
    pid = await start(sandbox, f"{_UNTIL_GO}; seq 20000; exit 4")
    async with asyncio.TaskGroup() as tasks:
        all_of_them = [tasks.create_task(ending(sandbox, pid)) for _ in range(3)]
        await write(sandbox, "go")
    whole = b"".join(b"%d\n" % number for number in range(1, 20001))
    for result, seen in (each.result() for each in all_of_them):
        assert result.exit_code == 4
        assert seen.stdout == whole


async def an_ending_is_kept_for_whoever_comes_late(sandbox: Sandbox) -> None:
    """After the end it is listed no more, and still attached to."""
    pid = await start(sandbox, "echo last words; kill -TERM $$")
    first, _ = await ending(sandbox, pid)
    assert pid not in [each.pid for each in await sandbox.commands.list()]
    again, seen = await ending(sandbox, pid)
    assert first == again
    assert again.signal == signal.SIGTERM
    assert seen.stdout == b"last words\n"


async def only_so_many_endings_are_kept(sandbox: Sandbox) -> None:
    """64 others later it is forgotten, by name of the error."""
    first = await start(sandbox, "true")
    await ending(sandbox, first)
    for _ in range(64):
        await ending(sandbox, await sandbox.commands.start(Command(("true",), PATIENCE_S)))
    await refused(ProcessNotFound, sandbox.commands.attach(first, Seen()))


async def the_last_output_is_kept_with_a_mark(sandbox: Sandbox) -> None:
    """Nobody listens: it is not held back, and the newest mebibyte is there, marked once."""
    pid = await start(
        sandbox, f"head -c {_NOBODY} /dev/zero | tr '\\0' x; echo; echo end; touch go"
    )
    await shell(sandbox, _UNTIL_GO)
    _, seen = await ending(sandbox, pid)
    marks = [item.dropped for item in seen.items if isinstance(item, Output)]
    assert marks[0] > 0
    assert not any(marks[1:])
    assert marks[0] + len(seen.stdout) == _NOBODY + 5
    assert _KEPT // 2 < len(seen.stdout) <= _KEPT
    assert seen.stdout.endswith(b"x\nend\n")


async def a_listener_that_waits_holds_only_its_process(sandbox: Sandbox) -> None:
    """It waits for its slowest listener, other commands do not, and nothing is lost."""
    release, held = asyncio.Event(), 0

    async def stuck(item: Output | Display) -> None:
        nonlocal held
        await release.wait()
        held += len(item.data) if isinstance(item, Output) else 0

    pid = await start(sandbox, f"{_UNTIL_GO}; head -c 3000000 /dev/zero; touch printed")
    async with asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(sandbox.commands.attach(pid, stuck))
        await asyncio.sleep(0)
        await write(sandbox, "go")
        assert await shell(sandbox, "sleep 0.5; ls printed 2>/dev/null || echo held") == b"held\n"
        release.set()
    assert slow.result().ok
    assert held == 3_000_000


async def processes_are_listed_as_they_were_asked_for(sandbox: Sandbox) -> None:
    """Background and foreground, with words, tag, folder and user; the ended are left out."""
    pid = await sandbox.commands.start(
        Command(("sleep", "300"), NO_DEADLINE, cwd="/usr", user="root", tag="a nap")
    )
    first = Command(("sh", "-c", f"echo; {_UNTIL_GO}"), PATIENCE_S, tag="front")
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(sandbox.commands.run(first, seen))
        await seen.first.wait()
        listed = {each.tag: each for each in await sandbox.commands.list()}
        await write(sandbox, "go")
    assert running.result().ok
    nap, front = listed["a nap"], listed["front"]
    assert (nap.pid, nap.argv, nap.cwd, nap.user) == (pid, ("sleep", "300"), "/usr", "root")
    assert (nap.background, nap.pty, front.background, front.argv) == (
        True, False, False, first.argv,
    )  # fmt: skip
    assert (front.cwd, front.user) == (HOME, "user")
    assert nap.started <= front.started
    assert [each.pid for each in await sandbox.commands.list()] == [pid]


async def input_is_sent_while_it_runs(sandbox: Sandbox) -> None:
    """Piece by piece, and its end when it is said."""
    pid = await sandbox.commands.start(Command(("sort",), NO_DEADLINE))
    await sandbox.commands.send(pid, b"b\n")
    await sandbox.commands.send(pid, b"a\n", eof=True)
    result, seen = await ending(sandbox, pid)
    assert result.ok
    assert seen.stdout == b"a\nb\n"


async def input_that_is_not_read_is_refused_in_time(sandbox: Sandbox) -> None:
    """A full pipe is a refusal that says how much was taken; machine and process go on."""
    pid = await start(sandbox, f"{_UNTIL_GO}; wc -c")
    error = await refused(GuestRefused, sandbox.commands.send(pid, b"x" * 300_000, deadline_s=0.5))
    taken = int("".join(each for each in error.message if each.isdigit()))
    assert 0 < taken < 300_000
    await write(sandbox, "go")
    await sandbox.commands.send(pid, b"", eof=True)
    _, seen = await ending(sandbox, pid)
    assert int(seen.stdout) == taken


async def a_foreground_command_takes_input_as_it_comes(sandbox: Sandbox) -> None:
    """The second piece is an answer to the output for the first; the end ends it."""
    seen, answered = Seen(), asyncio.Event()

    async def conversation() -> AsyncIterator[bytes]:
        yield b"one\n"
        await seen.first.wait()
        answered.set()
        yield b"two\n"

    command = Command(("sed", "-u", "s/^/> /"), PATIENCE_S, stdin=conversation())
    result = await sandbox.commands.run(command, seen)
    assert result.ok
    assert answered.is_set()
    assert seen.stdout == b"> one\n> two\n"


async def a_signal_reaches_the_group(sandbox: Sandbox) -> None:
    """The process and its children; the ending says by which signal."""
    pid = await start(sandbox, "sleep 300 & echo $!; wait")
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(sandbox.commands.attach(pid, seen))
        await seen.first.wait()
        await sandbox.commands.signal(pid, signal.SIGTERM)
    assert listening.result().signal == signal.SIGTERM
    await gone(sandbox, seen.stdout)
    await refused(ProcessNotFound, sandbox.commands.signal(pid, signal.SIGTERM))


async def a_kill_reaches_all_that_it_started(sandbox: Sandbox) -> None:
    """SIGKILL ends those who made a session of their own as well."""
    pid = await start(sandbox, "setsid sleep 300 & echo $!; wait")
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(sandbox.commands.attach(pid, seen))
        await seen.first.wait()
        await sandbox.commands.signal(pid, signal.SIGKILL)
    assert listening.result().signal == signal.SIGKILL
    await gone(sandbox, seen.stdout)


async def a_background_deadline_is_kept(sandbox: Sandbox) -> None:
    """It ends with all that it started, and the ending says why."""
    pid = await start(sandbox, "setsid sleep 300 & echo $!; wait", 0.7)
    result, seen = await ending(sandbox, pid)
    assert (result.timed_out, result.signal) == (True, signal.SIGKILL)
    await gone(sandbox, seen.stdout)


async def what_cannot_be_asked_of_a_process_is_named(sandbox: Sandbox) -> None:
    """Numbers that lead nowhere, wishes that make no sense."""
    commands = sandbox.commands
    for call in (
        commands.attach(4_000_000, Seen()),
        commands.attach(1, Seen()),
        commands.send(1, b"x"),
        commands.signal(1, signal.SIGKILL),
    ):
        await refused(ProcessNotFound, call)
    nap = Command(("sleep", "1"), 5.0)
    for wrong in (
        commands.signal(1, 0),
        commands.signal(1, 65),
        commands.attach(0, Seen()),
        commands.start(Command(nap.argv, 5.0, stdin=b"x")),
        commands.run(Command(nap.argv, NO_DEADLINE), Seen()),
        commands.run(Command(nap.argv, float("nan")), Seen()),
        commands.start(Command(nap.argv, -1.0)),
        commands.start(Command(nap.argv, 5.0, tag="x" * 201)),
    ):
        await refused(InputRefused, wrong)
    await refused(PathRefused, commands.start(Command(nap.argv, 5.0, cwd="a\0b")))
    await refused(GuestRefused, commands.start(Command(("no-such-program",), 5.0)))
    assert await commands.list() == ()


CHECKS: tuple[Check, ...] = (
    a_background_process_goes_on_by_itself,
    attaching_shows_what_was_and_what_comes,
    leaving_does_not_end_it,
    several_may_attach,
    an_ending_is_kept_for_whoever_comes_late,
    only_so_many_endings_are_kept,
    the_last_output_is_kept_with_a_mark,
    a_listener_that_waits_holds_only_its_process,
    processes_are_listed_as_they_were_asked_for,
    input_is_sent_while_it_runs,
    input_that_is_not_read_is_refused_in_time,
    a_foreground_command_takes_input_as_it_comes,
    a_signal_reaches_the_group,
    a_kill_reaches_all_that_it_started,
    a_background_deadline_is_kept,
    what_cannot_be_asked_of_a_process_is_named,
)
