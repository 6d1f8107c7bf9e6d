"""Pausing, resuming, snapshots and copies: all is as it was, except for luck and secrets."""

import asyncio
from collections.abc import Awaitable, Callable

from forge.errors import (
    InputRefused,
    MachineUnknown,
    NameUnknown,
    SandboxPaused,
    SandboxStopped,
)
from forge.ids import SandboxId
from forge.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from forge.sandbox.commands import Command
from forge.testing.sandbox_conformance.watching import (
    PATIENCE_S,
    Seen,
    cell,
    read,
    refused,
    run,
    shell,
    value,
    write,
)

_LUCK = "import os, random, uuid\n(random.random(), os.urandom(16).hex(), str(uuid.uuid4()))"
_BEAT = "(while true; do echo >> beat; sleep 0.05; done) >/dev/null 2>&1 & echo $!"
_NAME = "conformance-check"


async def _state_is(sandbox: Sandbox, state: str) -> None:
    for _ in range(int(PATIENCE_S / 0.02)):
        if sandbox.state == state:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"the machine is {sandbox.state} and not {state}")


async def _beats(sandbox: Sandbox, pid: bytes) -> None:
    """The background process still lives, and does something."""
    await shell(sandbox, f"kill -0 {int(pid)}")
    await shell(sandbox, "n=$(wc -l < beat); until [ $(wc -l < beat) -gt $n ]; do sleep 0.05; done")


async def all_is_as_it_was_after_a_pause(provider: SandboxProvider) -> None:
    """Variables, files and background processes come back, several times over."""
    sandbox = await provider.create(SandboxSpec())
    await cell(sandbox, "kept = list(range(5)); handle = open('open', 'w+'); handle.write('half')")
    await sandbox.code.create(context="second")
    await cell(sandbox, "other = 'context'", context="second")
    await write(sandbox, "file", b"content")
    pid = await shell(sandbox, _BEAT)
    for turn in range(3):
        await sandbox.pause()
        await _state_is(sandbox, "paused")
        await sandbox.resume()
        await _state_is(sandbox, "running")
        assert await value(sandbox, "kept.append(9); len(kept)") == str(6 + turn)
        assert await value(sandbox, "handle.tell()") == "4"
        assert await value(sandbox, "other", context="second") == "'context'"
        assert await read(sandbox, "file") == b"content"
        await _beats(sandbox, pid)


async def any_use_resumes(provider: SandboxProvider) -> None:
    """Commands, code and files alike; used at once by many, it resumes once."""
    sandbox = await provider.create(SandboxSpec())
    await write(sandbox, "file", b"content")
    for use in (
        lambda: shell(sandbox, "true"),
        lambda: value(sandbox, "1"),
        lambda: read(sandbox, "file"),
        lambda: sandbox.files.list("."),
    ):
        await sandbox.pause()
        await use()
        assert sandbox.state == "running"
    await sandbox.pause()
    async with asyncio.TaskGroup() as tasks:
        using = [tasks.create_task(shell(sandbox, f"echo {n}")) for n in range(8)]
    assert [int(each.result()) for each in using] == list(range(8))


async def pausing_and_resuming_may_be_repeated(provider: SandboxProvider) -> None:
    """What is so already is left so."""
    sandbox = await provider.create(SandboxSpec())
    await sandbox.resume()
    await sandbox.pause()
    await sandbox.pause()
    await sandbox.resume()
    await sandbox.resume()
    assert await shell(sandbox, "echo on") == b"on\n"


async def a_pause_ends_calls_with_its_name(provider: SandboxProvider) -> None:
    """A call under way raises `SandboxPaused`; the next one finds the machine as it was."""
    sandbox = await provider.create(SandboxSpec())
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        command = Command(("sh", "-c", "echo in; sleep 300"), 300.0)
        tasks.create_task(refused(SandboxPaused, sandbox.commands.run(command, seen)))
        await seen.first.wait()
        await sandbox.pause()
    assert await shell(sandbox, "echo on") == b"on\n"


async def a_resumed_machine_has_new_luck(provider: SandboxProvider) -> None:
    """It draws nothing again that it would have drawn, and nothing that it drew."""
    sandbox = await provider.create(SandboxSpec())
    await sandbox.code.create(context="second")
    drawn = [await value(sandbox, _LUCK)]
    for _ in range(3):
        await sandbox.pause()
        drawn += [await value(sandbox, _LUCK), await value(sandbox, _LUCK, context="second")]
    values = [part for each in drawn for part in each.strip("()").split(", ")]
    assert len(set(values)) == len(values), values


