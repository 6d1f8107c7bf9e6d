"""`run_python`: code in the machine's interpreter, which keeps its variables between calls."""

from typing import ClassVar

from pydantic import Field

from forge.events import ToolOutcome
from forge.sandbox.base import Sandbox
from forge.tools.base import DEFAULT_S, LONGEST_S, Arguments, Output


class RunPythonArguments(Arguments):
    """What `run_python` takes."""

    code: str = Field(description="The Python source to run.")
    timeout_s: float = Field(
        DEFAULT_S, gt=0, le=LONGEST_S, description="Seconds after which it is interrupted."
    )


class RunPython:
    """Runs Python in the machine."""

    name: ClassVar[str] = "run_python"
    description: ClassVar[str] = (
        "Run Python in the machine. Variables, imports and functions stay for the next call. "
        "What is printed and the value of the last expression are returned; figures are shown to "
        "the person."
    )
    arguments: ClassVar[type[Arguments]] = RunPythonArguments
    # One interpreter: the model wrote its cells in the order it wants them.
    after: ClassVar[frozenset[str]] = frozenset({"run_python", "write_file"})

    async def run(
        self, sandbox: Sandbox, arguments: RunPythonArguments, output: Output
    ) -> ToolOutcome:
        """Run the code; a traceback, a passed deadline and a dead interpreter are results."""
        result = await sandbox.code.run(arguments.code, output.sink, deadline_s=arguments.timeout_s)
        if result.error is not None:
            text = result.error.traceback or f"{result.error.name}: {result.error.value}"
            await output.write(text.rstrip("\n") + "\n", stream="stderr")
        if result.status == "timeout":
            await output.write(
                f"\n[interrupted after {arguments.timeout_s:g} s]\n", stream="stderr"
            )
        if result.status == "crashed" or result.restarted:
            await output.write(
                "\n[the interpreter ended; a new, empty one is there]\n", stream="stderr"
            )
        return result.status
