"""Short ways for tests to talk to a sandbox."""

from collections.abc import AsyncIterator, Callable

from forge.errors import SandboxError
from forge.sandbox.agent.code import AgentInterpreter
from forge.sandbox.agent.commands import AgentCommands
from forge.sandbox.agent.connection import Connection
from forge.sandbox.agent.files import AgentFiles
from forge.sandbox.agent.ports import AgentPorts
from forge.sandbox.base import Sandbox
from forge.sandbox.code import CodeResult
from forge.sandbox.commands import Command, ExecResult
from forge.sandbox.output import Display, Output

LONG_S = 120.0
"""For what takes a second where a host is not busy; reaching it means that something hangs."""


class Heard:
    """A sink that keeps what it hears."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.displays: list[Display] = []

    async def __call__(self, item: Output | Display) -> None:
        if isinstance(item, Output):
            self.outputs.append(item)
        else:
            self.displays.append(item)

    @property
    def text(self) -> str:
        """Everything printed, both streams in order."""
        return b"".join(output.data for output in self.outputs).decode()


async def shell(
    sandbox: Sandbox, script: str, *, deadline_s: float = LONG_S, root: bool = False
) -> tuple[ExecResult, str]:
    """Run a shell script; how it ended and what it printed."""
    heard = Heard()
    command = Command(("bash", "-c", script), deadline_s, user="root" if root else "user")
    return await sandbox.commands.run(command, heard), heard.text


async def python(
    sandbox: Sandbox, code: str, *, deadline_s: float = LONG_S
) -> tuple[CodeResult, Heard]:
    """Run code in the default context."""
    heard = Heard()
    return await sandbox.code.run(code, heard, deadline_s=deadline_s), heard


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """A file's content."""
    for part in parts:
        yield part


class Wired(Connection):
    """A connection to a guest's agent with everything that a machine can be asked over it."""

    def __init__(self, fd: int, on_broken: Callable[[SandboxError], None]) -> None:
        super().__init__(fd, on_broken)
        self.commands = AgentCommands(self)
        self.files = AgentFiles(self)
        self.code = AgentInterpreter(self)
        self.ports = AgentPorts(self)
