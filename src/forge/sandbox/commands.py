"""The contract of a machine's commands: `sandbox.commands`.

A *failed command is a result*: a non-zero exit, a signal or a passed deadline comes back as a
value. What every call may raise is in `forge.sandbox.base`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from forge.sandbox.files import HOME
from forge.sandbox.output import Sink


@dataclass(frozen=True, slots=True)
class Command:
    """A command to run. `deadline_s` bounds it; its process group is killed when it passes."""

    argv: tuple[str, ...]
    deadline_s: float
    cwd: str = HOME
    env: Mapping[str, str] = field(default_factory=dict)
    user: Literal["user", "root"] = "user"
    stdin: bytes = b""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command ended: by itself with `exit_code`, by `signal`, or at the deadline.
    `dropped_bytes`: output beyond the machine's limit.
    """

    exit_code: int | None
    signal: int | None
    timed_out: bool
    duration_ms: float
    dropped_bytes: int = 0

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.exit_code == 0 and not self.timed_out


class Commands(Protocol):
    """Programs that a machine runs."""

    async def run(self, command: Command, sink: Sink) -> ExecResult:
        """Run a command, sending its output to `sink` as it is printed.

        Cancelling the call kills the command's process group. What it left in the background
        outside its group goes on until the machine stops.

        Raises:
            InputRefused: argv is empty or holds NUL, or `cwd` is malformed.
            GuestRefused: the program or working directory does not exist or may not be used.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see `sandbox.base`.
        """
