"""A provider's public keys (JWKS, RFC 7517), kept for a while.

    none ──ask──▶ kept ──an hour, or a token names a key that is not here──▶ ask again
                   └──a day without an answer──▶ none

Anybody can send a token that names a key nobody has. So the provider is asked for that at most once
a minute, whoever sends what; tokens whose key is here never wait for it. One task at a time asks,
and the others take what it got. Of what comes, a bounded number of keys is taken, public parts
alone, of kinds that are strong enough; the rest is left out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import Key, RSAKey, import_key

from forge.accounts.fetching import Fetcher
from forge.accounts.signed import PUBLIC_KEY, Head, kind_of_key
from forge.clock import Clock
from forge.errors import LoginRefused, LoginUnavailable

FRESH_S = 3600.0
KEPT_S = 24 * 3600.0
AGAIN_S = 60.0
"""At least so long between two questions while keys are here."""

AGAIN_WITHOUT_S = 5.0
"""The same while none are: nobody can log in then, so it is tried sooner."""

MOST = 64
_PARTS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y")}
_LEAST_BITS, _LONGEST_N, _LONGEST_PART = 2048, 1400, 200


class KeySet:
    """The public keys of one provider. `where` gives their address."""

    def __init__(self, fetcher: Fetcher, where: Callable[[], Awaitable[str]], clock: Clock) -> None:
        self._fetcher, self._where, self._clock = fetcher, where, clock
        self._keys: tuple[Key, ...] = ()
        self._got = self._asked = float("-inf")
        self._asking = asyncio.Lock()

    async def find(self, head: Head) -> Key:
        """The key that a token says it is signed with.

        Raises:
            LoginRefused: the provider has no such key, or none for this algorithm.
            LoginUnavailable: its keys cannot be had.
        """
        if head.alg not in PUBLIC_KEY:
            raise LoginRefused("The token is signed in a way that is not accepted here.")
        if self._age() > FRESH_S:
            await self._ask()
        key = self._match(head)
        if key is None:
            await self._ask()
            key = self._match(head)
        if key is None:
            raise LoginRefused("The token is signed with a key that its provider does not have.")
        return key

    def _age(self) -> float:
        return self._clock.monotonic() - self._got

    def _match(self, head: Head) -> Key | None:
        kind = PUBLIC_KEY[head.alg]
        fit = [
            key
            for key in self._keys
            if kind_of_key(key) == kind
            and key.get("alg") in (None, head.alg)
            and head.kid in (None, key.get("kid"))
        ]
        # A token that names no key counts where there is no choice.
        return fit[0] if len(fit) == 1 or (fit and head.kid is not None) else None

    async def _ask(self) -> None:
        async with self._asking:
            if self._age() > KEPT_S:
                self._keys = ()
            now = self._clock.monotonic()
            if now - self._asked < (AGAIN_S if self._keys else AGAIN_WITHOUT_S):
                if not self._keys:
                    raise LoginUnavailable("The provider's keys could not be had just now.")
                return
            self._asked = now
            try:
                self._keys = keys_of(await self._fetcher.get(await self._where()))
                self._got = self._clock.monotonic()
            except LoginUnavailable:
                if not self._keys:
                    raise


def keys_of(document: Mapping[str, Any]) -> tuple[Key, ...]:
    """The keys of a set that can check a signature.

    Raises:
        LoginUnavailable: there is none.
    """
    listed = document.get("keys")
    found = [_key(each) for each in listed[:MOST]] if isinstance(listed, list) else []
    keys = tuple(key for key in found if key is not None)
    if not keys:
        raise LoginUnavailable("The provider publishes no key that could be used.")
    return keys


def _key(data: object) -> Key | None:
    """A key that can check a signature; None for any other."""
    taken = _taken(data) if isinstance(data, dict) else {}
    if not taken:
        return None
    try:
        key = import_key({**taken})
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAKey) and key.public_key.key_size < _LEAST_BITS:
        return None
    return key if kind_of_key(key) in PUBLIC_KEY.values() else None


def _taken(data: Mapping[str, Any]) -> dict[str, str]:
    """The public parts of a key, and its name; nothing for one that is not to be used."""
    parts = _PARTS.get(str(data.get("kty")), ())
    taken = {name: data[name] for name in ("kty", *parts, "kid", "alg") if name in data}
    texts = all(
        isinstance(value, str) and len(value) <= (_LONGEST_N if name == "n" else _LONGEST_PART)
        for name, value in taken.items()
    )
    # In base64 a letter is six bits; the library warns aloud of what is weaker.
    strong = texts and len(taken.get("n", "A" * _LEAST_BITS)) * 6 >= _LEAST_BITS
    return taken if parts and strong and data.get("use", "sig") == "sig" else {}
