"""Tokens: 256 random bits that prove who asks, kept only as their hash.

A token is a prefix that says what it is for, an underscore, and 43 characters. So much randomness
needs no slow hash: whoever has the table cannot find one by trying.
"""

import hashlib
import secrets
from typing import Literal, NamedTuple

Kind = Literal["fgs", "fgk", "fgi", "fgl"]
"""A session, an API key, an invitation, a shared link."""

_LENGTH = 43


class Token(NamedTuple):
    """A fresh token: the words to give away once, and the hash to keep."""

    text: str
    hash: str


def new_token(kind: Kind) -> Token:
    """A fresh token."""
    text = f"{kind}_{secrets.token_urlsafe(32)}"
    return Token(text, hash_of(text))


def kind_of(text: str) -> Kind | None:
    """What a text is a token for, going by its form; None if it is none."""
    kind, _, rest = text.partition("_")
    for each in ("fgs", "fgk", "fgi", "fgl"):
        if kind == each and len(rest) == _LENGTH:
            return each
    return None


def hash_of(text: str) -> str:
    """SHA-256 in hex, as tokens are kept."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
