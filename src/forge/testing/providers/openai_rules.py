"""What OpenAI and its compatible servers refuse: the checks of `POST /v1/chat/completions`.

Stricter than OpenAI in one place: a call's arguments in the transcript must be the JSON of an
object, because vLLM and llama.cpp parse them in their chat templates and fail where they are not.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from forge.testing.providers.received import Received

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def refusal(received: Received) -> str | None:
    """Why this request would be answered 400, or None."""
    return next(iter((*_envelope(received.body), *_transcript(received.messages))), None)


def _envelope(body: dict[str, Any]) -> Iterator[str]:
    for name in ("model", "messages"):
        if not body.get(name):
            yield f"Missing required parameter: '{name}'."
    if body.get("stream") is not True:
        yield "stream: this scripted provider only streams"
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        yield "Invalid 'max_completion_tokens': integer below minimum value."
    for index, tool in enumerate(body.get("tools") or []):
        name = (tool.get("function") or {}).get("name", "")
        if tool.get("type") != "function" or not _TOOL_NAME.fullmatch(name):
            yield f"Invalid 'tools[{index}].function.name'."


def _transcript(messages: list[dict[str, Any]]) -> Iterator[str]:
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        role = message.get("role")
        if role == "tool":
            call_id = str(message.get("tool_call_id"))
            if call_id not in waiting:
                yield (
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding"
                    f" message with 'tool_calls' (messages[{index}])."
                )
            waiting.discard(call_id)
            continue
        if waiting:
            yield _unanswered(waiting)
        waiting = {str(call.get("id")) for call in message.get("tool_calls") or []}
        yield from _message(index, message)
    if waiting:
        yield _unanswered(waiting)


def _unanswered(waiting: set[str]) -> str:
    return (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to"
        " each 'tool_call_id'. The following tool_call_ids did not have response messages: "
        + ", ".join(sorted(waiting))
    )


def _message(index: int, message: dict[str, Any]) -> Iterator[str]:
    role, calls = message.get("role"), message.get("tool_calls") or []
    if role not in ("system", "developer", "user", "assistant"):
        yield f"Invalid value: '{role}' (messages[{index}].role)."
    if not message.get("content") and not (role == "assistant" and calls):
        yield f"Invalid value for 'content': expected a string, got null (messages[{index}])."
    for call in calls:
        arguments = (call.get("function") or {}).get("arguments")
        if not isinstance(arguments, str) or not _is_object(arguments):
            yield f"Invalid 'messages[{index}].tool_calls.function.arguments': not a JSON object."


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
