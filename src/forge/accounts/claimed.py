"""What a checked token says of a person, as accounts keep it.

A name is for people to read, so one that cannot be kept as it is is cut and cleaned, not refused:
nobody is locked out by their name. An address is taken only where its owner was verified; without
that, anybody could hold the place of another's.
"""

from collections.abc import Mapping
from typing import Any

from forge.accounts.service import Claims
from forge.accounts.users import LONGEST_NAME, Identity, email_of
from forge.errors import InputRefused, LoginRefused

_LONGEST_SUBJECT = 255
"""As OpenID Connect has it."""


def identity_of(issuer: str, claims: Mapping[str, Any]) -> Identity:
    """Who it is.

    Raises:
        LoginRefused: the token does not say.
    """
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
        raise LoginRefused("The token does not say who it is about.")
    if not subject.isprintable():
        raise LoginRefused("The token does not say who it is about.")
    return Identity(issuer, subject)


def claimed_by(claims: Mapping[str, Any], *, verified: bool, may_join: bool) -> Claims:
    """What is said of them. `verified` says whether the address is theirs."""
    names = (_shown(claims.get(name)) for name in ("name", "preferred_username", "email", "sub"))
    return Claims(
        next((name for name in names if name), "Somebody"),
        _address(claims.get("email")) if verified else None,
        may_join,
    )


def _shown(value: object) -> str:
    """A text as a name; empty for none."""
    if not isinstance(value, str):
        return ""
    kept = "".join(each for each in value[: 4 * LONGEST_NAME] if each.isprintable())
    return " ".join(kept.split())[:LONGEST_NAME].strip()


def _address(value: object) -> str | None:
    try:
        return email_of(value) if isinstance(value, str) else None
    except InputRefused:
        return None
