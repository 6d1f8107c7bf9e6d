"""Code: variables that are kept, displays in order, clean errors, interrupts and crashes."""

import asyncio

from forge.sandbox.base import Sandbox
from forge.sandbox.output import Display, Output
from forge.testing.sandbox_conformance.watching import (
    PATIENCE_S,
    UNTIL_GO,
    Check,
    Seen,
    cell,
    value,
    write,
)


async def variables_are_kept_between_calls(sandbox: Sandbox) -> None:
    """Names, imports and functions of one call are there in the next."""
    await cell(sandbox, "import math\nx = 20\ndef double(n): return 2 * n")
    assert await value(sandbox, "math.floor(double(x + 1.5))") == "43"


async def the_last_expression_is_displayed(sandbox: Sandbox) -> None:
    """Only the last, and neither `None` nor a statement shows anything."""
    assert await value(sandbox, "1\n'two'") == "'two'"
    for silent in ("None", "x = 1", "", "# nothing", "for i in range(3): i"):
        result, seen = await cell(sandbox, silent)
        assert (result.status, seen.items) == ("ok", []), silent


async def a_last_expression_comes_after_what_was_printed(sandbox: Sandbox) -> None:
    """The order of a cell is the order of the sink."""
    _, seen = await cell(sandbox, "print('before')\n42")
    assert seen.stdout == b"before\n"
    assert isinstance(seen.items[-1], Display)


async def displays_keep_their_place_in_the_output(sandbox: Sandbox) -> None:
    """`display` between prints stays between them, every time."""
    code = "for i in range(20):\n    print(i)\n    display(i)\nprint('end')"
    _, seen = await cell(sandbox, code)
    told = [
        item.data.decode() if isinstance(item, Output) else f"<{item.data['text/plain']}>"
        for item in seen.items
    ]
    assert "".join(told) == "".join(f"{i}\n<{i}>" for i in range(20)) + "end\n"


async def streams_are_apart(sandbox: Sandbox) -> None:
    """Standard error is not standard output."""
    _, seen = await cell(sandbox, "import sys\nprint('out')\nprint('err', file=sys.stderr)")
    assert (seen.stdout, seen.stderr) == (b"out\n", b"err\n")


async def output_arrives_while_code_runs(sandbox: Sandbox) -> None:
    """The first output is there before the end."""
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        code = f"print('first', flush=True)\n{UNTIL_GO}"
        running = tasks.create_task(sandbox.code.run(code, seen, deadline_s=PATIENCE_S))
        await seen.first.wait()
        assert not running.done()
        await write(sandbox, "go")
    assert running.result().status == "ok"


async def text_of_any_script_survives(sandbox: Sandbox) -> None:
    """In source, in output and in displays."""
    text = "héllo 🎉 你好 \u2028 \u202e"
    _, seen = await cell(sandbox, f"print({text!r})\n{text!r}")
    assert seen.stdout.decode() == f"{text}\n"
    assert seen.plain == [repr(text)]


async def all_output_of_code_arrives(sandbox: Sandbox) -> None:
    """Three megabytes, to the last byte."""
    _, seen = await cell(sandbox, "print('x' * 3_000_000)")
    assert seen.stdout == b"x" * 3_000_000 + b"\n"


async def a_huge_display_is_whole_or_marked(sandbox: Sandbox) -> None:
    """Nothing is left out without a word."""
    text = await value(sandbox, "'x' * 10_000_000")
    assert len(text) == 10_000_002 or "clipped" in text


async def an_exception_is_a_result(sandbox: Sandbox) -> None:
    """Its class, its message and a traceback; variables from before it are kept."""
    result, seen = await cell(sandbox, "x = 5\nx / 0")
    assert result.status == "error"
    assert result.error is not None
    assert (result.error.name, result.error.value) == ("ZeroDivisionError", "division by zero")
    assert "ZeroDivisionError" in result.error.traceback
    assert not result.restarted
    assert seen.displays == []
    assert await value(sandbox, "x") == "5"


async def a_traceback_shows_a_persons_frames_alone(sandbox: Sandbox) -> None:
    """Two frames of theirs, with their source; nothing of what runs them."""
    await cell(sandbox, "def broken():\n    raise KeyError('which')  # right here")
    result, _ = await cell(sandbox, "broken()")
    assert result.error is not None
    traceback = result.error.traceback
    assert traceback.count("File ") == 2, traceback
    assert "right here" in traceback
    assert "forge" not in traceback


async def code_that_is_no_python_is_a_result(sandbox: Sandbox) -> None:
    """Syntax errors and stray NULs are errors; a lone surrogate is at least survived."""
    for code in ("def", "1 +", "x = \0"):
        result, _ = await cell(sandbox, code)
        assert result.status == "error", code
        assert result.error is not None
    await cell(sandbox, "'\ud800'")
    assert await value(sandbox, "1 + 1") == "2"


async def an_exception_that_cannot_be_printed_is_a_result(sandbox: Sandbox) -> None:
    """A class whose `__str__` raises does not take the interpreter with it."""
    code = "class Bad(Exception):\n    def __str__(self): raise RuntimeError\nraise Bad"
    result, _ = await cell(sandbox, code)
    assert result.status == "error"
    assert result.error is not None
    assert result.error.name == "Bad"


