"""The zygote: a process that imported the scientific stack once, and forks code contexts from it.

The agent talks to it over a packet socket (descriptor 3), one JSON object a packet:

    → {"fork": 1, "rehearse": bool, "cwd": folder}
                                + three descriptors: control socket, stdout, stderr
    ← {"pid": n}                a context is there
    ← {"ended": n, "status": s} a context ended; `s` is the status as waitpid gives it

It runs as root so that a person's code cannot signal or trace it; contexts drop to the person's
user id before they read anything.
"""

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from types import FrameType
from typing import Any, NoReturn

from forge_guest.interpreter import context, display

CONTROL = 3
_PACKET = 64 * 1024


def preload(names: list[str]) -> list[str]:
    """Import modules; returns those that could not be, with why."""
    failures = []
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 -- a template's module may fail in any way
            failures.append(f"{name}: {error!r}")
    return failures


def main() -> None:
    """Serve until the agent closes the socket."""
    control = socket.socket(fileno=CONTROL)
    settings = json.loads(control.recv(_PACKET))
    failures = preload(settings["preload"])
    display.warm_up()
    # Frozen objects are never visited by the collector, so copies of this memory stay shared.
    gc.collect()
    gc.freeze()
    control.send(json.dumps({"ready": 1, "failures": failures[:50]}).encode())
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, _ignore)
    signal.set_wakeup_fd(wake_write)
    _serve(control, wake_read)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """A handler must exist for the wake-up descriptor to be written."""


def _serve(control: socket.socket, wake: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(wake, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is control:
                    _answer(control)
                else:
                    os.read(wake, 4096)
                    _bury(control)


def _answer(control: socket.socket) -> None:
    data, fds, _, _ = socket.recv_fds(control, _PACKET, 3)
    if not data:
        sys.exit(0)
    request = json.loads(data)
    if "fork" in request:
        pid = _fork(fds, request)
        control.send(json.dumps({"pid": pid}).encode())


def _fork(fds: list[int], request: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        _become_context(fds, request)
    for fd in fds:
        os.close(fd)
    return pid


def _become_context(fds: list[int], request: dict[str, Any]) -> NoReturn:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    context.main(*fds, folder=str(request["cwd"]), rehearse=bool(request["rehearse"]))


def _bury(control: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        control.send(json.dumps({"ended": pid, "status": status}).encode())
