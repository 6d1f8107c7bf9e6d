"""The contract of a machine's commands: `sandbox.commands`.

A *failed command is a result*: a non-zero exit, a signal or a passed deadline comes back as a
value. What every call may raise is in `forge.sandbox.base`.

A command runs in the foreground (`run`): whoever asked waits for it, and leaving ends it. Or in the
background (`start`): it goes on when whoever started it has gone, through a pause and a resume of
the machine too, until it ends by itself, at its deadline, or with the machine. Why something ended
is never in doubt: a passed deadline is `ExecResult.timed_out`, a machine that died raises
`SandboxDied`, one that its owner stopped raises `SandboxStopped`.
"""

import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from forge.sandbox.files import HOME
from forge.sandbox.output import Sink

NO_DEADLINE = math.inf
"""Seconds; for a background process that may run as long as its machine."""

User = Literal["user", "root"]


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a terminal, in characters: 1 to 65,535 each."""

    columns: int = 80
    rows: int = 24


@dataclass(frozen=True, slots=True)
class Command:
    """A command to run.

    Attributes:
        deadline_s: seconds until it is killed with all that it started, wherever that has gone;
            `NO_DEADLINE` in the background alone, where it binds what the process leaves behind as
            well. It does not pass while the machine is paused.
        stdin: all of its input, or input as it comes; its end is the end of input. A background
            process has none: it takes input from `Commands.send`.
        pty: run it on a terminal of this size: output is one raw stream, `stdout`, and the end of
            input is the character for it (`^D`).
        tag: a name for `Commands.list`, of at most 200 characters.
    """

    argv: tuple[str, ...]
    deadline_s: float
    cwd: str = HOME
    env: Mapping[str, str] = field(default_factory=dict)
    user: User = "user"
    stdin: bytes | AsyncIterator[bytes] = b""
    pty: Size | None = None
    tag: str = ""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command ended: by itself with `exit_code`, by `signal`, or at the deadline."""

    exit_code: int | None
    signal: int | None
    timed_out: bool
    duration_ms: float

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.exit_code == 0 and not self.timed_out


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """A process that runs, as the machine says; `started` is in seconds by the machine's clock."""

    pid: int
    argv: tuple[str, ...]
    tag: str
    cwd: str
    user: User
    pty: bool
    background: bool
    started: float


class Commands(Protocol):
    """Programs that a machine runs. Any of its calls may raise what `sandbox.base` lists."""

    async def run(self, command: Command, sink: Sink) -> ExecResult:
        """Run a command, sending its output to `sink` as it is printed.

        Cancelling the call kills the command with all that it started. What a command that ended
        left in the background goes on until the machine stops.

        Raises:
            InputRefused: argv is empty or holds NUL, or another part of the command is malformed.
            GuestRefused: the program or working directory does not exist or may not be used.
        """

    async def start(self, command: Command) -> int:
        """Start a background process; returns its number. At most 64 run at once.

        Its output of both streams is kept, the last mebibyte of it (less where many print much: 32
        MiB in all), and it never waits for somebody to read. What it leaves behind when it ends
        goes on until its deadline, and has nobody to print to.

        Raises:
            InputRefused, GuestRefused: as `run`; it was given `stdin`; too many run.
        """

    async def attach(self, pid: int, sink: Sink) -> ExecResult:
        """Send `sink` what a process printed, as far as it is kept, and what it prints; wait for
        its end. The first item bears a mark where older output is no longer there.

        Leaving does not end the process, and several may attach; it waits for the slowest of them.
        A background process can be attached to after its end, until 64 others have ended.

        Raises:
            ProcessNotFound: there is no such process.
        """

    async def list(self) -> tuple[ProcessInfo, ...]:
        """What runs now, in the foreground and in the background, by number.

        Not what those have started themselves.
        """

    async def send(
        self, pid: int, data: bytes, *, eof: bool = False, deadline_s: float = 30.0
    ) -> None:
        """Give a process input, and its end with `eof`; returns once the process's pipe or
        terminal has taken all of it.

        Raises:
            ProcessNotFound: there is no such process, or it has ended.
            GuestRefused: it takes no more input, or did not take all of it within the deadline;
                the message says how much it took.
        """

    async def signal(self, pid: int, number: int) -> None:
        """Send a signal to a process's group: the process, and its children that stayed in it.

        SIGKILL goes to its control group instead: to all that it started, wherever that has gone.

        Raises:
            InputRefused: no signal from 1 to 64.
            ProcessNotFound: there is no such process, or it has ended; no other one was signalled.
        """

    async def resize(self, pid: int, size: Size) -> None:
        """Change the size of a process's terminal; its foreground is told by SIGWINCH.

        Raises:
            InputRefused: no size from 1 to 65,535.
            ProcessNotFound: there is no such process, or it has ended.
            GuestRefused: it has no terminal.
        """
