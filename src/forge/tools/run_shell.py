"""`run_shell`: a command line in the machine, by bash, or by sh where a template has no bash."""

import signal
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from forge.errors import GuestRefused
from forge.events import ToolOutcome
from forge.sandbox.base import Sandbox
from forge.sandbox.commands import Command, ExecResult
from forge.tools.base import DEFAULT_S, LONGEST_S, Arguments, Output


class RunShellArguments(Arguments):
    """What `run_shell` takes."""

    command: str = Field(min_length=1, description="The command line, as bash reads it.")
    timeout_s: float = Field(
        DEFAULT_S, gt=0, le=LONGEST_S, description="Seconds after which it is killed."
    )


class RunShell:
    """Runs a command line in the machine."""

    name: ClassVar[str] = "run_shell"
    description: ClassVar[str] = (
        "Run a bash command line in the machine, in /home/user. Its output and exit code are "
        "returned. Each call is a fresh shell: `cd` and variables do not last."
    )
    arguments: ClassVar[type[Arguments]] = RunShellArguments
    after: ClassVar[frozenset[str]] = frozenset({"write_file"})

    async def run(
        self, sandbox: Sandbox, arguments: RunShellArguments, output: Output
    ) -> ToolOutcome:
        """Run the command; a non-zero exit, a signal and a passed deadline are results."""
        command = Command(("bash", "-c", arguments.command), deadline_s=arguments.timeout_s)
        try:
            result = await sandbox.commands.run(command, output.sink)
        except GuestRefused:  # nothing was started: every template has this shell
            plain = replace(command, argv=("/bin/sh", *command.argv[1:]))
            result = await sandbox.commands.run(plain, output.sink)
        if not result.ok:
            await output.write(f"\n[{_ending(result, arguments.timeout_s)}]\n", stream="stderr")
        if result.timed_out:
            return "timeout"
        return "ok" if result.ok else "error"


def _ending(result: ExecResult, timeout_s: float) -> str:
    if result.timed_out:
        return f"killed after {timeout_s:g} s"
    if result.signal is not None:
        known = result.signal in set(signal.Signals)
        return f"ended by {signal.Signals(result.signal).name if known else result.signal}"
    return f"exit code {result.exit_code}"
