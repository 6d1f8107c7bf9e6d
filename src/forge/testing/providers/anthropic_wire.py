"""Anthropic's streaming format: a reply as the events of `POST /v1/messages` with `stream: true`.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

import json
from collections.abc import Iterator
from typing import Any

from forge.testing.providers.received import Received
from forge.testing.providers.script import DEFAULT_USAGE, Part, Redacted, Reply, Say, Think, UseTool
from forge.usage import Usage

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
_STOP = {
    "end": "end_turn",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "refusal": "refusal",
}


def encode(data: dict[str, Any]) -> bytes:
    """One server-sent event; its name is the event's own type."""
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


def error_body(status: int, message: str) -> dict[str, Any]:
    """The body of an HTTP error."""
    return error_event(ERROR_TYPES.get(status, "api_error"), message) | {"request_id": "req_test"}


def error_event(error_type: str, message: str) -> dict[str, Any]:
    """An error in the middle of a stream."""
    return {"type": "error", "error": {"type": error_type, "message": message}}


def events(reply: Reply, received: Received) -> Iterator[dict[str, Any]]:
    """The events of `reply`, in order, to the last."""
    usage = _usage(reply.usage or DEFAULT_USAGE)
    yield {
        "type": "message_start",
        "message": {
            "id": f"msg_{received.number}",
            "type": "message",
            "role": "assistant",
            "model": received.body["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage | {"output_tokens": 1},
        },
    }
    yield {"type": "ping"}
    for index, part in enumerate(reply.parts):
        block, deltas = _block(part, f"toolu_{received.number}_{index}", reply.piece)
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": _STOP[reply.stop], "stop_sequence": None},
        "usage": usage,
    }
    yield {"type": "message_stop"}


def _usage(usage: Usage) -> dict[str, int]:
    return {
        # Anthropic counts cached tokens beside, not within, input_tokens.
        "input_tokens": usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    }


def _block(part: Part, call_id: str, piece: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a block starts, and the deltas that fill it."""
    if isinstance(part, Say):
        words = [{"type": "text_delta", "text": text} for text in pieces(part.text, piece)]
        return {"type": "text", "text": ""}, words
    if isinstance(part, Think):
        thoughts = [
            {"type": "thinking_delta", "thinking": text} for text in pieces(part.text, piece)
        ]
        return (
            {"type": "thinking", "thinking": "", "signature": ""},
            [*thoughts, {"type": "signature_delta", "signature": part.seal}],
        )
    if isinstance(part, Redacted):
        return {"type": "redacted_thinking", "data": part.data}, []
    block = {"type": "tool_use", "id": part.id or call_id, "name": part.name, "input": {}}
    # The real stream opens with an empty piece.
    texts = ["", *pieces(arguments_text(part), piece)]
    return block, [{"type": "input_json_delta", "partial_json": text} for text in texts]


def arguments_text(part: UseTool) -> str:
    """A call's arguments as the text a model writes."""
    return part.arguments if isinstance(part.arguments, str) else json.dumps(dict(part.arguments))


def pieces(text: str, size: int) -> list[str]:
    """`text` cut into deltas of `size` characters."""
    return [text[start : start + size] for start in range(0, len(text), size)]
