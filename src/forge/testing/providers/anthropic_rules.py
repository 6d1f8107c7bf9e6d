"""What Anthropic refuses: the checks of `POST /v1/messages` that a transcript can break.

Each check returns the reason as the real API words it, near enough, or None. They are not all of
its rules; they are those that a loop with tools, thinking and caching meets.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from forge.testing.providers.received import Received
from forge.testing.providers.script import seal

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_MAX_CACHE_BREAKPOINTS = 4


def refusal(received: Received, signatures: dict[str, str]) -> str | None:
    """Why this request would be answered 400, or None. `signatures` are those given out so far."""
    problems = (*_envelope(received), *_tools(received.body), *_transcript(received, signatures))
    return next(iter(problems), None)


def _envelope(received: Received) -> Iterator[str]:
    body = received.body
    if "anthropic-version" not in received.headers:
        yield "anthropic-version: header is required"
    yield from (f"{field}: Field required" for field in _missing(body))
    if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
        yield "max_tokens: must be greater than or equal to 1"
    if body.get("stream") is not True:
        yield "stream: this scripted provider only streams"
    for name in ("temperature", "top_p", "top_k"):
        if name in body:
            yield f"{name}: is not supported by this model"
    marks = sum(1 for block in _blocks_that_cache(body) if block.get("cache_control"))
    marks += "cache_control" in body
    if marks > _MAX_CACHE_BREAKPOINTS:
        yield f"A maximum of 4 blocks with cache_control may be provided. Found {marks}."


def _missing(body: dict[str, Any]) -> Iterator[str]:
    return (name for name in ("model", "messages", "max_tokens") if name not in body)


def _blocks_that_cache(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from body.get("tools") or []
    if isinstance(body.get("system"), list):
        yield from body["system"]
    for message in body.get("messages") or []:
        yield from _blocks(message)


def _tools(body: dict[str, Any]) -> Iterator[str]:
    names: set[str] = set()
    for index, tool in enumerate(body.get("tools") or []):
        name = tool.get("name", "")
        if not _TOOL_NAME.fullmatch(name):
            yield f"tools.{index}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
        if name in names:
            yield "tools: Tool names must be unique."
        names.add(name)
        if (tool.get("input_schema") or {}).get("type") != "object":
            yield f"tools.{index}.input_schema.type: Input should be 'object'"


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}]


def _transcript(received: Received, signatures: dict[str, str]) -> Iterator[str]:
    messages = received.messages
    if not messages:
        yield "messages: at least one message is required"
        return
    yield from _roles(messages)
    for index, message in enumerate(messages):
        blocks = _blocks(message)
        if not blocks:
            yield f"messages.{index}: all messages must have non-empty content"
        for block in blocks:
            yield from _block(f"messages.{index}.content", block, signatures)
        following = messages[index + 1] if index + 1 < len(messages) else None
        yield from _answers(index, blocks, following)


def _roles(messages: list[dict[str, Any]]) -> Iterator[str]:
    if messages[0].get("role") != "user":
        yield "messages: first message must use the user role"
    if messages[-1].get("role") != "user":
        yield "This model does not support assistant message prefill."
    for one, two in pairwise(messages):
        # The real API merges neighbours of one role; a loop that sends them has lost its place.
        if one.get("role") == two.get("role"):
            yield 'messages: roles must alternate between "user" and "assistant"'


def _block(place: str, block: dict[str, Any], signatures: dict[str, str]) -> Iterator[str]:
    kind = block.get("type")
    if kind == "text" and not str(block.get("text") or "").strip():
        yield f"{place}: text content blocks must contain non-whitespace text"
    if kind == "tool_use" and not isinstance(block.get("input"), dict):
        yield f"{place}.tool_use.input: Input should be a valid dictionary"
    if kind == "tool_result" and isinstance(block.get("content"), list):
        for nested in block["content"]:
            yield from _block(f"{place}.tool_result.content", nested, signatures)
    if kind == "redacted_thinking" and str(block.get("data")) not in signatures:
        yield f"{place}: Invalid `data` in `redacted_thinking` block"
    if kind == "thinking":
        text, signature = str(block.get("thinking")), str(block.get("signature"))
        if signature != seal(text) and signatures.get(signature) != text:
            yield f"{place}: Invalid `signature` in `thinking` block"


def _answers(
    index: int, blocks: list[dict[str, Any]], following: dict[str, Any] | None
) -> Iterator[str]:
    """Each tool_use is answered in the next message, and nothing else is."""
    asked = [block.get("id") for block in blocks if block.get("type") == "tool_use"]
    if len(asked) != len(set(asked)):
        yield "messages: `tool_use` ids must be unique"
    next_blocks = _blocks(following) if following else []
    answered = [b.get("tool_use_id") for b in next_blocks if b.get("type") == "tool_result"]
    if missing := [str(call) for call in asked if call not in answered]:
        yield (
            f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately"
            f" after: {', '.join(missing)}."
        )
    if any(call not in asked for call in answered):
        yield (
            f"messages.{index + 1}: unexpected `tool_use_id` found in `tool_result` blocks. Each"
            " `tool_result` block must have a corresponding `tool_use` block in the previous"
            " message."
        )
    if asked and any(b.get("type") != "tool_result" for b in next_blocks[: len(answered)]):
        yield f"messages.{index + 1}: tool_result blocks must come first"
