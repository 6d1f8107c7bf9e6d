"""Contexts: made, listed, apart from each other, interrupted, restarted and removed."""

import asyncio

from forge.errors import ContextNotFound, GuestRefused, InputRefused, PathRefused
from forge.sandbox.base import Sandbox
from forge.sandbox.code import CodeResult
from forge.testing.sandbox_conformance.watching import (
    PATIENCE_S,
    UNTIL_GO,
    Check,
    Seen,
    cell,
    refused,
    value,
    write,
)

_SLEEP = "print('in', flush=True)\nimport time\ntime.sleep(300)"


async def contexts_are_apart(sandbox: Sandbox) -> None:
    """A name of one is not known in another; a crash of one is not the other's."""
    for name in "ab":
        await sandbox.code.create(context=name)
    await cell(sandbox, "x = 'mine'", context="a")
    result, _ = await cell(sandbox, "x", context="b")
    assert result.error is not None
    assert result.error.name == "NameError"
    await cell(sandbox, "import os\nos._exit(1)", context="b")
    assert await value(sandbox, "x", context="a") == "'mine'"


async def contexts_run_beside_each_other(sandbox: Sandbox) -> None:
    """One waits for what the other does."""
    for name in "ab":
        await sandbox.code.create(context=name)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(cell(sandbox, UNTIL_GO, context="a"))
        tasks.create_task(cell(sandbox, "open('go', 'w').close()", context="b"))
    assert waiting.result()[0].status == "ok"


async def calls_in_one_context_wait_their_turn(sandbox: Sandbox) -> None:
    """The second runs after the first, and its deadline starts then."""
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        code = f"print('in', flush=True)\n{UNTIL_GO}x = 'first'"
        first = tasks.create_task(sandbox.code.run(code, seen, deadline_s=PATIENCE_S))
        await seen.first.wait()
        second = tasks.create_task(cell(sandbox, "x", deadline_s=20.0))
        await write(sandbox, "go")
    assert first.result().status == "ok"
    assert second.result()[1].plain == ["'first'"]


async def the_default_contexts_are_there(sandbox: Sandbox) -> None:
    """`default` is Python, `javascript` is there where Node is; both start at home."""
    there = {info.id: info for info in await sandbox.code.contexts()}
    assert list(there) == ["default", "javascript"]
    assert [info.language for info in there.values()] == ["python", "javascript"]
    assert {info.cwd for info in there.values()} == {"/home/user"}
    assert not any(info.busy or info.cells for info in there.values())


async def a_context_is_made_listed_and_removed(sandbox: Sandbox) -> None:
    """It has a name of its own, starts in its folder and counts its cells; then it is gone."""
    made, named = await sandbox.code.create(cwd="/usr"), await sandbox.code.create(context="mine")
    assert made.id not in ("mine", "default")
    assert await value(sandbox, "import os; os.getcwd()", context=made.id) == "'/usr'"
    told = {info.id: info for info in await sandbox.code.contexts()}
    assert (told[made.id].cells, told[made.id].cwd, told[named.id].cells) == (1, "/usr", 0)
    await sandbox.code.remove(made.id)
    assert made.id not in {info.id for info in await sandbox.code.contexts()}
    await refused(ContextNotFound, cell(sandbox, "1", context=made.id))
    await refused(ContextNotFound, sandbox.code.remove(made.id))


async def a_context_that_cannot_be_is_refused(sandbox: Sandbox) -> None:
    """Whatever is wrong with it, none is made, and the machine goes on."""
    for name in ("default", "", "../x", "a b", "\n", "x" * 65, "ä", ".", "-x"):
        await refused(GuestRefused, sandbox.code.create(context=name))
    await refused(GuestRefused, sandbox.code.create("cobol"))  # type: ignore[arg-type]
    for folder in ("/nowhere", "/etc/passwd", "/root"):
        await refused(GuestRefused, sandbox.code.create(cwd=folder))
        await refused(GuestRefused, sandbox.code.create("javascript", folder))
    for folder in ("", "a\0b", "x" * 513):
        await refused(PathRefused, sandbox.code.create(cwd=folder))
    await refused(ContextNotFound, sandbox.code.restart("nobody"))
    await refused(ContextNotFound, sandbox.code.interrupt("nobody"))
    await refused(GuestRefused, sandbox.code.remove("default"))
    assert len(await sandbox.code.contexts()) == 2