async def copies_differ_in_luck_and_in_nothing_else(provider: SandboxProvider) -> None:
    """Each copy has the original's variables, files and processes, and draws what no other does."""
    sandbox = await provider.create(SandboxSpec())
    await cell(sandbox, "kept = {'a': [1, 2]}")
    await write(sandbox, "file", b"content")
    pid = await shell(sandbox, _BEAT)
    copies = await sandbox.fork(3)
    drawn, names = [], []
    for each in (sandbox, *copies):
        assert await value(each, "kept") == "{'a': [1, 2]}"
        assert await read(each, "file") == b"content"
        await _beats(each, pid)
        drawn.append(await value(each, _LUCK))
        names.append(await shell(each, "hostname; cat /etc/machine-id"))
    values = [part for each in drawn for part in each.strip("()").split(", ")]
    assert len(set(values)) == len(values), values
    assert len({line for each in names for line in each.splitlines()}) == 2 * len(names)
    assert len({each.facts.id for each in (sandbox, *copies)}) == len(names)


async def copies_live_on_their_own(provider: SandboxProvider) -> None:
    """What one changes the others do not see; a copy can be paused and copied in turn."""
    sandbox = await provider.create(SandboxSpec())
    await cell(sandbox, "kept = 1")
    (copy,) = await sandbox.fork()
    await cell(copy, "kept = 2")
    await write(copy, "file", b"copy")
    await copy.pause()
    (second,) = await copy.fork()
    await sandbox.stop()
    assert await value(copy, "kept") == await value(second, "kept") == "2"
    assert await read(second, "file") == b"copy"
    await copy.stop()
    assert await value(second, "kept + 1") == "3"


async def a_call_goes_on_while_its_machine_is_copied(provider: SandboxProvider) -> None:
    """Its output comes whole and in order, and it ends by itself."""
    sandbox = await provider.create(SandboxSpec())
    seen = Seen()
    count = "i=0; while [ $i -lt 30000 ]; do echo $i; i=$((i+1)); done"
    async with asyncio.TaskGroup() as tasks:
        command = Command(("sh", "-c", count), PATIENCE_S)
        counting = tasks.create_task(sandbox.commands.run(command, seen))
        await seen.first.wait()
        copies = await sandbox.fork(2)
    assert counting.result().ok
    assert seen.stdout == b"".join(b"%d\n" % n for n in range(30_000))
    for each in copies:
        assert await shell(each, "echo on") == b"on\n"


async def a_copy_gets_only_the_variables_it_is_given(provider: SandboxProvider) -> None:
    """Commands and code of a copy for somebody else do not find the original's secrets."""
    sandbox = await provider.create(SandboxSpec(env={"MINE": "1", "BOTH": "old"}))
    assert await value(sandbox, "import os; os.environ['MINE'], os.environ['BOTH']") == (
        "('1', 'old')"
    )
    same, other = (*await sandbox.fork(), *await sandbox.fork(env={"BOTH": "new"}))
    for each, expected in ((sandbox, b"1 old\n"), (same, b"1 old\n"), (other, b"none new\n")):
        assert await shell(each, "echo ${MINE-none} $BOTH") == expected
    code = "import os; (os.environ.get('MINE', 'none'), os.environ['BOTH'])"
    assert await value(other, code) == "('none', 'new')"
    await other.code.create(context="fresh")
    assert await value(other, code, context="fresh") == "('none', 'new')"
    await other.pause()
    assert await shell(other, "echo ${MINE-none} $BOTH") == b"none new\n"


async def a_snapshot_is_a_template(provider: SandboxProvider) -> None:
    """Machines made from it start where it was taken, whatever the original did since."""
    sandbox = await provider.create(SandboxSpec(env={"MINE": "1"}))
    await cell(sandbox, "kept = 1")
    try:
        snapshot = await sandbox.snapshot(_NAME)
        assert snapshot.name in [each.name for each in await provider.snapshots()]
        await cell(sandbox, "kept = 2")
        await sandbox.stop()
        again = await provider.create(SandboxSpec(template=_NAME))
        assert again.facts.template == _NAME
        assert await value(again, "kept") == "1"
        assert await shell(again, "echo ${MINE-none}") == b"none\n"
    finally:
        await provider.remove_snapshot(_NAME)
    assert await value(again, "kept") == "1"
    await refused(NameUnknown, provider.create(SandboxSpec(template=_NAME)))
    await refused(NameUnknown, provider.remove_snapshot(_NAME))


