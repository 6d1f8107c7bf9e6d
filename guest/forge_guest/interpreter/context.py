"""A code context: a process that keeps a person's variables and runs one cell after another.

The agent talks to it over a stream socket, each message four bytes of length and a JSON object:

    → {"run": code, "renew": {...} | null, "env": {...}, "rehearsal": bool}
                            renew: fresh random numbers first, and variables from here on;
                            env: variables for this cell alone;
                            rehearsal: run it among names that nobody sees, and leave none
    ← {"display": bundle, "main": bool, "id": text, "change": "update" | "clear"}
                            once per display; main: the value of the last expression. The last two
                            where it has an id, or is not simply one more. It waits for
    → {"shown": 1}          so that displays stay in order with what is printed
    ← {"done": {"status": "ok" | "error", "error": {...}}, "display": bundle}
                            also once, when it is ready. The display is the value of the last
                            expression, where nothing was displayed after it: one turn less

What the person's code prints goes straight to the pipes at descriptors 1 and 2. `SIGINT` interrupts
a running cell and does nothing between cells. What a person's code does to this process is its own
affair: the agent checks what is sent, and ends and replaces a context that makes no sense.
"""

import ast
import asyncio
import contextlib
import gc
import inspect
import io
import linecache
import os
import site
import socket
import struct
import sys
import threading
import traceback
import types
from collections.abc import Iterator
from json import JSONDecoder, dumps  # held here: a cell may change what the module holds
from os import getpid
from signal import SIGINT
from signal import signal as set_handler
from typing import Any, NoReturn

from forge_guest.interpreter import display, luck, notebook

UID = GID = 1000
HOME = "/home/user"
_LENGTH = struct.Struct(">I")
# Without the regular expression that `loads` begins and ends with: under emulation, code that a
# clone runs for the first time is what a cell costs.
_scan = JSONDecoder().scan_once  # type: ignore[attr-defined]  # the types leave it out
_MAX_TRACEBACK = 64 * 1024
_REHEARSAL = (
    "1 + 1",
    "print('', end='')",
    "1 / 0",
    "import pandas as pd, numpy as np",
    "pd.DataFrame({'a': [1, 2, 3], 'b': ['x', 'y', 'z']})",
    "pd.DataFrame({'a': [1, 2, 3]}).describe()",
    "pd.DataFrame({'a': [1, 2, 3], 'b': ['x', 'y', 'z']}).groupby('b').a.sum().plot(kind='bar')",
)
_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


class Agent:
    """The context's end of its control socket."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self._socket = socket.socket(fileno=fd)
        self._pid = getpid()
        self._lock = threading.Lock()
        self._value: dict[str, str] | None = None
        self.busy = False

    def send(self, message: dict[str, Any]) -> None:
        """Send one message."""
        payload = dumps(message).encode("utf-8", "replace")
        self._socket.sendall(_LENGTH.pack(len(payload)) + payload)

    def receive(self) -> dict[str, Any]:
        """The next message; the process ends when the agent has gone."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        value: dict[str, Any] = _scan(self._exactly(length).decode(), 0)[0]
        return value

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            data = self._socket.recv(size - len(parts))
            if not data:
                os._exit(0)
            parts += data
        return bytes(parts)

    def show(self, bundle: dict[str, str], main: bool, extra: dict[str, str]) -> None:
        """Send a display and wait until it is in its place. A forked child stays silent, and what
        a thread shows between cells is printed.
        """
        if getpid() != self._pid:
            return
        with self._lock:
            if not self.busy:
                if bundle:
                    print(bundle["text/plain"])  # noqa: T201 -- nobody is there to show it
                return
            if self._value is not None:
                self._pass_on({"display": self._value, "main": True})
            if main:
                self._value = bundle  # an end without further displays takes it along
            else:
                self._pass_on({"display": bundle, "main": False, **extra})

    def _pass_on(self, message: dict[str, Any]) -> None:
        self._value = None
        sys.stdout.flush()
        sys.stderr.flush()
        with _patiently():
            self.send(message)
            self.receive()

    def finish(self, outcome: dict[str, Any]) -> None:
        """Say that a cell is over, with its value. Nothing is shown from here on; a thread that
        shows something now is waited for.
        """
        with self._lock:
            self.busy = False
            value, self._value = self._value, None
        self.send({"done": outcome} if value is None else {"done": outcome, "display": value})


