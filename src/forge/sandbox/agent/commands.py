"""`sandbox.commands` over the wire."""

import math
import posixpath
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from forge.errors import InputRefused
from forge.sandbox.agent import answers, deadlines
from forge.sandbox.agent.call import Call, Line
from forge.sandbox.agent.files import check_path
from forge.sandbox.commands import Command, ExecResult, ProcessInfo, Size
from forge.sandbox.files import HOME
from forge.sandbox.output import Display, Output, Sink

_MAX_TAG = 200
_MAX_SIDE = 65_535
_LAST_SIGNAL = 64


class AgentCommands:
    """See `forge.sandbox.commands.Commands` for the contract."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def run(self, command: Command, sink: Sink) -> ExecResult:
        """See `forge.sandbox.commands.Commands.run`."""
        _check_command(command)
        if command.deadline_s == math.inf:
            raise InputRefused("a command in the foreground needs a deadline")
        request = {
            "verb": "exec",
            "argv": list(command.argv),
            "cwd": posixpath.join(HOME, command.cwd),
            "env": dict(command.env),
            "user": command.user,
            "pty": _pty(command.pty),
            "tag": command.tag,
            "deadline_s": command.deadline_s,
        }
        async with (
            Call(self._line, request, command.deadline_s + deadlines.MARGIN_S) as call,
            call.feeding(command.stdin),
        ):
            final = await call.follow(sink)
        return replace(call.checked(answers.exec_result, final), dropped_bytes=call.dropped)

    async def start(self, command: Command) -> int:
        """See `forge.sandbox.commands.Commands.start`."""
        _check_command(command)
        if command.stdin != b"":
            raise InputRefused("a background process takes its input from `send`")
        request = {
            "verb": "start",
            "argv": list(command.argv),
            "cwd": posixpath.join(HOME, command.cwd),
            "env": dict(command.env),
            "user": command.user,
            "pty": _pty(command.pty),
            "tag": command.tag,
            "deadline_s": None if command.deadline_s == math.inf else command.deadline_s,
        }
        async with Call(self._line, request, deadlines.QUICK_S, fin=True) as call:
            return call.checked(answers.pid, await call.final())

    async def attach(self, pid: int, sink: Sink) -> ExecResult:
        """See `forge.sandbox.commands.Commands.attach`."""
        request = {"verb": "attach", "pid": _known(pid)}
        async with Call(self._line, request, deadlines.QUICK_S, fin=True) as call:
            mark = call.checked(answers.dropped, await call.first())

            async def marked(item: Output | Display) -> None:
                nonlocal mark
                if isinstance(item, Output) and mark:
                    item, mark = Output(item.stream, item.data, dropped=mark), 0
                await sink(item)

            with call.lasting():
                final = await call.follow(marked)
            if mark:
                await sink(Output("stdout", b"", dropped=mark))
        return call.checked(answers.exec_result, final)

    async def list(self) -> tuple[ProcessInfo, ...]:
        """See `forge.sandbox.commands.Commands.list`."""
        async with Call(self._line, {"verb": "processes"}, deadlines.QUICK_S, fin=True) as call:
            return call.checked(answers.processes, await call.listing())

    async def send(
        self, pid: int, data: bytes, *, eof: bool = False, deadline_s: float = 30.0
    ) -> None:
        """See `forge.sandbox.commands.Commands.send`."""
        _check_deadline(deadline_s)
        request = {"verb": "send", "pid": _known(pid), "eof": eof, "deadline_s": deadline_s}
        async with (
            Call(self._line, request, deadline_s + deadlines.MARGIN_S) as call,
            call.feeding(data),
        ):
            size = call.checked(lambda value: answers.whole(value, "size"), await call.final())
        if size != len(data):
            raise self._line.violated("input that was taken and was not")

    async def signal(self, pid: int, number: int) -> None:
        """See `forge.sandbox.commands.Commands.signal`."""
        if not _within(number, _LAST_SIGNAL):
            raise InputRefused(f"a signal is a number from 1 to {_LAST_SIGNAL}")
        await self._ask({"verb": "signal", "pid": _known(pid), "signal": int(number)})

    async def resize(self, pid: int, size: Size) -> None:
        """See `forge.sandbox.commands.Commands.resize`."""
        _check_size(size)
        request = {
            "verb": "resize",
            "pid": _known(pid),
            "columns": size.columns,
            "rows": size.rows,
        }
        await self._ask(request)

    async def _ask(self, request: dict[str, Any]) -> None:
        async with Call(self._line, request, deadlines.QUICK_S, fin=True) as call:
            await call.final()


def _check_command(command: Command) -> None:
    if not command.argv or any("\0" in word for word in command.argv):
        raise InputRefused("a command needs a program, and no word of it may hold NUL")
    check_variables(command.env)
    if len(command.tag) > _MAX_TAG:
        raise InputRefused(f"a tag has at most {_MAX_TAG} characters")
    if command.pty is not None:
        _check_size(command.pty)
    _check_deadline(command.deadline_s)
    check_path(command.cwd)


def check_variables(env: Mapping[str, str]) -> None:
    """Refuse what cannot be set in an environment.

    Raises:
        InputRefused: a name is empty or holds `=`, or one or its value holds NUL.
    """
    for name, value in env.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise InputRefused(f"{name[:100]!r} cannot be set in a command's environment")


def _check_deadline(seconds: float) -> None:
    if not seconds >= 0:  # false of NaN too
        raise InputRefused("a deadline is a number of seconds from now")


def _check_size(size: Size) -> None:
    if not _within(size.columns, _MAX_SIDE) or not _within(size.rows, _MAX_SIDE):
        raise InputRefused(f"a terminal has 1 to {_MAX_SIDE} columns and rows")


def _pty(size: Size | None) -> dict[str, int] | None:
    return None if size is None else {"columns": size.columns, "rows": size.rows}


def _known(pid: int) -> int:
    if not _within(pid, answers.MAX_PID):
        raise InputRefused(f"a process has a number from 1 to {answers.MAX_PID}")
    return pid


def _within(number: int, most: int) -> bool:
    return 1 <= number <= most
