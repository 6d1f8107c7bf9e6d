"""The offline mode: no model, no intelligence, and it says so.

It runs the fenced code blocks of the person's last message, in order and one per step, so that a
later block sees what an earlier one did, and stops at the first that fails. It makes Forge usable,
and testable end to end, before any key is configured. It is stateless: where it is, it reads from
the transcript. It calls nobody and costs nothing.
"""

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from forge.messages import AssistantMessage, Message, Text, ToolCall, ToolResult, UserMessage
from forge.models import demonstrations, fences
from forge.models.base import ModelEvent, ModelRequest, ModelResponse, TextDelta, ToolInputDelta
from forge.usage import Usage

_TOOLS = {"python": ("run_python", "code"), "shell": ("run_shell", "command")}
_HOW_TO_GET_A_MODEL = (
    "To get a model that writes the code itself, set ANTHROPIC_API_KEY, or the base URL and key of"
    " an OpenAI-compatible server, and choose it with --model."
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the work the transcript is: what was asked, and what has come of it."""

    text: str
    results: tuple[ToolResult, ...]
    calls_ever: int


class OfflineModel:
    """Runs what the person wrote; never writes anything itself."""

    @property
    def name(self) -> str:
        """`offline:none`."""
        return "offline:none"

    @property
    def priced(self) -> bool:
        """No provider is called."""
        return False

    @property
    def uses_tools(self) -> bool:
        """It calls them for the person's own blocks."""
        return True

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer with the next block's tool call, or with what came of them all."""
        place = _place(request.messages)
        blocks = _asked(place.text)
        done = len(place.results)
        failed = bool(place.results) and place.results[-1].is_error
        if failed or done >= len(blocks.runnable):
            text = _report(blocks, done, failed=failed) if done else _introduction(blocks)
            yield TextDelta(text)
            yield _response(text)
            return
        block = blocks.runnable[done]
        tool, argument = _TOOLS[block.language]
        if tool not in {offered.name for offered in request.tools}:
            text = f"This is Forge's offline mode. The tool {tool} is not offered in this run."
            yield TextDelta(text)
            yield _response(text)
            return
        text = f"Running block {done + 1} of {len(blocks.runnable)} ({block.language})."
        call = ToolCall(
            id=f"offline_{place.calls_ever + 1}",
            name=tool,
            arguments=json.dumps({argument: block.code}),
        )
        yield TextDelta(text)
        yield ToolInputDelta(call.id, call.name, call.arguments)
        yield _response(text, call)

    async def close(self) -> None:
        """There is nothing to free."""


def _place(messages: Sequence[Message]) -> _Place:
    text, results, calls_ever = "", list[ToolResult](), 0
    for message in messages:
        if isinstance(message, AssistantMessage):
            calls_ever += len(message.tool_calls)
            continue
        if words := _words(message):
            # A person spoke: what ran before belongs to an earlier request.
            text, results = words, []
        else:
            results += [part for part in message.parts if isinstance(part, ToolResult)]
    return _Place(text, tuple(results), calls_ever)


def _words(message: UserMessage) -> str:
    return "\n\n".join(part.text for part in message.parts if isinstance(part, Text))


def _asked(text: str) -> fences.Blocks:
    if demonstration := demonstrations.chosen(text):
        return fences.Blocks((fences.Block("python", demonstration.code),), ())
    return fences.read(text)


def _response(text: str, *calls: ToolCall) -> ModelResponse:
    return ModelResponse(
        message=AssistantMessage(parts=(Text(text=text), *calls)),
        stop_reason="tool_use" if calls else "end",
        usage=Usage(),
    )


def _introduction(blocks: fences.Blocks) -> str:
    offers = "\n".join(
        f"- `demo {demonstration.word}`: {demonstration.title}"
        for demonstration in demonstrations.DEMONSTRATIONS
    )
    return (
        "This is Forge's offline mode: no model is configured, so nothing here understands what you"
        f" write.{_left_alone(blocks)} It runs the fenced code blocks of your message in a microVM,"
        " in order: ```python blocks (or unlabelled ones) and ```bash blocks. Or type one of"
        f" these:\n\n{offers}\n\n{_HOW_TO_GET_A_MODEL}"
    )


def _report(blocks: fences.Blocks, done: int, *, failed: bool) -> str:
    count = len(blocks.runnable)
    outcome = f"It ran {done} of {count} code block{'' if count == 1 else 's'}"
    if failed:
        outcome += f"; block {done} failed"
        outcome += ", and the rest was not run." if done < count else "."
    else:
        outcome += "; none failed."
    return (
        "This is Forge's offline mode: no model is configured, and nobody has looked at the result."
        f" {outcome}{_left_alone(blocks)} {_HOW_TO_GET_A_MODEL}"
    )


def _left_alone(blocks: fences.Blocks) -> str:
    if not blocks.foreign:
        return ""
    labels = ", ".join(sorted(set(blocks.foreign)))
    return f" Blocks in other languages were left alone ({labels})."