class _Interrupts:
    """What SIGINT does: it ends what runs while that is allowed, and is noted otherwise.

    A flag instead of another handler: between a cell's last line and the next call there is no
    moment at which an interrupt could hit what is ours.
    """

    def __init__(self) -> None:
        self.allowed = False
        self.held = False

    def __call__(self, _number: int, _frame: types.FrameType | None) -> None:
        """Take one."""
        if self.allowed:
            raise KeyboardInterrupt
        self.held = True


_interrupts = _Interrupts()


@contextlib.contextmanager
def _patiently() -> Iterator[None]:
    """Hold an interrupt back until the block is over: half a message would be the end."""
    if threading.current_thread() is not threading.main_thread() or not _interrupts.allowed:
        yield
        return
    _interrupts.allowed = _interrupts.held = False
    try:
        yield
    finally:
        _interrupts.allowed = True
    if _interrupts.held:
        raise KeyboardInterrupt


def main(control: int, stdout: int, stderr: int, *, folder: str, rehearse: bool) -> NoReturn:
    """Become a context in a folder; never returns.

    `rehearse` runs cells beforehand, so that the memory they touch is saved with the template and
    shared by its clones.
    """
    os.setsid()
    set_handler(SIGINT, _interrupts)
    null = os.open("/dev/null", os.O_RDONLY)
    for source, target in ((null, 0), (stdout, 1), (stderr, 2)):
        os.dup2(source, target)
    for fd in (null, stdout, stderr, 3):
        if fd > 2:
            os.close(fd)
    os.setgroups([])
    os.setresgid(GID, GID, GID)
    os.setresuid(UID, UID, UID)
    os.environ.update(HOME=HOME, USER="user", LOGNAME="user")  # noqa: TID251 -- its own
    luck.renew()
    agent = Agent(control)
    _enter(folder, agent)
    if rehearse:
        _rehearse()
    module = _fresh_main()
    display.install(agent.show, module.__dict__)
    notebook.install()
    _serve(agent, module)


def _enter(folder: str, agent: Agent) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        agent.send({"done": _described(error, f"{error.strerror}: {folder}"[:500], "")})
        os._exit(1)


def _fresh_main() -> types.ModuleType:
    sys.stdin = io.TextIOWrapper(io.FileIO(0, "r", closefd=False), encoding="utf-8")
    for name, fd in (("stdout", 1), ("stderr", 2)):
        raw = io.BufferedWriter(io.FileIO(fd, "w", closefd=False))
        text = io.TextIOWrapper(raw, encoding="utf-8", errors="replace", line_buffering=True)
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)
    sys.argv = [""]
    sys.path[:] = ["", *(path for path in sys.path if not path.startswith("/run/forge"))]
    packages = site.getusersitepackages()
    sys.path.append(packages)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    return module


def _rehearse() -> None:
    module = _fresh_main()
    display.install(lambda *_: None, module.__dict__)
    for code in _REHEARSAL:
        _run_cell(code, "<rehearsal>", module)
    gc.collect()


def _serve(agent: Agent, module: types.ModuleType) -> NoReturn:
    agent.send({"done": {"status": "ok"}})
    cells = 0
    while True:
        request = agent.receive()
        if "run" not in request:
            continue
        if request["renew"] is not None:
            luck.renew()
            _set_env(request["renew"])
        code, rehearsal = str(request["run"]), request["rehearsal"]
        cells += not rehearsal
        agent.busy = True
        before = _set_env(request["env"])
        outcome = _run_unseen(code) if rehearsal else _run_cell(code, f"<cell {cells}>", module)
        _set_env(before)
        agent.finish(outcome)