async def leaving_with_a_code_is_an_error_that_ends_nothing(sandbox: Sandbox) -> None:
    """`sys.exit(3)` ends the cell, not the interpreter."""
    result, _ = await cell(sandbox, "x = 1\nimport sys\nsys.exit(3)")
    assert result.status == "error"
    assert result.error is not None
    assert result.error.name == "SystemExit"
    assert await value(sandbox, "x") == "1"


async def a_deadline_interrupts_and_keeps_variables(sandbox: Sandbox) -> None:
    """A loop or a sleep that goes on is stopped; what was there before is still there."""
    await cell(sandbox, "x = 41\nimport time")
    for code in ("x += 1\nwhile True: pass", "time.sleep(300)"):
        result, _ = await cell(sandbox, code, deadline_s=1.0)
        assert (result.status, result.restarted) == ("timeout", False), code
    assert await value(sandbox, "x") == "42"


async def what_cannot_be_interrupted_is_replaced(sandbox: Sandbox) -> None:
    """Code that ignores interrupts loses its interpreter, and a fresh one is there."""
    stubborn = (
        "x = 1\nimport time\nwhile True:\n    try:\n        while True: time.sleep(0.01)\n"
        "    except KeyboardInterrupt: pass"
    )
    result, _ = await cell(sandbox, stubborn, deadline_s=1.0)
    assert (result.status, result.restarted) == ("timeout", True)
    assert await value(sandbox, "'x' in globals()") == "False"


async def endless_printing_ends_at_the_deadline(sandbox: Sandbox) -> None:
    """Output without end is stopped as any other code, and the context is usable."""

    async def nowhere(item: Output | Display) -> None:
        """Keeps nothing."""

    code = "while True: print('y' * 100)"
    result = await sandbox.code.run(code, nowhere, deadline_s=1.0)
    assert result.status == "timeout"
    assert await value(sandbox, "1 + 1") == "2"


async def a_crash_is_a_result_and_a_fresh_start(sandbox: Sandbox) -> None:
    """However the interpreter ends, the call says so and the next one works."""
    for deadly in ("os._exit(3)", "os.kill(os.getpid(), 9)", "os.abort()"):
        await cell(sandbox, "x = 1\nimport os")
        result, _ = await cell(sandbox, deadly)
        assert (result.status, result.restarted) == ("crashed", True), deadly
        assert await value(sandbox, "'x' in globals()") == "False"


async def output_before_a_crash_is_shown(sandbox: Sandbox) -> None:
    """The last words of an interpreter are not lost."""
    _, seen = await cell(sandbox, "import os\nprint('last words', flush=True)\nos._exit(1)")
    assert seen.stdout == b"last words\n"


async def cancelling_interrupts_the_code(sandbox: Sandbox) -> None:
    """Who gives the call up gets the context back."""
    seen = Seen()
    async with asyncio.TaskGroup() as tasks:
        code = "print('in', flush=True)\nimport time\ntime.sleep(300)"
        running = tasks.create_task(sandbox.code.run(code, seen, deadline_s=300.0))
        await seen.first.wait()
        running.cancel()
    assert await value(sandbox, "1 + 1") == "2"


async def code_sees_the_files_and_commands_of_its_machine(sandbox: Sandbox) -> None:
    """Code starts in the home folder, where written files are."""
    await write(sandbox, "data.txt", b"content")
    assert await value(sandbox, "open('data.txt').read()") == "'content'"


async def a_child_of_code_does_not_answer_for_it(sandbox: Sandbox) -> None:
    """A fork that ends, or fails, is the code's own affair."""
    fork = (
        "import os\npid = os.fork()\nif pid == 0: raise RuntimeError\nos.waitpid(pid, 0)[0] == pid"
    )
    assert await value(sandbox, fork) == "True"
    assert await value(sandbox, "1 + 1") == "2"


async def asking_for_input_does_not_hang(sandbox: Sandbox) -> None:
    """Nobody is there to answer: the end of input, at once."""
    result, _ = await cell(sandbox, "input()")
    assert result.error is not None
    assert result.error.name == "EOFError"


CHECKS: tuple[Check, ...] = (
    variables_are_kept_between_calls,
    the_last_expression_is_displayed,
    a_last_expression_comes_after_what_was_printed,
    displays_keep_their_place_in_the_output,
    streams_are_apart,
    output_arrives_while_code_runs,
    text_of_any_script_survives,
    all_output_of_code_arrives,
    a_huge_display_is_whole_or_marked,
    an_exception_is_a_result,
    a_traceback_shows_a_persons_frames_alone,
    code_that_is_no_python_is_a_result,
    an_exception_that_cannot_be_printed_is_a_result,
    leaving_with_a_code_is_an_error_that_ends_nothing,
    a_deadline_interrupts_and_keeps_variables,
    what_cannot_be_interrupted_is_replaced,
    endless_printing_ends_at_the_deadline,
    a_crash_is_a_result_and_a_fresh_start,
    output_before_a_crash_is_shown,
    cancelling_interrupts_the_code,
    code_sees_the_files_and_commands_of_its_machine,
    a_child_of_code_does_not_answer_for_it,
    asking_for_input_does_not_hang,
)
