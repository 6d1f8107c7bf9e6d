"""The contract of a tool: a name, what a model is told, checked arguments, and one call.

A tool's arguments are a pydantic model: its JSON Schema is what the model is shown, and nothing
that does not fit it reaches `run`. What a tool prints or answers goes to the `Output` it is given;
there it is shown, kept, clipped and counted, the same for all tools. A failed call is a result
(`"error"`, `"timeout"`, `"crashed"`), not an exception; errors of the sandbox are left to the
toolbox, which knows which of them a model can answer.
"""

from typing import ClassVar, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from forge.events import ToolOutcome
from forge.sandbox.base import Sandbox
from forge.sandbox.output import Display
from forge.sandbox.output import Output as Printed

DEFAULT_S = 60
"""How long code or a command may run when the model does not say: enough for most work, short
enough that a wait without end costs a minute, not the run."""

LONGEST_S = 300
"""The most a model may ask for: a person is waiting."""


class Arguments(BaseModel):
    """What every tool's arguments are: strict in types and in names."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Output(Protocol):
    """Where a tool call's output goes."""

    async def sink(self, item: Printed | Display) -> None:
        """Take live output of a machine, as it comes; waits while its readers are busy."""

    async def write(self, text: str, *, stream: Literal["stdout", "stderr"] = "stdout") -> None:
        """Take text of the tool itself."""


A_contra = TypeVar("A_contra", bound=Arguments, contravariant=True)


class Tool(Protocol[A_contra]):
    """Something a model may do. It holds no state; machines and output are given to each call."""

    name: ClassVar[str]
    description: ClassVar[str]
    arguments: ClassVar[type[Arguments]]
    after: ClassVar[frozenset[str]]
    """Tools whose earlier calls of the same answer must be over before a call of this one: what
    they leave behind is what it works on. Everything else runs at once."""

    async def run(self, sandbox: Sandbox, arguments: A_contra, output: Output) -> ToolOutcome:
        """Make one call.

        Raises:
            ForgeError: as the sandbox's contract says.
        """