async def a_snapshot_needs_a_name_of_its_own(provider: SandboxProvider) -> None:
    """A name that is malformed, a template's, or taken is refused; the machine goes on."""
    sandbox = await provider.create(SandboxSpec())
    for name in ("", "../up", "A", "x" * 64, SandboxSpec().template):
        await refused(InputRefused, sandbox.snapshot(name))
    await refused(InputRefused, sandbox.fork(0))
    assert await shell(sandbox, "echo on") == b"on\n"


async def an_idle_machine_rests_and_wakes(provider: SandboxProvider) -> None:
    """It pauses by itself after its time, never under a call, and its next use resumes it."""
    sandbox = await provider.create(SandboxSpec(idle_s=0.5))
    await cell(sandbox, "kept = 1")
    assert await shell(sandbox, "sleep 2; echo on") == b"on\n"
    await _state_is(sandbox, "paused")
    assert await value(sandbox, "kept") == "1"
    await _state_is(sandbox, "paused")


async def a_machine_whose_time_is_over_is_paused(provider: SandboxProvider) -> None:
    """By default nothing is lost: even under a call it is paused, and goes on when it is used."""
    sandbox = await provider.create(SandboxSpec(lifetime_s=1.5))
    await cell(sandbox, "kept = 1")
    await refused(SandboxPaused, run(sandbox, "sleep", "300"))
    assert await value(sandbox, "kept") == "1"


async def a_machine_is_killed_when_asked(provider: SandboxProvider) -> None:
    """`on_timeout="kill"` destroys it, and says so."""
    sandbox = await provider.create(SandboxSpec(lifetime_s=1.0, on_timeout="kill"))
    await refused(SandboxStopped, run(sandbox, "sleep", "300"))
    await _state_is(sandbox, "gone")
    error = await refused(SandboxStopped, run(sandbox, "true"))
    assert "1 s" in error.message


async def a_paused_machine_can_be_listed_and_removed(provider: SandboxProvider) -> None:
    """It is in the list with its state, and gone once it was removed."""
    sandbox = await provider.create(SandboxSpec())
    await sandbox.pause()
    name = sandbox.facts.id
    assert [each.state for each in await provider.list() if each.id == name] == ["paused"]
    assert await provider.open(name) is sandbox
    await provider.remove(name)
    assert name not in [each.id for each in await provider.list()]
    await refused(SandboxStopped, sandbox.resume())
    await refused(MachineUnknown, provider.open(name))
    await refused(MachineUnknown, provider.remove(name))
    await refused(MachineUnknown, provider.open(SandboxId("../../etc")))


async def stopping_a_paused_machine_removes_it(provider: SandboxProvider) -> None:
    """It is not there to be resumed any more."""
    sandbox = await provider.create(SandboxSpec())
    await sandbox.pause()
    await sandbox.stop()
    assert sandbox.state == "gone"
    await refused(SandboxStopped, run(sandbox, "true"))
    assert sandbox.facts.id not in [each.id for each in await provider.list()]


CHECKS: tuple[Callable[[SandboxProvider], Awaitable[None]], ...] = (
    all_is_as_it_was_after_a_pause,
    any_use_resumes,
    pausing_and_resuming_may_be_repeated,
    a_pause_ends_calls_with_its_name,
    a_resumed_machine_has_new_luck,
    copies_differ_in_luck_and_in_nothing_else,
    copies_live_on_their_own,
    a_call_goes_on_while_its_machine_is_copied,
    a_copy_gets_only_the_variables_it_is_given,
    a_snapshot_is_a_template,
    a_snapshot_needs_a_name_of_its_own,
    an_idle_machine_rests_and_wakes,
    a_machine_whose_time_is_over_is_paused,
    a_machine_is_killed_when_asked,
    a_paused_machine_can_be_listed_and_removed,
    stopping_a_paused_machine_removes_it,
)
