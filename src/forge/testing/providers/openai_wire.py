"""OpenAI's streaming format: a reply as the chunks of `POST /v1/chat/completions`.

https://platform.openai.com/docs/api-reference/chat-streaming. Reasoning is sent as
`reasoning_content`, as DeepSeek, vLLM and llama.cpp do; it has no signature.
"""

import json
from collections.abc import Iterator
from typing import Any

from forge.testing.providers.anthropic_wire import arguments_text, pieces
from forge.testing.providers.received import Received
from forge.testing.providers.script import Part, Reply, Say, Think, UseTool
from forge.usage import Usage

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_exceeded",
}
_STOP = {
    "end": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "refusal": "content_filter",
}
DONE = b"data: [DONE]\n\n"


def encode(data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return f"data: {json.dumps(data)}\n\n".encode()


def error_body(status: int, message: str) -> dict[str, Any]:
    """The body of an HTTP error, and of an error in the middle of a stream."""
    return error_event(ERROR_TYPES.get(status, "server_error"), message)


def error_event(error_type: str, message: str) -> dict[str, Any]:
    """An error in the middle of a stream."""
    return {"error": {"message": message, "type": error_type, "param": None, "code": None}}


def events(reply: Reply, received: Received) -> Iterator[dict[str, Any]]:
    """The chunks of `reply`, in order, without the closing `[DONE]`."""
    yield _chunk(received, {"role": "assistant", "content": ""})
    call_index = 0
    for index, part in enumerate(reply.parts):
        for delta in _deltas(part, f"call_{received.number}_{index}", call_index, reply.piece):
            yield _chunk(received, delta)
        call_index += isinstance(part, UseTool)
    yield _chunk(received, {}, finish_reason=_STOP[reply.stop])
    options = received.body.get("stream_options") or {}
    if reply.usage is not None and options.get("include_usage"):
        yield _chunk(received, None) | {"usage": _usage(reply.usage)}


def _chunk(
    received: Received, delta: dict[str, Any] | None, finish_reason: str | None = None
) -> dict[str, Any]:
    choices = (
        []
        if delta is None
        else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]
    )
    return {
        "id": f"chatcmpl-{received.number}",
        "object": "chat.completion.chunk",
        "created": 1_750_000_000,
        "model": received.body["model"],
        "choices": choices,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _deltas(part: Part, call_id: str, call_index: int, piece: int) -> Iterator[dict[str, Any]]:
    if isinstance(part, Say):
        yield from ({"content": text} for text in pieces(part.text, piece))
    elif isinstance(part, Think):
        yield from ({"reasoning_content": text} for text in pieces(part.text, piece))
    elif isinstance(part, UseTool):
        # The first delta of a call names it; the rest carry only its index.
        function = {"name": part.name, "arguments": ""}
        start = {"id": part.id or call_id, "type": "function", "function": function}
        yield {"tool_calls": [{"index": call_index, **start}]}
        for text in pieces(arguments_text(part), piece):
            yield {"tool_calls": [{"index": call_index, "function": {"arguments": text}}]}
