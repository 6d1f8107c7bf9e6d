"""The toolbox: a model's wishes, checked, carried out on one machine, and answered.

Whatever a model sends is answered: an unknown tool, broken JSON, arguments that do not fit, a file
that is not there become an error result that says precisely what is wrong, so the model can mend
it. Only what destroyed the machine ends the call with an exception, after its `tool.finished`.

This is one of the three boundaries where any exception may be caught (see architecture.md): a tool
that fails in a way nobody foresaw is logged, answered as "crashed", and the run goes on.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from forge.clock import Clock
from forge.errors import FileNotFound, ForgeError, GuestRefused, InputRefused, QuotaExceeded
from forge.events import ToolFinished, ToolOutcome, ToolStarted
from forge.messages import ToolCall, ToolResult
from forge.models.base import ToolSpec
from forge.sandbox.base import Sandbox
from forge.tools.base import Arguments, Tool
from forge.tools.output import CallOutput, Emit, OutputLimits

LOG = logging.getLogger(__name__)

ANSWERABLE = (GuestRefused, FileNotFound, QuotaExceeded, InputRefused)
"""Errors after which the machine goes on, and which a model can do something about."""

LONGEST_NAME = 80
"""How much of a name that a model made up is repeated to it."""


class Refusal(Exception):
    """A call that cannot be made as it was written; its text is for the model."""


class Answer(NamedTuple):
    """What a call came to: for the model, and in one word."""

    result: ToolResult
    outcome: ToolOutcome


class Toolbox:
    """The tools a model may use on one machine. It holds nothing; the machine has its owner.
    Without a machine there are no tools, and whatever a model calls is answered so.
    """

    def __init__(
        self,
        sandbox: Sandbox | None,
        tools: Sequence[Tool[Any]],
        clock: Clock,
        limits: OutputLimits | None = None,
    ) -> None:
        self._sandbox = sandbox
        self._tools: Mapping[str, Tool[Any]] = (
            {tool.name: tool for tool in tools} if sandbox is not None else {}
        )
        self._clock = clock
        self._limits = limits or OutputLimits()

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What a model is told of the tools."""
        return tuple(
            ToolSpec(tool.name, tool.description, tool.arguments.model_json_schema())
            for tool in self._tools.values()
        )

    def waits_for(self, name: str) -> frozenset[str]:
        """The tools whose earlier calls must be over before a call of this one begins."""
        tool = self._tools.get(name)
        return frozenset() if tool is None else tool.after

    async def call(self, call: ToolCall, step: int, emit: Emit) -> Answer:
        """Make one call: `tool.started`, its output, `tool.finished`, and the answer.

        Raises:
            SandboxDied, SandboxUnresponsive, GuestViolation, SandboxStopped: the machine is gone.
        """
        await emit(
            ToolStarted(step=step, call_id=call.id, name=call.name, arguments=call.arguments)
        )
        begun = self._clock.monotonic()
        output = CallOutput(step, call.id, emit, self._clock, self._limits)
        lost: ForgeError | None = None
        try:
            outcome = await self._attempt(call, output)
        except ForgeError as error:
            lost, outcome = error, "crashed"
            await output.note(f"The machine is lost: {error.message}")
        content = output.text or "(no output)"
        await emit(
            ToolFinished(
                step=step,
                call_id=call.id,
                name=call.name,
                outcome=outcome,
                content=content,
                duration_ms=(self._clock.monotonic() - begun) * 1000,
            )
        )
        if lost is not None:
            raise lost
        result = ToolResult(
            call_id=call.id, name=call.name, content=content, is_error=outcome != "ok"
        )
        return Answer(result, outcome)

    async def _attempt(self, call: ToolCall, output: CallOutput) -> ToolOutcome:
        try:
            sandbox, tool = self._sandbox, self._tool(call.name)
            assert sandbox is not None
            arguments = _arguments(tool, call.arguments)
            async with output:
                return await tool.run(sandbox, arguments, output)
        except Refusal as refusal:
            await output.note(str(refusal))
        except ANSWERABLE as error:
            await output.note(f"Error ({error.code}): {error.message}")
        except ForgeError:
            raise
        except Exception as error:
            LOG.exception("the tool %s failed", call.name[:LONGEST_NAME])
            await output.note(
                f"The tool itself failed ({type(error).__name__}); this is a fault of Forge, not "
                "of the call. Another way to do it may work."
            )
            return "crashed"
        return "error"

    def _tool(self, name: str) -> Tool[Any]:
        tool = self._tools.get(name)
        if not self._tools:
            raise Refusal("There are no tools here, and no machine. Answer in words.")
        if tool is None:
            raise Refusal(
                f"There is no tool {name[:LONGEST_NAME]!r}. The tools are: "
                f"{', '.join(self._tools)}."
            )
        return tool


def _arguments(tool: Tool[Any], text: str) -> Arguments:
    """The checked arguments; some providers send nothing for a call that needs none."""
    try:
        return tool.arguments.model_validate_json(text.strip() or "{}")
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    except ValueError as error:  # text that is not UTF-8
        raise Refusal(f"The arguments of {tool.name} are not valid text: {error}.") from error
    if found[0]["type"] == "json_invalid":
        raise Refusal(
            f"The arguments of {tool.name} are not valid JSON: {found[0]['msg']}. They are "
            f"{len(text)} characters long. Send the call again with one complete JSON object; if "
            "it was cut off, send less at once."
        )
    wrong = "; ".join(
        f"{'.'.join(str(part) for part in item['loc'])[:LONGEST_NAME] or 'arguments'}: "
        f"{item['msg']}"
        for item in found[:10]
    )
    raise Refusal(
        f"The arguments of {tool.name} do not fit: {wrong}. It takes: "
        f"{', '.join(tool.arguments.model_fields)}."
    )
