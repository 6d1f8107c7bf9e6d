"""Short ways for tests to talk to a sandbox."""

from collections.abc import AsyncIterator

from forge.sandbox.base import CodeResult, Command, Display, ExecResult, Output, Sandbox


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
    sandbox: Sandbox, script: str, *, deadline_s: float = 20, root: bool = False
) -> tuple[ExecResult, str]:
    """Run a shell script; how it ended and what it printed."""
    heard = Heard()
    command = Command(("bash", "-c", script), deadline_s, user="root" if root else "user")
    return await sandbox.exec(command, heard), heard.text


async def python(
    sandbox: Sandbox, code: str, *, deadline_s: float = 20
) -> tuple[CodeResult, Heard]:
    """Run code in the default context."""
    heard = Heard()
    return await sandbox.run_code(code, heard, deadline_s=deadline_s), heard


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """A file's content."""
    for part in parts:
        yield part
