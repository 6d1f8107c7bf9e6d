"""What a cell may try against the interpreter, tried: floods, lies, closed descriptors, processes
that cannot be interrupted. Each ends in a result; the context may be lost, the machine goes on, and
a bystander context keeps its variables.
"""

import asyncio
import resource

import pytest

from forge.sandbox.base import Sandbox
from forge.sandbox.code import CodeResult
from forge.sandbox.output import Display, Output
from talking import Heard

pytestmark = pytest.mark.vm


async def _cell(
    sandbox: Sandbox, code: str, context: str = "default", deadline_s: float = 30
) -> tuple[CodeResult, Heard]:
    heard = Heard()
    result = await sandbox.code.run(code, heard, deadline_s=deadline_s, context=context)
    return result, heard


@pytest.fixture
async def watched(qemu: Sandbox) -> Sandbox:
    """A machine with a bystander whose variable must survive."""
    await qemu.code.create(context="bystander")
    await _cell(qemu, "kept = 'mine'", "bystander")
    return qemu


async def _unharmed(sandbox: Sandbox) -> None:
    _, heard = await _cell(sandbox, "kept", "bystander")
    assert [each.data["text/plain"] for each in heard.displays] == ["'mine'"]
    for context in ("default", "javascript"):
        result, heard = await _cell(sandbox, "1 + 1", context)
        assert (result.status, heard.displays[-1].data["text/plain"]) == ("ok", "2"), context


