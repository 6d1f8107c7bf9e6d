"""Signed tokens of others (JWT, RFC 7519): which key and algorithm may count, and for how long.

What is in a token says nothing until its signature is checked. Two things in its head are read
before that: the name of a key, by which one is looked up, and of an algorithm, which must be on the
list of whoever asks. An algorithm is tied to one kind of key, so a public key is never taken for a
shared secret, and `none` is on no list.
"""

import base64
import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jwk import ECKey, Key, OctKey, RSAKey

from forge.clock import Clock
from forge.errors import LoginRefused

PUBLIC_KEY: Mapping[str, str] = {"RS256": "RSA", "PS256": "RSA", "ES256": "P-256", "ES384": "P-384"}
"""The algorithms that a public key checks, with the kind of key each needs."""

LEEWAY_S = 60
"""How far two clocks may be apart."""

LONGEST = 16 * 1024
_LONGEST_HEAD = 1024

Claim = jwt.ClaimsOption


class Head(NamedTuple):
    """What a token says of how it is signed. Not checked."""

    alg: str
    kid: str | None


def head_of(token: str) -> Head:
    """The head of a token.

    Raises:
        LoginRefused: this is no signed token.
    """
    head, _, rest = token.partition(".")
    if len(token) > LONGEST or len(head) > _LONGEST_HEAD or rest.count(".") != 1:
        raise LoginRefused("This is no signed token.")
    try:
        fields = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, RecursionError) as error:
        raise LoginRefused("This is no signed token.") from error
    if not isinstance(fields, dict):
        raise LoginRefused("This is no signed token.")
    alg, kid = fields.get("alg"), fields.get("kid")
    if not isinstance(alg, str) or not isinstance(kid, str | None):
        raise LoginRefused("This is no signed token.")
    return Head(alg, kid)


def kind_of_key(key: Key) -> str:
    """What `PUBLIC_KEY` calls the kind of a key; `oct` for a shared secret."""
    if isinstance(key, RSAKey):
        return "RSA"
    return key.curve_name if isinstance(key, ECKey) else key.key_type


def shared(secret: str) -> Key:
    """A shared secret as a key."""
    return OctKey.import_key(secret.encode())


def claims_of(token: str, key: Key, algorithms: Collection[str]) -> dict[str, Any]:
    """What a token claims, once its signature was checked.

    Raises:
        LoginRefused: it is not signed by this key with one of these algorithms.
    """
    registry = jws.JWSRegistry(algorithms=list(algorithms), strict_check_header=False)
    try:
        return jwt.decode(token, key, registry=registry).claims
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise LoginRefused("The token's signature is not right.") from error


def check(claims: Mapping[str, Any], clock: Clock, **wanted: Claim) -> None:
    """Hold claims to what is wanted of them, and to the time.

    Raises:
        LoginRefused: one is missing or not as wanted, or the token's time is over or not yet come.
    """
    now = int(clock.now().timestamp())
    registry = jwt.JWTClaimsRegistry(now, LEEWAY_S, exp={"essential": True}, **wanted)
    with_reason(lambda: registry.validate(dict(claims)))


def with_reason(checked: Any) -> None:
    """Run a check of claims and say in words why it refuses.

    Raises:
        LoginRefused: it does.
    """
    try:
        checked()
    except ExpiredTokenError as error:
        raise LoginRefused("The token's time is over.", hint="Log in again.") from error
    except (InvalidClaimError, MissingClaimError) as error:
        raise LoginRefused(f"The token is not for here: {error.description}") from error
    except (JoseError, ValueError, TypeError, OverflowError) as error:
        raise LoginRefused("The token's claims cannot be used.") from error