async def contexts_have_a_limit(sandbox: Sandbox) -> None:
    """Sixteen, and one that is removed makes room."""
    made = [await sandbox.code.create() for _ in range(14)]
    await refused(GuestRefused, sandbox.code.create())
    await sandbox.code.remove(made[3].id)
    await sandbox.code.create()


async def variables_of_a_call_are_undone(sandbox: Sandbox) -> None:
    """Set for one cell, also where it fails; what was there before is there again."""
    for context, code in (
        ("default", "import os\nos.environ.get('A', ''), os.environ['HOME']"),
        ("javascript", "[process.env.A ?? '', process.env.HOME].toString()"),
    ):
        before = await value(sandbox, code, context=context)
        seen = Seen()
        env = {"A": "é=1", "HOME": "/nowhere"}
        await sandbox.code.run(code, seen, deadline_s=PATIENCE_S, context=context, env=env)
        assert "é=1" in seen.plain[0]
        assert "/nowhere" in seen.plain[0]
        failing = "nothing_of_this_name"
        await sandbox.code.run(failing, seen, deadline_s=PATIENCE_S, context=context, env=env)
        assert await value(sandbox, code, context=context) == before
    for env in ({"": "x"}, {"A=B": "x"}, {"A": "\0"}):
        await refused(InputRefused, sandbox.code.run("1", Seen(), deadline_s=1, env=env))


async def _under_way(
    sandbox: Sandbox, code: str, tasks: asyncio.TaskGroup
) -> asyncio.Task[CodeResult]:
    seen = Seen()
    running = tasks.create_task(sandbox.code.run(code, seen, deadline_s=PATIENCE_S))
    await seen.first.wait()
    return running


async def an_interrupt_ends_the_call_and_keeps_variables(sandbox: Sandbox) -> None:
    """The call is an error; where nothing runs, nothing happens."""
    await cell(sandbox, "x = 5")
    assert await sandbox.code.interrupt("default") is False
    async with asyncio.TaskGroup() as tasks:
        running = await _under_way(sandbox, _SLEEP, tasks)
        assert (await sandbox.code.contexts())[0].busy
        assert await sandbox.code.interrupt("default") is True
    result = running.result()
    assert result.status == "error"
    assert result.error is not None
    assert result.error.name == "KeyboardInterrupt"
    assert "forge" not in result.error.traceback
    assert await value(sandbox, "x") == "5"


async def a_restart_forgets_variables_and_ends_the_call(sandbox: Sandbox) -> None:
    """A call under way is told; the next finds an empty context, and others are as before."""
    await sandbox.code.create(context="other")
    await cell(sandbox, "y = 7", context="other")
    await cell(sandbox, "x = 5")
    assert (await sandbox.code.restart("default")).cells == 0
    assert await value(sandbox, "'x' in globals()") == "False"
    async with asyncio.TaskGroup() as tasks:
        running = await _under_way(sandbox, _SLEEP, tasks)
        await sandbox.code.restart("default")
    result = running.result()
    assert (result.status, result.restarted) == ("crashed", True)
    assert result.error is not None
    assert "restarted" in result.error.value
    assert await value(sandbox, "y", context="other") == "7"


async def removing_a_busy_context_ends_its_call(sandbox: Sandbox) -> None:
    """The call is a result, not a broken machine."""
    await sandbox.code.create(context="busy")
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(
            sandbox.code.run(_SLEEP, seen, deadline_s=PATIENCE_S, context="busy")
        )
        await seen.first.wait()
        await sandbox.code.remove("busy")
    assert running.result().status == "crashed"
    assert await value(sandbox, "1 + 1") == "2"


CHECKS: tuple[Check, ...] = (
    contexts_are_apart,
    contexts_run_beside_each_other,
    calls_in_one_context_wait_their_turn,
    the_default_contexts_are_there,
    a_context_is_made_listed_and_removed,
    a_context_that_cannot_be_is_refused,
    contexts_have_a_limit,
    variables_of_a_call_are_undone,
    an_interrupt_ends_the_call_and_keeps_variables,
    a_restart_forgets_variables_and_ends_the_call,
    removing_a_busy_context_ends_its_call,
)
