"""The contract of a machine's interpreter: `sandbox.code`.

A *failed cell is a result*: an uncaught exception, a passed deadline or a crashed interpreter comes
back as a value. What every call may raise is in `forge.sandbox.base`.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from forge.sandbox.output import Sink

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
    interpreter could be interrupted. `crashed`: the interpreter ended and a new, empty one is
    there. The value of the last expression is displayed, not returned here.
    `dropped_bytes`: output beyond the machine's limit.
    """

    status: CodeStatus
    duration_ms: float
    error: CodeError | None = None
    restarted: bool = False
    dropped_bytes: int = 0


class Interpreter(Protocol):
    """Code that runs in contexts, which keep their variables between calls."""

    async def run(
        self, code: str, sink: Sink, *, deadline_s: float, context: str = "default"
    ) -> CodeResult:
        """Run Python in a context that keeps its variables between calls.

        One call at a time per context; a second waits. Cancelling the call interrupts the code.

        Raises:
            GuestRefused: the template has no interpreter, or the machine cannot start one.
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: see `sandbox.base`.
        """