def _run_unseen(code: str) -> dict[str, Any]:
    """Run a cell for what it warms: among names of its own, which go with it."""
    module = types.ModuleType("__main__")
    module.__dict__["display"] = display.display
    outcome = _run_cell(code, "<rehearsal>", module)
    linecache.cache.pop("<rehearsal>", None)
    return outcome


def _set_env(changes: dict[str, str | None]) -> dict[str, str | None]:
    """Set variables, or unset those that are None; returns what they were."""
    before = {}
    for name, value in changes.items():
        before[name] = os.environ.get(name)  # noqa: TID251 -- a person's own
        if value is None:
            os.environ.pop(name, None)  # noqa: TID251 -- as above
        else:
            os.environ[name] = value  # noqa: TID251 -- as above
    return before


def _run_cell(code: str, name: str, module: types.ModuleType) -> dict[str, Any]:
    pid = getpid()
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    set_handler(SIGINT, _interrupts)  # a cell may have set another
    try:
        _interrupts.allowed = True
        outcome = _attempt(code, name, module)
        _interrupts.allowed = False
    except BaseException as error:  # noqa: BLE001 -- an interrupt while an outcome was told
        _interrupts.allowed = False
        outcome = _described(error, "the cell was interrupted", "")
    if getpid() != pid:
        os._exit(0)  # a child that the cell forked must not answer for its parent
    set_handler(SIGINT, _interrupts)
    return outcome


def _attempt(code: str, name: str, module: types.ModuleType) -> dict[str, Any]:
    outcome: dict[str, Any] = {"status": "ok"}
    try:
        _execute(code, name, module)
        display.show_figures()
    except SystemExit as error:
        if error.code not in (None, 0):
            outcome = _describe(error)
    except BaseException as error:  # noqa: BLE001 -- whatever a person's code raises is a result
        outcome = _describe(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception as error:  # noqa: BLE001 -- a cell may have put anything in its place
            outcome = _describe(error)
    return outcome


def _execute(code: str, name: str, module: types.ModuleType) -> None:
    tree = compile(code, name, "exec", flags=ast.PyCF_ONLY_AST | _FLAGS)
    last = tree.body[-1] if tree.body else None
    shown = isinstance(last, ast.Expr) and not code.rstrip().endswith(";")
    if shown:
        tree.body.pop()
    _evaluate(compile(tree, name, "exec", flags=_FLAGS), module)
    if shown and isinstance(last, ast.Expr):
        value = _evaluate(compile(ast.Expression(last.value), name, "eval", flags=_FLAGS), module)
        if value is not None:
            module.__dict__["_"] = value
            display.show(value, main=True)


def _evaluate(code: types.CodeType, module: types.ModuleType) -> Any:
    value = eval(code, module.__dict__)  # noqa: S307 -- running a person's code is the purpose
    if code.co_flags & inspect.CO_COROUTINE:
        return asyncio.run(value)
    return value


def _describe(error: BaseException) -> dict[str, Any]:
    frames = _theirs(error.__traceback__)
    try:
        # First: `traceback` would take an interrupt of a `__str__` that hangs for its failure.
        value = str(error)
        text = "".join(traceback.format_exception(type(error), error, frames))
    except Exception as second:  # noqa: BLE001 -- a person's exception may fail to print itself
        text = value = f"<{type(error).__name__} that cannot be printed: {type(second).__name__}>"
    if len(text) > _MAX_TRACEBACK:
        half = _MAX_TRACEBACK // 2
        text = f"{text[:half]}\n… [clipped: {len(text)} characters] …\n{text[-half:]}"
    return _described(error, value[:4000], text)


def _theirs(frames: types.TracebackType | None) -> types.TracebackType | None:
    """The frames of a person's code: without what called it, and where an interrupt was taken."""
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    last = frames
    while last is not None and last.tb_next is not None:
        if last.tb_next.tb_frame.f_code is _Interrupts.__call__.__code__:
            last.tb_next = None
        last = last.tb_next
    return frames


def _described(error: BaseException, value: str, text: str) -> dict[str, Any]:
    return {
        "status": "error",
        "error": {"name": type(error).__name__, "value": value, "traceback": text},
    }
