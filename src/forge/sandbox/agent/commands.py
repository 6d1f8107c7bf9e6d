"""`sandbox.commands` over the wire."""

import posixpath
from collections.abc import Mapping
from dataclasses import replace

from forge.errors import InputRefused
from forge.sandbox.agent import answers, deadlines
from forge.sandbox.agent.call import Call, Line
from forge.sandbox.agent.files import check_path
from forge.sandbox.commands import Command, ExecResult
from forge.sandbox.files import HOME
from forge.sandbox.output import Sink


class AgentCommands:
    """See `forge.sandbox.commands.Commands` for the contract."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def run(self, command: Command, sink: Sink) -> ExecResult:
        """See `forge.sandbox.commands.Commands.run`."""
        _check_command(command)
        request = {
            "verb": "exec",
            "argv": list(command.argv),
            "cwd": posixpath.join(HOME, command.cwd),
            "env": dict(command.env),
            "user": command.user,
            "deadline_s": command.deadline_s,
        }
        async with (
            Call(self._line, request, command.deadline_s + deadlines.MARGIN_S) as call,
            call.feeding(command.stdin),
        ):
            final = await call.follow(sink)
        return replace(call.checked(answers.exec_result, final), dropped_bytes=call.dropped)


def _check_command(command: Command) -> None:
    if not command.argv or any("\0" in word for word in command.argv):
        raise InputRefused("a command needs a program, and no word of it may hold NUL")
    check_variables(command.env)
    check_path(command.cwd)


def check_variables(env: Mapping[str, str]) -> None:
    """Refuse what cannot be set in an environment.

    Raises:
        InputRefused: a name is empty or holds `=`, or one or its value holds NUL.
    """
    for name, value in env.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise InputRefused(f"{name[:100]!r} cannot be set in a command's environment")
