"""A code context: a process that keeps a person's variables and runs one cell after another.

The agent talks to it over a stream socket, each message four bytes of length and a JSON object:

    → {"run": code, "renew": object}   unless null: fresh random numbers first, and variables
    ← {"display": bundle}   once per display; the context waits for
    → {"shown": 1}          so that displays stay in order with what is printed
    ← {"done": {"status": "ok" | "error", "error": {...}}}   also once, when it is ready

What the person's code prints goes straight to the pipes at descriptors 1 and 2. `SIGINT` interrupts
a running cell and is ignored between cells.
"""

import ast
import asyncio
import gc
import inspect
import io
import json
import linecache
import os
import signal
import site
import socket
import struct
import sys
import traceback
import types
from typing import Any, NoReturn

from forge_guest.interpreter import display, luck

UID = GID = 1000
HOME = "/home/user"
_LENGTH = struct.Struct(">I")
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
        self._socket = socket.socket(fileno=fd)
        self._pid = os.getpid()

    def send(self, message: dict[str, Any]) -> None:
        """Send one message."""
        payload = json.dumps(message).encode("utf-8", "replace")
        self._socket.sendall(_LENGTH.pack(len(payload)) + payload)

    def receive(self) -> dict[str, Any]:
        """The next message; the process ends when the agent has gone."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        value: dict[str, Any] = json.loads(self._exactly(length))
        return value

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            data = self._socket.recv(size - len(parts))
            if not data:
                os._exit(0)
            parts += data
        return bytes(parts)

    def show(self, bundle: dict[str, str]) -> None:
        """Send a display and wait until it is in its place. A forked child stays silent."""
        if os.getpid() != self._pid:
            return
        sys.stdout.flush()
        sys.stderr.flush()
        self.send({"display": bundle})
        self.receive()


def main(control: int, stdout: int, stderr: int, *, rehearse: bool) -> NoReturn:
    """Become a context; never returns.

    `rehearse` runs cells beforehand, so that the memory they touch is saved with the template and
    shared by its clones.
    """
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    null = os.open("/dev/null", os.O_RDONLY)
    for source, target in ((null, 0), (stdout, 1), (stderr, 2)):
        os.dup2(source, target)
    for fd in (null, stdout, stderr, 3):
        if fd > 2:
            os.close(fd)
    os.setgroups([])
    os.setresgid(GID, GID, GID)
    os.setresuid(UID, UID, UID)
    os.chdir(HOME)
    os.environ.update(HOME=HOME, USER="user", LOGNAME="user")  # noqa: TID251 -- its own
    luck.renew()
    agent = Agent(control)
    if rehearse:
        _rehearse()
    module = _fresh_main()
    display.install(agent.show, module.__dict__)
    _serve(agent, module)


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
    display.install(lambda _: None, module.__dict__)
    for code in _REHEARSAL:
        _run_cell(code, "<rehearsal>", module)
    gc.collect()


def _serve(agent: Agent, module: types.ModuleType) -> NoReturn:
    agent.send({"done": {"status": "ok"}})
    cells = 0
    while True:
        request = agent.receive()
        if request["renew"] is not None:
            luck.renew()
            _take(request["renew"])
        cells += 1
        outcome = _run_cell(str(request["run"]), f"<cell {cells}>", module)
        agent.send({"done": outcome})


def _take(variables: dict[str, str | None]) -> None:
    """Set what this machine was told since the last cell, and forget what it no longer has."""
    for name, text in variables.items():
        if text is None:
            os.environ.pop(name, None)  # noqa: TID251 -- its own
        else:
            os.environ[name] = text  # noqa: TID251 -- its own


def _run_cell(code: str, name: str, module: types.ModuleType) -> dict[str, Any]:
    pid = os.getpid()
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    outcome: dict[str, Any] = {"status": "ok"}
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _execute(code, name, module)
        display.show_figures()
    except SystemExit as error:
        if error.code not in (None, 0):
            outcome = _describe(error)
    except BaseException as error:  # noqa: BLE001 -- whatever a person's code raises is a result
        outcome = _describe(error)
    finally:
        if os.getpid() != pid:
            os._exit(0)  # a child that the cell forked must not answer for its parent
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError) as error:
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
            display.show(value)


def _evaluate(code: types.CodeType, module: types.ModuleType) -> Any:
    value = eval(code, module.__dict__)  # noqa: S307 -- running a person's code is the purpose
    if code.co_flags & inspect.CO_COROUTINE:
        return asyncio.run(value)
    return value


def _describe(error: BaseException) -> dict[str, Any]:
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, frames))
        value = str(error)
    except Exception as second:  # noqa: BLE001 -- a person's exception may fail to print itself
        text = value = f"<{type(error).__name__} that cannot be printed: {type(second).__name__}>"
    if len(text) > _MAX_TRACEBACK:
        half = _MAX_TRACEBACK // 2
        text = f"{text[:half]}\n… [clipped: {len(text)} characters] …\n{text[-half:]}"
    return {
        "status": "error",
        "error": {"name": type(error).__name__, "value": value[:4000], "traceback": text},
    }