FLOODS = {
    "stdout": ("default", "while True: print('x' * 10_000)"),
    "stderr": ("default", "import sys\nwhile True: sys.stderr.write('x' * 10_000)"),
    "displays": ("default", "while True: display('x' * 100_000)"),
    "large displays": ("default", "while True: display('x' * 4_000_000)"),
    "console": ("javascript", "while (true) console.log('x'.repeat(10000))"),
    "displays of javascript": ("javascript", "while (true) display('x'.repeat(100000))"),
    "promises": (
        "javascript",
        "const f = () => Promise.resolve().then(f).then(f); f(); await 1; for(;;);",
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_ends_at_its_deadline_and_fills_nothing(flood: str, watched: Sandbox) -> None:
    """Whatever pours out without end is stopped; the host keeps none of it."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    async def nowhere(_: Output | Display) -> None:
        """Keeps nothing."""

    context, code = FLOODS[flood]
    result = await watched.code.run(code, nowhere, deadline_s=2, context=context)
    assert result.status == "timeout"
    # KiB: one display of 4 MB is held a few times over while it is put together.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 96 * 1024
    await _unharmed(watched)


ENDS = {
    "os._exit": "import os; os._exit(7)",
    "os.abort": "import os; os.abort()",
    "a segmentation fault": "import ctypes; ctypes.string_at(0)",
    "a kill of its group": "import os; os.killpg(0, 9)",
    "a stack without end": "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
    "its descriptors closed": "import os; os.closerange(0, 100)",
    "its line shut": "import socket, os\nfor fd in range(3, 30):\n"
    "    try: socket.socket(fileno=os.dup(fd)).shutdown(2)\n    except OSError: continue",
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_context_that_ends_itself_is_reported_and_replaced(
    end: str, watched: Sandbox
) -> None:
    """However it goes, the cell is `crashed`, with a reason."""
    result, _ = await _cell(watched, ENDS[end])
    assert (result.status, result.restarted) == ("crashed", True)
    assert result.error is not None
    assert result.error.value
    await _unharmed(watched)


JAVASCRIPT_ENDS = {
    "process.exit": "process.exit(7)",
    "process.abort": "process.abort()",
    "a kill of itself": "process.kill(process.pid, 'SIGKILL')",
    "reallyExit": "process.reallyExit(9)",
    "its line closed": "require('fs').closeSync(3); setInterval(() => 1, 10); while (true) {}",
    "memory": "const all = []; for (;;) all.push(new Array(1e6).fill(0))",
}


@pytest.mark.parametrize("end", JAVASCRIPT_ENDS)
async def test_a_javascript_context_that_ends_itself_is_reported(
    end: str, watched: Sandbox
) -> None:
    """A closed line may go unnoticed until the deadline; everything else is a crash at once."""
    result, _ = await _cell(watched, JAVASCRIPT_ENDS[end], "javascript", 60)
    assert result.status in ("crashed", "timeout")
    assert result.restarted
    await _unharmed(watched)


def _message(text: str) -> bytes:
    return len(text).to_bytes(4, "big") + text.encode()


LIES = {
    "noise": b"\xff" * 100,
    "a length without end": b"\xff\xff\xff\xff",
    "no JSON": _message("abc"),
    "deep JSON": _message("[" * 100_000),
    "a list": _message("[]"),
    "an outcome that is none": _message('{"done":5}'),
    "an error that is none": _message('{"done":{"status":"error","error":5}}'),
    "a display that is none": _message('{"display":1}'),
    "a display of no type": _message('{"display":{"none":"text"}}'),
    "a display of no text": _message('{"display":{"text/plain":1}}'),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_context_that_lies_to_the_agent_is_replaced(lie: str, watched: Sandbox) -> None:
    """What the agent cannot make sense of ends that context; the host never sees it."""
    code = (
        f"import os, stat, time\nlie = {LIES[lie]!r}\nfor fd in range(3, 20):\n"
        "    try:\n        if stat.S_ISSOCK(os.fstat(fd).st_mode): os.write(fd, lie)\n"
        "    except OSError: continue\ntime.sleep(20)"
    )
    result, _ = await _cell(watched, code)
    assert (result.status, result.restarted) == ("crashed", True), result
    await _unharmed(watched)


async def test_a_forged_outcome_harms_its_own_context_alone(watched: Sandbox) -> None:
    """A cell may answer for itself; the next call is still a result, and others are as before."""
    forged = _message('{"done":{"status":"ok"}}')
    code = (
        f"import os, stat\nfor fd in range(3, 20):\n    try:\n"
        f"        if stat.S_ISSOCK(os.fstat(fd).st_mode): os.write(fd, {forged!r} * 3)\n"
        "    except OSError: continue\nx = 1"
    )
    result, _ = await _cell(watched, code)
    assert result.status == "ok"
    for _ in range(4):
        result, _ = await _cell(watched, "1")
        assert result.status in ("ok", "crashed")
    await watched.code.restart("default")
    await _unharmed(watched)


async def test_no_context_reaches_into_another(watched: Sandbox) -> None:
    """Of one user, and yet: no descriptor, memory, environment or trace of another context, in
    either language, can be had. Signals can be sent; that is no wall.
    """
    await _cell(watched, "1", "javascript")
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def tried(pid):
    yield 'trace', libc.ptrace(16, pid, 0, 0)
    fd = libc.syscall(434, pid, 0)
    yield 'take', max(libc.syscall(438, fd, number, 0) for number in range(16))
    for name in ('fd', 'mem', 'environ', 'maps'):
        try:
            path = f'/proc/{pid}/{name}'
            yield name, len(os.listdir(path)) if name == 'fd' else os.open(path, os.O_RDONLY)
        except OSError:
            yield name, -1
others = []
for name in os.listdir('/proc'):
    if name.isdigit() and int(name) != os.getpid():
        if 'Uid:\\t1000' in open(f'/proc/{name}/status').read():
            others.append(int(name))
print(len(others), [(pid, what) for pid in others for what, got in tried(pid) if got >= 0])
"""
    _, heard = await _cell(watched, code)
    assert heard.text == "2 []\n"
    await _unharmed(watched)


STUBBORN = {
    "a repr": "class A:\n    def __repr__(self):\n        while True: pass\nA()",
    "an error's words": "class E(Exception):\n    def __str__(self):\n"
    "        while True: pass\nraise E",
    "a representation": "class A:\n    def _repr_html_(self):\n        while True: pass\nA()",
    "a stream": "import sys\nclass S:\n    def write(self, _): return 0\n    def flush(self):\n"
    "        while True: pass\nsys.stdout = S()",
}


@pytest.mark.parametrize("what", STUBBORN)
async def test_what_hangs_while_it_is_shown_is_interrupted(what: str, watched: Sandbox) -> None:
    """The deadline holds for what an object does when it is printed, and variables are kept."""
    await _cell(watched, "before = 1")
    result, _ = await _cell(watched, STUBBORN[what], deadline_s=1)
    assert (result.status, result.restarted) == ("timeout", False)
    result, _ = await _cell(watched, "import sys; sys.stdout = sys.__stdout__; before")
    assert result.status == "ok"
    await _unharmed(watched)


CLIPPED = {
    "a message": "raise ValueError('x' * 50_000_000)",
    "a chain": "e = None\nfor n in range(300):\n    try: raise ValueError('y' * 1000) from e\n"
    "    except ValueError as next: e = next\nraise e",
    "a name": "raise type('E' * 1_000_000, (Exception,), {})",
    "a recursion": "def f(): f()\nf()",
}


@pytest.mark.parametrize("what", CLIPPED)
async def test_giant_errors_are_clipped(what: str, watched: Sandbox) -> None:
    """An error fits one frame, whatever it says."""
    result, _ = await _cell(watched, CLIPPED[what])
    assert result.status == "error"
    assert result.error is not None
    assert len(result.error.name) + len(result.error.value) + len(result.error.traceback) < 60_000
    await _unharmed(watched)


async def test_patched_modules_harm_their_own_context_alone(watched: Sandbox) -> None:
    """A cell that takes apart what the interpreter is made of loses at most itself."""
    code = (
        "import json, socket, sys, os, builtins, struct, signal, traceback, ast\n"
        "json.dumps = json.loads = socket.socket.sendall = None\n"
        "sys.stdout = sys.stderr = None\nos.getpid = lambda: 1 / 0\n"
        "signal.signal = traceback.format_exception = ast.Expression = None\nbuiltins.repr = None"
    )
    result, _ = await _cell(watched, code)
    assert result.status in ("ok", "error", "crashed")
    await _cell(watched, "1")
    await watched.code.restart("default")
    await _unharmed(watched)


async def test_polluted_prototypes_do_not_reach_the_driver(watched: Sandbox) -> None:
    """Whatever a cell does to JavaScript's own objects, the context is interrupted and restarted as
    any other.
    """
    code = (
        "for (const of of [Object, Array, Promise, Function, String]) for (const name of "
        "Object.getOwnPropertyNames(of.prototype)) { try { if (name !== 'constructor') "
        "of.prototype[name] = () => { throw new Error('polluted'); }; } catch {} }"
        "Object.prototype.run = 'x'; JSON.stringify = null; globalThis.Atomics = null;"
    )
    result, _ = await _cell(watched, code, "javascript", 5)
    assert result.status in ("ok", "error", "timeout", "crashed")
    result, _ = await _cell(watched, "while (true) {}", "javascript", 2)
    assert result.status in ("timeout", "error", "crashed")
    await watched.code.restart("javascript")
    await _unharmed(watched)


async def test_eating_memory_in_one_context_leaves_the_others(watched: Sandbox) -> None:
    """The largest goes; a bystander keeps its variables."""
    result, _ = await _cell(watched, "x = []\nwhile True: x.append(b'x' * 10**7)", deadline_s=60)
    assert result.status in ("crashed", "error")
    await watched.code.restart("default")
    await _unharmed(watched)


async def test_a_forked_child_neither_answers_nor_shows(watched: Sandbox) -> None:
    """A child that goes on where its parent was says nothing in its parent's name."""
    code = (
        "import os\nif os.fork() == 0:\n    display('child')\n"
        "else:\n    os.wait()\n    display('parent')"
    )
    _, heard = await _cell(watched, code)
    assert [each.data["text/plain"] for each in heard.displays] == ["'parent'"]
    await _unharmed(watched)


async def test_a_thread_that_shows_between_cells_breaks_nothing(watched: Sandbox) -> None:
    """Nobody is there to be shown it, so it is printed, and the next cell is answered."""
    code = (
        "import threading, time\ndef later():\n    for _ in range(40):\n"
        "        display('late')\n        time.sleep(0.05)\nthreading.Thread(target=later).start()"
    )
    await _cell(watched, code)
    timer = (
        "let n = 0; const t = setInterval(() => {"
        " display('late'); if (++n > 40) clearInterval(t); }, 50); 0"
    )
    await _cell(watched, timer, "javascript")
    for _ in range(5):
        for context in ("default", "javascript"):
            result, heard = await _cell(watched, "40 + 2", context)
            assert result.status == "ok"
            assert [e.data["text/plain"] for e in heard.displays if e.main] == ["42"]
    await _unharmed(watched)


JAVASCRIPT_LUCK = (
    "const c = require('crypto');"
    "[Math.random(), c.randomUUID(), c.randomBytes(8).toString('hex'), c.randomInt(2 ** 40),"
    "c.webcrypto.getRandomValues(new Uint32Array(2)).join()].join('|')"
)


async def _drawn(sandbox: Sandbox) -> list[str]:
    _, heard = await _cell(sandbox, JAVASCRIPT_LUCK, "javascript")
    return heard.displays[0].data["text/plain"].strip("'").split("|")


async def test_copies_of_a_live_javascript_context_repeat_nothing(watched: Sandbox) -> None:
    """Neither V8's nor OpenSSL's generator says the same in two copies, in the copied machine, or
    in a context that was restarted; variables are there in each.
    """
    await _cell(watched, "let kept = 'mine'", "javascript")
    values = await _drawn(watched)
    for machine in (watched, *await watched.fork(2)):
        values += await _drawn(machine)
        _, heard = await _cell(machine, "kept", "javascript")
        assert heard.displays[0].data["text/plain"] == "'mine'"
    await watched.code.restart("javascript")
    values += await _drawn(watched)
    assert len(set(values)) == len(values) == 25


async def test_interrupts_without_end_break_nothing(watched: Sandbox) -> None:
    """A hundred interrupts at any moment: each cell ends as a result."""
    async with asyncio.TaskGroup() as tasks:
        code = "for i in range(30):\n    display(i)"
        runs = [tasks.create_task(_cell(watched, code)) for _ in range(10)]
        for _ in range(100):
            await watched.code.interrupt("default")
    assert {run.result()[0].status for run in runs} <= {"ok", "error"}
    await _unharmed(watched)
