"""JavaScript: a context of Node's keeps what Python's keep, in its own ways."""

from forge.sandbox.base import Sandbox
from forge.sandbox.code import CodeResult
from forge.sandbox.output import Display, Output
from forge.testing.sandbox_conformance import watching
from forge.testing.sandbox_conformance.watching import Check, Seen


async def _cell(sandbox: Sandbox, code: str, deadline_s: float = 60) -> tuple[CodeResult, Seen]:
    return await watching.cell(sandbox, code, deadline_s=deadline_s, context="javascript")


async def _value(sandbox: Sandbox, code: str) -> str:
    return await watching.value(sandbox, code, context="javascript")


async def names_of_javascript_are_kept(sandbox: Sandbox) -> None:
    """`let`, `const`, functions and classes stay, and may be declared anew."""
    await _cell(sandbox, "let x = 20; const two = 2; function double(n) { return two * n; }")
    assert await _value(sandbox, "double(x + 1)") == "42"
    await _cell(sandbox, "const two = 3; let x = 1; class A { y = 5 }")
    assert await _value(sandbox, "[double(x), new A().y]") == "[ 3, 5 ]"


async def javascript_shows_its_last_value(sandbox: Sandbox) -> None:
    """As text, and as JSON where it is data; `undefined` shows nothing; `await` may stand free."""
    _, seen = await _cell(sandbox, "await Promise.resolve({ a: [1, 'é'] })")
    assert seen.displays == [
        {"text/plain": "{ a: [ 1, 'é' ] }", "application/json": '{"a":[1,"é"]}'}
    ]
    assert [item.main for item in seen.items if isinstance(item, Display)] == [True]
    for silent in ("undefined", "let y = 1", "", "// nothing"):
        result, seen = await _cell(sandbox, silent)
        assert (result.status, seen.items) == ("ok", []), silent


async def javascript_displays_keep_their_place(sandbox: Sandbox) -> None:
    """`console.log` and `display` are seen in the order of the cell, on their streams."""
    code = (
        "for (let i = 0; i < 5; i++) { console.log(i); display({ 'text/html': `<${i}>` }); }"
        "console.error('end'); undefined"
    )
    _, seen = await _cell(sandbox, code)
    told = [
        item.data.decode() if isinstance(item, Output) else item.data["text/html"]
        for item in seen.items
    ]
    assert "".join(told) == "".join(f"{i}\n<{i}>" for i in range(5)) + "end\n"
    assert seen.stderr == b"end\n"


async def javascript_errors_are_results(sandbox: Sandbox) -> None:
    """Name, message and a stack of the person's frames; whatever is thrown."""
    result, _ = await _cell(sandbox, "function broken() {\n  null.x\n}\nbroken()")
    assert result.error is not None
    assert result.error.name == "TypeError"
    assert "cell-1:2" in result.error.traceback
    assert "forge" not in result.error.traceback
    for code, name in (
        ("let = ;", "SyntaxError"),
        ("throw 5", "number"),
        ("gone", "ReferenceError"),
    ):
        result, _ = await _cell(sandbox, code)
        assert result.error is not None, code
        assert result.error.name == name


async def javascript_is_interrupted_at_its_deadline(sandbox: Sandbox) -> None:
    """A loop, a wait without end and a loop after a wait; what was there before is still there."""
    await _cell(sandbox, "let x = 41")
    pause = "await new Promise((done) => setTimeout(done, 10));"
    for code in ("x++; while (true) {}", "await new Promise(() => {})", f"{pause} for (;;) {{}}"):
        result, _ = await _cell(sandbox, code, deadline_s=1.0)
        assert (result.status, result.restarted) == ("timeout", False), code
    assert await _value(sandbox, "x") == "42"


async def a_crash_of_javascript_is_a_fresh_start(sandbox: Sandbox) -> None:
    """However Node ends, the call says so and the next one works; Python's context is as before."""
    await watching.cell(sandbox, "x = 'mine'")
    for deadly, why in (
        ("process.exit(3)", "exit code 3"),
        ("process.kill(process.pid, 'SIGKILL')", "SIGKILL"),
        ("process.abort()", "SIGABRT"),
    ):
        result, _ = await _cell(sandbox, f"globalThis.y = 1; {deadly}")
        assert (result.status, result.restarted) == ("crashed", True), deadly
        assert result.error is not None
        assert why in result.error.value
    assert await _value(sandbox, "typeof y") == "'undefined'"
    assert await watching.value(sandbox, "x") == "'mine'"


async def javascript_has_modules_and_files(sandbox: Sandbox) -> None:
    """`require`, and import statements at a cell's head, find Node's own; code starts at home."""
    await watching.write(sandbox, "data.txt", b"content")
    assert await _value(sandbox, "require('fs').readFileSync('data.txt', 'utf8')") == "'content'"
    code = "import fs, { existsSync as there } from 'fs'\nimport * as path from 'path'\n"
    assert await _value(sandbox, f"{code}[there(path.join('.', 'data.txt')), typeof fs]") == (
        "[ true, 'object' ]"
    )


CHECKS: tuple[Check, ...] = (
    names_of_javascript_are_kept,
    javascript_shows_its_last_value,
    javascript_displays_keep_their_place,
    javascript_errors_are_results,
    javascript_is_interrupted_at_its_deadline,
    a_crash_of_javascript_is_a_fresh_start,
    javascript_has_modules_and_files,
)
