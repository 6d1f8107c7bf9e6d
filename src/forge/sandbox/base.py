"""The contract of a sandbox: a machine of its own kernel that runs commands and code.

A *failed command is a result*: a non-zero exit, a signal, an uncaught exception or a passed
deadline comes back as a value. A *broken machine is an exception*: whatever raises `SandboxDied`,
`SandboxUnresponsive` or `GuestViolation` has destroyed the machine, and every later call raises
`SandboxStopped`. Everything a guest sends is hostile: implementations bound, check and clip it.

Paths are paths inside the machine: absolute, or relative to `HOME`. They are text; bytes that are
not UTF-8 travel as surrogate escapes (PEP 383).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from forge.ids import SandboxId

HOME = "/home/user"
"""Where a person's files are in every machine, and where commands and code start."""

MAX_PATH_BYTES = 4096
"""Linux's own PATH_MAX."""

StreamName = Literal["stdout", "stderr"]
FileKind = Literal["file", "directory", "symlink", "other"]
CodeStatus = Literal["ok", "error", "timeout", "crashed"]
MimeBundle = dict[str, str]
"""Jupyter's MIME bundle. Text types are text, binary types base64, JSON types JSON text."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a command or code printed, as raw bytes."""

    stream: StreamName
    data: bytes


@dataclass(frozen=True, slots=True)
class Display:
    """A rich result that code displayed, in order with its output."""

    data: MimeBundle


Sink = Callable[[Output | Display], Awaitable[None]]
"""Where live output goes. While a sink waits, the guest's output waits too (flow control)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a machine may use. Sizes are MiB."""

    memory_mib: int = 1024
    disk_mib: int = 1024
    processes: int = 256


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What machine is wanted."""

    template: str = "base"
    limits: Limits = Limits()


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
class CodeError:
    """An uncaught exception: its class name, message, and a traceback of the person's frames."""

    name: str
    value: str
    traceback: str


@dataclass(frozen=True, slots=True)
class CodeResult:
    """How code ended. `timeout`: interrupted at its deadline, variables kept where the
    interpreter could be interrupted. `crashed`: the interpreter ended and a new, empty one is
    there. The value of the last expression is displayed, not returned here.
    """

    status: CodeStatus
    duration_ms: float
    error: CodeError | None = None
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One directory entry; `path` is absolute, times are seconds since 1970."""

    path: str
    kind: FileKind
    size: int
    mode: int
    modified: float


@dataclass(frozen=True, slots=True)
class SandboxFacts:
    """What is true of a machine for its whole life. `create_ms` is wish to first answer."""

    id: SandboxId
    provider: str
    accelerator: str
    template: str
    create_ms: float


class Sandbox(Protocol):
    """One machine, owned by whoever created it."""

    @property
    def facts(self) -> SandboxFacts:
        """What is true of this machine for its whole life."""

    async def exec(self, command: Command, sink: Sink) -> ExecResult:
        """Run a command, sending its output to `sink` as it is printed.

        Cancelling the call kills the command's process group. What it left in the background
        outside its group goes on until the machine stops.

        Raises:
            InputRefused: argv is empty or holds NUL, or `cwd` is malformed.
            GuestRefused: the program or working directory does not exist or may not be used.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see the module.
        """

    async def run_code(
        self, code: str, sink: Sink, *, deadline_s: float, context: str = "default"
    ) -> CodeResult:
        """Run Python in a context that keeps its variables between calls.

        One call at a time per context; a second waits. Cancelling the call interrupts the code.

        Raises:
            GuestRefused: the template has no interpreter, or the machine cannot start one.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see the module.
        """

    async def write_file(self, path: str, content: AsyncIterator[bytes]) -> int:
        """Write a file, making the folders it needs; returns its size in bytes.

        The file appears whole or not at all: it is written beside its place and renamed.

        Raises:
            PathRefused: the path is empty, holds NUL, or is longer than `MAX_PATH_BYTES`.
            GuestRefused: the machine cannot write there (a directory, no permission).
            QuotaExceeded: the disk is full; nothing of the file was kept.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see the module.
        """

    def read_file(self, path: str, *, limit: int) -> AsyncIterator[bytes]:
        """Read a regular file in pieces; at most `limit` bytes. The caller closes the iterator.

        Raises:
            PathRefused: as in `write_file`.
            FileNotFound: there is no such file.
            GuestRefused: it is not a regular file, or larger than `limit` bytes.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see the module.
        """

    async def list_files(self, path: str, *, depth: int = 1) -> tuple[FileInfo, ...]:
        """List a folder, `depth` levels deep, symlinks not followed; sorted by path, at most
        10,000 entries.

        Raises:
            PathRefused: as in `write_file`.
            FileNotFound: there is no such folder.
            GuestRefused: it is not a folder, or holds too many entries.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see the module.
        """

    async def stop(self) -> None:
        """Destroy the machine and everything in it. Calling it again does nothing."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One accelerator tried: did a real guest boot on it, and if not, why, in plain words."""

    accelerator: str
    works: bool
    reason: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Probe:
    """What this host can do. `accelerator` is the best that booted a guest, or None."""

    provider: str
    accelerator: str | None
    attempts: tuple[Attempt, ...]
    version: str
    cached: bool


class SandboxProvider(Protocol):
    """Somewhere machines come from."""

    @property
    def name(self) -> str:
        """The name settings choose it by."""

    async def probe(self, *, fresh: bool = False) -> Probe:
        """Find out, by booting a real guest, what this host can do. Verdicts are cached per host
        boot; `fresh` tries again.

        Raises:
            ProgramMissing: the VMM is not installed.
            ImageMissing: there is nothing to boot.
        """

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """Make a fresh machine, ready to use; makes the template first where it is missing.

        Raises:
            NameUnknown: no such template.
            ProgramMissing, NoAccelerator, NoSpace, ImageMissing: the host cannot do it.
            TemplateError: the template could not be made or loaded.
            SandboxDied, SandboxUnresponsive, GuestViolation: the new machine failed and is gone.
        """

    async def reap(self) -> int:
        """Remove what dead owners left behind; returns how many machines that was."""

    async def close(self) -> None:
        """Stop every machine this provider made and free everything it holds."""
