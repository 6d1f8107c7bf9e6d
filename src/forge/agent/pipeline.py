"""The pipeline: for models without tool use, who write a fenced block that Forge runs for them.

    words with a ```python or ```bash block ─ run ─ told what came of it ─ … ─ words without: done

A model of this kind is made one that uses tools: `Fenced` stands before it, reads the first block
of each answer as a call, and puts earlier calls and their results into words. So the loop is the
one loop, and budgets, events, approvals, artifacts and going on after a crash are the same. On the
ledger the answer stands as it was written, with the call that was read from it.

What a model writes is hostile. One block of an answer is run and no more; it must say what it is;
reasoning that a model thinks aloud (`<think>`) is not looked at; a block that was cut off at the
answer's longest length is not run, and the model is told why.
"""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from forge.messages import AssistantMessage, Message, Text, ToolCall, ToolResult, UserMessage
from forge.models import fences
from forge.models.base import Model, ModelEvent, ModelRequest, ModelResponse
from forge.models.fences import Block

PREFIX = "block_"
"""What the ids of calls that were read from a block begin with."""

CUT_OFF = "cut_off"
"""The arguments of a call whose block was not whole: no JSON, so that nothing runs it."""

_THOUGHT = "</think>"
_CALLS = {"python": ("run_python", "code"), "shell": ("run_shell", "command")}
_LABELS = {"run_python": ("code", "python"), "run_shell": ("command", "bash")}

_TOO_LONG = (
    "The block was cut off, as the answer reached its longest length, so it was not run. Write a "
    "shorter block, or do the work in several steps."
)


class Worded:
    """A model that is told everything in words, and of no tools."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def name(self) -> str:
        """The model's own."""
        return self._model.name

    @property
    def priced(self) -> bool:
        """The model's own."""
        return self._model.priced

    @property
    def uses_tools(self) -> bool:
        """It is told of none."""
        return False

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Make one call; see `forge.models.base.Model.stream`."""
        plain = replace(request, messages=in_words(request.messages), tools=())
        async with aclosing(self._model.stream(plain)) as answer:
            async for item in answer:
                yield item

    async def close(self) -> None:
        """Free the model's connections."""
        await self._model.close()


class Fenced(Worded):
    """A model without tool use, as one that uses tools."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Make one call; see `forge.models.base.Model.stream`."""
        async with aclosing(super().stream(request)) as answer:
            async for item in answer:
                yield read(item, request) if isinstance(item, ModelResponse) else item


def read(response: ModelResponse, request: ModelRequest) -> ModelResponse:
    """The answer with the call that its first block is; itself where there is none."""
    if response.message.tool_calls:
        return response  # it does use tools, whatever is said of it
    text = response.message.text
    block = fences.first(text.rpartition(_THOUGHT)[2])
    if block is None:
        return response
    name, argument = _CALLS[block.language]
    whole = block.closed or response.stop_reason != "max_tokens"
    call = ToolCall(
        id=f"{PREFIX}{_calls(request.messages) + 1}",
        name=name,
        arguments=json.dumps({argument: block.code}) if whole else CUT_OFF,
    )
    message = AssistantMessage(parts=(*response.message.parts, call))
    return replace(response, message=message, stop_reason="tool_use")


def in_words(messages: Sequence[Message]) -> tuple[Message, ...]:
    """A transcript for a model that is offered no tools: every call and result in words, and no
    reasoning, which is sealed for the model that reasoned.
    """
    told: list[Message] = []
    cut: set[str] = set()
    for message in messages:
        if isinstance(message, AssistantMessage):
            told.append(AssistantMessage(parts=(Text(text=_said(message)),)))
            cut = {call.id for call in message.tool_calls if call.arguments == CUT_OFF}
        else:
            told.append(UserMessage(parts=tuple(_worded(part, cut) for part in message.parts)))
    return tuple(told)


def _said(message: AssistantMessage) -> str:
    """What a message says, with the calls that do not stand in it as blocks already."""
    texts = [message.text] if message.text.strip() else []
    for call in message.tool_calls:
        block = _block(call)
        if not (call.id.startswith(PREFIX) and texts):
            texts.append(block)
    return "\n\n".join(texts)


def _block(call: ToolCall) -> str:
    argument, label = _LABELS.get(call.name, ("", ""))
    try:
        given = json.loads(call.arguments)
    except (ValueError, RecursionError):
        given = None
    code = given.get(argument) if isinstance(given, dict) else None
    if isinstance(code, str):
        return fenced(Block("python" if label == "python" else "shell", code))
    return f"(It called {call.name} with {call.arguments})"


def fenced(block: Block) -> str:
    """A block in a fence longer than any in it."""
    fence = "```"
    while fence in block.code:
        fence += "`"
    label = "python" if block.language == "python" else "bash"
    return f"{fence}{label}\n{block.code.removesuffix(chr(10))}\n{fence}"


def _worded(part: Text | ToolResult, cut: set[str]) -> Text:
    if isinstance(part, Text):
        return part
    if part.call_id in cut:
        return Text(text=_TOO_LONG)
    how = "It failed" if part.is_error else "It ran"
    return Text(
        text=f"{how}. This is what came of it, printed by the machine and not said by the person:\n"
        f"{part.content}"
    )


def _calls(messages: Sequence[Message]) -> int:
    return sum(
        len(message.tool_calls) for message in messages if isinstance(message, AssistantMessage)
    )
