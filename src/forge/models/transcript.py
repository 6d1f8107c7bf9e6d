"""Making a transcript fit for any provider's wire, whatever a model or a guest put into it.

Pure. Providers refuse a whole request for one blank block, one argument that is no JSON object or
one character that is no Unicode scalar; a run must not end because a model once wrote such a thing.
So what was written is kept on the ledger as it was, and only what is sent is mended here.
"""

import json
import re
from typing import Any

import pydantic_core

from forge.models.base import ModelRequest
from forge.usage import Usage, estimate_tokens

NOTHING = "(nothing)"
"""Stands for a message or a result without words, which providers refuse."""

MALFORMED_KEY = "_malformed"
"""Arguments that are no JSON object go back as an object of this one key, holding the raw text, so
the model sees what it wrote."""

_NAME_MAX = 64


def words(text: str) -> str:
    """`text` without lone surrogates, which UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode("utf-8")


def words_or_nothing(text: str) -> str:
    """`text`, or a mark where it is blank."""
    return words(text) if text.strip() else NOTHING


def tool_name(name: str) -> str:
    """A tool's name as every provider accepts it; models invent names that none does."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:_NAME_MAX] or "unknown"


def arguments_object(arguments: str) -> dict[str, Any]:
    """A tool call's arguments as an object that can be written as strict JSON."""
    try:
        # As bytes: text with a lone surrogate is then a ValueError, as any other broken JSON.
        value = pydantic_core.from_json(arguments.encode() or b"{}", allow_inf_nan=False)
        if isinstance(value, dict):
            # What cannot be written again (an integer of 5,000 digits) cannot be sent either.
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
            return value
    except (ValueError, RecursionError):
        return {MALFORMED_KEY: words(arguments)}
    return {MALFORMED_KEY: words(arguments)}


def estimated_usage(request: ModelRequest, answer: str) -> Usage:
    """A high guess of a call's tokens, for servers that report none, so that caps still hold."""
    sent = request.system + "".join(message.model_dump_json() for message in request.messages)
    tools = "".join(f"{tool.name}{tool.description}{tool.parameters}" for tool in request.tools)
    return Usage(input_tokens=estimate_tokens(sent + tools), output_tokens=estimate_tokens(answer))
