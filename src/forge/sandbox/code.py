"""The contract of a machine's interpreter: `sandbox.code`.

A *failed cell is a result*: an uncaught exception, a passed deadline or a crashed interpreter comes
back as a value. What every call may raise is in `forge.sandbox.base`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

from forge.sandbox.files import HOME
from forge.sandbox.output import Sink

Language = Literal["python", "javascript"]
NO_VARIABLES: Mapping[str, str] = MappingProxyType({})

CodeStatus = Literal["ok", "error", "timeout", "crashed"]


@dataclass(frozen=True, slots=True)
class CodeError:
    """An uncaught exception: its class name, message, and a traceback of the person's frames."""

    name: str
    value: str
    traceback: str


@dataclass(frozen=True, slots=True)
class CodeResult:
    """How code ended. `timeout`: interrupted at its deadline, variables kept where the
    interpreter could be interrupted. `crashed`: the context's process ended, and an empty one is
    there for the next call. The value of the last expression is displayed, not returned here.
    `dropped_bytes`: output beyond the machine's limit.
    """

    status: CodeStatus
    duration_ms: float
    error: CodeError | None = None
    restarted: bool = False
    dropped_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ContextInfo:
    """A context: its name, language, the folder it starts in, how many cells it has run, and
    whether one runs now.
    """

    id: str
    language: Language
    cwd: str
    cells: int
    busy: bool


class Interpreter(Protocol):
    """Code that runs in contexts, which keep their variables between calls.

    Each machine has the context `default`, which is Python, and, where its template has Node,
    `javascript`. Any call on a context that is not there raises `ContextNotFound`, and any call may
    raise what `sandbox.base` lists. A template without an interpreter raises `GuestRefused`.

    Contexts of a machine belong to one person: they share its files and can end each other, but
    neither read each other's memory nor answer for each other.
    """

    async def run(
        self,
        code: str,
        sink: Sink,
        *,
        deadline_s: float,
        context: str = "default",
        env: Mapping[str, str] = NO_VARIABLES,
    ) -> CodeResult:
        """Run code in a context; `env` are variables that it sees in this call alone.

        One call at a time per context; a second waits. Cancelling the call interrupts the code.

        Raises:
            InputRefused: a variable has no name or holds NUL; nothing ran.
            GuestRefused: the context's process cannot be started.
        """

    async def contexts(self) -> tuple[ContextInfo, ...]:
        """All contexts there are."""

    async def create(
        self, language: Language = "python", cwd: str = HOME, *, context: str | None = None
    ) -> ContextInfo:
        """Make a context and start its process, in a folder that is there; it is given a name of
        its own where `context` has none.

        Raises:
            PathRefused: `cwd` is malformed, or longer than 512 bytes.
            GuestRefused: the name is taken or none, the template does not run this language, the
                folder cannot be entered, or there are 16 contexts already.
        """

    async def interrupt(self, context: str) -> bool:
        """Interrupt what runs: its call ends with an error, variables stay. Whether anything ran.
        Code that ignores it goes on to its deadline, or until the context is restarted.
        """

    async def restart(self, context: str) -> ContextInfo:
        """End a context's process and forget its variables; a call under way ends as `crashed`."""

    async def remove(self, context: str) -> None:
        """Remove a context; a call under way ends as `crashed`.

        Raises:
            GuestRefused: it is one that every machine has, which can only be restarted.
        """
