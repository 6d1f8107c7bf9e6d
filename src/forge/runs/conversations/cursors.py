"""Cursors: where a page of a list ended, as one word that a client hands back unread."""

import base64
import json

from forge.errors import InputRefused


def cursor_of(*place: str) -> str:
    """The cursor of a place in a list."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def place_of(cursor: str, parts: int) -> tuple[str, ...]:
    """The place that a cursor names.

    Raises:
        InputRefused: it is none that was given out.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        place = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        place = None
    if (
        not isinstance(place, list)
        or len(place) != parts
        or not all(isinstance(part, str) for part in place)
    ):
        raise InputRefused(
            "This cursor was not given out by this list.",
            hint="Send `next` of the page before, or leave the cursor out.",
        )
    return tuple(place)
