"""What a provider's failure means: from a status or a reason to an error of Forge's own tree.

Pure: it knows no SDK. A provider's own words are kept, because they name the cause better than we
could, but they are hostile text: flattened to one line, printable, clipped, and never the key.
"""

import math

from forge.errors import (
    ModelError,
    ModelOverloaded,
    ModelRateLimited,
    ModelRequestRefused,
    ModelStreamBroken,
    ModelUnauthorized,
    ModelUnreachable,
)

MAX_REASON = 500
_SHORTEST_SECRET = 8
_MESSAGE_KEYS = ("message", "detail", "error")


def said(body: object, *, secret: str) -> str:
    """The provider's reason out of an error body, fit to be shown: ` (…)`, or nothing."""
    text = " ".join(_message(body, depth=3).split())
    text = "".join(character if character.isprintable() else "?" for character in text)
    # A word like `none`, given to a server that needs no key, is no secret and may stand in prose.
    if len(secret) >= _SHORTEST_SECRET:
        text = text.replace(secret, "[key]")
    if len(text) > MAX_REASON:
        text = text[: MAX_REASON - 1] + "…"
    return f": {text}" if text else ""


def _message(body: object, depth: int) -> str:
    if isinstance(body, dict) and depth:
        for key in _MESSAGE_KEYS:
            if found := _message(body.get(key), depth - 1):
                return found
        return ""
    return body if isinstance(body, str) else ""


def from_status(provider: str, status: int, reason: str, retry_after_s: float | None) -> ModelError:
    """The error for an HTTP status, or for the status an error in a stream stands for."""
    if retry_after_s is not None and not (math.isfinite(retry_after_s) and retry_after_s >= 0):
        retry_after_s = None
    if status in (401, 403):
        return ModelUnauthorized(f"{provider} did not accept the key ({status}){reason}")
    if status == 429:
        return ModelRateLimited(
            f"{provider} asks to slow down ({status}){reason}", retry_after_s=retry_after_s
        )
    if status >= 500:
        return ModelOverloaded(
            f"{provider} failed on its side ({status}){reason}", retry_after_s=retry_after_s
        )
    return ModelRequestRefused(f"{provider} refused the request ({status}){reason}")


def no_connection(provider: str, reason: str) -> ModelUnreachable:
    """The request was never sent."""
    return ModelUnreachable(f"No connection to {provider} could be made{reason}")


def too_slow(provider: str, deadline_s: float) -> ModelUnreachable:
    """The call's own deadline passed; the call was given up."""
    return ModelUnreachable(
        f"{provider} did not finish answering within the deadline of {deadline_s:g} s",
        hint="Try again, or allow a model call more time.",
    )


def broken_stream(provider: str, reason: str) -> ModelStreamBroken:
    """The request was sent and its answer is not whole."""
    return ModelStreamBroken(f"{provider}'s answer ended before it was complete{reason}")
