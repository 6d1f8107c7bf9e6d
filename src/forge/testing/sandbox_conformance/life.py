"""A machine's life: made apart from all others, stopped for good, closed with its provider."""

import asyncio
from collections.abc import Awaitable, Callable

from forge.errors import FileNotFound, NameUnknown, SandboxStopped
from forge.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from forge.sandbox.commands import Command
from forge.testing.sandbox_conformance.watching import (
    Seen,
    cell,
    read,
    refused,
    run,
    shell,
    value,
    write,
)

_LUCK = "import os, random, uuid\n(random.random(), os.urandom(16), str(uuid.uuid4()))"


async def _every_call_is_refused(sandbox: Sandbox) -> None:
    await refused(SandboxStopped, run(sandbox, "true"))
    await refused(SandboxStopped, cell(sandbox, "1"))
    await refused(SandboxStopped, write(sandbox, "a"))
    await refused(SandboxStopped, read(sandbox, "a"))
    await refused(SandboxStopped, sandbox.files.list("."))


async def a_machine_says_what_it_is(provider: SandboxProvider) -> None:
    """Its facts name it, its provider and its template, and no two share a name."""
    one, other = [await provider.create(SandboxSpec()) for _ in range(2)]
    assert one.facts.provider == provider.name
    assert one.facts.template == SandboxSpec().template
    assert one.facts.create_ms >= 0
    assert one.facts.id != other.facts.id


async def stopping_is_for_good_and_may_be_repeated(provider: SandboxProvider) -> None:
    """After `stop` every call raises `SandboxStopped`, and another `stop` does nothing."""
    sandbox = await provider.create(SandboxSpec())
    await write(sandbox, "a")
    await sandbox.stop()
    await sandbox.stop()
    await _every_call_is_refused(sandbox)


async def stopping_ends_what_is_under_way(provider: SandboxProvider) -> None:
    """A call that runs while its machine is stopped raises `SandboxStopped`."""
    sandbox = await provider.create(SandboxSpec())
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        command = Command(("sh", "-c", "echo in; sleep 300"), 300.0)
        tasks.create_task(refused(SandboxStopped, sandbox.commands.run(command, seen)))
        await seen.first.wait()
        await sandbox.stop()


async def machines_see_nothing_of_each_other(provider: SandboxProvider) -> None:
    """Files, variables and ends of one are not the other's."""
    one, other = [await provider.create(SandboxSpec()) for _ in range(2)]
    await write(one, "secret", b"mine")
    await cell(one, "secret = 'mine'")
    await refused(FileNotFound, read(other, "secret"))
    result, _ = await cell(other, "secret")
    assert result.error is not None
    assert result.error.name == "NameError"
    await one.stop()
    assert await shell(other, "echo on") == b"on\n"


async def machines_share_no_luck(provider: SandboxProvider) -> None:
    """Two machines, made one after the other, never draw the same random value."""
    drawn = []
    for _ in range(3):
        sandbox = await provider.create(SandboxSpec())
        drawn.append(await value(sandbox, _LUCK))
        await sandbox.code.create(context="other")
        drawn.append(await value(sandbox, _LUCK, context="other"))
        await sandbox.stop()
    values = [part for each in drawn for part in each.strip("()").split(", ")]
    assert len(set(values)) == len(values), values


async def machines_have_names_of_their_own(provider: SandboxProvider) -> None:
    """Host name, machine id and boot-time secrets differ, and the clock is right."""
    facts = []
    for _ in range(2):
        sandbox = await provider.create(SandboxSpec())
        facts.append((await shell(sandbox, "hostname; cat /etc/machine-id")).split())
    assert not set(facts[0]) & set(facts[1])


async def machines_live_beside_each_other(provider: SandboxProvider) -> None:
    """Made at once, used at once."""
    async with asyncio.TaskGroup() as tasks:
        making = [tasks.create_task(provider.create(SandboxSpec())) for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        using = [tasks.create_task(shell(each.result(), "echo $((6 * 7))")) for each in making]
    assert [each.result() for each in using] == [b"42\n"] * 3


async def an_unknown_template_is_named(provider: SandboxProvider) -> None:
    """The error says what is not known."""
    error = await refused(NameUnknown, provider.create(SandboxSpec(template="no-such-template")))
    assert "no-such-template" in error.message


async def closing_the_provider_stops_its_machines(provider: SandboxProvider) -> None:
    """None of them can be used afterwards."""
    made = [await provider.create(SandboxSpec()) for _ in range(2)]
    await provider.close()
    for sandbox in made:
        await _every_call_is_refused(sandbox)


async def a_probe_says_what_works_and_remembers(provider: SandboxProvider) -> None:
    """The accelerator it names booted a guest, and asking again takes nothing."""
    probe = await provider.probe()
    assert probe.provider == provider.name
    assert probe.accelerator is not None
    assert [each.works for each in probe.attempts if each.accelerator == probe.accelerator] == [
        True
    ]
    assert all(each.reason or each.works for each in probe.attempts)
    again = await provider.probe()
    assert again.cached
    assert again.accelerator == probe.accelerator


CHECKS: tuple[Callable[[SandboxProvider], Awaitable[None]], ...] = (
    a_machine_says_what_it_is,
    stopping_is_for_good_and_may_be_repeated,
    stopping_ends_what_is_under_way,
    machines_see_nothing_of_each_other,
    machines_share_no_luck,
    machines_have_names_of_their_own,
    machines_live_beside_each_other,
    an_unknown_template_is_named,
    closing_the_provider_stops_its_machines,
    a_probe_says_what_works_and_remembers,
)
